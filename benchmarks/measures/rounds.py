"""Interleaved runs: A B C A B C …, so that what else the machine does meets all alike; and their medians."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.environments import Unavailable
from benchmarks.measures.plan import Plan
from benchmarks.peers import OURS, PEERS, UNIT
from benchmarks.worker import Worker

ENOUGH = 0.05  # seconds that one run lasts at least, by repeating its call
PAUSE = 0.02  # for the threads of the one before to fall asleep
COLD = 10.0  # seconds of a first call up to which a second one tells how long a call takes
NEEDED = (UNIT, OURS)  # without them there is nothing to compare
CUBIC = 500  # rows from which time grows as their cube
FREE_MEMORY = 0.4  # the part of all memory that one library may take


@dataclass
class Entrant:
    """One library with one kernel: its process, and what was measured at the present size."""

    name: str
    kernel: str
    worker: Worker
    left_out: str | None = None
    first: dict[str, Any] = field(default_factory=dict)  # the first run's reply, with its result
    samples: list[dict[str, float]] = field(default_factory=list)  # by round; the first run is the first
    warm: float = 0.0  # wall seconds of a call that is not the first, which imports, compiles and fills caches
    known: tuple[int, float, float] | None = None  # the last size, its seconds and memory

    def is_too_much(self, n: int, limit: float, memory: float) -> str | None:
        """Return why size n, cubic in time and quadratic in memory, would pass a limit, or None."""
        if self.known is None or self.known[0] < CUBIC:
            return None
        seconds = self.known[1] * (n / self.known[0]) ** 3
        taken = self.known[2] * (n / self.known[0]) ** 2
        if seconds > limit:
            return f"about {seconds:.0f} s expected, and the limit is {limit:.0f} s"
        if taken > memory:
            return f"about {taken / 2**30:.0f} GiB expected, and the limit is {memory / 2**30:.0f} GiB"
        return None


class Team:
    """The entrants of one task, each in a process of its own; those who cannot take part are in `skipped` by name."""

    def __init__(self, plan: Plan, task: str, n_cores: int, kernels: Iterable[str] | None = None) -> None:
        self.entrants: list[Entrant] = []
        self.peers: dict[str, dict[str, Any]] = {}
        for name in plan.taking_part(task):
            self._open(name, n_cores, kernels or PEERS[name].kernels)

    def _open(self, name: str, n_cores: int, kernels: Iterable[str]) -> None:
        peer = PEERS[name]
        self.peers[name] = {"label": peer.label, "settings": peer.settings, "exact": peer.exact}
        try:
            for kernel in kernels:
                self.entrants.append(Entrant(name, kernel, Worker(peer, n_cores)))
                self.peers[name] |= self.entrants[-1].worker.description
        except Unavailable as reason:
            if name in NEEDED:
                raise
            self.peers[name]["skipped"] = str(reason)
            print(f"{name}: skipped: {reason}", flush=True)

    def forget(self) -> None:
        """Let everyone take part again: the next problem is another one."""
        for entrant in self.entrants:
            entrant.left_out, entrant.known = None, None

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        for entrant in self.entrants:
            entrant.worker.close()


def ready(
    entrants: list[Entrant],
    n: int,
    task: str,
    arrays: Path,
    settings: list[dict[str, Any]],
    limit: float,
    memory: float,
) -> list[Entrant]:
    """Return those who were prepared and have run once; the others know why they are left out, here and beyond."""
    present = []
    for entrant in entrants:
        entrant.samples = []
        if entrant.name not in NEEDED:
            entrant.left_out = entrant.left_out or entrant.is_too_much(n, limit, memory)
        if entrant.left_out:
            continue
        try:
            entrant.worker.prepare(task, arrays, settings, kernel=entrant.kernel)
            entrant.first = entrant.worker.run(limit=3 * limit)  # others' work may slow it
            entrant.warm = entrant.first["wall"]
            if entrant.warm < COLD:
                entrant.warm = entrant.worker.run(1, limit=3 * limit)["wall"]
        except Unavailable as reason:
            if entrant.name in NEEDED:
                raise
            entrant.left_out = str(reason)
            continue
        seconds = min(entrant.first["wall"], entrant.first["cpu"])  # of wall time, some may be others' work
        entrant.known = (n, seconds, entrant.first["peak"] - entrant.first["held"])
        entrant.samples = [entrant.first]
        present.append(entrant)
    return present


def interleave(present: list[Entrant], plan: Plan, limit: float) -> None:
    """Repeat everyone's call in turn, the slow ones fewer times."""
    calls = {id(entrant): max(1, min(100, round(ENOUGH / entrant.warm))) for entrant in present}
    for turn in range(plan.rounds):
        for entrant in present:
            spent = entrant.warm * calls[id(entrant)]
            if entrant.left_out or turn >= plan.repeat / spent:
                continue
            time.sleep(PAUSE)
            try:
                entrant.samples.append(
                    entrant.worker.run(1 + turn, calls[id(entrant)], limit=3 * limit * calls[id(entrant)])
                )
            except Unavailable as reason:
                entrant.left_out = str(reason)


def timings(entrant: Entrant, unit: Entrant) -> dict[str, Any]:
    """Return CPU and wall seconds, and both in units of the unit's run of the same round: medians with their spread."""
    pairs = list(zip(entrant.samples, unit.samples, strict=False))
    if len(pairs) > 3:
        pairs = pairs[1:]  # the first has filled caches; with few runs it counts
    return {
        "cpu": spread([one["cpu"] for one, _ in pairs]),
        "wall": spread([one["wall"] for one, _ in pairs]),
        "units": spread([one["cpu"] / other["cpu"] for one, other in pairs]),
        "units_wall": spread([one["wall"] / other["wall"] for one, other in pairs]),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least, most, and how many."""
    return {"median": median(values), "least": min(values), "most": max(values), "runs": len(values)}


def unit_of(entrants: list[Entrant]) -> Entrant:
    """Return the one in whose seconds the others are counted."""
    return next(entrant for entrant in entrants if entrant.name == UNIT)
