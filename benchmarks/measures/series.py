"""One log marginal likelihood with its gradient over one input in order, where it takes a time that grows as n."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import problems
from benchmarks.machine import describe
from benchmarks.measures.evaluation import agreement
from benchmarks.measures.plan import Plan
from benchmarks.measures.rounds import FREE_MEMORY, Entrant, Team, interleave, ready, spread
from benchmarks.peers import OURS, PEERS, SERIES

KERNELS = ("matern32", "matern52")


def series(plan: Plan) -> dict[str, Any]:
    """Return a row for each library, kernel and size: CPU µs a row, bytes a row, and whether the value is ours."""
    machine, rows = describe(), []
    memory = FREE_MEMORY * machine["memory_gib"] * 2**30
    with Team(plan, SERIES, 1, kernels=KERNELS) as team, tempfile.TemporaryDirectory() as folder:
        for n in plan.series_sizes:
            arrays = problems.save(problems.series(n), Path(folder), str(n))
            for entrant in team.entrants:
                entrant.known = None  # what is known of a smaller size would be taken to grow as its cube
            settings = problems.settings(1)
            present = ready(team.entrants, n, SERIES, arrays, settings, plan.evaluation_limit, memory)
            interleave(present, plan, plan.evaluation_limit)
            ours = {one.kernel: one for one in present if one.name == OURS}
            rows += [_row(entrant, n, ours) for entrant in team.entrants]
        peers = team.peers
    return {"measure": "series", "machine": machine, "peers": peers, "rows": rows}


def _row(entrant: Entrant, n: int, ours: dict[str, Entrant]) -> dict[str, Any]:
    row = {"peer": entrant.name, "kernel": entrant.kernel, "n": n}
    if entrant.left_out:
        return {**row, "left_out": entrant.left_out}
    samples = entrant.samples[1:] if len(entrant.samples) > 3 else entrant.samples  # the first has filled caches
    row["microseconds"] = spread([1e6 * sample["cpu"] / n for sample in samples])
    row["bytes"] = (max(sample["peak"] for sample in samples) - entrant.first["held"]) / n
    row |= agreement(entrant.first["result"], ours[entrant.kernel].first["result"])
    print(f"n={n:7d} {PEERS[entrant.name].label:24s} {entrant.kernel} {row['microseconds']['median']:7.3f} µs a row")
    return row
