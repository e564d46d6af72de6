"""The slow judge: Gaussian processes by textbook formulas, in loops and NumPy, with nothing of gp, torch or gpytorch.

A model is what params.yaml says of it, unstandardised and every hyperparameter a number: `kernel` as there, `noise_sd`,
and the constant `level` of the mean.  R&W is Rasmussen & Williams (2006).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Reference:
    """A Gaussian process over x (n, d), named `columns`, and y (n,)."""

    kernel: Mapping[str, Any]
    noise_sd: float
    level: float
    x: np.ndarray
    y: np.ndarray
    columns: Sequence[str]

    def log_marginal_likelihood(self) -> float:
        """Return log N(y | level, K + noise_sd² I), in nats  (R&W eq. 2.30)."""
        covariance, residual = self._covariance, self.y - self.level
        _, log_determinant = np.linalg.slogdet(covariance)
        fit = residual @ np.linalg.solve(covariance, residual)
        return -0.5 * fit - 0.5 * log_determinant - 0.5 * len(self.y) * math.log(2 * math.pi)

    def posterior(self, x: np.ndarray, kernel: Mapping[str, Any] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sd of the function at x (m, d), or of its term that has `kernel`, whose mean is zero.

        R&W eq. 2.23–2.24.
        """
        term, level = (self.kernel, self.level) if kernel is None else (kernel, 0.0)
        cross = matrix(term, x, self.x, self.columns)
        weights = np.linalg.solve(self._covariance, cross.T).T
        prior = np.array([value(term, row, row, self.columns) for row in x.tolist()])
        mean = level + weights @ (self.y - self.level)
        return mean, np.sqrt(prior - (weights * cross).sum(axis=1))

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sd_y of each target given all the others, from as many models of n − 1 rows."""
        means, sds = [], []
        for i in range(len(self.y)):
            others = np.arange(len(self.y)) != i
            rest = Reference(self.kernel, self.noise_sd, self.level, self.x[others], self.y[others], self.columns)
            mean, sd_f = rest.posterior(self.x[[i]])
            means.append(mean[0])
            sds.append(math.hypot(sd_f[0], self.noise_sd))
        return np.array(means), np.array(sds)

    @cached_property
    def _covariance(self) -> np.ndarray:
        rows = self.x.tolist()
        half = [[value(self.kernel, a, b, self.columns) for b in rows[: i + 1]] for i, a in enumerate(rows)]
        lower = np.array([row + [0.0] * (len(rows) - len(row)) for row in half])
        return lower + np.tril(lower, -1).T + self.noise_sd**2 * np.eye(len(rows))  # k(a, b) = k(b, a)


def matrix(kernel: Mapping[str, Any], x1: np.ndarray, x2: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """Return k(a, b) for each row a of x1 and b of x2."""
    return np.array([[value(kernel, a, b, columns) for b in x2.tolist()] for a in x1.tolist()])


def value(kernel: Mapping[str, Any], a: Sequence[float], b: Sequence[float], columns: Sequence[str]) -> float:
    """Return k(a, b)."""
    names = kernel.get("columns", columns)
    pairs = [(a[columns.index(name)], b[columns.index(name)]) for name in names]
    match kernel["kind"]:
        case "sum":
            return sum(value(term, a, b, columns) for term in kernel["terms"].values())
        case "product":
            factors = [value(factor, a, b, columns) for factor in kernel["factors"].values()]
            return kernel.get("outputscale", 1.0) * math.prod(factors)
        case "white":
            return kernel["sd"] ** 2 if all(p == q for p, q in pairs) else 0.0
        case "constant":
            return kernel["constant"]
        case "linear":
            return sum(v * p * q for v, (p, q) in zip(_each(kernel["variance"], pairs), pairs, strict=True))
        case _:
            return kernel.get("outputscale", 1.0) * _unit(kernel, pairs)


def _unit(kernel: Mapping[str, Any], pairs: list[tuple[float, float]]) -> float:
    """Return a kernel of unit amplitude."""
    match kernel["kind"]:
        case "polynomial":  # R&W sec. 4.2.2
            return (sum(p * q for p, q in pairs) + kernel["offset"]) ** kernel["power"]
        case "cosine":
            ((p, q),) = pairs
            return math.cos(2 * math.pi * (p - q) / kernel["period_length"])
        case "periodic":  # R&W eq. 4.31
            lengths, periods = _each(kernel["lengthscale"], pairs), _each(kernel["period_length"], pairs)
            terms = zip(pairs, lengths, periods, strict=True)
            return math.exp(-2 * sum((math.sin(math.pi * (p - q) / c) / length) ** 2 for (p, q), length, c in terms))
    lengths = _each(kernel["lengthscale"], pairs)
    d = math.hypot(*((p - q) / length for (p, q), length in zip(pairs, lengths, strict=True)))
    match kernel["kind"], kernel.get("nu"):
        case "rbf", _:  # R&W eq. 4.9
            return math.exp(-(d**2) / 2)
        case "rational_quadratic", _:  # R&W eq. 4.19
            return (1 + d**2 / (2 * kernel["alpha"])) ** -kernel["alpha"]
        case "matern", 0.5:  # R&W eq. 4.18
            return math.exp(-d)
        case "matern", 1.5:  # R&W eq. 4.17
            return (1 + math.sqrt(3) * d) * math.exp(-math.sqrt(3) * d)
        case "matern", 2.5:
            return (1 + math.sqrt(5) * d + 5 * d**2 / 3) * math.exp(-math.sqrt(5) * d)
    raise NotImplementedError(kernel["kind"])


def _each(written: Any, pairs: list[tuple[float, float]]) -> list[float]:
    """Return a hyperparameter as one number for each column."""
    return list(written) if isinstance(written, Sequence) else [written] * len(pairs)
