"""Doubts: numbers that may mean something else, and hold-outs that flatter.  Both are taken, with a warning."""

import numpy as np

from ...dataset import Dataset

_FEWEST = 3  # repeats of a number, or dates; so many are no coincidence
_COPIES = 0.05  # share of the held-out rows


def doubts(name: str, values: np.ndarray) -> list[str]:
    """Return a sentence for each doubt about a column's numbers (n,), NaN if missing."""
    present = values[~np.isnan(values)]
    if len(present) < _FEWEST:
        return []
    found = []
    if are_compact_dates(present):
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


def doubts_of_holdout(train: Dataset, test: Dataset, along: str | None) -> list[str]:
    """Return a sentence for each reason why scores on `test` are too good.

    `along` is an input that holds dates, along which the rows were drawn at random.
    """
    found = []
    if along is not None:
        found.append(
            f"rows held out at random along {along!r} lie among the training rows, and their scores say how well gaps "
            f"are filled: to score forecasts, write `holdout: {{last: {test.n}, along: {along}}}`"
        )
    trained = {row.tobytes() for row in np.column_stack([train.x, train.observed])}
    copies = sum(row.tobytes() in trained for row in np.column_stack([test.x, test.observed]))
    if copies > _COPIES * test.n:
        found.append(
            f"{copies} of {test.n} held-out rows repeat inputs and target of a training row, so that scores are too "
            "good: remove copies, or hold out what belongs together by `holdout: {group: column}`"
        )
    return found


def are_compact_dates(values: np.ndarray) -> bool:
    """Return whether all values are calendar days of the years 1000 to 2999, written like 20240131."""
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
    """Return the smallest and the largest value, if repeated often and further from the others than their range.

    The others must have many distinct values: in a column of few levels, one may well be far from the rest.
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
