"""Residuals of rows that follow each other: correlations by lag, and as how many independent rows they count."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

LAGS = 12  # rows, whose correlations say how far residuals depend
FOLLOWS = 0.25  # correlation of successive residuals that matters
DEPENDS = 1.5  # rows that count as one, from which bands are too narrow by a fifth or more


@dataclass(frozen=True, eq=False)
class Order:
    """Correlations of n residuals with those 1, 2, … rows later in the same run, (lags,), and of how many `pairs` each.

    `dependence` is by how much they raise the variance of a mean of residuals, at least 1: 1 + 2 Σ_k (1 − k/(LAGS + 1))
    r_k with autocorrelations r_k, k = 1 … LAGS (Bartlett's weights: Newey & West 1987, eq. 5).  n rows then tell as
    much of a smooth function as n over this of independent ones.
    """

    n: int
    correlations: np.ndarray
    pairs: np.ndarray
    dependence: float

    @classmethod
    def of(cls, residual: np.ndarray, run: np.ndarray | None = None, lags: int = LAGS) -> "Order":
        """Return those of residuals (n,) of mean zero, in the order of rows; `run` (n,) numbers the recordings."""
        n, variance, total = len(residual), float(residual @ residual) or 1.0, 1.0
        sums, pairs = (np.zeros(max(lags, LAGS)) for _ in range(2))
        for lag in range(1, min(len(sums), n - 1) + 1):
            same = slice(None) if run is None else run[lag:] == run[:-lag]
            later, before = residual[lag:][same], residual[:-lag][same]
            sums[lag - 1], pairs[lag - 1] = float(later @ before), len(later)
            if lag <= LAGS:
                total += 2 * (1 - lag / (LAGS + 1)) * sums[lag - 1] / variance
        there = np.flatnonzero(pairs)[:lags]
        return cls(n, sums[there] / pairs[there] * n / variance, pairs[there], max(total, 1.0))

    @property
    def follows(self) -> float:
        """Return the correlation of successive residuals; 0 where no row follows another."""
        return float(self.correlations[0] * self.pairs[0] / self.n) if len(self.pairs) and self.pairs[0] else 0.0

    @property
    def effective(self) -> float:
        """Return as how many rows with independent residuals the rows count."""
        return self.n / self.dependence

    def matters(self, level: float) -> bool:
        """Return whether residuals follow each other, or depend over several rows, by more than chance and by enough.

        Of independent residuals, each correlation has a variance of 1/n.
        """
        weights = 1 - np.arange(1, LAGS + 1) / (LAGS + 1)
        root, far = math.sqrt(self.n), -float(ndtri(level / 2))
        successive = self.follows > FOLLOWS and self.follows * root > far
        chance = 2 * float(np.sqrt(weights @ weights)) / root
        return successive or (self.dependence > DEPENDS and self.dependence - 1 > far * chance)


def dependence(residual: np.ndarray, run: np.ndarray | None) -> float:
    """Return `Order.dependence` of residuals (n,) of mean zero within runs; 1 where rows have none."""
    return 1.0 if run is None else Order.of(residual, run).dependence


def is_ordered(x: np.ndarray) -> bool:
    """Return whether rows are in the order of one of the inputs (n, d), as those of a time series are."""
    steps = np.diff(x, axis=0)
    return bool((((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)) & steps.any(axis=0)).any())
