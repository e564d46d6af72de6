"""Mean and sd of the function at many new points, by a model that was conditioned before."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.machine import describe
from benchmarks.measures.plan import Plan
from benchmarks.measures.rounds import FREE_MEMORY, Team, interleave, ready, timings, unit_of
from benchmarks.peers import OURS, PEERS, PREDICTION, UNIT

WARM = 50  # training rows and new points of a first prediction, which loads what is loaded late


def prediction(plan: Plan) -> dict[str, Any]:
    """Return a row for each library: times, units of the bare triangular solve, memory, and distance from ours."""
    machine, settings = describe(), problems.settings()[:1]
    memory = FREE_MEMORY * machine["memory_gib"] * 2**30
    with Team(plan, PREDICTION, 1, kernels=("rbf",)) as team, tempfile.TemporaryDirectory() as folder:
        small = problems.save(problems.draw(WARM, WARM), Path(folder), "small")
        data = problems.draw(plan.prediction_size, plan.new_points)
        arrays = problems.save(data, Path(folder), "large")
        ready(team.entrants, WARM, PREDICTION, small, settings, plan.prediction_limit, memory)
        for entrant in team.entrants:
            entrant.known = None
        present = ready(
            team.entrants, plan.prediction_size, PREDICTION, arrays, settings, plan.prediction_limit, memory
        )
        interleave(present, plan, plan.prediction_limit)
    unit, ours = unit_of(present), next(one for one in present if one.name == OURS)
    rows = []
    for entrant in team.entrants:
        row = {"peer": entrant.name, "n": plan.prediction_size, "new_points": plan.new_points}
        if entrant.left_out:
            rows.append({**row, "left_out": entrant.left_out})
            continue
        row |= {**timings(entrant, unit), "bytes": entrant.first["peak"] - entrant.first["held"]}
        if entrant.name != UNIT:
            row["error"] = _distance(entrant.first["result"], ours.first["result"])
        rows.append(row)
        print(
            f"{PEERS[entrant.name].label:24s} {row['units']['median']:6.2f} units, {row['bytes'] / 1e6:8.0f} MB",
            flush=True,
        )
    return {"measure": "prediction", "machine": machine, "peers": team.peers, "rows": rows}


def _distance(found: dict[str, Any], ours: dict[str, Any]) -> float:
    """Return the largest difference of a mean or an sd from ours."""
    return max(float(np.abs(np.subtract(found[name], ours[name])).max()) for name in ("mean", "sd"))
