"""Survey: a first look at a table of which only the target is known, and the data section that a study of it may have.

What could be read in more than one way is not guessed: the column is left out, and a line says which key takes it in.
"""

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gp.data.table import READERS, Table
from gp.data.table.cells import MISSING, Numbers
from gp.data.table.dates import guess_formats
from gp.data.table.doubts import are_compact_dates
from gp.data.table.files import check_file
from gp.data.table.format import Format
from gp.data.table.header import SEPARATORS
from gp.data.table.lines import BROKEN, Lines, check_kind, ending, explain_encoding, open_bytes
from gp.data.table.names import clean, find_columns
from gp.data.table.text import read_text
from gp.spec import Fault, InputError, parse
from stages.chosen import hold_out

_LOOKED_AT = 10_000  # rows whose cells are looked at as text
_FEW_WORDS = 3  # words among numbers that may stand for missing values
_SPARSE = 0.5  # share of missing values above which a column is left out
_CATEGORIES = 50  # different words, at most
_ROWS_A_LEVEL = 3  # rows on average of each word, at least


@dataclass
class Survey:
    """What was found: the study's `data` section, and a line for each choice in it.

    `n` rows are complete in these columns, with the targets `y` (n,).  `years` are the values (n,) of the input `along`
    which rows are in order of time, in years; None without one.
    """

    data: dict[str, Any]
    choices: list[str] = field(default_factory=list)
    n: int = 0
    along: str | None = None
    years: np.ndarray | None = None
    y: np.ndarray = field(default_factory=lambda: np.zeros(0))


def survey(path: Path, y: str, given: dict[str, Any] | None = None) -> Survey:
    """Return the survey of the table at `path` for the target `y`; `given` are keys of the data section that are known.

    Raises InputError where the table or its column `y` cannot be read.
    """
    given = dict(given or {})
    found = Survey({"kind": "table", "path": str(path), "x": [], "y": clean(y), **given})
    parse(Table, {"path": str(path), "x": ["x"], "y": "y", **given}, "data")  # the path, and the keys themselves
    check_file(path)
    text = ending(path)[0] != ".parquet"
    cells = _text_cells(path, found, clean(y)) if text else {name: [] for name in pq.read_schema(path).names}
    find_columns(list(cells), [clean(y)], place=str(path))
    with _silently():
        values, dates = _numbers(path, cells, found)
        categorical = _categorical(path, [name for name in cells if name not in values and name != clean(y)], found)
    values = {name: column for name in cells if (column := (values | categorical).get(name)) is not None}
    columns = _inputs(values, found)
    if not columns:
        raise InputError(f"{path}: no column beside {y!r} holds numbers or dates that could be an input")
    found.data["x"] = columns
    if named := [name for name in columns if name in categorical]:
        found.data["categorical"] = named
    there = _complete(values, found)
    found.y = values[found.data["y"]][there]
    found.along, chosen, why = hold_out({name: values[name][there] for name in columns}, dates)
    found.years = values[found.along][there] if found.along is not None else None
    if "holdout" not in found.data and chosen:
        found.data["holdout"] = chosen
        found.choices.append(why)
    order = ["kind", "path", "x", "y", *(key for key in found.data if key not in ("kind", "path", "x", "y"))]
    found.data = {key: found.data[key] for key in order}
    return found


