"""Scores of forecasts N(mean, sd²) against observations, and the blocks of a study's metrics.json.

METRICS is the registry.  Each metric pools the scores of single rows.  It also says how it is shown, and which
direction is better.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.row_scores import RowScore, nlpd, squared_error
from gp.spec import Fault, InputError

# Place of a block of scores in metrics.json → the rows that it scores.
BLOCKS = {
    "test": "held-out rows",
    "loo": "leave-one-out",
    "truth.inside": "true function, among the data",
    "truth.outside": "true function, beyond the data",
}
LEVELS = (*(k / 20 for k in range(1, 20)), 0.99)  # nominal coverages of a calibration table


@dataclass(frozen=True)
class Metric:
    """A score of many forecasts: `row_score` of each row, pooled by the mean, the root of the mean, or the maximum.

    Readers see `title` and `unit` (y's, nats per row, or none).  `better` is "lower", "higher", the best value, or None
    if no direction is better.  If `relative` is a name, the difference to the trivial forecast's score is reported
    under that name too.  A `detail` is in metrics.json and the report, but not in the printed table or the review.
    """

    row_score: RowScore
    title: str
    unit: Literal["y", "nats", ""] = ""
    better: Literal["lower", "higher"] | float | None = None
    pool: Literal["mean", "root_mean", "maximum"] = "mean"
    relative: str = ""
    detail: bool = False

    def __call__(self, observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
        """Return the score of the forecasts N(mean, sd²) for `observed`, each (m,)."""
        values = self.row_score(observed, mean, sd)
        if self.pool == "maximum":
            return float(values.max())
        return float(np.sqrt(values.mean()) if self.pool == "root_mean" else values.mean())

    def heading(self, title: str, target: str) -> str:
        """Return the title with unit and direction, e.g. RMSE [ppm] ↓; without the unit if `target` is empty."""
        unit = {"y": f"[{target}]", "nats": "[nats per row]", "": ""}[self.unit] if target else ""
        direction = {"lower": "↓", "higher": "↑", "None": ""}.get(str(self.better), f"→ {self.better}")
        return " ".join(filter(None, (title, unit, direction)))


class Predictor(Protocol):
    """What scoring needs of a fitted model."""

    @property
    def data(self) -> Dataset:
        """Return the training rows."""

    def predict(self, x: Any, noise_sd: Any = None) -> Posterior:
        """Return the posterior at `x`, for new observations with the noise `noise_sd` where it is given."""


def evaluate(fitted: Predictor, x: Any, y: np.ndarray, *, noise_sd: Any = None) -> dict[str, float]:
    """Return every score of `fitted`'s predictions at `x` (m, d) for observed `y` (m,).

    `noise_sd` (m,) is the standard deviation of each y's noise, where it is known.
    """
    posterior = fitted.predict(x, noise_sd)
    return score(y, posterior.mean, posterior.sd_y, trivial_forecast(fitted.data))


def study_scores(posterior: Posterior, train: Dataset, test: Dataset) -> dict[str, Any]:
    """Return the blocks `test`, `trivial` and `truth` of scores at the test rows.

    `test` and `trivial` (the trivial forecast) score N(mean, sd_y²) on observations, if `test.y` is known.  `truth`
    scores N(mean, sd_f²) on the true function, if `test.f` is known, separately for rows `inside` and `outside` the box
    of the training inputs.  A block that does not apply is absent.  Raises ArithmeticError if a score is not finite.
    """
    if not np.array_equal(posterior.x, test.x):
        raise InputError(
            Fault(
                "",
                f"the posterior's {len(posterior.x)} inputs are not the {test.n} rows of the test data",
                "predict at those",
            )
        )
    blocks: dict[str, Any] = {}
    if test.y is not None:
        trivial = trivial_forecast(train)
        constant = np.full(test.n, trivial[0]), np.full(test.n, trivial[1])
        blocks["test"] = {"n": test.n, **score(test.y, posterior.mean, posterior.sd_y, trivial)}
        blocks["trivial"] = {"n": test.n, **score(test.y, *constant, trivial)}
    if test.f is not None:
        inside = inside_box(test.x, train.x)
        sides = {"inside": inside, "outside": ~inside}
        blocks["truth"] = {
            # No msll here: the trivial sd includes the noise, so it cannot be compared with sd_f.
            name: {"n": int(rows.sum()), **score(test.f[rows], posterior.mean[rows], posterior.sd_f[rows])}
            for name, rows in sides.items()
            if rows.any()
        }
    return blocks


def score(
    observed: np.ndarray, mean: np.ndarray, sd: np.ndarray, trivial: tuple[float, float] | None = None
) -> dict[str, float]:
    """Return every score of the forecasts N(mean, sd²) for `observed` (all (m,)), by name.

    These are the METRICS.  With a `trivial` forecast (mean, sd) also the relative scores: a metric minus its value for
    the trivial forecast.  Raises ArithmeticError if an sd is not positive or a score is not finite.
    """
    observed, mean, sd = _checked(observed, mean, sd)
    with np.errstate(over="ignore", invalid="ignore"):  # a score that is not finite is refused below, by name
        scores = {name: metric(observed, mean, sd) for name, metric in METRICS.items()}
        if trivial is not None:
            constant = _checked(observed, *(np.full(len(observed), value) for value in trivial))
            scores |= {name: scores[base] - METRICS[base](*constant) for name, base in relative_metrics().items()}
    for name, value in scores.items():
        if not math.isfinite(value):
            raise ArithmeticError(
                f"{name} of {len(observed)} points is {value} (the smallest sd is {sd.min():g}): "
                "raise the noise, or leave out test rows that repeat training rows"
            )
    return scores


def relative_metrics() -> dict[str, str]:
    """Return the relative scores (a metric minus its value for the trivial forecast): name → metric.

    R&W 2006, sec. 2.5 (msll).
    """
    return {metric.relative: name for name, metric in METRICS.items() if metric.relative}


def headings(target: str = "", *, detail: bool = True) -> dict[str, str]:
    """Return name → heading for each score, a relative score after its metric; details only if `detail`.

    `target` is the name of y, shown as the unit; if it is empty, headings have no units.
    """
    made = {}
    for name, metric in METRICS.items():
        if detail or not metric.detail:
            made[name] = metric.heading(metric.title, target)
            if metric.relative:
                made[metric.relative] = metric.heading(metric.relative.upper(), target)
    return made


def trivial_forecast(train: Dataset) -> tuple[float, float]:
    """Return the mean and the population sd of the training targets: the forecast that ignores x.

    R&W 2006, sec. 2.5.
    """
    if train.y is None:
        raise InputError(Fault("", "the training data has no y", "give the observed targets"))
    mean, sd = float(train.y.mean()), float(train.y.std())
    if not sd > 0:
        raise InputError(
            Fault("", f"all {train.n} training targets are {mean:g}", "there is nothing to score, give a y that varies")
        )
    return mean, sd


def calibration(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> pd.DataFrame:
    """Return a table of nominal coverages LEVELS (`nominal`) and the coverages observed (`observed`)."""
    checked = _checked(observed, mean, sd)
    return pd.DataFrame({"nominal": LEVELS, "observed": [coverage(level)(*checked).mean() for level in LEVELS]})


def absolute_error(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return |observed − mean|, in y's units."""
    return np.abs(observed - mean)


def crps(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score, in y's units.

    sd (z (2Φ(z) − 1) + 2φ(z) − 1/√π), z = (observed − mean)/sd.  Gneiting & Raftery 2007, sec. 4.2, with the opposite
    sign.
    """
    z = (observed - mean) / sd
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return np.asarray(sd * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def coverage(level: float) -> RowScore:
    """Return the score that is 1 if the central interval of probability `level` contains the observation, else 0."""
    quantile = ndtri((1 + level) / 2)

    def inside(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return (np.abs(observed - mean) <= quantile * sd).astype(np.float64)

    return inside


def width(level: float) -> RowScore:
    """Return the score that is the width of the central interval of probability `level`, in y's units."""
    quantile = ndtri((1 + level) / 2)

    def interval_width(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return np.asarray(2 * quantile * sd)

    return interval_width


def interval_score(level: float) -> RowScore:
    """Return the interval score of the central interval [l, u] of probability `level`, in y's units.

    (u − l) + 2/α (l − y) [y < l] + 2/α (y − u) [y > u], α = 1 − level.  Gneiting & Raftery 2007, eq. 43.
    """
    quantile, alpha = ndtri((1 + level) / 2), 1 - level

    def penalised_width(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        # The interval is symmetric, so the distance beyond it is l − y or y − u.
        beyond = np.maximum(np.abs(observed - mean) - quantile * sd, 0)
        return np.asarray(2 * quantile * sd + 2 / alpha * beyond)

    return penalised_width


def inside_box(x: np.ndarray, x_train: np.ndarray) -> np.ndarray:
    """Return for each row of `x` whether every input is within its range in `x_train`."""
    return np.asarray(((x >= x_train.min(axis=0)) & (x <= x_train.max(axis=0))).all(axis=1))


def _checked(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays = [np.asarray(values, dtype=np.float64) for values in (observed, mean, sd)]
    shapes = [array.shape for array in arrays]
    if shapes[0] != shapes[1] or shapes[0] != shapes[2] or len(shapes[0]) != 1 or not len(arrays[0]):
        raise InputError(
            Fault("", f"observed, mean and sd have shapes {shapes}", "give three arrays (m,) of the same length m > 0")
        )
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


# To add a metric, write a function that scores each row, and add an entry here.  metrics.json, the printed table, the
# report and the review all read this registry.
METRICS: dict[str, Metric] = {
    "rmse": Metric(squared_error, "RMSE", unit="y", better="lower", pool="root_mean"),
    "mae": Metric(absolute_error, "mean absolute error", unit="y", better="lower", detail=True),
    "max_error": Metric(absolute_error, "largest error", unit="y", better="lower", pool="maximum", detail=True),
    "nlpd": Metric(nlpd, "NLPD", unit="nats", better="lower", relative="msll"),
    "crps": Metric(crps, "CRPS", unit="y", better="lower"),
    "coverage_50": Metric(coverage(0.50), "inside 50 % intervals", better=0.50, detail=True),
    "coverage_80": Metric(coverage(0.80), "inside 80 % intervals", better=0.80, detail=True),
    "coverage_90": Metric(coverage(0.90), "inside 90 % intervals", better=0.90, detail=True),
    "coverage_95": Metric(coverage(0.95), "inside 95 % intervals", better=0.95),
    # No direction is better: narrower is better only among intervals of equal coverage.
    "width_95": Metric(width(0.95), "width of 95 % intervals", unit="y", detail=True),
    "interval_score_95": Metric(interval_score(0.95), "score of 95 % intervals", unit="y", better="lower", detail=True),
}
