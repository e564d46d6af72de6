"""The field's standard method for coupling functions: a Bayesian Fourier series with the order chosen by evidence.

Ota & Aoyagi, "Direct extraction of phase dynamics from fluctuating rhythmic data based on a Bayesian approach",
arXiv:1405.4126: y = F w + noise, F the columns 1, cos(m x_j), sin(m x_j), m = 1 … order of each angle x_j;
w | s² ~ N(μ₀, s² S₀), s² ~ IG(0.1, 0.1), μ₀ = (mean of y, 0, …), S₀ = diag(1/λ₀, then m/λ₀), λ₀ = 10.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from ...dataset import Dataset
from ...posterior import Posterior
from ..source import Baseline

PRIOR_SHAPE = PRIOR_RATE = 0.1  # of s²: α₀, β₀
PRECISION = 10.0  # λ₀
ORDERS = range(11)
BLOCK = 4096  # rows of F at a time


@dataclass(frozen=True, eq=False)
class FourierSeries:
    """A fitted series: the posterior mean (p,) and covariance (p, p) of its weights, and its log evidence, nats."""

    order: int
    log_evidence: float
    noise_sd: float
    mean: np.ndarray
    covariance: np.ndarray

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sd of the function at angles x (m, d), (m,) each."""
        design = _design(x, self.order)
        return design @ self.mean, np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance, design))


def fit_fourier(
    x: np.ndarray, y: np.ndarray, order: int | None = None, step: np.ndarray | None = None
) -> FourierSeries:
    """Return the series fitted to y (n,) at angles x (n, d), radians; of the `order` with most evidence, if None.

    With a `step` (n, d), radians, each y is a mean along the line from x − step/2 to x + step/2.
    """
    tried = ORDERS if order is None else (order,)
    largest = max(tried)
    gram, moment = _sums(x, y, largest, step)
    series = [_of_order(m, largest, x.shape[1], gram, moment, y) for m in tried]
    return max(series, key=lambda one: one.log_evidence)


def fourier_baseline(train: Dataset, x: np.ndarray) -> Baseline:
    """Return the prediction, at angles x (m, d), of the series fitted to rows whose inputs are angles."""
    series = fit_fourier(train.x, train.observed, step=train.step)
    mean, sd_f = series.predict(x)
    posterior = Posterior.normal(x, train.columns, mean, sd_f, np.hypot(sd_f, series.noise_sd))
    return Baseline("Fourier series, its order by evidence", posterior, {"order": series.order})


def _design(x: np.ndarray, order: int, step: np.ndarray | None = None) -> np.ndarray:
    """Return F (n, 1 + 2 · order · d): 1, then for each angle cos and sin of each order, means along its step."""
    m = np.arange(1, order + 1)
    waves = [np.stack([np.cos(part), np.sin(part)], axis=2) for part in x.T[:, :, None] * m]
    if step is not None:
        shares = np.sinc(step.T[:, :, None] * m / (2 * math.pi))  # of cos(mψ) along a line, its mean
        waves = [wave * share[:, :, None] for wave, share in zip(waves, shares, strict=True)]
    return np.hstack([np.ones((len(x), 1)), *(wave.reshape(len(x), -1) for wave in waves)])


def _sums(x: np.ndarray, y: np.ndarray, order: int, step: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return FᵀF and Fᵀy."""
    p = 1 + 2 * order * x.shape[1]
    gram, moment = np.zeros((p, p)), np.zeros(p)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        design = _design(x[rows], order, None if step is None else step[rows])
        gram += design.T @ design
        moment += design.T @ y[rows]
    return gram, moment


def _of_order(order: int, largest: int, d: int, gram: np.ndarray, moment: np.ndarray, y: np.ndarray) -> FourierSeries:
    """Return the series of one order, from the sums for the largest order."""
    m = np.repeat(np.arange(1, largest + 1), 2)
    kept = np.concatenate([[True], *[m <= order] * d])
    gram, moment = gram[np.ix_(kept, kept)], moment[kept]
    prior = PRECISION / np.concatenate([[1.0], *[m[m <= order]] * d])  # S₀⁻¹
    centre = np.zeros(len(prior))
    centre[0] = y.mean()
    precision = np.diag(prior) + gram
    covariance = np.linalg.inv(precision)
    mean = covariance @ (moment + prior * centre)
    shape = PRIOR_SHAPE + 0.5 * len(y)
    rate = PRIOR_RATE + 0.5 * (y @ y + centre @ (prior * centre) - mean @ precision @ mean)
    log_evidence = (
        -0.5 * len(y) * math.log(2 * math.pi)
        - 0.5 * np.linalg.slogdet(precision)[1]
        + 0.5 * np.log(prior).sum()
        + PRIOR_SHAPE * math.log(PRIOR_RATE)
        - shape * math.log(rate)
        + float(gammaln(shape) - gammaln(PRIOR_SHAPE))
    )
    # Given the data, w has Student's t distribution with 2α degrees of freedom and covariance β/(α − 1) S.
    variance = rate / max(shape - 1, 1e-9)
    return FourierSeries(order, log_evidence, math.sqrt(variance), mean, variance * covariance)
