"""One log marginal likelihood with its gradient: the step that training repeats."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.machine import describe
from benchmarks.measures.plan import Plan
from benchmarks.measures.rounds import FREE_MEMORY, Entrant, Team, interleave, ready, timings, unit_of
from benchmarks.peers import EVALUATION, OURS, PEERS, UNIT

EQUAL = 1e-6  # relative: the same number, however it was computed


def evaluation(plan: Plan) -> dict[str, Any]:
    """Return a row for each library, kernel, size and number of cores: times, units, and whether the value is ours."""
    machine, rows, peers = describe(), [], {}
    runs = [(1, plan.evaluation_sizes), (plan.all_cores, plan.threaded_sizes)]
    for n_cores, sizes in [run for run in runs if run[1]] if plan.all_cores > 1 else runs[:1]:
        with Team(plan, EVALUATION, n_cores) as team, tempfile.TemporaryDirectory() as folder:
            for n in sizes:
                arrays = problems.save(problems.draw(n), Path(folder), str(n))
                new = _size(team.entrants, n, arrays, plan, machine)
                rows += [{**row, "cores": n_cores} for row in new]
            peers = {**team.peers, **peers}  # of one core, where it is known
    return {"measure": "evaluation", "machine": machine, "peers": peers, "rows": rows}


def _size(entrants: list[Entrant], n: int, arrays: Path, plan: Plan, machine: dict[str, Any]) -> list[dict[str, Any]]:
    limit, memory = plan.evaluation_limit, FREE_MEMORY * machine["memory_gib"] * 2**30
    present = ready(entrants, n, EVALUATION, arrays, problems.settings(), limit, memory)
    interleave(present, plan, limit)
    unit, ours = unit_of(present), {one.kernel: one for one in present if one.name == OURS}
    rows = []
    for entrant in entrants:
        row = {"peer": entrant.name, "kernel": entrant.kernel, "n": n}
        if entrant.left_out:
            rows.append({**row, "left_out": entrant.left_out})
            continue
        row |= timings(entrant, unit)
        if entrant.name != UNIT and entrant.kernel in ours:
            row |= agreement(entrant.first["result"], ours[entrant.kernel].first["result"])
        rows.append(row)
        print(
            f"n={n:5d} {PEERS[entrant.name].label:24s} {entrant.kernel:13s} {row['units']['median']:8.2f} units",
            flush=True,
        )
    return rows


def agreement(found: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Return how far a value (nats) and its gradient by the log hyperparameters, if there is one, are from ours."""
    error = found["value"] - ours["value"]
    told = {"error_nats": error, "equal": abs(error) <= EQUAL * abs(ours["value"])}
    if "gradient" not in found:
        return told
    gradient, expected = np.array(found["gradient"]), np.array(ours["gradient"])
    return told | {"gradient_error": float(np.abs(gradient - expected).max() / np.abs(expected).max())}
