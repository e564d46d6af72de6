"""Faults of a table's cells, with one message for each column and kind of fault."""

from dataclasses import dataclass
from pathlib import Path

from ...spec import Fault, InputError

SHOWN = 10


class BadCell(Exception):
    """A cell that cannot be read: the kind of fault, what is wrong, and what to do."""

    def __init__(self, kind: str, why: str, fix: str) -> None:
        super().__init__(why)
        self.kind, self.why, self.fix = kind, why, fix


@dataclass
class _Found:
    line: int
    why: str
    fix: str
    count: int


class Faults:
    """Collects the faults of one file; faults of one column and kind must be added in the order of lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], _Found] = {}

    def add(self, line: int, kind: str, why: str, fix: str, *, column: str = "", count: int = 1) -> None:
        """Note `count` faults, the first at `line`: what is wrong, and what to do."""
        if found := self._found.get((column, kind)):
            found.count += count
        else:
            self._found[column, kind] = _Found(line, why, fix, count)

    def explain(self, column: str, kind: str, diagnosis: str, fix: str) -> None:
        """Set what is wrong and what to do for one column and kind of fault, once all its cells are known."""
        found = self._found[column, kind]
        found.why, found.fix = found.why + diagnosis, fix

    def count(self, column: str, kind: str) -> int:
        """Return the number of such faults."""
        return self._found[column, kind].count if (column, kind) in self._found else 0

    def raise_any(self) -> None:
        """Raise InputError with the first faults by line, and the number of the others."""
        if not self._found:
            return
        inorder = sorted(self._found.items(), key=lambda item: item[1].line)
        faults = [self._fault(column, found) for (column, _), found in inorder[:SHOWN]]
        if (more := len(inorder) - SHOWN) > 0:
            faults.append(Fault("", f"and {more} more such lines", source=str(self._path)))
        raise InputError(faults)

    def _fault(self, column: str, found: _Found) -> Fault:
        what = "cells" if column else "lines"
        many = f" ({found.count} such {what}, the first is here)" if found.count > 1 else ""
        why = f"column {column!r}: {found.why}" if column else found.why
        return Fault("", why + many, found.fix, source=f"{self._path}:{found.line}")


def show(cell: str) -> str:
    """Return a cell as a message shows it."""
    return repr(cell) if len(cell) <= 40 else f"{cell[:39]!r}…"