@contextmanager
def _silently() -> Iterator[None]:
    """Read column by column without a word on each: what was trimmed is said when the study is read."""
    log = logging.getLogger(read_text.__module__)
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _text_cells(path: Path, found: Survey, y: str) -> dict[str, list[str]]:
    """Return the first cells of each column that has a name of its own; set the separator and the comment's sign."""
    usual = SEPARATORS[ending(path)[0]]
    form = _format(found)
    if form.comment is None and (first := _lines(path, form, usual, 1)) and first[0].startswith(("#", "%")):
        found.data["comment"] = first[0][0]
        found.choices.append(f"comment: lines that begin with {first[0][0]!r} are passed over")
    if form.separator is None:
        line = "".join(_lines(path, _format(found), usual, 1))
        best = max((usual, ",", ";", "\t", "|"), key=lambda sign: (line.count(sign), sign == usual))
        if best != usual:
            found.data["separator"] = best
            found.choices.append(f"separator: {best!r} stands between the names")
    form = _format(found)
    separator = form.separator or usual
    rows = list(csv.reader(_lines(path, form, separator, 1 + form.units_row + _LOOKED_AT), delimiter=separator))
    header = [clean(name) for name in rows[0]] if rows else []
    rows = [row for row in rows[1 + form.units_row :] if len(row) == len(header)]
    names = [name for name in header if name and header.count(name) == 1]
    if len(names) < len(header):
        found.choices.append(f"{len(header) - len(names)} columns without a name of their own are left out")
    cells = {name: [row[header.index(name)].strip() for row in rows] for name in names}
    commas = [cell for cell in cells.get(y, ()) if "," in cell]
    if separator != "," and form.decimal == "." and "thousands" not in found.data and commas:
        numbers = Numbers(Format(decimal=","))
        if all(numbers.matches(cell) or cell in MISSING for cell in cells[y]):
            found.data["decimal"] = ","
            found.choices.append(f"decimal: {y!r} has decimal commas, as {commas[0]}")
    return cells


def _lines(path: Path, form: Format, separator: str, most: int) -> list[str]:
    """Return the first lines, at most so many, that are not passed over; raises InputError if they are no text."""
    try:
        check_kind(path)
        with open_bytes(path) as file:
            lines = Lines(file, path, form, separator)  # kept until the file is closed, which it would leave open
            return list(islice(lines, most))
    except UnicodeError:
        raise InputError(explain_encoding(path, form)) from None
    except BROKEN as error:
        raise InputError(Fault("", f"cannot be read ({error!s:.80})", "write it again", source=str(path))) from None


def _format(found: Survey) -> Format:
    keys = {key: value for key, value in found.data.items() if key in Format.model_fields}
    return parse(Format, keys, "data")


def _numbers(path: Path, cells: dict[str, list[str]], found: Survey) -> tuple[dict[str, np.ndarray], set[str]]:
    """Return the columns that can be read as numbers or dates, and the names of those that are dates.

    Sets `date_format` and `na_values` where cells say so.  Raises InputError where the target cannot be read.
    """
    values: dict[str, np.ndarray] = {}
    dates: set[str] = set()
    reader, y = READERS[ending(path)[0]], found.data["y"]
    for name, column in cells.items():
        if doubt := _set_keys(name, column, found):
            found.choices.append(f"{name} is left out: {doubt}")
            continue
        try:
            read, are_dates, _ = reader(path, {name: "value"}, "drop", _format(found))
        except InputError as error:
            if name == y or not error.faults[0].why.startswith(f"column {name!r}"):  # of the file as a whole
                raise
            if not column or _are_categories(column):  # of Parquet, no cells are known
                continue
            found.choices.append(f"{name} is left out: {_describe(sorted(set(column) - MISSING), error)}")
            continue
        values |= read
        dates |= are_dates
    return values, dates


def _describe(kinds: list[str], error: InputError | None) -> str:
    """Return what the distinct cells `kinds` of a column are that could not be read."""
    if error is not None and not kinds:
        return str(error.faults[0].why)
    if len(kinds) == 1:
        return f"it is {kinds[0]!r:.60} in every row"
    listed = f"{len(kinds)} values: {', '.join(kinds[:3])}{', …' if len(kinds) > 3 else ''}"[:100]
    return f"text ({listed}): if it stands for categories, name it in x and in `categorical`"


def _are_categories(column: Sequence[str]) -> bool:
    """Return whether a column of text has few words, each of several rows."""
    words = Counter(cell for cell in column if cell not in MISSING)
    return 2 <= len(words) <= _CATEGORIES and words.total() >= _ROWS_A_LEVEL * len(words)


def _categorical(path: Path, names: Sequence[str], found: Survey) -> dict[str, np.ndarray]:
    """Return the columns among `names` that hold few levels, by their numbers (n,), NaN if missing."""
    columns: dict[str, np.ndarray] = {}
    left_out = {line.partition(" is left out: ")[0] for line in found.choices}
    for name in names:
        if name in left_out:
            continue
        try:
            read = READERS[ending(path)[0]](path, {name: "level"}, "drop", _format(found))
        except InputError as error:
            found.choices.append(f"{name} is left out: {error.faults[0].why}")
            continue
        levels, column = read.levels[name], read.values[name]
        n = int((~np.isnan(column)).sum())
        if not 2 <= len(levels) <= _CATEGORIES or n < _ROWS_A_LEVEL * len(levels):
            found.choices.append(f"{name} is left out: {_describe(sorted(levels), None)}")
            continue
        columns[name] = column
        if n >= (1 - _SPARSE) * len(column):
            found.choices.append(f"{name} is categorical: {len(levels)} levels ({', '.join(sorted(levels)):.80})")
    return columns


