"""Scores of forecasts N(mean, sd²) against what was observed, and the blocks of a study's metrics.json."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import InputError

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]

LEVELS = (*(k / 20 for k in range(1, 20)), 0.99)  # nominal coverages of a calibration table


class Predictor(Protocol):
    """A fitted model, as far as its scores need it."""

    @property
    def data(self) -> Dataset:
        """Return the training rows."""

    def predict(self, x: Any) -> Posterior:
        """Return the posterior at `x`."""


def evaluate(fitted: Predictor, x: Any, y: np.ndarray) -> dict[str, float]:
    """Return every score of `fitted`'s predictions at `x` (m, d) for observed `y` (m,)."""
    posterior = fitted.predict(x)
    return score(y, posterior.mean, posterior.sd_y, trivial_forecast(fitted.data))


def study_scores(posterior: Posterior, train: Dataset, test: Dataset) -> dict[str, Any]:
    """Return the blocks `test`, `trivial` and `truth` of scores at the test rows.

    `test` and `trivial` (the trivial forecast) score sd_y on observations, where `test.y` is known; `truth` scores sd_f
    on the true function, where `test.f` is, apart for rows `inside` and `outside` the box of the training inputs.
    What does not apply is absent.  Raises ArithmeticError where a score is not finite.
    """
    if not np.array_equal(posterior.x, test.x):
        raise InputError(
            f"the posterior's {len(posterior.x)} inputs are not the {test.n} rows of the test data: predict at those"
        )
    blocks: dict[str, Any] = {}
    if test.y is not None:
        trivial = trivial_forecast(train)
        constant = np.full(test.n, trivial[0]), np.full(test.n, trivial[1])
        blocks["test"] = {"n": test.n, **score(test.y, posterior.mean, posterior.sd_y, trivial)}
        blocks["trivial"] = {"n": test.n, **score(test.y, *constant, trivial)}
    if test.f is not None:
        inside = _inside_box(test.x, train.x)
        sides = {"inside": inside, "outside": ~inside}
        blocks["truth"] = {
            # No msll here: the trivial sd holds the noise, so it is no rival of sd_f.
            name: {"n": int(rows.sum()), **score(test.f[rows], posterior.mean[rows], posterior.sd_f[rows])}
            for name, rows in sides.items()
            if rows.any()
        }
    return blocks


def score(
    observed: np.ndarray, mean: np.ndarray, sd: np.ndarray, trivial: tuple[float, float] | None = None
) -> dict[str, float]:
    """Return every score of the forecasts N(mean, sd²) for `observed` (all (m,)), by name.

    These are METRICS, and with a `trivial` forecast (mean, sd) RELATIVE too: a metric minus that of the trivial one.
    Raises ArithmeticError where an sd is not positive or a score is not finite.
    """
    observed, mean, sd = _checked(observed, mean, sd)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below, by name
        scores = {name: metric(observed, mean, sd) for name, metric in METRICS.items()}
        if trivial is not None:
            constant = _checked(observed, *(np.full(len(observed), value) for value in trivial))
            scores |= {name: scores[base] - METRICS[base](*constant) for name, base in RELATIVE.items()}
    for name, value in scores.items():
        if not math.isfinite(value):
            raise ArithmeticError(
                f"{name} of {len(observed)} points is {value} (the smallest sd is {sd.min():g}): "
                "raise the noise, or leave out test rows that repeat training rows"
            )
    return {name: float(value) for name, value in scores.items()}


def trivial_forecast(train: Dataset) -> tuple[float, float]:
    """Return mean and population sd of the training targets: the forecast that ignores x.

    R&W 2006, sec. 2.5.
    """
    if train.y is None:
        raise InputError("the training data has no y: give the observed targets")
    mean, sd = float(train.y.mean()), float(train.y.std())
    if not sd > 0:
        raise InputError(
            f"all {train.n} training targets are {mean:g}: there is nothing to score, give a y that varies"
        )
    return mean, sd


