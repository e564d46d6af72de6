"""Candidates: values of a hyperparameter that the data can distinguish, for the search of starts (gp.training.starts).

Each function takes the `Scope` in which a hyperparameter was declared, and returns internal values (k, size), to be
tried in order, one row at a time.  They are computed when training asks for them, not when a model is built.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from .periodogram import apart, gains, periods

STEP = 2.0  # ratio of successive lengthscales
MOST_STEPS = 24  # in a ladder of lengthscales; a range wider than STEP^24 gets larger steps
BEYOND = 2.0  # longest lengthscale, in ranges of the inputs; beyond it the function is nearly a line
QUERIED = 1000  # rows whose nearest neighbour is searched
NEIGHBOURS = 8  # neighbours of a row that are searched for the nearest with other inputs
NOISE = np.geomspace(1e-3, 4.0, 13)  # in sds of y; if outputscale = var y, shares of variance from 1e-6 to 0.94
PEAKS = 3  # of a periodogram, by each of its three measures of a peak
BESIDE = 4  # periods at which a cycle begins anew beside an optimum
RATIOS = np.array([1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0])  # of such a period to the one found so far
SHAPES = (0.3, 1.0, 3.0)  # lengthscales of a periodic kernel


def levels(*values: float) -> Callable[[Any], np.ndarray]:
    """Return the candidates `values` for a single number without unit."""
    return lambda scope: np.array(values)[:, None]


def noise_sds(scope: Any) -> np.ndarray:
    """Return noise standard deviations that explain from almost nothing to almost all of y, (k, 1)."""
    return NOISE[:, None] * scope.y_spread


def lengthscales(active: list[int], scope: Any, *, per_column: bool, factor: float = 1.0) -> np.ndarray:
    """Return lengthscales from the gap between neighbouring inputs to beyond their range, (k, 1) or (k, columns).

    With one number for each column, a row has every lengthscale at the same fraction of its column's range, and k is
    the largest of the columns.  `factor` multiplies all of them, so that the terms of a sum get different candidates.
    """
    x = scope.x[:, active]
    limits = [_limits(column[:, None]) for column in x.T] if per_column else [_limits(x)]
    steps = max(1, math.ceil(max(math.log(high / low) for low, high in limits) / math.log(STEP)))
    share = np.linspace(0, 1, min(steps, MOST_STEPS) + 1)[:, None]
    low, high = np.log(np.array(limits).T)
    return factor * math.sqrt(len(active) if per_column else 1) * np.exp(low + share * (high - low))


@dataclass(frozen=True, eq=False)
class Cycles:
    """Candidates of a period: one for the first of the `active` columns, or one for each of them."""

    active: list[int]
    per_column: bool

    def __call__(self, scope: Any) -> np.ndarray:
        """Return periods (k, 1) or (k, columns): the periodogram's peaks, and multiples of the strongest ones.

        Multiples are needed because a harmonic of a signal that is not sinusoidal may be stronger than its fundamental.
        """
        columns = []
        for j in self._columns:
            found = periods(scope.x[:, j], scope.y, PEAKS)
            columns.append([*found, *(m * period for m in (2, 3) for period in found[:2])] if len(found) else [1.0])
        most = max(map(len, columns))
        return np.array([column + column[-1:] * (most - len(column)) for column in columns]).T

    def beside(
        self, scope: Any, found: np.ndarray, known: np.ndarray, residual: np.ndarray, factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return periods (k, 1) or (k, columns), best first, of a cycle beside what a model without it explains.

        And the lengthscale of a periodic kernel that suits each, of the same shape.  `residual` (n,) is what that
        model's mean leaves of y, `factor` (n, n) the lower Cholesky factor of its covariance.  The periods are the
        BESIDE best, in this metric, that differ: of the periodogram's peaks, of those `known` (m, size) without the
        metric, and of multiples and fractions of the period `found` so far (size,).
        """
        columns, suited = [], []
        for j, period, others in zip(self._columns, found, known.T, strict=True):
            x, extent = scope.x[:, j], float(np.ptp(scope.x[:, j]))
            peaks = [periods(x, residual, PEAKS, factor), others, period * RATIOS]
            tried = np.minimum(np.concatenate(peaks), extent) if extent else np.array([period])
            nats, shapes = gains(x, residual, factor, tried, SHAPES)
            order = apart(extent / tried, np.argsort(-nats, kind="stable"), BESIDE)
            columns.append(np.resize(tried[order], BESIDE))
            suited.append(np.resize(shapes[order], BESIDE))
        return np.column_stack(columns), np.column_stack(suited)

    @property
    def _columns(self) -> list[int]:
        return self.active if self.per_column else self.active[:1]


def frequencies(active: list[int], count: int, scope: Any) -> np.ndarray:
    """Return two sets of `count` frequencies for each column, (2, count · columns).

    One set has multiples of the strongest frequency, as in a periodic signal that is not sinusoidal; the other has the
    frequencies of distinct peaks.
    """
    peaks = [1 / periods(scope.x[:, j], scope.y, count) for j in active]
    strongest = np.array([found[0] if len(found) else 1.0 for found in peaks])
    multiples = [(q + 1) * strongest for q in range(count)]
    apart = [[found[q % len(found)] if len(found) else 1.0 for found in peaks] for q in range(count)]
    return np.array([np.concatenate(multiples), np.concatenate(apart)])


def widths(active: list[int], count: int, scope: Any) -> np.ndarray:
    """Return widths (k, count · columns) of `count` spectral peaks, around one cycle over the range."""
    extent = np.ptp(scope.x[:, active], axis=0)
    lowest = np.tile(1 / np.where(extent > 0, extent, 1.0), count)
    return np.array([0.1, 1.0, 4.0, 16.0, 64.0])[:, None] * lowest


def _limits(x: np.ndarray) -> tuple[float, float]:
    """Return the shortest and longest lengthscale that x (n, d) can determine: a small gap, BEYOND × the range."""
    extent = float(np.linalg.norm(np.ptp(x, axis=0)))
    if extent == 0:
        return 1.0, 1.0
    gaps = np.diff(np.unique(x[:, 0])) if x.shape[1] == 1 else _nearest(x)
    gap = float(np.quantile(gaps, 0.25)) if len(gaps) else extent
    return min(gap, extent), BEYOND * extent


def _nearest(x: np.ndarray) -> np.ndarray:
    """Return the distance from some rows of x (n, d) to the nearest row with other inputs."""
    some = np.linspace(0, len(x) - 1, min(len(x), QUERIED)).astype(int)
    distances = KDTree(x).query(x[some], k=np.arange(2, min(NEIGHBOURS, len(x)) + 1))[0]
    distances = np.where(distances > 0, distances, np.inf).min(axis=1)
    return distances[np.isfinite(distances)]
