"""Header: the line of a text table that names its columns, or what stands in its place."""

import csv
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from ...spec import Fault, InputError
from .cells import looks_like_a_value
from .format import Format
from .lines import Lines, ending, open_bytes
from .names import clean, find_columns

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}
_SIGNS = ("#", "%", "//", "*", "!")  # that comments begin with
_SEARCHED = 50  # lines among which names are looked for


def separator_of(path: Path, form: Format) -> str:
    """Return what stands between the cells."""
    return form.separator or SEPARATORS[ending(path)[0]]


def read_header(
    reader: Iterator[list[str]], lines: Lines, path: Path, form: Format, used: Collection[str]
) -> tuple[int, dict[str, int]]:
    """Return how many columns the header has, and the position of each of those that are `used`.

    Raises InputError for what is no header, or lacks one of the columns.
    """
    try:
        header = next(reader)
    except StopIteration:
        raise InputError(_explain_empty(path, form)) from None
    except csv.Error as error:
        raise InputError(Fault("", str(error), "correct the quotes", source=f"{path}:{lines.taken[0]}")) from None
    line = lines.taken[0]
    place = f"{path}:{line}"
    lines.taken.clear()
    try:
        return len(header), find_columns(header, used, place=place)
    except InputError:
        if fault := _explain(header, line, path, form, {clean(name) for name in used}):
            raise InputError(fault) from None
        raise


def check_units(row: list[str], line: int, path: Path, positions: dict[str, int]) -> None:
    """Raise InputError where the line below the header, said to hold units, holds values."""
    cells = [row[i].strip() for i in positions.values() if i < len(row)]
    if any(cells) and all(looks_like_a_value(cell) for cell in cells if cell):
        why = f"units_row is set, and the line below the header holds values (got {','.join(row)[:60]!r})"
        raise InputError(Fault("", why, "leave `units_row` out", source=f"{path}:{line}"))


def _explain_empty(path: Path, form: Format) -> Fault:
    if form.skip_rows or form.comment:
        keys = [name for name in ("skip_rows", "comment") if getattr(form, name)]
        return Fault("", f"has no line left after {' and '.join(keys)}", "correct the keys", source=str(path))
    return Fault("", "is empty", "it needs a header line and rows", source=str(path))


def _explain(header: list[str], line: int, path: Path, form: Format, used: set[str]) -> Fault | None:
    """Return what stands where the header should be, if it can be told, and what to do."""
    separator, place = separator_of(path, form), f"{path}:{line}"
    if later := _find_later(path, form, separator, line, used):
        return _explain_before(header, place, form, *later)
    if not any(clean(name) for name in header):
        return Fault("", "is blank", "begin the file with a header line of column names", source=place)
    first = clean(header[0])
    sign = next((sign for sign in _SIGNS if first.startswith(sign)), None)
    if sign and used <= {clean(name) for name in [first.removeprefix(sign), *header[1:]]}:
        return Fault("", f"the names stand behind {sign!r}", f"take {sign!r} away from the line", source=place)
    got = f"(got {separator.join(header)[:60]!r})"
    if all(looks_like_a_value(name) for name in header):
        fix = f"lower skip_rows (it is {form.skip_rows})" if form.skip_rows else "add a header line"
        return Fault("", f"holds values, not names {got}", fix, source=place)
    if other := _other_separator(header, separator):
        sign = "\\t" if other == "\t" else other
        fix = f'set `separator: "{sign}"`' + (' (and `decimal: ","`, if decimals have commas)' if other != "," else "")
        return Fault("", f"is separated by {_SEPARATOR_NAMES[other]} {got}", fix, source=place)
    return None


def _find_later(path: Path, form: Format, separator: str, line: int, used: set[str]) -> tuple[int, list[str]] | None:
    """Return the number of the line near the beginning of the file that has all names, and the lines before it."""
    with open_bytes(path) as file:
        everything = Lines(file, path, form.model_copy(update={"skip_rows": 0, "comment": None}), separator)
        near = list(islice(everything, _SEARCHED))
    for number, text in enumerate(near, start=1):
        names = {clean(name.strip('" ')) for name in text.rstrip("\r\n").split(separator)}
        if number != line and used <= names:
            return number, near[: number - 1]
    return None


def _explain_before(header: list[str], place: str, form: Format, number: int, before: list[str]) -> Fault:
    """Return that the names stand on line `number`, behind the lines `before`."""
    starts = [text.lstrip() for text in before if text.strip()]
    sign = next((sign for sign in _SIGNS if starts and all(text.startswith(sign) for text in starts)), None)
    fix = f"set `skip_rows: {number - 1}`"
    if sign and len(starts) == len(before) and not form.skip_rows:
        fix = f'set `comment: "{sign}"`'
    what = (
        "is a comment" if sign else "is blank" if not any(header) else f"is no header (got {','.join(header)[:60]!r})"
    )
    return Fault("", f"{what}: the names stand on line {number}", fix, source=place)


def _other_separator(header: list[str], separator: str) -> str | None:
    """Return the separator that would cut `header` into more names, if any would."""
    line = separator.join(header)
    # A blank separates only where nothing else does: it may well be part of a name.
    others = [s for s in _SEPARATOR_NAMES if s != separator and (s != " " or len(header) == 1)]
    return next((other for other in others if line.count(other) >= len(header)), None)
