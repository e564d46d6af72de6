"""Scores of single rows that training needs too: functions of what was observed and of the forecast N(mean, sd²) there.

All arrays are (m,), all in the same units, and sd > 0.  gp.scores has the other scores and pools them all over rows.
They stand apart because an edit here trains every study again, and an edit there does not.
"""

import math
from collections.abc import Callable

import numpy as np

RowScore = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # observed, mean, sd → score of each row


def squared_error(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return (observed − mean)², in y's units squared."""
    return np.asarray((observed - mean) ** 2)


def nlpd(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the negative log predictive density, nats: ½ log(2π sd²) + (observed − mean)² / (2 sd²).

    It is negative where the density exceeds 1.  R&W 2006, eq. 2.34.
    """
    z = (observed - mean) / sd
    return np.asarray(0.5 * math.log(2 * math.pi) + np.log(sd) + 0.5 * z**2)
