"""Diagnosis: what a column's cells that are no numbers may be, and the key or the edit that makes them readable."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from .dates import guess_formats
from .format import BLANKS, Format

_KEPT = 1000  # distinct cells kept
_GROUPED = re.compile(r"[+-]?\d{1,3}(?P<mark>[,.'’ \u00a0\u202f_])\d{3}((?P=mark)\d{3})*", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_BOTH = re.compile(r"[+-]?\d{1,3}(?P<thousands>[,.'’ \u00a0\u202f_])\d{3}((?P=thousands)\d{3})*(?P<decimal>[.,])\d*")
_OTHER_MINUS = re.compile(r"[−–—‐‑﹣－]\d.*")  # that are not the keyboard's
_QUOTED = re.compile(r"([`'’‘“”«»]+)[+-]?[\d.,]+[`'’‘“”«»]+")
_LIMIT = re.compile(r"[<>≤≥]=? ?[+-]?\d[\d.,]*([eE][+-]?\d+)?", re.ASCII)
_UNIT = re.compile(r"([$€£¥]?) ?[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? ?(\D{1,12})?", re.ASCII)


class Diagnosis:
    """The distinct cells of one column that are no numbers (at most _KEPT)."""

    def __init__(self, name: str, form: Format) -> None:
        self._name, self._form = name, form
        self._cells: Counter[str] = Counter()
        self._first = 0

    def add(self, cell: str, line: int) -> None:
        """Note a cell that is no number."""
        self._first = self._first or line
        if cell in self._cells or len(self._cells) < _KEPT:
            self._cells[cell] += 1

    def describe(self, count: int, values: np.ndarray) -> tuple[str, str]:
        """Return what the `count` cells look like, as the end of a message, and what to do.

        `values` are the column's numbers, NaN where there is none.
        """
        cells = list(self._cells)
        if self._name in cells:
            return ", the column's own name", f"remove the lines that repeat the header (the first is {self._first})"
        if formats := guess_formats(cells):
            return ", but a date that is not in ISO form", self._date_fix(formats)
        if found := self._numbers(cells):
            return found
        if count == 1 and not np.isnan(values[1:]).any() and np.isnan(values[0]) and len(values) > 1:
            fix = "set `units_row: true` if the line below the header holds units, else correct or remove the row"
            return "; all cells below it are", fix
        there = int((~np.isnan(values)).sum())
        if there == 0 or count > there:
            return _words(self._name, cells, count)
        if (len(cells) <= 3 and count > len(cells)) or all(not any(map(str.isalnum, cell)) for cell in cells):
            listed = ", ".join(f'"{cell}"' for cell in cells[:5])
            return (
                " among numbers",
                f"if it stands for a missing value, set `na_values: [{listed}]` and `missing: drop`, else fix the row",
            )
        return "", "correct or remove the row"

    def _date_fix(self, formats: list[str]) -> str:
        named = self._form.date_format
        old = "".join(f"{name}: {_quoted(text)}, " for name, text in named.items()) if isinstance(named, dict) else ""
        keys = [f"`date_format: {{{old}{self._name}: {_quoted(text)}}}`" for text in formats[:3]]
        if named is None:
            keys = [f"`date_format: {_quoted(text)}`" for text in formats[:3]]
        return f"set {' or '.join(keys)}{', whichever it is' if len(keys) > 1 else ''}"

    def _numbers(self, cells: list[str]) -> tuple[str, str] | None:
        """Return the keys or the edit for numbers written otherwise; None if that is not what the cells are."""
        both = [_BOTH.fullmatch(cell) for cell in cells]
        grouped = [_GROUPED.fullmatch(cell) for cell in cells]
        marks = {(m["thousands"], m["decimal"]) for m in both if m and m["thousands"] != m["decimal"]}
        if len(marks) == 1 and all(m or g or _digits(c) for c, m, g in zip(cells, both, grouped, strict=True)):
            return ", but one with separators of thousands", _keys(*marks.pop())
        if self._form.decimal == "," and all(_digits(cell) for cell in cells):
            return ", but one with a decimal point", "leave `decimal` out"
        commas = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)]
        sure = [cell for cell in commas if not _GROUPED.fullmatch(cell)]
        if len(commas) == len(cells) and sure:
            return ", but one with a decimal comma", 'set `decimal: ","`'
        if all(grouped):
            mark = next(m["mark"] for m in grouped if m)
            several = any(cell.count(mark) > 1 for cell in cells)
            if mark != "," or several:
                return ", but one with separators of thousands", _keys(mark, "," if mark == "." else ".")
            return (
                ", but one with a comma",
                f'set `thousands: ","` if {cells[0]!r} is {cells[0].replace(",", "")}, or `decimal: ","` if it is '
                f"{cells[0].replace(',', '.')}",
            )
        if all(_OTHER_MINUS.fullmatch(cell) for cell in cells):
            return ", but one with a sign that looks like a minus", "write - (the hyphen of the keyboard) instead"
        if all(_QUOTED.fullmatch(cell) for cell in cells):
            return ", but one in quotes that are not those of CSV", "remove them"
        if all(_LIMIT.fullmatch(cell) for cell in cells):
            fix = "write the limit, half of it, or nothing there (and `missing: drop`), as you would have it read"
            return ", but a limit (less or more than can be measured)", fix
        units = {(m[1] or (m[4] or "").strip()) for cell in cells if (m := _UNIT.fullmatch(cell))}
        if all(_UNIT.fullmatch(cell) for cell in cells) and "" not in units:
            listed = ", ".join(sorted(units)[:5])
            return f", but a number with a unit ({listed})", "write the unit into the header, the number alone below it"
        return None


def _digits(cell: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+([.,]\d*)?", cell, re.ASCII))


def _keys(thousands: str, decimal: str) -> str:
    """Return what to set for numbers with these signs."""
    keys = f'`thousands: "{" " if thousands in BLANKS else thousands}"`'
    return f"set {keys}" if decimal == "." else f'set {keys} and `decimal: ","`'


def _words(name: str, cells: Iterable[str], count: int) -> tuple[str, str]:
    """Return what a column of words is."""
    values = sorted(cells)
    if 1 < len(values) == count or len(values) > 50:
        what = f": the column holds text ({len(values)}{' or more' if len(values) >= _KEPT else ''} different cells)"
        return what, "take it out of x, y and holdout, or write it as numbers"
    listed = ", ".join(values[:5]) + (", …" if len(values) > 5 else "")
    what = f": the column holds categories ({len(values)} value{'s' if len(values) > 1 else ''}: {listed:.100})"
    return what, f"write `categorical: [{name}]` below data, if it is an input"


def _quoted(text: str) -> str:
    return f'"{text}"'
