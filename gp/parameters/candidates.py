"""Values of hyperparameters that data can tell apart: where a search for starts looks (gp.training.starts).

Each is a function of the `Scope` that a hyperparameter was declared in, and returns internal values (k, size), to be
tried in order, one row at a time.  They are computed when training asks for them, not when a model is built.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from gp.parameters.periodogram import periods

STEP = 2.0  # ratio of a lengthscale and the next
MOST_STEPS = 24  # of a ladder of lengthscales: where gaps differ by more than STEP^24, the steps are larger
BEYOND = 2.0  # the longest lengthscale, in ranges of the inputs: a function that is nearly a line looks all alike
QUERIED = 1000  # rows whose nearest neighbour is looked for
NEIGHBOURS = 8  # of a row among which the nearest at another place is looked for
NOISE = np.geomspace(1e-3, 4.0, 13)  # sds, in sds of y: with an outputscale of var y, shares of 1e-6 to 0.94
PEAKS = 3  # of a periodogram, the highest, and as many that stand out most


def levels(*values: float) -> Callable[[Any], np.ndarray]:
    """Return the candidates `values` of a hyperparameter of one number that has no unit."""
    return lambda scope: np.array(values)[:, None]


def noise_sds(scope: Any) -> np.ndarray:
    """Return standard deviations of noise from next to none to nearly all of y, (k, 1)."""
    return NOISE[:, None] * scope.y_spread


def lengthscales(active: list[int], scope: Any, *, per_column: bool, reach: float = 1.0) -> np.ndarray:
    """Return lengthscales from the gap between neighbouring inputs to beyond their range, (k, 1) or (k, columns).

    A row of one number for each column has all of them at the same part of their own range: `k` is that of the column
    with most.  `reach` moves all of them: terms of a sum are tried apart.
    """
    x = scope.x[:, active]
    limits = [_limits(column[:, None]) for column in x.T] if per_column else [_limits(x)]
    steps = max(1, math.ceil(max(math.log(high / low) for low, high in limits) / math.log(STEP)))
    share = np.linspace(0, 1, min(steps, MOST_STEPS) + 1)[:, None]
    low, high = np.log(np.array(limits).T)
    return reach * math.sqrt(len(active) if per_column else 1) * np.exp(low + share * (high - low))


def cycles(active: list[int], scope: Any, *, per_column: bool) -> np.ndarray:
    """Return periods (k, 1) or (k, columns): those of the periodogram's peaks, and multiples of the strongest ones.

    Of a wave that is no sinusoid, a harmonic may be stronger than the wave itself.
    """
    columns = []
    for j in active if per_column else active[:1]:
        found = periods(scope.x[:, j], scope.y, PEAKS)
        columns.append([*found, *(m * period for m in (2, 3) for period in found[:2])] if len(found) else [1.0])
    most = max(map(len, columns))
    return np.array([column + column[-1:] * (most - len(column)) for column in columns]).T


def frequencies(active: list[int], count: int, scope: Any) -> np.ndarray:
    """Return two sets of `count` frequencies for each column, (2, count · columns).

    Multiples of the strongest one, as a wave that is no sinusoid has them, and those of distinct peaks.
    """
    peaks = [1 / periods(scope.x[:, j], scope.y, count) for j in active]
    strongest = np.array([found[0] if len(found) else 1.0 for found in peaks])
    multiples = [(q + 1) * strongest for q in range(count)]
    apart = [[found[q % len(found)] if len(found) else 1.0 for found in peaks] for q in range(count)]
    return np.array([np.concatenate(multiples), np.concatenate(apart)])


def widths(active: list[int], count: int, scope: Any) -> np.ndarray:
    """Return widths (k, count · columns) of `count` peaks of a spectrum, about one cycle over the range."""
    extent = np.ptp(scope.x[:, active], axis=0)
    lowest = np.tile(1 / np.where(extent > 0, extent, 1.0), count)
    return np.array([0.1, 1.0, 4.0, 16.0, 64.0])[:, None] * lowest


def _limits(x: np.ndarray) -> tuple[float, float]:
    """Return the shortest and longest lengthscale that points x (n, d) can tell: the smaller gaps, BEYOND the range."""
    extent = float(np.linalg.norm(np.ptp(x, axis=0)))
    if extent == 0:
        return 1.0, 1.0
    gaps = np.diff(np.unique(x[:, 0])) if x.shape[1] == 1 else _nearest(x)
    gap = float(np.quantile(gaps, 0.25)) if len(gaps) else extent
    return min(gap, extent), BEYOND * extent


def _nearest(x: np.ndarray) -> np.ndarray:
    """Return the distance of some rows of x (n, d) to the nearest at another place."""
    some = np.linspace(0, len(x) - 1, min(len(x), QUERIED)).astype(int)
    distances = KDTree(x).query(x[some], k=np.arange(2, min(NEIGHBOURS, len(x)) + 1))[0]
    distances = np.where(distances > 0, distances, np.inf).min(axis=1)
    return distances[np.isfinite(distances)]
