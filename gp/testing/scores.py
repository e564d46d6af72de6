"""`check_metric`: the laws of every metric."""

from typing import Any

import numpy as np

from gp.scores import Metric
from gp.testing.laws import require, require_equal

SAME = 1e-12  # for the same sum in another order
MANY = 20_000  # rows; on so many, a proper score can tell the right sd from a wrong one
UNITS = {"y": lambda value, c: c * value, "nats": lambda value, c: value + np.log(c), "": lambda value, c: value}


def forecasts(m: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observed values, means and sds of m calibrated forecasts, (m,) each."""
    rng = np.random.default_rng(0)
    mean, sd = rng.normal(size=m), rng.uniform(0.5, 2, size=m)
    return mean + sd * rng.normal(size=m), mean, sd


def check_metric(metric: Metric) -> None:
    """Check a metric of forecasts N(mean, sd²).

    The laws: it is a finite float; it changes neither with the order of rows nor if every row is repeated (so a sum is
    not allowed); it scales with y's unit as its `unit` says.  If `better` is a direction, a right forecast is better
    than one that is far off, and no forecast is better than a perfect one.  If `better` is a number, good forecasts
    come close to it.  Raises AssertionError with the law that failed.
    """
    name = f"metric {metric.title!r}"
    observed, mean, sd = forecasts()
    value = metric(observed, mean, sd)
    require(type(value) is float and np.isfinite(value), f"{name}: it is a finite float (got {value!r})")
    require(bool(metric.title), f"{name}: it has a title")
    law = f"{name}: the order of rows does not matter"
    require_equal(law, metric(observed[::-1], mean[::-1], sd[::-1]), value, rtol=SAME, atol=SAME)
    law = f"{name}: rows counted twice are as good as once"
    twice: Any = [np.tile(values, 2) for values in (observed, mean, sd)]
    require_equal(law, metric(*twice), value, rtol=SAME, atol=SAME)
    for factor in (10.0, 1e-3):
        law = f"{name}: of unit {metric.unit!r}, it changes so when y is multiplied by {factor:g}"
        seen = metric(factor * observed, factor * mean, factor * sd)
        require_equal(law, seen, UNITS[metric.unit](value, factor), rtol=1e-10, atol=1e-10)
    law = f"{name}: a constant added to y and mean does not matter"
    require_equal(law, metric(observed + 7, mean + 7, sd), value, rtol=1e-10, atol=1e-10)
    _check_direction(name, metric)


def _check_direction(name: str, metric: Metric) -> None:
    observed, mean, sd = forecasts(MANY)
    good = metric(observed, mean, sd)
    if isinstance(metric.better, float):
        law = f"{name}: forecasts as good as they say come near {metric.better}"
        require_equal(law, good, metric.better, atol=4 * 0.5 / np.sqrt(MANY))
        return
    if metric.better is None:
        return
    sign = 1.0 if metric.better == "lower" else -1.0
    # The best forecast is the observation itself, with the sd of the good forecast.
    others = {
        "a forecast far off": (good, metric(observed, mean + 100, sd)),
        "a forecast that is right on average": (metric(observed, observed, sd), good),
    }
    for which, (better, worse) in others.items():
        law = f"{name}: {metric.better} is better, so {which} is on the right side ({better:g} against {worse:g})"
        require(sign * (worse - better) > 0, law)
    if metric.row_score(observed[:1], mean[:1], sd[:1]) != metric.row_score(observed[:1], mean[:1], 2 * sd[:1]):
        for factor in (0.5, 2.0):
            other = metric(observed, mean, factor * sd)
            law = f"{name}: it is proper: the sd that made the rows scores better than {factor} times it"
            require(sign * (other - good) > 0, f"{law} ({good:g} against {other:g})")
