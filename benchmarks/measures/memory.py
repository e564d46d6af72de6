"""The memory that one evaluation takes above its data, in n×n matrices of float64."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import problems
from benchmarks.environments import Unavailable
from benchmarks.machine import describe
from benchmarks.measures.plan import Plan
from benchmarks.measures.rounds import Team
from benchmarks.peers import EVALUATION, PEERS, UNIT

SMALL = 50  # rows of a first evaluation, which loads what is loaded late


def memory(plan: Plan) -> dict[str, Any]:
    """Return a row for each library and kernel: the peak of its first evaluation, less what was held before."""
    machine, rows, n = describe(), [], plan.memory_size
    with tempfile.TemporaryDirectory() as folder:
        arrays = {size: problems.save(problems.draw(size), Path(folder), str(size)) for size in (SMALL, n)}
        with Team(plan, EVALUATION, plan.all_cores) as team:
            for entrant in team.entrants:
                if entrant.name == UNIT:
                    continue
                row = {"peer": entrant.name, "kernel": entrant.kernel, "n": n}
                try:
                    for size in (SMALL, n):
                        settings, kernel = problems.settings(), entrant.kernel
                        # Some evaluate when their model is made, and keep what they computed.
                        made = entrant.worker.prepare(EVALUATION, arrays[size], settings, kernel=kernel)
                        run = entrant.worker.run(limit=4 * plan.evaluation_limit)
                except Unavailable as reason:
                    rows.append({**row, "left_out": str(reason)})
                    continue
                taken = max(made["peak"], run["peak"]) - made["held"]
                rows.append({**row, "bytes": taken, "matrices": taken / (8 * n**2)})
                print(
                    f"n={n} {PEERS[entrant.name].label:24s} {entrant.kernel:13s} {rows[-1]['matrices']:6.2f} n×n",
                    flush=True,
                )
                entrant.worker.close()
    return {"measure": "memory", "machine": machine, "peers": team.peers, "rows": rows}
