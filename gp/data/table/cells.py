"""Cells: a column's text as numbers, dates, booleans or marks, strictly."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from ...levels import level_of
from .dates import DateFormat, IsoDate, decimal_years
from .diagnosis import Diagnosis
from .faults import BadCell, Faults, show
from .format import BLANKS, Format

# A value is a number, a boolean or a date; a label is any text, a level text or a whole number, of which a column holds
# the numbers 0, 1, … in order of appearance.
Role = Literal["value", "mark", "label", "level"]

MISSING = frozenset(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "NAN", "null", "NULL", "None"])
MISSING_FIX = "fill it in, or set `missing: drop`"
MARK_FIX = "write 1 or true for those, 0 or false for the others"
_BOOLEANS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_MARKS = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0} | _BOOLEANS
_SAMPLE = 1000  # distinct cells kept of those that are no numbers, to say what they look like
_ISO = IsoDate()


class Columns(NamedTuple):
    """The columns read of a table: floats (n,), the names of those that are dates, the texts of those that are levels.

    A column of levels has the numbers of these texts; a missing cell is NaN.
    """

    values: dict[str, np.ndarray]
    dates: set[str]
    levels: dict[str, list[str]]


class Parser(Protocol):
    """Turns one cell into a number or a moment."""

    def parse(self, cell: str) -> Any:
        """Return what the cell says; raises BadCell."""
        ...


class Numbers:
    """Finite decimals, with the decimal mark and the separator of thousands that `form` names."""

    def __init__(self, form: Format) -> None:
        self._decimal, self._between = form.decimal, None
        whole, mark = r"\d+", re.escape(form.decimal)
        if form.thousands:
            # A blank is any of those that tables have between digits: they look the same.
            between = f"[{BLANKS}]" if form.thousands in BLANKS else re.escape(form.thousands)
            self._between, whole = re.compile(between), rf"(?:\d{{1,3}}(?:{between}\d{{3}})+|\d+)"
        self._number = re.compile(rf"[+-]?({whole}(?:{mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?", re.ASCII)
        self.name = f"a finite decimal with {form.decimal!r}"

    def matches(self, cell: str) -> bool:
        """Return whether `cell` is a number."""
        return bool(self._number.fullmatch(cell))

    def parse(self, cell: str) -> float:
        """Return the number that `cell` is; raises BadCell, which says what is wrong with it."""
        if self._number.fullmatch(cell):
            plain = self._between.sub("", cell) if self._between else cell
            if math.isinf(number := float(plain.replace(self._decimal, "."))):
                raise BadCell("large", f"{show(cell)} is too large", "float64 ends at 1.8e308")
            return number
        if cell.lower().lstrip("+-") in ("inf", "infinity"):
            raise BadCell("infinite", f"{show(cell)} is not finite", "remove or correct the row")
        if _ISO.matches(cell):
            why = f"{show(cell)} is a date in a column that begins with a number"
            raise BadCell("date", why, "use one of the two throughout")
        raise BadCell("text", f"{show(cell)} is not a number ({self.name})", "correct or remove the row")

    def plain(self, cells: Sequence[str]) -> np.ndarray | None:
        """Return `cells` as floats if every one is a finite decimal without thousands, else None (fast)."""
        text = "".join(cells)
        if self._decimal != ".":
            if "." in text:
                return None
            cells = [cell.replace(self._decimal, ".") for cell in cells]
            text = text.replace(self._decimal, ".")
        # With these characters alone, Python's float takes plain decimals only: no 1_000, ' 1', nan, 0x1f, ١.
        if text.encode().translate(None, b"0123456789+-.eE"):
            return None
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            return None
        return values if np.isfinite(values).all() else None


class Words:
    """Words for 1 and 0."""

    def __init__(self, words: dict[str, float], kind: str, why: str, fix: str) -> None:
        self._words, self._fault = words, (kind, why, fix)

    def parse(self, cell: str) -> float:
        """Return 1.0 or 0.0; raises BadCell."""
        if (value := self._words.get(cell.lower())) is None:
            kind, why, fix = self._fault
            raise BadCell(kind, why.format(show(cell)), fix)
        return value


class Labels:
    """Any text: each label is numbered when it first appears."""

    def __init__(self) -> None:
        self._numbers: dict[str, float] = {}

    def parse(self, cell: str) -> float:
        """Return the label's number."""
        return self._numbers.setdefault(cell, float(len(self._numbers)))

    @property
    def texts(self) -> list[str]:
        """Return the labels, in the order of their numbers."""
        return list(self._numbers)


class LevelLabels(Labels):
    """Text or whole numbers: 2.0 is the level 2."""

    def parse(self, cell: str) -> float:
        """Return the level's number; raises BadCell for a number that is not whole."""
        try:
            return super().parse(level_of(cell))
        except ValueError:
            why = f"{show(cell)} is no level (text or a whole number)"
            raise BadCell("level", why, "take the column out of `categorical` if it holds numbers") from None


