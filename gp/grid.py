"""Inputs at which figures show a posterior: a dense line for one input, a lattice for two, slices for more."""

import math
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from .dataset import Dataset
from .levels import Levels
from .spec import Fault, InputError, Spec

MOST = 1_000_000  # points in a grid


def _as_pairs(value: Any) -> Any:
    """Return a list of [low, high]; a single pair becomes a list of one.  Refuses any other value."""
    pairs = [value] if isinstance(value, list) and not any(isinstance(item, list) for item in value) else value
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise InputError(
            Fault("", f"must be [low, high] with low < high, or one such pair for each input (got {value!r})")
        )
    return pairs


def _is_pair(pair: Any) -> bool:
    numbers = isinstance(pair, list) and all(isinstance(end, int | float) and not isinstance(end, bool) for end in pair)
    return numbers and len(pair) == 2 and -math.inf < pair[0] < pair[1] < math.inf


Ranges = Annotated[list[list[float]], BeforeValidator(_as_pairs)]


class Grid(Spec):
    """`n` points along each input over `range`, one [low, high] for each input.

    The default range is that of the data, extended by 10 % on both sides.
    """

    n: Annotated[int, Field(ge=2, le=100_000)] | None = None
    range: Ranges | None = None

    def points(self, rows: np.ndarray, levels: Levels | None = None) -> np.ndarray | None:
        """Return the grid (m, d) for data rows (n, d); None for more than two inputs, which no grid can show.

        Nor for categorical ones, of these `levels`.
        """
        d = rows.shape[1]
        ranges = self.range
        if ranges is not None and len(ranges) != d:
            raise InputError(
                Fault("predict.grid.range", f"{len(ranges)} ranges for {d} inputs", "give [low, high] for each")
            )
        if d > 2 or levels:
            if self.n or ranges:
                what = f"categorical inputs ({', '.join(levels)})" if levels else f"{d} inputs"
                raise InputError(Fault("predict.grid", f"there is no grid over {what}", "write `predict: {}`"))
            return None
        if ranges is None:
            low, high = rows.min(axis=0), rows.max(axis=0)
            margin = np.where(high > low, 0.1 * (high - low), 0.5)
            ranges = np.column_stack([low - margin, high + margin]).tolist()
        n = self.n or (500 if d == 1 else 60)
        if n**d > MOST:
            raise InputError(
                Fault("predict.grid.n", f"{n} points along each of {d} inputs are more than {MOST}", "give fewer")
            )
        axes = np.meshgrid(*(np.linspace(low, high, n) for low, high in ranges), indexing="ij")
        return np.column_stack([axis.ravel() for axis in axes])


SLICE = 100  # points in one slice


def has_slices(data: Dataset) -> bool:
    """Return whether figures show slices of a posterior over these inputs, instead of all of it."""
    return data.d > 2 or bool(data.levels)


def slices(data: Dataset) -> np.ndarray:
    """Return points (d · SLICE, d) of slices through the rows of `data`, the first input's slice first.

    Each slice varies one input over its range, and fixes the others at their medians.  That of a categorical one has
    its levels (the first SLICE of them), again and again; others fix it at its most frequent level.
    """
    rows, d = data.x, data.d
    centre = np.median(rows, axis=0)
    for name in data.levels:
        j = data.columns.index(name)
        centre[j] = np.bincount(rows[:, j].astype(np.intp)).argmax()
    points = np.tile(centre, (d, SLICE, 1))
    for j, name in enumerate(data.columns):
        if name in data.levels:
            points[j, :, j] = np.arange(SLICE) % len(data.levels[name])
        else:
            points[j, :, j] = np.linspace(rows[:, j].min(), rows[:, j].max(), SLICE)
    return points.reshape(d * SLICE, d)
