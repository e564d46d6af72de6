"""Two forecasts of the same rows, compared row by row: differences of scores with their standard errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

NOISE = 2.0  # standard errors that a difference must exceed to be called one
NEGLIGIBLE = 1e-6  # of the mean size of a row's score: another machine's rounding, though it be systematic
FEWEST = 8  # rows, below which a standard error is itself too uncertain to judge by
BETTER, WORSE, WITHIN, UNJUDGED = "better", "worse", "within noise", "not judged"
TOO_FEW = "too few rows to judge"


@dataclass(frozen=True, eq=False)
class Forecast:
    """N(mean, sd²) of each row, beside what was observed there (each (m,)), in y's units."""

    observed: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class Difference:
    """A score at both revisions; `change` is head's less base's, `se` its standard error where rows were paired."""

    name: str
    base: float
    head: float
    change: float
    se: float | None = None
    verdict: str = UNJUDGED


def differences(base: Forecast, head: Forecast) -> list[Difference]:
    """Return the scores of two forecasts of the same rows, in their order, judged."""
    return [compare(base, head) for compare in COMPARISONS.values()]


def rmse(base: Forecast, head: Forecast) -> Difference:
    """Return the difference of root mean squared errors: that of the mean squares over the sum of the roots."""
    before, after = ((forecast.observed - forecast.mean) ** 2 for forecast in (base, head))
    roots = math.sqrt(before.mean()), math.sqrt(after.mean())
    change, se = mean_and_error(after - before, stretch(base, head))
    verdict = judge(change, se, before)
    scale = sum(roots) or 1.0
    return Difference("rmse", *roots, change / scale, se / scale, verdict)


def nlpd_rows(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return each row's negative log density, nats.  R&W 2006, eq. 2.34."""
    return 0.5 * math.log(2 * math.pi) + np.log(sd) + 0.5 * ((observed - mean) / sd) ** 2


def crps_rows(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return each row's continuous ranked probability score, y's units.  Gneiting & Raftery 2007, sec. 4.2."""
    z = (observed - mean) / sd
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return sd * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))


def mean_of(name: str, loss: Loss) -> Callable[[Forecast, Forecast], Difference]:
    """Return the comparison of a mean over rows, lower being better."""

    def compare(base: Forecast, head: Forecast) -> Difference:
        before, after = (loss(forecast.observed, forecast.mean, forecast.sd) for forecast in (base, head))
        change, se = mean_and_error(after - before, stretch(base, head))
        return Difference(name, float(before.mean()), float(after.mean()), change, se, judge(change, se, before))

    return compare


def coverage(level: float) -> Callable[[Forecast, Forecast], Difference]:
    """Return the comparison of how many rows lie in their interval: the nearer to `level` the better."""
    quantile = ndtri((1 + level) / 2)

    def compare(base: Forecast, head: Forecast) -> Difference:
        inside = (abs(item.observed - item.mean) <= quantile * item.sd for item in (base, head))
        before, after = (rows.astype(float) for rows in inside)
        change, se = mean_and_error(after - before, stretch(base, head))
        farther = abs(after.mean() - level) - abs(before.mean() - level)
        name = f"coverage_{100 * level:.0f}"
        return Difference(name, float(before.mean()), float(after.mean()), change, se, judge(farther, se, before))

    return compare


def judge(change: float, se: float, rows: np.ndarray) -> str:
    """Return whether a change of what should be small is beyond the noise; `rows` (m,) are scores it is a mean of."""
    if len(rows) < FEWEST:
        return TOO_FEW
    if abs(change) <= NEGLIGIBLE * float(np.abs(rows).mean()) or abs(change) < NOISE * se:
        return WITHIN
    return BETTER if change < 0 else WORSE


def mean_and_error(values: np.ndarray, tau: float = 1.0) -> tuple[float, float]:
    """Return the mean of rows (m,) and its standard error s √(τ/m), τ rows telling as much as one alone would."""
    if len(values) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(values.std(ddof=1) * math.sqrt(tau / len(values)))


def stretch(base: Forecast, head: Forecast) -> float:
    """Return over how many neighbouring rows the errors of forecasts go together: 1 where rows are independent.

    Of the errors, not of the differences of scores: that one model suits some inputs better than others is no noise.
    Along a curve that a forecast misses, or where a series goes on beyond its data, errors have one sign for a stretch.
    """
    return max(autocorrelation_time((side.observed - side.mean) / side.sd) for side in (base, head))


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


COMPARISONS: dict[str, Callable[[Forecast, Forecast], Difference]] = {
    "rmse": rmse,
    "nlpd": mean_of("nlpd", nlpd_rows),
    "crps": mean_of("crps", crps_rows),
    "coverage_95": coverage(0.95),
}
