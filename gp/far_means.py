"""Means of forecasts that are not where y will be: values of next to no probability make them.

Of log y that is N(m, s²) the mean of y, exp(m + s²/2), is beyond its 97.5 % quantile where s is above 3.92.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .forecast import Forecast

QUANTILES = {"q2.5": 0.025, "q50": 0.5, "q97.5": 0.975}  # as the tables of predictions call them
ROUNDING = 1e-9  # of a quantile


def summary(forecast: Forecast) -> dict[str, Any]:
    """Return the `mean` and QUANTILES of a forecast by name, (m,) each; nothing of normals, which have it there."""
    if forecast.is_normal:
        return {}
    return {"mean": forecast.mean, **{name: forecast.quantile(share) for name, share in QUANTILES.items()}}


def far_means(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence on the first of the `tables`, by their rows' name, with means outside their 95 % intervals.

    Each has columns `mean` and QUANTILES (m,), or none.  "" where all means are inside.
    """
    for rows, table in tables.items():
        if not table:
            continue
        mean, low, median, high = (np.asarray(table[name], dtype=float) for name in ("mean", *QUANTILES))
        slack = ROUNDING * np.maximum(np.abs(low), np.abs(high))
        far = (mean < low - slack) | (mean > high + slack)
        if far.any():
            worst = int(np.argmax(np.abs(mean - median) / np.maximum(high - low, 1e-300)))
            what = f"the mean is outside its 95 % interval in {far.sum()} of {len(mean)} {rows}, once {mean[worst]:.3g}"
            return f"{what} beside a median of {median[worst]:.3g}: {_MEDIAN}"
    return ""


_MEDIAN = (
    "values of next to no probability make it, and RMSE, which is of means: take the median (`q50` of a table, "
    "`y.quantile(0.5)` of a posterior)"
)