MARKS = Words(_MARKS, "mark", "{} is no mark of held-out rows", MARK_FIX)
_PARSERS: dict[str, Callable[[], Parser]] = {"mark": lambda: MARKS, "label": Labels, "level": LevelLabels}
BOOLEANS = Words(_BOOLEANS, "boolean", "{} is neither yes nor no, as the column's first is", "use yes/no throughout")


class TextColumn:
    """Turns a column's cells, chunk by chunk, into floats; a missing cell is NaN."""

    def __init__(self, name: str, role: Role, form: Format, missing: str, faults: Faults) -> None:
        self._name, self._form, self._missing, self._faults = name, form, missing, faults
        self._numbers = Numbers(form)
        self._parser: Parser | None = _PARSERS[role]() if role in _PARSERS else None
        numbers = [value for value in form.na_values if isinstance(value, float)]
        written = {f"{value:g}" for value in numbers} | {repr(value) for value in numbers}
        self._na = MISSING | {value.strip() for value in form.na_values if isinstance(value, str)} | written
        self._na_numbers = numbers if role not in ("label", "level") else []  # a label's number is none of them
        self._parts: list[np.ndarray] = []
        self._diagnosis = Diagnosis(name, form)
        self.trimmed = False  # whether a cell had blanks around it

    def take(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Add `cells`, which begin at the physical `lines` of the file."""
        values = self._plain(cells)
        if values is None:
            stripped = [cell.strip() for cell in cells]
            if stripped != list(cells):
                cells, self.trimmed = stripped, True
                values = self._plain(cells)
        self._parts.append(self._one_by_one(cells, lines) if values is None else self._without_na(values, cells, lines))

    def values(self) -> np.ndarray:
        """Return all that was taken, (n,); say what the cells look like that could not be."""
        values = np.concatenate([np.empty(0), *self._parts])
        if count := self._faults.count(self._name, "text"):
            diagnosis, fix = self._diagnosis.describe(count, values)
            self._faults.explain(self._name, "text", diagnosis, fix)
        return values

    @property
    def is_date(self) -> bool:
        """Return whether what was taken are dates."""
        return isinstance(self._parser, DateFormat | IsoDate)

    @property
    def levels(self) -> list[str] | None:
        """Return the texts of levels, in the order of their numbers; None of any other column."""
        return self._parser.texts if isinstance(self._parser, LevelLabels) else None

    def _plain(self, cells: Sequence[str]) -> np.ndarray | None:
        if self._parser is None:
            self._parser = self._choose(cells)
        return self._numbers.plain(cells) if self._parser is self._numbers else None

    def _choose(self, cells: Sequence[str]) -> Parser | None:
        """Return the parser of a column by its first cell that is there."""
        first = next((cell.strip() for cell in cells if cell.strip() not in self._na), None)
        if first is None:
            return None
        date = self._form.date_of(self._name)
        if date and (isinstance(self._form.date_format, dict) or date.matches(first)):
            return date
        if first.lower() in _BOOLEANS:
            return BOOLEANS
        return _ISO if _ISO.matches(first) else self._numbers

    def _without_na(self, values: np.ndarray, cells: Sequence[str], lines: Sequence[int]) -> np.ndarray:
        """Return numbers, NaN where they are one of `na_values`."""
        if not self._na_numbers:
            return values
        missing = np.isin(values, self._na_numbers)
        for i in np.flatnonzero(missing).tolist():
            self._add_missing(cells[i], lines[i])
        return np.where(missing, np.nan, values)

    def _one_by_one(self, cells: Sequence[str], lines: Sequence[int]) -> np.ndarray:
        parser = self._parser or self._numbers  # no cell so far says what the column holds
        parsed: list[Any] = [None] * len(cells)
        for i, cell in enumerate(cells):
            if cell in self._na:
                self._add_missing(cell, lines[i])
                continue
            try:
                value = parser.parse(cell)
            except BadCell as bad:
                self._faults.add(lines[i], bad.kind, bad.why, bad.fix, column=self._name)
                if bad.kind == "text":
                    self._diagnosis.add(cell, lines[i])
                continue
            if value in self._na_numbers:
                self._add_missing(cell, lines[i])
            else:
                parsed[i] = value
        # None becomes NaN in the one, NaT in the other.
        if isinstance(parser, DateFormat | IsoDate):
            return decimal_years(np.array(parsed, dtype="M8[us]"))
        return np.array(parsed, dtype=np.float64)

    def _add_missing(self, cell: str, line: int) -> None:
        if self._missing == "error":
            self._faults.add(line, "missing", f"missing value (got {cell!r})", MISSING_FIX, column=self._name)


def looks_like_a_value(cell: str) -> bool:
    """Return whether `cell` is a number or a date rather than a name."""
    return _ANY_NUMBER.matches(cell) or _ISO.matches(cell)


_ANY_NUMBER = Numbers(Format())
