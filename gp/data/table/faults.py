"""Faults: what is wrong with a table's cells, counted in full and reported by the first few."""

from collections import Counter
from pathlib import Path

from gp.spec import Fault, InputError

SHOWN = 10


class Faults:
    """Collects the faults of one file; those of one column must come in the order of their lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()
        self._found: list[tuple[int, str, str]] = []

    def add(self, line: int, why: str, fix: str, *, column: str = "") -> None:
        """Note a fault at `line`: what is wrong, and what to do."""
        self._counts[column] += 1
        if self._counts[column] <= SHOWN:  # a later one cannot be among the first of all
            self._found.append((line, f"column {column!r}: {why}" if column else why, fix))

    def raise_any(self) -> None:
        """Raise InputError with the first faults by line, and the number of the others."""
        if not self._found:
            return
        first = sorted(self._found, key=lambda at: at[0])[:SHOWN]
        faults = [Fault("", why, fix, source=f"{self._path}:{line}") for line, why, fix in first]
        if (more := self._counts.total() - len(faults)) > 0:
            faults.append(Fault("", f"and {more} more", source=str(self._path)))
        raise InputError(faults)
