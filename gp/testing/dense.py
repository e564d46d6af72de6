"""Dense: the exact Gaussian process of a built model by textbook formulas, the reference for all methods."""

import math

import numpy as np
import torch
from linear_operator import to_dense

from ..inference.method import Moments
from ..model.model import GaussianProcess
from .laws import require_equal
from .models import matrix, objective_of


class Dense:
    """The exact Gaussian process of a built model, by dense matrices and nothing else (R&W 2006 eqs. 2.23–2.30)."""

    def __init__(self, gp: GaussianProcess) -> None:
        with torch.no_grad():
            noise, excess = gp.training_noise()
            self.residual = (gp.y - gp.mean(gp.x)).numpy()
        self.gp, self.excess = gp, 0.0 if excess is None else float(excess)
        self.covariance = matrix(gp.kernel, gp.x, gp.x) + np.diag(noise.numpy())

    @property
    def log_likelihood(self) -> float:
        """Return the log marginal likelihood of the internal targets, nats."""
        _, log_determinant = np.linalg.slogdet(self.covariance)
        fit = self.residual @ np.linalg.solve(self.covariance, self.residual)
        return float(-0.5 * (fit + log_determinant + len(self.residual) * math.log(2 * math.pi)) + self.excess)

    def moments(self, x: torch.Tensor, kept: np.ndarray | None = None) -> Moments:
        """Return the posterior at internal inputs x (m, d), given the `kept` rows (default: all)."""
        kept = np.arange(self.gp.n) if kept is None else kept
        parts = {}
        for name, kernel in {"": self.gp.kernel, **self.gp.terms}.items():
            cross = matrix(kernel, x, self.gp.x)[:, kept]
            with torch.no_grad():
                prior = to_dense(kernel(x, diag=True)).numpy()
            weights = np.linalg.solve(self.covariance[np.ix_(kept, kept)], cross.T).T
            parts[name] = weights @ self.residual[kept], prior - (weights * cross).sum(axis=1)
        mean, variance = parts.pop("")
        with torch.no_grad():
            return Moments(self.gp.mean(x).numpy() + mean, variance, parts)

    def left_out(self, row: int) -> tuple[float, float]:
        """Return mean and sd of a row's target, noise included, given all other rows."""
        x = self.gp.x[row : row + 1]
        moments = self.moments(x, np.delete(np.arange(self.gp.n), row))
        return float(moments.mean[0]), float(np.sqrt(moments.variance[0] + self.gp.noise_variance(x)[0]))


def check_likelihood(name: str, gp: GaussianProcess, vector: np.ndarray) -> None:
    """Check that exact inference and dense matrices give the same likelihood at a raw vector."""
    value, _ = objective_of(gp)(vector)
    expected = Dense(gp).log_likelihood
    law = f"{name}: the likelihood of exact inference is that of dense matrices"
    require_equal(law, value, expected, atol=1e-7 * max(1.0, abs(expected)))
