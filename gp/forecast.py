"""Forecast: a distribution for each of m numbers, a mixture of normals; one normal is a mixture of one.

Everything that scores or draws a prediction asks the mixture itself: matching its mean and sd by one normal would lose
what its tails say.  Where y was transformed, the normals are of z = g(y), and everything asked of the forecast is of y.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from .spec import Fault, InputError
from .transforms import Transform
from .transforms.stored import stored_transform, transform_in

BLOCK = 1 << 20  # numbers worked on at a time
STEPS = 60  # of a search for a quantile, at most: bisection alone then has all digits
TINY = 1e-300  # in place of an sd of zero


@dataclass(frozen=True, eq=False)
class Forecast:
    """The mixture Σ_s weights_s N(means_s, sds_s²) of each of m numbers, in y's units; or of z = g(y).

    `means` and `sds` are (S, m).  `weights` are (S, 1), or (S, m) where they differ from one number to the next; they
    sum to one over S.  With a `transform` g they are of z.
    """

    means: np.ndarray
    sds: np.ndarray
    weights: np.ndarray
    transform: Transform | None = None

    def __post_init__(self) -> None:
        s, m = self.means.shape if self.means.ndim == 2 else (0, 0)
        if s == 0 or self.sds.shape != (s, m) or self.weights.shape not in ((s, 1), (s, m)):
            shapes = f"means {self.means.shape}, sds {self.sds.shape}, weights {self.weights.shape}"
            raise InputError(Fault("", f"a forecast of {shapes}", "give (S, m), (S, m) and (S, 1)"))

    @classmethod
    def normal(cls, mean: Any, sd: Any) -> "Forecast":
        """Return the forecasts N(mean, sd²), (m,) each."""
        mean, sd = (np.asarray(values, dtype=np.float64) for values in (mean, sd))
        if mean.ndim != 1 or mean.shape != sd.shape:
            raise InputError(
                Fault("", f"mean and sd have shapes {mean.shape} and {sd.shape}", "give two arrays (m,) of one length")
            )
        return cls(mean[None], sd[None], np.ones((1, 1)))

    def save(self, path: Path, y: np.ndarray) -> None:
        """Write a CSV with what was observed, `y` (m,), mean, sd_y and the probability integral transform `pit`.

        The normals of a mixture, or of what was transformed, are in a second file (`draws_file`).
        """
        columns = {"y": y, "mean": self.mean, "sd_y": self.sd, "pit": self.cdf(y)}
        pd.DataFrame(columns).to_csv(path, index=False, lineterminator="\n")
        if not self.is_normal:
            parts = {"means": self.means, "sds": self.sds, "weights": self.weights}
            np.savez(draws_file(path), **parts, **stored_transform(self.transform))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, draws: Path | None = None) -> "Forecast":
        """Return the forecast that `save` wrote to `path`, and to `draws` where that is not beside it."""
        draws = draws or draws_file(path)
        if draws.exists():
            with np.load(draws, allow_pickle=False) as kept:
                return cls(kept["means"], kept["sds"], kept["weights"], transform_in(kept))
        table = pd.read_csv(path, dtype=np.float64)
        return cls.normal(table["mean"], table["sd_y"])

    @property
    def n(self) -> int:
        """Return the number of numbers forecast, m."""
        return self.means.shape[1]

    @property
    def is_normal(self) -> bool:
        """Return whether each is one normal, of y itself."""
        return self.is_single and self.transform is None

    @property
    def is_single(self) -> bool:
        """Return whether there is one setting of the hyperparameters: one normal of y, or of its transform."""
        return len(self.means) == 1

    @cached_property
    def mean(self) -> np.ndarray:
        """Return the mixture's mean (m,)."""
        return self._pooled(self.means) if self._of_y is None else self._of_y[0]

    @cached_property
    def sd(self) -> np.ndarray:
        """Return the mixture's standard deviation (m,): variance within its normals, and of their means."""
        if self._of_y is not None:
            return self._of_y[1]
        if self.is_single:
            return self.sds[0]
        variance = np.empty(self.n)
        for rows in self._blocks():
            part = self.at(rows)
            variance[rows] = part._pooled(part.sds**2 + (part.means - self.mean[rows]) ** 2)
        return np.sqrt(variance)

    @cached_property
    def _of_y(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return mean and sd of y (m,) where the normals are of its transform."""
        if self.transform is None:
            return None
        mean, sd = np.empty(self.n), np.empty(self.n)
        for rows in self._blocks():
            part = self.at(rows)
            means, variances = self.transform.part(rows).moments(part.means, part.sds)
            mean[rows] = part._pooled(means)
            sd[rows] = np.sqrt(part._pooled(variances + (means - mean[rows]) ** 2))
        return mean, sd

    def at(self, rows: Any) -> "Forecast":
        """Return the forecasts of some of the numbers: a slice, indices or a mask."""
        weights = self.weights if self.weights.shape[1] == 1 else self.weights[:, rows]
        transform = self.transform and self.transform.part(rows)
        return Forecast(self.means[:, rows], self.sds[:, rows], weights, transform)

    @property
    def inner(self) -> "Forecast":
        """Return the forecast of z = g(y), or this one where y was not transformed."""
        return self if self.transform is None else Forecast(self.means, self.sds, self.weights)

    @property
    def _has_several(self) -> bool:
        """Return whether the normals are of several transforms of y, so that there is no forecast of one z."""
        return self.transform is not None and self.transform.is_mixed

    def _inward(self, value: np.ndarray) -> np.ndarray:
        """Return z at values (m,) of y; (S, m) where the normals are of several."""
        return value if self.transform is None else self.transform.forward(value)

    def log_density(self, observed: np.ndarray) -> np.ndarray:
        """Return the log density (m,) at `observed` (m,), in nats.  R&W 2006, eq. 2.34, for each normal."""
        if self.transform is not None and not self._has_several:
            return self.inner.log_density(self._inward(observed)) + self.transform.log_slope(observed)
        density = np.empty(self.n)
        for rows in self._blocks():
            part = self.at(rows)
            z = (part._inward(observed[rows]) - part.means) / part.sds
            each = -(0.5 * math.log(2 * math.pi) + np.log(part.sds) + 0.5 * z**2)
            if part.transform is not None:
                each = each + part.transform.log_slope(observed[rows])
            density[rows] = each[0] if self.is_normal else _log_sum(each, part.weights)
        return density

    def cdf(self, value: np.ndarray) -> np.ndarray:
        """Return the probability (m,) of a number up to `value` (m,).

        At an observation it is the probability integral transform, uniform if forecasts are calibrated.
        """
        return self._tail(value, 1.0)

    def _tail(self, value: np.ndarray, sign: float) -> np.ndarray:
        """Return the probability (m,) below `value` (m,), or of a `sign` of −1 above it."""
        share = np.empty(self.n)
        for rows in self._blocks():
            part = self.at(rows)
            with np.errstate(over="ignore"):
                apart = sign * (part._inward(value[rows]) - part.means)
                share[rows] = part._pooled(ndtr(apart / np.maximum(part.sds, TINY)))
        return share

    def normal_score(self, observed: np.ndarray) -> np.ndarray:
        """Return Φ⁻¹(cdf) at `observed` (m,), N(0, 1) if forecasts are calibrated: of a normal (observed − mean)/sd."""
        if self.transform is not None and not self._has_several:
            return self.inner.normal_score(self._inward(observed))
        if self.is_normal:
            return np.asarray((observed - self.means[0]) / self.sds[0])
        low, high = self.cdf(observed), self._tail(observed, -1.0)  # a probability near one keeps its digits
        return np.where(low < 0.5, ndtri(np.maximum(low, TINY)), -ndtri(np.maximum(high, TINY)))

    def quantile(self, probability: float) -> np.ndarray:
        """Return the number (m,) up to which the mixture has `probability`, in y's units.

        Newton's method, kept by bisection between the lowest and the highest of its normals' quantiles.
        """
        z = float(ndtri(probability))
        if self.transform is not None and self._has_several:
            return self._between(probability, z, self.transform)
        if self.transform is not None:
            return self.transform.of(self.inner.quantile(probability))
        if self.is_normal:
            return np.asarray(self.means[0] + z * self.sds[0])
        found = np.empty(self.n)
        for rows in self._blocks():
            found[rows] = self.at(rows)._quantile(probability, z)
        return found

    def _quantile(self, probability: float, z: float) -> np.ndarray:
        ends = self.means + z * self.sds
        counted = np.broadcast_to(self.weights > 0, ends.shape)
        low = np.min(ends, axis=0, initial=np.inf, where=counted)
        high = np.max(ends, axis=0, initial=-np.inf, where=counted)
        here, sds = np.clip(self.mean + z * self.sd, low, high), np.maximum(self.sds, TINY)
        for _ in range(STEPS):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                beyond = (here - self.means) / sds
                excess = self._pooled(ndtr(beyond)) - probability
                slope = self._pooled(np.exp(-0.5 * beyond**2) / sds) / math.sqrt(2 * math.pi)
                low, high = np.where(excess <= 0, here, low), np.where(excess > 0, here, high)
                ahead = here - excess / slope
            inside = (ahead >= low) & (ahead <= high)  # false where it is not a number
            ahead = np.where(inside, ahead, 0.5 * (low + high))
            moved, here = np.abs(ahead - here), ahead
            if (moved <= 1e-12 * self.sd + 4e-16 * np.abs(here)).all():
                break
        return here

    def _between(self, probability: float, z: float, transform: Transform) -> np.ndarray:
        """Return the quantiles (m,) of y by bisection, between those of the normals, which are of several z."""
        ends, one = transform.of(self.means + z * self.sds), transform.reference
        counted = np.broadcast_to(self.weights > 0, ends.shape)
        low = one.forward(np.min(ends, axis=0, initial=np.inf, where=counted))
        high = one.forward(np.max(ends, axis=0, initial=-np.inf, where=counted))
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            is_below = self.cdf(one.of(middle)) < probability
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        return one.of(high)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends (m,) of the central interval of probability `level`: as much is below it as above."""
        return self.quantile(0.5 * (1 - level)), self.quantile(0.5 * (1 + level))

    def outside(self, observed: np.ndarray, level: float) -> np.ndarray:
        """Return for each number whether `observed` (m,) is outside the central interval of probability `level`."""
        if self.transform is not None and not self._has_several:
            return self.inner.outside(self._inward(observed), level)
        if self.is_normal:
            return np.asarray(np.abs(observed - self.mean) > ndtri((1 + level) / 2) * self.sd)
        return np.abs(2 * self.cdf(observed) - 1) > level

    def crps(self, observed: np.ndarray) -> np.ndarray:
        """Return the continuous ranked probability score (m,) at `observed` (m,), in y's units.

        Of one normal sd (z (2Φ(z) − 1) + 2φ(z) − 1/√π), z = (observed − mean)/sd: Gneiting & Raftery 2007, sec. 4.2,
        with the opposite sign.  Of a mixture Σ w_i A(y − μ_i, σ_i²) − ½ Σ w_i w_j A(μ_i − μ_j, σ_i² + σ_j²), where
        A(μ, σ²) is the mean of |N(μ, σ²)|: Grimit et al. 2006, eq. 5.  Where y was transformed, by quadrature.
        """
        if self.transform is not None:
            if not self._has_several:
                return self.transform.crps(observed, self.inner.cdf, self.inner.quantile)
            one = self.transform.reference
            return one.crps(observed, lambda z: self.cdf(one.of(z)), lambda share: one.forward(self.quantile(share)))
        if self.is_normal:
            z, sd = (observed - self.means[0]) / self.sds[0], self.sds[0]
            return np.asarray(sd * (z * (2 * ndtr(z) - 1) + 2 * _density(z) - 1 / math.sqrt(math.pi)))
        score = np.empty(self.n)
        for rows in self._blocks():
            part = self.at(rows)
            weights = np.broadcast_to(part.weights, part.means.shape)
            score[rows] = part._pooled(_mean_size(observed[rows] - part.means, part.sds))
            for mean, sd, weight in zip(part.means, part.sds, weights, strict=True):
                score[rows] -= 0.5 * weight * part._pooled(_mean_size(mean - part.means, np.hypot(sd, part.sds)))
        return score

    def _pooled(self, values: np.ndarray) -> np.ndarray:
        """Return Σ_s weights_s values_s, (m,), of `values` (S, m)."""
        if self.is_single:
            return values[0]
        return np.einsum("sm,sm->m", np.broadcast_to(self.weights, values.shape), values)

    def _blocks(self) -> Iterator[slice]:
        """Yield the numbers in blocks, so that what is computed of them takes little memory."""
        size = max(1, BLOCK // len(self.means))
        return (slice(start, min(start + size, self.n)) for start in range(0, self.n, size))


def draws_file(path: Path) -> Path:
    """Return the file of a mixture's normals that stands beside a table: test.csv → test.draws.npz."""
    return path.with_suffix(".draws.npz")


def _log_sum(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return log Σ_s weights_s exp(logs_s), (m,), of `logs` (S, m)."""
    largest = np.max(logs, axis=0, initial=-np.inf, where=np.broadcast_to(weights > 0, logs.shape))
    return np.asarray(largest + np.log((weights * np.exp(np.minimum(logs - largest, 0.0))).sum(axis=0)))


def _density(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))


def _mean_size(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the mean of |N(mean, sd²)|."""
    z = mean / np.maximum(sd, TINY)
    return np.asarray(2 * sd * _density(z) + mean * (2 * ndtr(z) - 1))
