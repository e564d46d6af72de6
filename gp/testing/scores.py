"""`check_metric`: the laws of every metric."""

import numpy as np

from ..forecast import Forecast
from ..scores import Metric
from .laws import require, require_equal

SAME = 1e-12  # for the same sum in another order
MANY = 20_000  # rows; on so many, a proper score can tell the right sd from a wrong one
UNITS = {"y": lambda value, c: c * value, "nats": lambda value, c: value + np.log(c), "": lambda value, c: value}


def forecasts(m: int = 50, draws: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observed values (m,) of calibrated mixtures of so many draws, and the draws' means and sds, (draws, m)."""
    rng = np.random.default_rng(0)
    mean, sd = rng.normal(size=(draws, m)), rng.uniform(0.5, 2, size=(draws, m))
    which = rng.integers(draws, size=m), np.arange(m)
    return mean[which] + sd[which] * rng.normal(size=m), mean, sd


def mixture(mean: np.ndarray, sd: np.ndarray) -> Forecast:
    """Return the forecast of equal shares of the normals N(mean, sd²), (draws, m) each."""
    return Forecast(mean, sd, np.full((len(mean), 1), 1 / len(mean)))


def check_metric(metric: Metric) -> None:
    """Check a metric of forecasts, of single normals and of mixtures of three.

    The laws: it is a finite float; it changes neither with the order of rows nor if every row is repeated (so a sum is
    not allowed); it scales with y's unit as its `unit` says.  If `better` is a direction, a right forecast is better
    than one that is far off, and no forecast is better than a perfect one.  If `better` is a number, good forecasts
    come close to it.  Raises AssertionError with the law that failed.
    """
    require(bool(metric.title), f"metric {metric.title!r}: it has a title")
    for draws, of in ((1, ""), (3, " of mixtures")):
        name = f"metric {metric.title!r}{of}"
        _check_rows(name, metric, *forecasts(draws=draws))
        _check_direction(name, metric, *forecasts(MANY, draws))


def _check_rows(name: str, metric: Metric, observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    value = metric(observed, mixture(mean, sd))
    require(type(value) is float and np.isfinite(value), f"{name}: it is a finite float (got {value!r})")
    law = f"{name}: the order of rows does not matter"
    seen = metric(observed[::-1], mixture(mean[:, ::-1], sd[:, ::-1]))
    require_equal(law, seen, value, rtol=SAME, atol=SAME)
    law = f"{name}: rows counted twice are as good as once"
    twice = metric(np.tile(observed, 2), mixture(np.tile(mean, 2), np.tile(sd, 2)))
    require_equal(law, twice, value, rtol=SAME, atol=SAME)
    for factor in (10.0, 1e-3):
        law = f"{name}: of unit {metric.unit!r}, it changes so when y is multiplied by {factor:g}"
        seen = metric(factor * observed, mixture(factor * mean, factor * sd))
        require_equal(law, seen, UNITS[metric.unit](value, factor), rtol=1e-10, atol=1e-10)
    law = f"{name}: a constant added to y and mean does not matter"
    require_equal(law, metric(observed + 7, mixture(mean + 7, sd)), value, rtol=1e-10, atol=1e-10)


def _check_direction(name: str, metric: Metric, observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    good = metric(observed, mixture(mean, sd))
    if isinstance(metric.better, float):
        law = f"{name}: forecasts as good as they say come near {metric.better}"
        require_equal(law, good, metric.better, atol=4 * 0.5 / np.sqrt(MANY))
        return
    if metric.better is None:
        return
    sign = 1.0 if metric.better == "lower" else -1.0
    # The best forecast is the observation itself, with the sd of the good forecast.
    others = {
        "a forecast far off": (good, metric(observed, mixture(mean + 100, sd))),
        "a forecast that is right on average": (metric(observed, mixture(np.tile(observed, (len(mean), 1)), sd)), good),
    }
    for which, (better, worse) in others.items():
        law = f"{name}: {metric.better} is better, so {which} is on the right side ({better:g} against {worse:g})"
        require(sign * (worse - better) > 0, law)
    one, wider = (metric.row_score(observed[:1], mixture(mean[:, :1], factor * sd[:, :1])) for factor in (1, 2))
    if one != wider:
        for factor in (0.5, 2.0):
            other = metric(observed, mixture(mean, factor * sd))
            law = f"{name}: it is proper: the sd that made the rows scores better than {factor} times it"
            require(sign * (other - good) > 0, f"{law} ({good:g} against {other:g})")
