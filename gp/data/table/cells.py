"""Cells: a table's text as numbers, dates or marks, strictly."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from gp.data.table.faults import Faults
from gp.spec import Fault, InputError

Role = Literal["value", "mark"]  # a value is a number or a date

MISSING = frozenset(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "NAN", "null", "NULL", "None"])
MISSING_FIX = "fill it in, or set `missing: drop`"
MARKS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


class TextColumn:
    """Turns a column's cells, chunk by chunk, into floats; a missing cell is NaN."""

    def __init__(self, name: str, role: Role, missing: str, faults: Faults) -> None:
        self._name, self._missing, self._faults = name, missing, faults
        self._parse: Callable[[str], Any] | None = parse_mark if role == "mark" else None
        self._parts: list[np.ndarray] = []

    def take(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Add `cells`, which begin at the physical `lines` of the file."""
        if self._parse is None:
            self._parse = _choose(cells)
        values = plain_numbers(cells) if self._parse is parse_number else None
        self._parts.append(self._one_by_one(cells, lines) if values is None else values)

    def values(self) -> np.ndarray:
        """Return all that was taken, (n,)."""
        return np.concatenate([np.empty(0), *self._parts])

    def _one_by_one(self, cells: Sequence[str], lines: Sequence[int]) -> np.ndarray:
        parse = self._parse or parse_number  # no cell so far says what the column holds
        parsed: list[Any] = [None] * len(cells)
        for i, cell in enumerate(cells):
            if cell in MISSING:
                if self._missing == "error":
                    self._fault(lines[i], f"missing value (got {cell!r})", MISSING_FIX)
                continue
            try:
                parsed[i] = parse(cell)
            except InputError as error:
                self._fault(lines[i], error.faults[0].why, error.faults[0].fix)
        # None becomes NaN in the one, NaT in the other.
        if parse is parse_date:
            return decimal_years(np.array(parsed, dtype="M8[us]"))
        return np.array(parsed, dtype=np.float64)

    def _fault(self, line: int, why: str, fix: str) -> None:
        self._faults.add(line, why, fix, column=self._name)


def plain_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Return `cells` as floats if every one is a plain finite decimal, else None (fast)."""
    # With these characters alone, Python's float takes plain decimals only: no 1_000, ' 1', nan, 0x1f, ١.
    if "".join(cells).encode().translate(None, b"0123456789+-.eE"):
        return None
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def parse_number(cell: str) -> float:
    """Return the finite number that `cell` is; InputError says what is wrong with it."""
    if _NUMBER.fullmatch(cell):
        if math.isinf(number := float(cell)):
            raise InputError(Fault("", f"{_show(cell)} is too large", "float64 ends at 1.8e308"))
        return number
    if cell.strip() != cell:
        raise InputError(Fault("", f"{_show(cell)} has blanks around it", "remove them"))
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        raise InputError(Fault("", f"{_show(cell)} is not finite", "remove or mend the row"))
    if _DATE.fullmatch(cell):
        raise InputError(
            Fault("", f"{_show(cell)} is a date in a column that begins with a number", "use one of the two throughout")
        )
    if "," in cell:
        raise InputError(
            Fault(
                "",
                f"{_show(cell)} is not a number (a finite decimal with '.')",
                "write '.' for a decimal comma, and no thousands separators",
            )
        )
    raise InputError(Fault("", f"{_show(cell)} is not a number (a finite decimal with '.')", "mend or remove the row"))


def parse_date(cell: str) -> datetime:
    """Return the moment that `cell`, an ISO 8601 date or datetime, names.

    It has no zone and is in UTC; a cell without a zone is taken for UTC.
    """
    if not _DATE.fullmatch(cell):
        raise InputError(
            Fault(
                "",
                f"{_show(cell)} is not an ISO 8601 date, as the column's first is",
                "write 2024-05-31 or 2024-05-31T12:00Z",
            )
        )
    try:
        moment = datetime.fromisoformat(cell)  # digits beyond microseconds are cut: a decimal year ends at about 7 µs
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError) as error:
        raise InputError(Fault("", f"{_show(cell)} is no date of the calendar ({error})", "mend it")) from None


def parse_mark(cell: str) -> float:
    """Return 1.0 for the mark of a held-out row (1, true), 0.0 for another's (0, false)."""
    if (mark := MARKS.get(cell.lower())) is None:
        raise InputError(
            Fault(
                "", f"{_show(cell)} is no mark of held-out rows", "write 1 or true for those, 0 or false for the others"
            )
        )
    return mark


def decimal_years(moments: np.ndarray) -> np.ndarray:
    """Return datetime64 `moments` as decimal years, NaN for NaT.

    year + (t - start of the year) / (length of the year), in UTC: 2024-01-01 is 2024.0, and 2024-07-02 is
    2024 + 183/366.
    """
    moments = moments.astype("M8[us]")
    year = moments.astype("M8[Y]")
    start, end = year.astype("M8[us]"), (year + 1).astype("M8[us]")
    with np.errstate(invalid="ignore"):
        elapsed = (moments - start) / (end - start)
    return np.where(np.isnat(moments), np.nan, 1970.0 + year.astype(np.int64) + elapsed)


def looks_like_a_value(cell: str) -> bool:
    """Return whether `cell` is a number or a date rather than a name."""
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))


def _choose(cells: Sequence[str]) -> Callable[[str], Any] | None:
    """Return the parser for a column whose first cell that is there is a date or is not."""
    first = next((cell for cell in cells if cell not in MISSING), None)
    return None if first is None else parse_date if _DATE.fullmatch(first) else parse_number


def _show(cell: str) -> str:
    return repr(cell) if len(cell) <= 40 else f"{cell[:39]!r}…"
