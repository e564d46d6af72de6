"""Parquet tables: typed columns of numbers, booleans, dates and timestamps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...levels import level_of
from ...spec import Fault, InputError
from .cells import MARK_FIX, MISSING_FIX, Columns, Role
from .dates import decimal_years
from .faults import Faults
from .format import Format
from .names import find_columns

LARGEST = 2**28  # cells: 2 GiB as floats.  A few bytes of Parquet may hold a thousand million equal rows


def read_parquet(path: Path, roles: Mapping[str, Role], missing: str, form: Format) -> Columns:
    """Return the columns named in `roles` of the Parquet file at `path`.

    Dates become decimal years, booleans 0 and 1; null, NaN and `na_values` are missing values.  Raises InputError with
    every fault.
    """
    if form.of_text:
        keys = ", ".join(form.of_text)
        raise InputError(
            Fault("", f"Parquet has its own types and lines, but {keys} is set", "leave it out", str(path))
        )
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            stored = {name: names[i] for name, i in find_columns(names, roles, place=str(path)).items()}
            if file.metadata.num_rows * len(stored) > LARGEST:
                why = f"has {file.metadata.num_rows:,} rows of {len(stored)} columns used, too many to be read at once"
                fix = "take a sample of them, or stream them by gp.fit_parquet"
                raise InputError(Fault("", why, fix, source=str(path)))
            table = file.read(columns=list(stored.values()))
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None
    if table.num_rows == 0:
        raise InputError(Fault("", "the table has columns and no rows", "add some", source=str(path)))
    faults = Faults(path)
    columns, levels = dict[str, np.ndarray](), dict[str, list[str]]()
    for name, role in roles.items():
        column = table[stored[name]]
        if role == "level":
            columns[name], levels[name] = levels_of(column, name, path)
        else:
            columns[name] = labels_of(column) if role == "label" else floats_of(column, name, path)
    for name, role in roles.items():
        values = columns[name]
        if role not in ("label", "level"):
            values[np.isin(values, [value for value in form.na_values if isinstance(value, float)])] = np.nan
        _find_faults(values, name, role, missing, faults)
    faults.raise_any()
    return Columns(columns, {name for name in roles if _is_date(table[stored[name]].type)}, levels)


def levels_of(column: pa.ChunkedArray, name: str, path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the number of each value (n,), in order of appearance, null as NaN, and the values as text."""
    numbers, values = labels_of(column), column.combine_chunks().dictionary_encode().dictionary.to_pylist()
    try:
        texts = [level_of(value) for value in values]
    except ValueError as error:
        why = f"column {name!r}: {error} is no level (text or a whole number)"
        fix = "take the column out of `categorical` if it holds numbers"
        raise InputError(Fault("", why, fix, source=str(path))) from None
    return numbers, texts


def labels_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return the number of each value (n,), in order of appearance, null as NaN."""
    codes = column.combine_chunks().dictionary_encode().indices
    return np.array(codes.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_date(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the refusal of a file that is no Parquet, or a damaged one."""
    why = f"is no readable Parquet file ({str(error).splitlines()[0]:.80})"
    return InputError(Fault("", why, "write it again", source=str(path)))


def floats_of(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """Return `column` as float64, null as NaN."""
    kind = column.type
    if _is_date(kind):
        # Parquet holds zoned timestamps in UTC.
        return decimal_years(column.to_numpy())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(
            Fault(
                "",
                f"column {name!r} has type {kind}",
                "write it as numbers, booleans, dates or timestamps",
                source=str(path),
            )
        )
    # safe=False: an integer beyond 2**53 becomes the nearest float, as it does from a CSV.
    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _find_faults(values: np.ndarray, name: str, role: Role, missing: str, faults: Faults) -> None:
    """Add the rows (from 1) whose value is missing, not finite, or no mark."""

    def add(wrong: np.ndarray, kind: str, why: str, fix: str) -> None:
        if wrong.any():
            first = int(np.argmax(wrong))
            faults.add(first + 1, kind, why.format(values[first]), fix, column=name, count=int(wrong.sum()))

    if missing == "error":
        add(np.isnan(values), "missing", "missing value (got null or nan)", MISSING_FIX)
    add(np.isinf(values), "infinite", "{} is not finite", "remove or correct the row")
    if role == "mark":
        wrong = np.isfinite(values) & (values != 0) & (values != 1)
        add(wrong, "mark", "{:g} is no mark of held-out rows", MARK_FIX)
