"""Parts of a data set's rows: their order along the data, and those of each part of an input's values."""

import numpy as np

from .dataset import Dataset

BINS, IN_A_BIN = 8, 10  # of an input's values; rows


def along(x: np.ndarray) -> np.ndarray:
    """Return the order (m,) of rows along the direction in which standardised inputs (m, d) vary most."""
    sd = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1)
    return np.argsort(scaled @ np.linalg.svd(scaled, full_matrices=False)[2][0], kind="stable")


def parts(data: Dataset, name: str, column: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each part of an input's values: of a level, or of a part of their range."""
    if name not in data.levels:
        return _bins(column)
    rows = (np.flatnonzero(column == number) for number in range(len(data.levels[name])))
    return [part for part in rows if len(part) >= IN_A_BIN]


def _bins(column: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each part of a column's range, of equal numbers; equal values stay together."""
    order = np.argsort(column, kind="stable")
    cuts = np.linspace(0, len(order), min(BINS, len(order) // IN_A_BIN) + 1).round().astype(int)[1:-1]
    cuts = np.unique(np.searchsorted(column[order], column[order][cuts]))
    return [rows for rows in np.split(order, cuts) if len(rows) >= IN_A_BIN]
