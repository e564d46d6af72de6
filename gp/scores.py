"""Scores of forecasts (gp.forecast) against observations, and the blocks of a study's metrics.json.

METRICS is the registry.  Each metric pools the scores of single rows.  It also says how it is shown, and which
direction is better.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from .dataset import Dataset, checked
from .forecast import Forecast
from .posterior import Posterior
from .row_scores import RowScore, nlpd, squared_error
from .spec import Fault, InputError

# Place of a block of scores in metrics.json → the rows that it scores.
BLOCKS = {
    "test": "held-out rows",
    "folds": "folds, each by a fit to the others",
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

    def __call__(self, observed: np.ndarray, forecast: Forecast) -> float:
        """Return the score of the forecasts for `observed` (m,)."""
        values = self.row_score(observed, forecast)
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

    def predict(self, x: Any, noise_sd: Any = None, *, hyperparameters: Any = None) -> Posterior:
        """Return the posterior at `x`, for new observations with the noise `noise_sd` where it is given."""


def evaluate(
    fitted: Predictor, x: Any, y: np.ndarray, *, noise_sd: Any = None, hyperparameters: Any = None
) -> dict[str, float]:
    """Return every score of `fitted`'s predictions at `x` (m, d) for observed `y` (m,).

    `noise_sd` (m,) is the standard deviation of each y's noise, where it is known; `hyperparameters` as in `predict`.
    """
    posterior = fitted.predict(x, noise_sd, hyperparameters=hyperparameters)
    return score(checked("y", y, ndim=1), posterior.y, trivial_forecast(fitted.data))


def study_scores(posterior: Posterior, train: Dataset, test: Dataset) -> dict[str, Any]:
    """Return the blocks `test`, `trivial` and `truth` of scores at the test rows.

    `test` and `trivial` (the trivial forecast) score forecasts of observations, if `test.y` is known.  `truth` scores
    those of the function on the true one, if `test.f` is known, separately for rows `inside` and `outside` the box
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
        blocks["test"] = {"n": test.n, **score(test.y, posterior.y, trivial)}
        blocks["trivial"] = {"n": test.n, **score(test.y, _constant(trivial, test.n), trivial)}
    if test.f is not None:
        inside = inside_box(test.x, train.x)
        sides = {"inside": inside, "outside": ~inside}
        blocks["truth"] = {
            # No msll here: the trivial sd includes the noise, so it cannot be compared with sd_f.
            name: {"n": int(rows.sum()), **score(test.f[rows], posterior.f.at(rows))}
            for name, rows in sides.items()
            if rows.any()
        }
    return blocks


def circle_scores(posterior: Posterior, test: Dataset) -> dict[str, float]:
    """Return how the function differs from the true one, of angles: its mean, and its shape without that, in y's units.

    Of oscillators these are the frequency ω and the centred coupling Γ.  The test rows are even over all angles.
    """
    if test.f is None:
        return {}
    apart = posterior.f.mean - test.f
    centred = apart - apart.mean()
    return {
        "mean_error": float(apart.mean()),
        "centred_rmse": float(np.sqrt(np.mean(centred**2))),
        "centred_max_error": float(np.abs(centred).max()),
    }


