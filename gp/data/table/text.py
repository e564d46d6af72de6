"""Text tables: CSV and TSV, read strictly, line by line.

pandas' reader shifts columns under a trailing comma, fills ragged rows, renames duplicate columns and takes many words
for NaN, all without a message; Python's csv in strict mode gives every row as it stands, with its line.
"""

import csv
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gp.data.table.cells import Role, TextColumn, looks_like_a_value
from gp.data.table.faults import Faults
from gp.data.table.names import clean, find_columns
from gp.spec import Fault, InputError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}
# Rows held as text at a time: few enough for the processor's cache, and to be gone before the garbage collector looks;
# with 50 000 a large file takes more than twice as long.
CHUNK = 500


def read_text(path: Path, roles: Mapping[str, Role], missing: str) -> dict[str, np.ndarray]:
    """Return the columns named in `roles` of the CSV or TSV file at `path`, as floats.

    Raises InputError with every fault of the file's shape and of those columns' cells.
    """
    faults = Faults(path)
    try:
        # utf-8-sig takes a byte order mark away; newline="" leaves line ends within quotes to csv.
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = _read_columns(_text_lines(file, path), path, roles, missing, faults)
    except UnicodeDecodeError:
        raise InputError(_explain_encoding(path)) from None
    faults.raise_any()
    rows = {name: column.values() for name, column in columns.items()}
    if not any(values.size for values in rows.values()):
        raise InputError(Fault("", "the table has a header and no rows", "add some", source=f"{path}:1"))
    return rows


def _read_columns(
    lines: Iterator[str], path: Path, roles: Mapping[str, Role], missing: str, faults: Faults
) -> dict[str, TextColumn]:
    reader = csv.reader(lines, delimiter=SEPARATORS[path.suffix.lower()], strict=True)
    header = _read_header(reader, path, roles)
    positions = find_columns(header, roles, place=f"{path}:1")
    columns = {name: TextColumn(name, role, missing, faults) for name, role in roles.items()}
    for rows, starts in _chunks(reader, faults):
        rows, starts = _rectangular(rows, starts, header, faults)
        cells = list(zip(*rows, strict=True)) or [()] * len(header)
        for name, column in columns.items():
            column.take(cells[positions[name]], starts)
    return columns


def _text_lines(file: Iterator[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise InputError(
                Fault(
                    "",
                    "has a NUL byte, so it is no UTF-8 text table",
                    "save it as UTF-8 CSV",
                    source=f"{path}:{number}",
                )
            )
        yield line


def _read_header(reader: Iterator[list[str]], path: Path, roles: Mapping[str, Role]) -> list[str]:
    """Return the names in line 1, refusing what is no header or lacks a column of `roles`."""
    try:
        header = next(reader)
    except StopIteration:
        raise InputError(Fault("", "is empty", "it needs a header line and rows", source=str(path))) from None
    except csv.Error as error:
        raise InputError(Fault("", str(error), "mend the quotes", source=f"{path}:1")) from None
    if not any(header):
        raise InputError(Fault("", "is blank", "begin the file with a header line of column names", source=f"{path}:1"))
    separator, complete = (
        SEPARATORS[path.suffix.lower()],
        {clean(name) for name in roles} <= {clean(name) for name in header},
    )
    if not complete and all(looks_like_a_value(name) for name in header):
        raise InputError(
            Fault(
                "", f"holds values, not names (got {','.join(header)[:60]!r})", "add a header line", source=f"{path}:1"
            )
        )
    if not complete and (other := _other_separator(header, separator)):
        raise InputError(
            Fault(
                "",
                f"is separated by {_SEPARATOR_NAMES[other]} (got {separator.join(header)[:60]!r})",
                f"save it separated by {_SEPARATOR_NAMES[separator]}, with '.' in decimals",
                source=f"{path}:1",
            )
        )
    return header


def _other_separator(header: list[str], separator: str) -> str | None:
    """Return the separator that would cut `header` into more names, if any would."""
    line = separator.join(header)
    # A blank separates only where nothing else does: it may well be part of a name.
    others = [s for s in _SEPARATOR_NAMES if s != separator and (s != " " or len(header) == 1)]
    return next((other for other in others if line.count(other) >= len(header)), None)


def _chunks(reader: Any, faults: Faults) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Yield rows, and the physical line each begins at: a quoted cell may hold line ends."""
    end = reader.line_num

    def begins(row: list[str]) -> tuple[list[str], int]:
        nonlocal end
        start, end = end + 1, reader.line_num
        return row, start

    numbered, broken = map(begins, reader), False
    while not broken:
        chunk: list[tuple[list[str], int]] = []
        try:
            chunk.extend(islice(numbered, CHUNK))
        except csv.Error as error:
            faults.add(end + 1, str(error), "mend the quotes of the row that begins here")
            broken = True
        if not chunk:
            return
        yield [row for row, _ in chunk], [start for _, start in chunk]


def _rectangular(
    rows: list[list[str]], starts: list[int], header: list[str], faults: Faults
) -> tuple[list[list[str]], list[int]]:
    """Return the rows that have a cell for each column; the others are faults."""
    width = len(header)
    if all(len(row) == width for row in rows):
        return rows, starts
    good = [len(row) == width for row in rows]
    for row, start, fits in zip(rows, starts, good, strict=True):
        if not fits:
            faults.add(start, *_explain_width(row, width))
    kept = [(row, start) for row, start, fits in zip(rows, starts, good, strict=True) if fits]
    return [row for row, _ in kept], [start for _, start in kept]


def _explain_width(row: list[str], width: int) -> tuple[str, str]:
    if not row:
        return "the line is blank", "remove it"
    counts = f"{len(row)} value{'s' if len(row) > 1 else ''} for {width} columns"
    if len(row) == width + 1 and row[-1] == "":
        return counts, "remove the separator at the line's end"
    mend = "add what is missing" if len(row) < width else "remove what is too much, quote text that holds a separator"
    return f"{counts} (got {','.join(row)[:60]!r})", f"{mend}, write decimals with '.'"


def _explain_encoding(path: Path) -> Fault:
    data = path.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line, value = before.count(b"\n") + 1, data[error.start]
        why = f"byte {error.start} of the file (0x{value:02x}) is not UTF-8"
        return Fault("", why, "save the table as UTF-8", source=f"{path}:{line}")
    return Fault("", "changed while it was read", "try again", source=str(path))
