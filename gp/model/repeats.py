"""Rows that share their inputs: for Gaussian noise, one row for each group says all that they do.

Row i of group j has the noise variance r_i s_j, where s_j is that of the group's mean ȳ_j = Σ y_i/r_i, and Σ 1/r_i = 1.
With k_j rows in the group, f the function there and D_j = Σ (y_i − ȳ_j)²/r_i,

    Π_i N(y_i | f, r_i s_j) = N(ȳ_j | f, s_j) · Π_i r_i^−½ · (2π s_j)^−(k_j − 1)/2 · exp(−D_j/2s_j),

of which all but the first factor, the *within-group term*, does not depend on f.  Noise of one level has r_i = k_j and
s_j = noise/k_j; known noise s_j = 1/Σ 1/noise_i.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SAVES = 0.9  # share of the rows, below which groups are fewer by enough


@dataclass(frozen=True, eq=False)
class Repeats:
    """n rows of targets `y` (n,) in m groups: each row's `group` (n,), and the `ratio` r of its noise (n,)."""

    y: np.ndarray
    group: np.ndarray
    ratio: np.ndarray

    @property
    def n(self) -> int:
        """Return the number of rows."""
        return len(self.y)

    @cached_property
    def counts(self) -> np.ndarray:
        """Return each group's number of rows k, (m,)."""
        return np.bincount(self.group)

    @cached_property
    def _first(self) -> np.ndarray:
        """Return the first row of each group, (m,)."""
        return np.unique(self.group, return_index=True)[1]

    @property
    def share(self) -> np.ndarray:
        """Return the noise variance of each group's mean, over that of its first row, (m,)."""
        return 1 / self.ratio[self._first]

    @cached_property
    def mean(self) -> np.ndarray:
        """Return each group's mean ȳ, (m,)."""
        first = self.y[self._first]
        # About one of its rows: a group of equal targets has that target for its mean, to the last digit.
        return first + self._sums((self.y - first[self.group]) / self.ratio)

    @cached_property
    def scatter(self) -> np.ndarray:
        """Return each group's D, (m,)."""
        return self._sums((self.y - self.mean[self.group]) ** 2 / self.ratio)

    @cached_property
    def _constant(self) -> np.ndarray:
        """Return −½ Σ log r − ½ (k − 1) log 2π of each group, (m,)."""
        return -0.5 * (self._sums(np.log(self.ratio)) + (self.counts - 1) * math.log(2 * math.pi))

    def log_density(self, variance: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        """Return each group's within-group term (nats), at the noise `variance` s of its mean, all (m,)."""
        return np.asarray(self._constant - 0.5 * ((self.counts - 1) * np.log(variance) + scatter / variance))

    def slope(self, variance: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        """Return the within-group terms' derivatives by s, (m,)."""
        return np.asarray(0.5 * (scatter / variance - (self.counts - 1)) / variance)

    def with_others(self, mean: np.ndarray, variance: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of f for each row, (n,), given all rows of its group but itself, too.

        `mean` and `variance` of f (m,) are those without the group, `noise` (m,) that of the group's mean.
        """
        variance, noise, group = variance[self.group], noise[self.group], self.group
        # Precisions of the other rows' mean, and that times it: of the group's, less the row's own.
        precision = (1 - 1 / self.ratio) / noise
        weighted = (self.mean[group] - self.y / self.ratio) / noise
        shrink = 1 + variance * precision
        return (mean[group] + variance * weighted) / shrink, variance / shrink

    def subset(self, groups: np.ndarray) -> "Repeats":
        """Return the rows of some of the groups, which are then numbered in their order here."""
        position = np.full(len(self.counts), -1)
        position[groups] = np.arange(len(groups))
        kept = position[self.group] >= 0
        return Repeats(self.y[kept], position[self.group[kept]], self.ratio[kept])

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.group, weights=values)


def find_repeats(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Repeats] | None:
    """Return the first row of each distinct input of x (n, d), in order, (m,), and the groups; None: it saves little.

    `weights` (n,) are the precisions of y's noise, but for a factor that rows of equal inputs share.
    """
    n = len(y)
    order = np.lexsort(x.T) if x.shape[1] else np.arange(n)
    begins = np.concatenate([[True], (np.diff(x[order], axis=0) != 0).any(axis=1)])
    if begins.sum() >= SAVES * n:
        return None
    # Groups are numbered by their first rows, so that their order is that of the data.
    first, sorted_group = order[begins], np.cumsum(begins) - 1
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    group = np.empty(n, dtype=np.intp)
    group[order] = rank[sorted_group]
    return np.sort(first), Repeats(y, group, np.bincount(group, weights=weights)[group] / weights)