def _set_keys(name: str, column: Sequence[str], found: Survey) -> str:
    """Set the keys that make the column readable, as far as its cells leave no choice; return why there is a choice."""
    form = _format(found)
    numbers = Numbers(form)
    na = MISSING | {str(value) for value in form.na_values}
    present = [cell for cell in column if cell not in na]
    others = [cell for cell in present if not numbers.matches(cell)]
    by_column = isinstance(form.date_format, dict | None)
    formats = dict(form.date_format) if isinstance(form.date_format, dict) else {}
    if present and not others and name not in formats:
        plain = [float(cell.replace(form.decimal, ".")) for cell in present] if not form.thousands else [0.0]
        if len(plain) >= 3 and are_compact_dates(np.array(plain)) and by_column:
            found.data["date_format"] = formats | {name: "%Y%m%d"}
            found.choices.append(f"{name} holds days written as numbers, as {present[0]}: read by its date_format")
    elif others and len(others) == len(present) and form.date_of(name) is None and by_column:
        guesses = guess_formats(set(others))
        if "%Y-%m-%d" in guesses or not guesses:
            return ""
        if len(guesses) > 1:
            keys = " or ".join(f'`date_format: {{{name}: "{guess}"}}`' for guess in guesses[:3])
            return f"dates such as {others[0]} may be read in more than one way: write {keys}, and name it in x"
        found.data["date_format"] = formats | {name: guesses[0]}
        found.choices.append(f"{name} holds dates, as {others[0]}: read by its date_format")
    elif others and len(set(others)) <= _FEW_WORDS and len(others) < len(present) / 2:
        found.data["na_values"] = [*found.data.get("na_values", []), *sorted(set(others))]
        found.choices.append(f"{name}: {', '.join(map(repr, sorted(set(others))))} among numbers: missing values")
    return ""


def _inputs(values: dict[str, np.ndarray], found: Survey) -> list[str]:
    """Return the columns that can be inputs; say why others cannot."""
    y = values[found.data["y"]]
    others = {name: column for name, column in values.items() if name != found.data["y"]}
    reasons = {name: _unfit(column, y) for name, column in others.items()}
    if all(why.startswith("it counts") for why in reasons.values()):  # perhaps what y depends on
        reasons = dict.fromkeys(reasons, "")
    if given := found.data["x"]:
        return list(given)
    found.choices += [f"{name} is left out: {why}" for name, why in reasons.items() if why]
    return [name for name, why in reasons.items() if not why]


def _unfit(column: np.ndarray, y: np.ndarray) -> str:
    """Return why a column (n,) cannot be an input."""
    there = column[~np.isnan(column)]
    if len(there) < (1 - _SPARSE) * len(column):
        return f"{1 - len(there) / len(column):.0%} of its values are missing"
    if len(np.unique(there)) < 2:
        return f"it is {there[0]:g} in every row"
    if len(there) == len(column) > 2 and there[0] in (0, 1) and (np.diff(there) == 1).all():
        return "it counts the rows"
    if np.array_equal(column, y, equal_nan=True):
        return "it is the target once more"
    return ""


def _complete(values: dict[str, np.ndarray], found: Survey) -> np.ndarray:
    """Return which rows are complete (m,) bool; set their number, and `missing` where others are dropped."""
    used = [*found.data["x"], found.data["y"]]
    there = ~np.any([np.isnan(values[name]) for name in used], axis=0)
    found.n = int(there.sum())
    if found.n < len(there):
        found.data.setdefault("missing", "drop")
        counts = ", ".join(f"{name} {gone}" for name in used if (gone := int(np.isnan(values[name]).sum())))
        found.choices.append(f"missing: {len(there) - found.n} of {len(there)} rows lack a value ({counts}): dropped")
    return np.asarray(there)
