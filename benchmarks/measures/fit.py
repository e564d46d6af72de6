"""A whole fit: from the data to hyperparameters, and how good the optimum is that it found."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.environments import Unavailable
from benchmarks.machine import describe
from benchmarks.measures.plan import Plan
from benchmarks.measures.rounds import FREE_MEMORY, Entrant, Team, interleave, ready, timings, unit_of
from benchmarks.peers import EVALUATION, FIT, OURS, PEERS, UNIT
from benchmarks.worker import Worker

REFERENCE = "reference"


def fit(plan: Plan) -> dict[str, Any]:
    """Return a row for each library and problem: times, evaluations, the likelihood of its end by our arithmetic."""
    machine, rows = describe(), []
    tasks = [(problems.SINE, problems.sine()), *((problems.DRAW, problems.draw(n)) for n in plan.fit_sizes)]
    with Team(plan, FIT, 1, kernels=("rbf",)) as team, tempfile.TemporaryDirectory() as folder:
        judge = Worker(PEERS[OURS], 1)
        try:
            for name, data in tasks:
                arrays = problems.save(data, Path(folder), f"{name}{len(data['x'])}")
                measured = _measured(team.entrants, data, arrays, plan, machine)
                best = _reference(judge, data, arrays, plan)
                rows += [{"problem": name, **row} for row in _judged(measured, best, judge, arrays)]
                if name == problems.SINE:  # says nothing about the others
                    team.forget()
        finally:
            judge.close()
    return {"measure": "fit", "machine": machine, "peers": team.peers, "rows": rows}


def _measured(
    entrants: list[Entrant], data: dict[str, np.ndarray], arrays: Path, plan: Plan, machine: dict[str, Any]
) -> list[dict[str, Any]]:
    n, memory = len(data["x"]), FREE_MEMORY * machine["memory_gib"] * 2**30
    start = problems.start(data["x"], data["y"])
    present = ready(entrants, n, FIT, arrays, start, plan.fit_limit, memory)
    interleave(present, plan, plan.fit_limit)
    unit, rows = unit_of(present), []
    for entrant in entrants:
        row = {"peer": entrant.name, "n": n}
        if entrant.left_out:
            rows.append({**row, "left_out": entrant.left_out})
        elif entrant.name != UNIT:
            rows.append({**row, **timings(entrant, unit), **entrant.first["result"]})
    return rows


def _reference(judge: Worker, data: dict[str, np.ndarray], arrays: Path, plan: Plan) -> dict[str, Any] | None:
    """Return the row of the best end of many starts, which took its time; None where there are too many rows."""
    n = len(data["x"])
    if n > plan.restart_rows:
        return None
    try:
        judge.prepare("reference", arrays, problems.start(data["x"], data["y"]), options={"restarts": plan.restarts})
        found = judge.run(limit=4 * plan.fit_limit)["result"]
    except Unavailable as reason:
        return {"peer": REFERENCE, "n": n, "left_out": str(reason)}
    return {"peer": REFERENCE, "n": n, "restarts": plan.restarts, "log_marginal_likelihood": found["value"]}


def _judged(
    rows: list[dict[str, Any]], reference: dict[str, Any] | None, judge: Worker, arrays: Path
) -> list[dict[str, Any]]:
    """Return the rows with the log marginal likelihood of each end, and how far (nats) it is below the best of all."""
    for row in rows:
        if "left_out" not in row:
            judge.prepare(EVALUATION, arrays, [row["hyperparameters"]], options={})
            row["log_marginal_likelihood"] = judge.run()["result"]["value"]
    rows = [*rows, reference] if reference else rows
    ends = [row["log_marginal_likelihood"] for row in rows if "log_marginal_likelihood" in row]
    for row in rows:
        if "log_marginal_likelihood" in row:
            row["gap_nats"] = max(ends) - row["log_marginal_likelihood"]
        if "units" in row:
            label, gap = PEERS[row["peer"]].label, row["gap_nats"]
            print(
                f"n={row['n']:5d} {label:26s} {row['units']['median']:8.1f} units, {gap:.3f} nats below the best",
                flush=True,
            )
    return rows
