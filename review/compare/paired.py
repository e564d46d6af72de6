"""Two forecasts of the same rows, compared row by row: differences of scores with their standard errors."""

import math
from dataclasses import dataclass

import numpy as np

from gp.forecast import Forecast
from gp.scores import METRICS, Metric, autocorrelation_time

NOISE = 2.0  # a difference must exceed this many standard errors
NEGLIGIBLE = 1e-6  # of the mean absolute score; a smaller change may be the rounding of another machine
FEWEST = 8  # rows; with fewer, the standard error itself is too uncertain
BETTER, WORSE, WITHIN, UNJUDGED = "better", "worse", "within noise", "not judged"
TOO_FEW = "too few rows to judge"


@dataclass(frozen=True, eq=False)
class Scored:
    """What was `observed` in each row (m,), in y's units, and its forecast."""

    observed: np.ndarray
    forecast: Forecast


@dataclass(frozen=True)
class Difference:
    """A score at both revisions; `change` is head minus base, `se` its standard error if rows were paired."""

    name: str
    base: float
    head: float
    change: float
    se: float | None = None
    verdict: str = UNJUDGED


def differences(base: Scored, head: Scored) -> list[Difference]:
    """Return the compared scores of two forecasts of the same rows, each with its verdict, in their order."""
    return [compare(name, metric, base, head) for name, metric in compared().items()]


def compared() -> dict[str, Metric]:
    """Return the metrics that a review compares: all except details."""
    return {name: metric for name, metric in METRICS.items() if not metric.detail}


def compare(name: str, metric: Metric, base: Scored, head: Scored) -> Difference:
    """Return the difference of a metric, with the standard error of the paired, row-by-row differences.

    For a root mean, the squares are compared, and their difference is divided by the sum of the two roots.  Other pools
    have no such standard error, so they are not judged; neither is a metric without a better direction.
    """
    old, new = (metric(side.observed, side.forecast) for side in (base, head))
    if metric.pool not in ("mean", "root_mean"):
        return Difference(name, old, new, new - old)
    before, after = (metric.row_score(side.observed, side.forecast) for side in (base, head))
    change, se = mean_and_error(after - before, correlation_length(base, head))
    verdict = UNJUDGED if metric.better is None else judge(_worsening(metric, before, after), se, before)
    scale = ((old + new) or 1.0) if metric.pool == "root_mean" else 1.0
    return Difference(name, old, new, change / scale, se / scale, verdict)


def _worsening(metric: Metric, before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much the mean of the rows' scores (m,) got worse; negative means better."""
    old, new = float(before.mean()), float(after.mean())
    if metric.better in ("lower", "higher"):
        return new - old if metric.better == "lower" else old - new
    best = float(metric.better)  # type: ignore[arg-type]
    return abs(new - best) - abs(old - best)


def judge(change: float, se: float, rows: np.ndarray) -> str:
    """Return the verdict on a worsening by `change` ± `se`; `rows` (m,) are the scores of the rows at base."""
    if len(rows) < FEWEST:
        return TOO_FEW
    if abs(change) <= NEGLIGIBLE * float(np.abs(rows).mean()) or abs(change) < NOISE * se:
        return WITHIN
    return BETTER if change < 0 else WORSE


def mean_and_error(values: np.ndarray, tau: float = 1.0) -> tuple[float, float]:
    """Return the mean of `values` (m,) and its standard error s √(τ/m): τ rows count as one independent row."""
    if len(values) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(values.std(ddof=1) * math.sqrt(tau / len(values)))


def correlation_length(base: Scored, head: Scored) -> float:
    """Return the autocorrelation time of the two forecasts' errors, in rows; 1 if rows are independent.

    Errors of neighbouring rows share a sign if a forecast misses a curve, or extrapolates a series.  The function uses
    errors and not differences of scores: if one model suits some inputs better than the other, that is not noise.
    """
    return max(autocorrelation_time(side.forecast.normal_score(side.observed)) for side in (base, head))
