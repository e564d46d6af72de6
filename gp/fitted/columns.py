"""Columns: inputs as arrays of numbers, from arrays and DataFrames; text becomes the numbers of levels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..dataset import as_array, check_numbers, checked
from ..levels import Levels, level_of, ordered, renumbered
from ..spec import Fault, InputError

MOST_DISTINCT, FEW = 0.5, 10  # share of the rows above which text is none of categories, and how many may always differ


def inputs_of(x: Any, columns: tuple[str, ...], levels: Levels) -> np.ndarray:
    """Return x as inputs (m, d) of the named columns, of which those with `levels` are categorical.

    Raises InputError for a wrong number of columns, a row that is not finite, and what `columns_of` refuses.
    """
    inputs = checked("x", columns_of(x, columns, levels)[0], ndim=2)
    if inputs.shape[1] != len(columns):
        raise InputError(
            Fault(
                "",
                f"x has {inputs.shape[1]} columns, but the model was fitted to {len(columns)} ({', '.join(columns)})",
                "give as many",
            )
        )
    for name in levels:
        check_numbers(name, inputs[:, columns.index(name)])
    return inputs


def columns_of(x: Any, names: tuple[str, ...] | None, known: Levels | None = None) -> tuple[Any, Levels]:
    """Return x as an array with one column for each input, and the levels of those that are categorical.

    Of a DataFrame these are the columns `names`, of (m,) the one.  Columns of text, and pandas' categories, are
    categorical where `known` is None, which says the levels otherwise; other levels are numbered after these.  Raises
    InputError for a missing column, a missing value, and a level that is neither text nor a whole number.
    """
    if not isinstance(x, pd.DataFrame):
        array = as_array("x", x)
        array = array[:, None] if array.ndim == 1 else array
        if not known or array.dtype.kind in "biuf" or array.ndim != 2 or array.shape[1] != len(names or ()):
            return array, {}
        x = pd.DataFrame(array, columns=list(names or ()))
    x = x.set_axis([str(name) for name in x.columns], axis=1)
    missing = [name for name in names or () if name not in x.columns]
    if missing:
        raise InputError(
            Fault("", f"x has no column {missing[0]!r} (got {list(x.columns)})", "the model was fitted with it")
        )
    chosen = list(names or x.columns)
    if twice := next((name for name in chosen if list(x.columns).count(name) > 1), None):
        raise InputError(Fault("", f"x has {list(x.columns).count(twice)} columns {twice!r}", "name each column once"))
    x = x[chosen]
    categorical = [name for name in x if (_is_text(x[name]) if known is None else name in known)]
    if not categorical:
        return x.to_numpy(), {}
    arrays, levels = {name: x[name].to_numpy() for name in x}, dict[str, tuple[str, ...]]()
    for name in categorical:
        arrays[name], levels[name] = _numbers(name, x[name], known)
    return np.column_stack(list(arrays.values())), levels


def _is_text(column: pd.Series) -> bool:
    """Return whether a column of a DataFrame holds levels: categories, or objects with text among them."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    return column.dtype.kind in "OUST" and any(isinstance(value, str) for value in column)


def _numbers(name: str, column: pd.Series, known: Mapping[str, tuple[str, ...]] | None) -> tuple[np.ndarray, Any]:
    if column.isna().any():
        row = int(np.argmax(column.isna()))
        raise InputError(Fault("", f"x has a missing value in row {row} ({name!r})", "remove or fill the row"))
    numbers, values = pd.factorize(column)
    try:
        texts = [level_of(value) for value in values]
    except ValueError as error:
        why = f"{name!r}: {error} is no level (text or a whole number)"
        raise InputError(Fault("", why, "give numbers as floats, or levels as text")) from None
    if known is None and len(texts) > max(MOST_DISTINCT * len(column), FEW):
        why = f"{name!r} holds text, {len(texts)} different values in {len(column)} rows, too many for categories"
        raise InputError(Fault("", why, "give numbers as floats, or take the column out"))
    return renumbered(numbers, texts, ordered(texts) if known is None else known[name])
