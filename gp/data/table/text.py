"""Text tables: CSV and TSV, read strictly, line by line.

pandas' reader shifts columns under a trailing comma, fills ragged rows, renames duplicate columns and takes many words
for NaN, all without a message; Python's csv in strict mode gives every row as it stands, with its line.
"""

import csv
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ...spec import Fault, InputError
from .cells import Columns, Role, TextColumn
from .faults import Faults
from .format import Format
from .header import check_units, read_header, separator_of
from .lines import BROKEN, Lines, check_kind, ending, explain_encoding, open_bytes

# Rows held as text at a time.  So few fit in the processor's cache, and are freed before the garbage collector runs;
# with 50 000 rows, a large file takes more than twice as long.
CHUNK = 500
_COMMENTS = ("#", "%", "//")
_CONFLICT = ("<<<<<<< ", "=======", ">>>>>>> ")  # lines that Git leaves

_log = logging.getLogger(__name__)


def read_text(path: Path, roles: Mapping[str, Role], missing: str, form: Format) -> Columns:
    """Return the columns named in `roles` of the CSV or TSV file at `path`.

    Raises InputError with every fault of the file's shape and of those columns' cells.
    """
    faults = Faults(path)
    try:
        check_kind(path)
        with open_bytes(path) as file:
            lines = Lines(file, path, form, separator_of(path, form))
            columns, blank = _read_columns(lines, path, roles, missing, form, faults)
    except UnicodeError:
        raise InputError(explain_encoding(path, form)) from None
    except BROKEN as error:
        what = f"is no readable file of the kind {ending(path)[1]}" if ending(path)[1] else "cannot be read"
        raise InputError(Fault("", f"{what} ({error!s:.80})", "write it again", source=str(path))) from None
    rows = {name: column.values() for name, column in columns.items()}
    faults.raise_any()
    if not any(values.size for values in rows.values()):
        raise InputError(Fault("", "the table has a header and no rows", "add some", source=f"{path}:1"))
    _tell_trimmed(path, blank, [name for name, column in columns.items() if column.trimmed])
    dates = {name for name, column in columns.items() if column.is_date}
    return Columns(rows, dates, {name: column.levels for name, column in columns.items() if column.levels is not None})


def _read_columns(
    lines: Lines, path: Path, roles: Mapping[str, Role], missing: str, form: Format, faults: Faults
) -> tuple[dict[str, TextColumn], int]:
    """Return the columns, and the number of blank lines at the file's end."""
    reader = csv.reader(iter(lines), delimiter=separator_of(path, form), strict=True)
    width, positions = read_header(reader, lines, path, form, roles)
    columns = {name: TextColumn(name, role, form, missing, faults) for name, role in roles.items()}
    blank: list[tuple[list[str], int]] = []  # rows without a value; at the end of the file they are dropped
    units = form.units_row
    for chunk in _chunks(reader, lines, faults):
        if units:
            check_units(*chunk.pop(0), path, positions)
            units = False
        end = len(chunk)
        while end and not _has_value(chunk[end - 1]):
            end -= 1
        held, blank = [*blank, *chunk[:end]] if end else [], [*(() if end else blank), *chunk[end:]]
        rows, starts = _rectangular(held, width, faults)
        cells = list(zip(*rows, strict=True)) or [()] * width
        for name, column in columns.items():
            column.take(cells[positions[name]], starts)
    return columns, len(blank)


def _has_value(numbered: tuple[list[str], int]) -> bool:
    return any(cell and not cell.isspace() for cell in numbered[0])


def _chunks(reader: Any, lines: Lines, faults: Faults) -> Iterator[list[tuple[list[str], int]]]:
    """Yield rows, each with the physical line it begins at: a quoted cell may hold line ends."""

    def begins(row: list[str]) -> tuple[list[str], int]:
        taken = lines.taken
        start = taken[0]
        if len(taken) > 1 and taken[-1] - start >= len(taken):
            why = "a quoted cell holds a line that begins as a comment does"
            faults.add(start, "comment", why, "give another `comment`, or correct the quotes")
        taken.clear()
        return row, start

    numbered, broken = map(begins, reader), False
    while not broken:
        chunk: list[tuple[list[str], int]] = []
        try:
            chunk.extend(islice(numbered, CHUNK))
        except csv.Error as error:
            faults.add(lines.taken[0], "quotes", str(error), "correct the quotes of the row that begins here")
            broken = True
        if not chunk:
            return
        yield chunk


def _rectangular(
    numbered: list[tuple[list[str], int]], width: int, faults: Faults
) -> tuple[list[list[str]], list[int]]:
    """Return the rows with a cell for each column, and their lines; other rows are faults."""
    kept = []
    for row, start in numbered:
        if len(row) == width:
            kept.append((row, start))
        else:
            faults.add(start, *_explain_width(row, width))
    return [row for row, _ in kept], [start for _, start in kept]


def _explain_width(row: list[str], width: int) -> tuple[str, str, str]:
    """Return the kind of fault, what is wrong, and what to do."""
    if not row:
        return "blank", "the line is blank", "remove it"
    if row[0].lstrip().startswith(_COMMENTS):
        sign = next(sign for sign in _COMMENTS if row[0].lstrip().startswith(sign))
        return "comment", f"is a comment (got {','.join(row)[:60]!r})", f'set `comment: "{sign}"`'
    if row[0].startswith(_CONFLICT):
        return "conflict", f"is a mark of a merge conflict (got {','.join(row)[:60]!r})", "resolve the conflict"
    counts = f"{len(row)} value{'s' if len(row) > 1 else ''} for {width} columns"
    if len(row) == width + 1 and row[-1] == "":
        return "end", counts, "remove the separator at the line's end"
    if len(row) == width + 1:
        fix = (
            "begin the header with a separator, if each row begins with its own name; else remove what is too much, "
            "quote text that holds a separator, write decimals with '.'"
        )
        return "long", f"{counts} (got {','.join(row)[:60]!r})", fix
    fix = "add what is missing" if len(row) < width else "remove what is too much, quote text that holds a separator"
    kind = "short" if len(row) < width else "longer"
    return kind, f"{counts} (got {','.join(row)[:60]!r})", f"{fix}, write decimals with '.'"


def _tell_trimmed(path: Path, blank: int, columns: list[str]) -> None:
    """Report once what was removed that is no part of a value."""
    parts = [f"{blank} blank line{'s' if blank > 1 else ''} at the end"] if blank else []
    if columns:
        parts.append(f"blanks around the cells of {', '.join(columns[:5])}{', …' if len(columns) > 5 else ''}")
    if parts:
        _log.warning("%s: trimmed: %s", path, "; ".join(parts))
