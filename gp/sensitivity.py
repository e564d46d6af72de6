"""Sensitivity: how much the posterior mean changes, in y's units, where one input changes by its standard deviation."""

import numpy as np
import pandas as pd

from .dataset import Dataset
from .fitted.draws import weighted_quantiles
from .fitted.fitted import Fitted
from .fitted.uncertainty import Hyperparameters
from .forecast import Forecast

ROWS = 50  # training rows at which the mean is moved, at most
STEP = 0.02  # of an input's standard deviation, on both sides


def sensitivities(fitted: Fitted, hyperparameters: Hyperparameters | None = None) -> pd.DataFrame:
    """Return a row for each input: its `sensitivity` in y's units, and the ends of its 95 % interval over draws.

    Of a number it is the mean over rows of |∂m/∂x| · sd(x), m the posterior mean, by central differences; of an input
    of two values the secant between these.  Of a categorical one it is the mean of |change of m| to another level.  The
    derivative, unlike a lengthscale, knows the scale of y and what other inputs do.  The rows are a fixed choice.
    `lower` and `upper` are equal where hyperparameters are taken as known.
    """
    data = fitted.data
    # Random instead of every k-th row, because rows may be periodic.
    rows = np.sort(np.random.default_rng(0).choice(data.n, min(data.n, ROWS), replace=False))
    moved = [_moved(data, data.x[rows], j) for j in range(data.d)]
    found = fitted.predict(np.vstack([x for x, _ in moved]), hyperparameters=hyperparameters).y
    means, weights = _means(found), found.weights[:, 0]
    made, start = [], 0
    for name, (x, factor) in zip(data.columns, moved, strict=True):
        pair = means[:, start : start + len(x)].reshape(len(means), 2, -1)
        start += len(x)
        size = factor * np.abs(pair[:, 1] - pair[:, 0]).mean(axis=1)
        made.append((name, float(weights @ size), *weighted_quantiles(size, weights)))
    return pd.DataFrame(made, columns=["input", "sensitivity", "lower", "upper"])


def _moved(data: Dataset, at: np.ndarray, j: int) -> tuple[np.ndarray, float]:
    """Return rows (2 m, d) below and above input j's own values, and the factor of a difference of means there."""
    low, high, values = at.copy(), at.copy(), np.unique(data.x[:, j])
    if data.columns[j] in data.levels:
        others = [(level, other) for level in values for other in values if other > level]
        if not others:
            return np.vstack([low, high]), 0.0
        low, high = np.tile(at, (len(others), 1)), np.tile(at, (len(others), 1))
        low[:, j], high[:, j] = (np.repeat([pair[k] for pair in others], len(at)) for k in range(2))
        return np.vstack([low, high]), 1.0
    sd = float(data.x[:, j].std())
    if len(values) == 2:
        low[:, j], high[:, j] = values
        return np.vstack([low, high]), sd / float(values[1] - values[0])
    low[:, j] -= STEP * sd
    high[:, j] += STEP * sd
    return np.vstack([low, high]), 0.5 / STEP if sd > 0 else 0.0


def _means(found: Forecast) -> np.ndarray:
    """Return the mean of y at each setting of the hyperparameters, (S, m)."""
    if found.transform is None:
        return found.means
    one, parts = np.ones((1, 1)), enumerate(zip(found.means, found.sds, strict=True))
    return np.array([Forecast(mean[None], sd[None], one, found.transform.each(s)).mean for s, (mean, sd) in parts])
