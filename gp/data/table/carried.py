"""Carried: all columns of a table as text, beside those of it that were read."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ...new_rows import PREDICTED
from ...spec import Fault, InputError
from .format import Format
from .header import separator_of
from .lines import Lines, ending, open_bytes


def carry(path: Path, form: Format, read: Mapping[str, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return all columns of the table as text, of the rows without a missing value in `read`, and which rows these are.

    `read` has the columns used, (n,) each, NaN where a value is missing; they have been read strictly, so that every
    line is a row of all columns.  Raises InputError where a column has the name of one that predictions add.
    """
    if ending(path)[0] == ".parquet":
        table = pq.read_table(path).to_pandas().astype(str)
    else:
        separator = separator_of(path, form)
        with open_bytes(path) as file:
            lines = Lines(file, path, form, separator)
            header, *rows = list(csv.reader(iter(lines), delimiter=separator, strict=True))
        n = len(next(iter(read.values())))
        rows = rows[form.units_row : form.units_row + n]
        table = pd.DataFrame([[cell.strip() for cell in row] for row in rows], columns=_distinct(header), dtype=str)
    if taken := [name for name in table.columns if name.startswith(PREDICTED)]:
        why = f"column {taken[0]!r} has the name of one that is added"
        raise InputError(Fault("", why, "rename it", source=str(path)))
    there = ~np.any([np.isnan(values) for values in read.values()], axis=0)
    if not there.any():
        raise InputError(Fault("", "every row lacks an input", "fill some in", source=str(path)))
    return table[there].reset_index(drop=True), there


def _distinct(header: list[str]) -> list[str]:
    """Return the names of columns, those without one of their own numbered."""
    names = [name.removeprefix("\ufeff").strip() for name in header]
    return [name if name and names.count(name) == 1 else f"{name or 'column'}.{i + 1}" for i, name in enumerate(names)]
