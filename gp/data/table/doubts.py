"""Doubts: columns of numbers that may mean something else.  They are read as they stand, and warned about."""

import numpy as np

_FEWEST = 3  # repeats of a number, or dates, that are no coincidence


def doubts(name: str, values: np.ndarray) -> list[str]:
    """Return what is doubtful about a column's numbers (n,), NaN where missing, a sentence each."""
    present = values[~np.isnan(values)]
    if len(present) < _FEWEST:
        return []
    found = []
    if _are_compact_dates(present):
        found.append(
            f"column {name!r}: all values are dates written as numbers (the first is {present[0]:.0f}), taken as "
            f'plain numbers: if they are dates, set `date_format: {{{name}: "%Y%m%d"}}`'
        )
    for value in _sentinels(present):
        found.append(
            f"column {name!r}: {value:g} is there {(present == value).sum()} times, far from all other values: if it "
            f"stands for a missing value, set `na_values: [{value:g}]`"
        )
    return found


def _are_compact_dates(values: np.ndarray) -> bool:
    """Return whether all values are days of the calendar from 1000 to 2999 as 20240131."""
    if not ((values >= 1000_01_01) & (values <= 2999_12_31) & (values == np.floor(values))).all():
        return False
    whole = values.astype(np.int64)
    month, day = whole // 100 % 100, whole % 100
    if not ((month >= 1) & (month <= 12) & (day >= 1)).all():
        return False
    first = (whole // 10000 - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    length = ((first + 1).astype("M8[D]") - first.astype("M8[D]")).astype(np.int64)
    return bool((day <= length).all())


def _sentinels(values: np.ndarray) -> list[float]:
    """Return the smallest and the largest value if often repeated, and further from the others than these spread.

    The others must be of some variety: a column of few levels may well have one that stands apart.
    """
    found = []
    for value in (values.min(), values.max()):
        others = values[values != value]
        if len(values) - len(others) < _FEWEST or len(others) < _FEWEST or len(np.unique(others)) < 10:
            continue
        low, high = others.min(), others.max()
        if not low - (high - low) <= value <= high + (high - low):
            found.append(float(value))
    return found
