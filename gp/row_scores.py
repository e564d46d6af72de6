"""Scores of single rows that training needs: functions of the observation and its forecast.

Observations are (m,) in the forecast's units.  gp.scores has the other scores, and pools all of them over rows.
The two files are separate, because an edit of this one trains every study again, and an edit of gp.scores does not.
"""

from collections.abc import Callable

import numpy as np

from .forecast import Forecast

RowScore = Callable[[np.ndarray, Forecast], np.ndarray]  # observed (m,), its forecast → score of each row


def squared_error(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
    """Return (observed − mean)², in y's units squared."""
    return np.asarray((observed - forecast.mean) ** 2)


def nlpd(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
    """Return the negative log predictive density, nats, of a normal ½ log(2π sd²) + (observed − mean)² / (2 sd²).

    It is negative where the density exceeds 1.  R&W 2006, eq. 2.34.
    """
    return -forecast.log_density(observed)
