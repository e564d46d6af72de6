"""Scores of single rows that training needs: functions of the observation and its forecast N(mean, sd²).

All arrays are (m,) in the same units, and sd > 0.  gp.scores has the other scores, and pools all of them over rows.
The two files are separate, because an edit of this one trains every study again, and an edit of gp.scores does not.
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
