"""Parquet tables: typed columns of numbers, booleans, dates and timestamps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gp.data.table.cells import MISSING_FIX, Role, decimal_years
from gp.data.table.faults import Faults
from gp.data.table.names import find_columns
from gp.spec import Fault, InputError


def read_parquet(path: Path, roles: Mapping[str, Role], missing: str) -> dict[str, np.ndarray]:
    """Return the columns named in `roles` of the Parquet file at `path`, as floats.

    Dates become decimal years, booleans 0 and 1; null and NaN are missing values.  Raises InputError with every fault.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            stored = {name: names[i] for name, i in find_columns(names, roles, place=str(path)).items()}
            table = file.read(columns=list(stored.values()))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            Fault(
                "",
                f"is no readable Parquet file ({str(error).splitlines()[0]:.80})",
                "write it again",
                source=str(path),
            )
        ) from None
    if table.num_rows == 0:
        raise InputError(Fault("", "the table has columns and no rows", "add some", source=str(path)))
    faults = Faults(path)
    columns = {name: floats_of(table[stored[name]], name, path) for name in roles}
    for name, role in roles.items():
        _find_faults(columns[name], name, role, missing, faults)
    faults.raise_any()
    return columns


def floats_of(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """Return `column` as float64, null as NaN."""
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
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
    for i in np.flatnonzero(np.isnan(values)) if missing == "error" else ():
        faults.add(int(i) + 1, "missing value (got null or nan)", MISSING_FIX, column=name)
    for i in np.flatnonzero(np.isinf(values)):
        faults.add(int(i) + 1, f"{values[i]} is not finite", "remove or mend the row", column=name)
    if role == "mark":
        for i in np.flatnonzero(np.isfinite(values) & (values != 0) & (values != 1)):
            faults.add(
                int(i) + 1,
                f"{values[i]:g} is no mark of held-out rows",
                "write 1 or true for those, 0 or false for the others",
                column=name,
            )
