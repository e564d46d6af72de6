"""The inputs at which a posterior is drawn: dense over the data's range for one input, a lattice for two."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from gp.spec import FiniteFloat, InputError, Spec

MOST = 1_000_000  # points of a grid

Range = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]


class Grid(Spec):
    """`n` points along each input over `range`, [low, high] of each; by default the data's and 10 % more."""

    n: Annotated[int, Field(ge=2, le=100_000)] | None = None
    range: list[Range] | Range | None = None

    @model_validator(mode="after")
    def _has_ordered_ranges(self) -> "Grid":
        for low, high in self.ranges() or []:
            if low >= high:
                raise ValueError(f"a range's low end must be less than its high end (got [{low:g}, {high:g}])")
        return self

    def ranges(self) -> list[list[float]] | None:
        """Return the ranges as written, one for each input."""
        if self.range is None or isinstance(self.range[0], list):
            return self.range
        return [self.range]

    def points(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the grid for data rows (n, d), shape (m, d); None for more than two inputs, which no grid can show."""
        d = rows.shape[1]
        ranges = self.ranges()
        if ranges is not None and len(ranges) != d:
            raise InputError(f"predict.grid.range: {len(ranges)} ranges for {d} inputs: give [low, high] for each")
        if d > 2:
            if self.n or ranges:
                raise InputError(f"predict.grid: there is no grid over {d} inputs: write `predict: {{}}`")
            return None
        if ranges is None:
            low, high = rows.min(axis=0), rows.max(axis=0)
            margin = np.where(high > low, 0.1 * (high - low), 0.5)
            ranges = np.column_stack([low - margin, high + margin]).tolist()
        n = self.n or (500 if d == 1 else 60)
        if n**d > MOST:
            raise InputError(f"predict.grid.n: {n} points along each of {d} inputs are more than {MOST}: give fewer")
        axes = np.meshgrid(*(np.linspace(low, high, n) for low, high in ranges), indexing="ij")
        return np.column_stack([axis.ravel() for axis in axes])
