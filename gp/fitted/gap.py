"""The gap to exact: how much worse an approximate method predicts than exact inference, on a subset of rows."""

import math
from typing import Any

import numpy as np

from gp.fitted.fitted import Fitted
from gp.forecast import Forecast
from gp.inference.exact import Exact
from gp.inference.method import Method
from gp.model.model import GaussianProcess
from gp.row_scores import nlpd, squared_error

ROWS = 1000  # at most, on which both are conditioned
SCORED = 1000  # further rows, at most, which both predict
PLACES = 6  # decimal places of a difference of two scores of order one, of which ten places are known


def gap_to_exact(fitted: Fitted, seed: int) -> dict[str, Any]:
    """Return how much worse the method predicts than exact inference does, at the learnt hyperparameters.

    Both are conditioned on the same seeded `rows` of the training data, and predict `scored` others: `nlpd` (nats per
    row) and `rmse` (y's units), the method's less the exact one's, to a millionth of a nat and of y's spread: what is
    smaller is rounding.  Empty where the method is exact or rows are few.
    """
    if isinstance(fitted.inference, Exact) or fitted.data.n < 10:
        return {}
    gp = fitted.gp
    order = np.random.default_rng(seed).permutation(gp.n)
    n = min(ROWS, 4 * gp.n // 5)
    few, others = gp.subset(np.sort(order[:n])), gp.subset(np.sort(order[n : n + SCORED]))
    exact = _scores(Exact(), few, others)
    own = _scores(fitted.inference, fitted.inference.prepare(few, seed), others)
    spread = gp.scope.y_spread
    rmse = round((own[1] - exact[1]) / spread, PLACES) * spread * gp.scope.y_scale
    return {"rows": n, "scored": others.n, "nlpd": round(own[0] - exact[0], PLACES), "rmse": rmse}


def _scores(method: Method, gp: GaussianProcess, others: GaussianProcess) -> tuple[float, float]:
    """Return NLPD and rmse of the rows `others`, in internal units, from those of `gp`."""
    moments = method.condition(gp).moments(others.x)
    sd_y = np.sqrt(moments.variance + others.noise_variance(others.x))
    y, forecast = others.scope.y, Forecast.normal(moments.mean, sd_y)
    return float(nlpd(y, forecast).mean()), math.sqrt(squared_error(y, forecast).mean())