def calibration(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> pd.DataFrame:
    """Return a table of LEVELS (`nominal`) and the coverage of these intervals (`observed`)."""
    checked = _checked(observed, mean, sd)
    return pd.DataFrame({"nominal": LEVELS, "observed": [coverage(level)(*checked) for level in LEVELS]})


def rmse(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Return the root mean squared error (y's units, lower is better)."""
    return float(np.sqrt(np.mean((observed - mean) ** 2)))


def mae(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Return the mean absolute error (y's units, lower is better)."""
    return float(np.mean(np.abs(observed - mean)))


def max_error(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Return the largest absolute error (y's units, lower is better)."""
    return float(np.abs(observed - mean).max())


def nlpd(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Return the mean negative log density (nats per point, lower is better).

    ½ log(2π sd²) + (observed − mean)² / (2 sd²), each point on its own; negative where the density exceeds 1.
    R&W 2006, eq. 2.34.
    """
    z = (observed - mean) / sd
    return float(np.mean(0.5 * math.log(2 * math.pi) + np.log(sd) + 0.5 * z**2))


def crps(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Return the mean continuous ranked probability score (y's units, lower is better).

    sd (z (2Φ(z) − 1) + 2φ(z) − 1/√π), z = (observed − mean)/sd.  Gneiting & Raftery 2007, sec. 4.2,
    with the sign turned.
    """
    z = (observed - mean) / sd
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return float(np.mean(sd * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))))


def coverage(level: float) -> Metric:
    """Return the metric: fraction inside the central interval of probability `level`."""
    quantile = ndtri((1 + level) / 2)

    def fraction(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
        return float(np.mean(np.abs(observed - mean) <= quantile * sd))

    return fraction


def width(level: float) -> Metric:
    """Return the metric: width of the central interval of probability `level`, in y's units."""
    quantile = ndtri((1 + level) / 2)

    def mean_width(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
        return float(np.mean(2 * quantile * sd))

    return mean_width


def interval_score(level: float) -> Metric:
    """Return the metric: mean score of the central interval [l, u] of probability `level`.

    In y's units, lower is better: (u − l) + 2/α (l − y) [y < l] + 2/α (y − u) [y > u], α = 1 − level.
    Gneiting & Raftery 2007, eq. 43.
    """
    quantile, alpha = ndtri((1 + level) / 2), 1 - level

    def mean_score(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
        beyond = np.maximum(np.abs(observed - mean) - quantile * sd, 0)  # the interval is symmetric: l − y or y − u
        return float(np.mean(2 * quantile * sd + 2 / alpha * beyond))

    return mean_score


def _inside_box(x: np.ndarray, x_train: np.ndarray) -> np.ndarray:
    """Return for each row of `x` whether all its inputs lie in their range in `x_train`."""
    return np.asarray(((x >= x_train.min(axis=0)) & (x <= x_train.max(axis=0))).all(axis=1))


def _checked(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays = [np.asarray(values, dtype=np.float64) for values in (observed, mean, sd)]
    shapes = [array.shape for array in arrays]
    if shapes[0] != shapes[1] or shapes[0] != shapes[2] or len(shapes[0]) != 1 or not len(arrays[0]):
        raise InputError(f"observed, mean and sd have shapes {shapes}: give three arrays (m,) of the same length m > 0")
    for name, array in zip(("observed", "mean", "sd"), arrays, strict=True):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ArithmeticError(f"{name} is {array[row]} in row {row}: only finite numbers can be scored")
    if not (arrays[2] > 0).all():
        row = int(np.flatnonzero(arrays[2] <= 0)[0])
        raise ArithmeticError(
            f"the forecast's sd is {arrays[2][row]:g} in row {row}, so it has no density: "
            "raise the noise, or leave out test rows that repeat training rows"
        )
    return arrays[0], arrays[1], arrays[2]


METRICS: dict[str, Metric] = {
    "rmse": rmse,
    "mae": mae,
    "max_error": max_error,
    "nlpd": nlpd,
    "crps": crps,
    "coverage_50": coverage(0.50),
    "coverage_80": coverage(0.80),
    "coverage_90": coverage(0.90),
    "coverage_95": coverage(0.95),
    "width_95": width(0.95),
    "interval_score_95": interval_score(0.95),
}

# Score → the metric of which it is the difference to the trivial forecast's.  R&W 2006, sec. 2.5 (msll)
RELATIVE: dict[str, str] = {"msll": "nlpd"}