def score(observed: np.ndarray, forecast: Forecast, trivial: tuple[float, float] | None = None) -> dict[str, float]:
    """Return every score of the forecasts for `observed` (m,), by name.

    These are the METRICS.  With a `trivial` forecast (mean, sd) also the relative scores: a metric minus its value for
    the trivial forecast.  Raises ArithmeticError if an sd is not positive or a score is not finite.
    """
    observed = _checked(observed, forecast)
    with np.errstate(over="ignore", invalid="ignore"):  # a score that is not finite is refused below, by name
        scores = {name: metric(observed, forecast) for name, metric in METRICS.items()}
        if trivial is not None:
            constant = _constant(trivial, len(observed))
            scores |= {
                name: scores[base] - METRICS[base](observed, constant) for name, base in relative_metrics().items()
            }
    for name, value in scores.items():
        if not math.isfinite(value):
            raise ArithmeticError(
                f"{name} of {len(observed)} points is {value} (the smallest sd is {forecast.sds.min():g}): "
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


def calibration(observed: np.ndarray, forecast: Forecast) -> pd.DataFrame:
    """Return a table of nominal coverages LEVELS (`nominal`) and the coverages observed (`observed`)."""
    observed = _checked(observed, forecast)
    return pd.DataFrame(
        {"nominal": LEVELS, "observed": [coverage(level)(observed, forecast).mean() for level in LEVELS]}
    )


def absolute_error(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
    """Return |observed − mean|, in y's units."""
    return np.abs(observed - forecast.mean)


def crps(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
    """Return the continuous ranked probability score, in y's units."""
    return forecast.crps(observed)


def coverage(level: float) -> RowScore:
    """Return the score that is 1 if the central interval of probability `level` contains the observation, else 0."""
    return lambda observed, forecast: (~forecast.outside(observed, level)).astype(np.float64)


def width(level: float) -> RowScore:
    """Return the score that is the width of the central interval of probability `level`, in y's units."""

    def interval_width(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
        low, high = forecast.interval(level)
        return high - low

    return interval_width


def interval_score(level: float) -> RowScore:
    """Return the interval score of the central interval [l, u] of probability `level`, in y's units.

    (u − l) + 2/α (l − y) [y < l] + 2/α (y − u) [y > u], α = 1 − level.  Gneiting & Raftery 2007, eq. 43.
    """

    def penalised_width(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
        low, high = forecast.interval(level)
        beyond = np.maximum(np.maximum(low - observed, observed - high), 0)
        return np.asarray(high - low + 2 / (1 - level) * beyond)

    return penalised_width


def inside_box(x: np.ndarray, x_train: np.ndarray) -> np.ndarray:
    """Return for each row of `x` whether every input is within its range in `x_train`."""
    return np.asarray(((x >= x_train.min(axis=0)) & (x <= x_train.max(axis=0))).all(axis=1))


def autocorrelation_time(values: np.ndarray) -> float:
    """Return τ = max(1, −1 + 2 Σ (ρ₂ₖ + ρ₂ₖ₊₁)) over the first pairs of autocorrelations whose sum is positive.

    Geyer 1992, initial positive sequence.
    """
    m, centred = len(values), values - values.mean()
    if m < 2 or not centred.any():
        return 1.0
    padded = np.fft.rfft(centred, 2 * m)
    covariance = np.fft.irfft(np.abs(padded) ** 2)[:m] / m
    pairs = covariance[: m - m % 2].reshape(-1, 2).sum(axis=1) / covariance[0]
    ends = np.flatnonzero(pairs <= 0)
    return max(1.0, float(-1 + 2 * pairs[: ends[0] if len(ends) else None].sum()))


def _constant(trivial: tuple[float, float], m: int) -> Forecast:
    """Return the trivial forecast (mean, sd) of m rows."""
    return Forecast.normal(*(np.full(m, value) for value in trivial))


def _checked(observed: np.ndarray, forecast: Forecast) -> np.ndarray:
    observed = np.asarray(observed, dtype=np.float64)
    if observed.shape != (forecast.n,) or not forecast.n:
        raise InputError(
            Fault("", f"{observed.shape} is observed of {forecast.n} forecasts", "give one number for each, m > 0")
        )
    if forecast.transform is not None:
        forecast.transform.check(observed, "y to be scored")
    for name, values in (("observed", observed[None]), ("mean", forecast.means), ("sd", forecast.sds)):
        if not np.isfinite(values).all():
            draw, row = np.argwhere(~np.isfinite(values))[0]
            raise ArithmeticError(f"{name} is {values[draw, row]} in row {row}: only finite numbers can be scored")
    if not (forecast.sds > 0).all():
        draw, row = np.argwhere(forecast.sds <= 0)[0]
        raise ArithmeticError(
            f"the forecast's sd is {forecast.sds[draw, row]:g} in row {row}, so it has no density: "
            "raise the noise, or leave out test rows that repeat training rows"
        )
    return observed


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
