"""Many small covariance matrices at once: evaluated by any kernel, factorised, with their pullback.

Each of b groups has k points; the last point is conditioned on the others.  A kernel is evaluated at pairs of points,
half as many as the elements of full matrices.
"""

import math
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel
from linear_operator import to_dense

from gp.matrices.stationary import MATERN_FORMS, Form, exponential


class Pairs:
    """Points (d, k, b) of b groups, in pairs: those at the positions `first` (p,) in a group with those at `second`."""

    def __init__(self, points: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        self._points, self._first, self._second = points, first, second
        self._squares: dict[int, np.ndarray] = {}

    def covariance(self, kernel: Kernel) -> torch.Tensor:
        """Return k(x, x') of each pair, (p, b), within autograd's graph."""
        return self._of(kernel, np.arange(len(self._points)))

    def _of(self, kernel: Kernel, columns: np.ndarray) -> torch.Tensor:
        """Return the covariance by a kernel over these columns."""
        if isinstance(kernel, kernels.ScaleKernel):
            return kernel.outputscale * self._of(kernel.base_kernel, columns)
        own = columns if kernel.active_dims is None else columns[kernel.active_dims.numpy()]
        if isinstance(kernel, kernels.AdditiveKernel):
            return reduce(torch.add, [self._of(part, own) for part in kernel.kernels])
        if isinstance(kernel, kernels.ProductKernel):
            return reduce(torch.mul, [self._of(part, own) for part in kernel.kernels])
        if type(kernel) is kernels.RBFKernel:
            return self._stationary(0.5, kernel.lengthscale, exponential, own)
        if type(kernel) is kernels.MaternKernel:
            return self._stationary(2 * kernel.nu, kernel.lengthscale, MATERN_FORMS[kernel.nu], own)
        return self._by_forward(kernel, own)

    def _stationary(self, power: float, lengthscale: torch.Tensor, form: Form, columns: np.ndarray) -> torch.Tensor:
        """Return f(s), s = power · Σ (x − x')²/ℓ²."""
        weights = (power / lengthscale.square()).reshape(-1).expand(len(columns))
        value: torch.Tensor = _OfDistance.apply(weights, [self._square(column) for column in columns], form)
        return value

    def _square(self, column: int) -> np.ndarray:
        """Return (x − x')² in one column, (p, b)."""
        if column not in self._squares:
            x = self._points[column]
            step = x.take(self._first, axis=0)
            step -= x.take(self._second, axis=0)
            self._squares[column] = np.square(step, out=step)
        return self._squares[column]

    def _by_forward(self, kernel: Kernel, columns: np.ndarray) -> torch.Tensor:
        """Return the covariance of the pairs by the kernel's own `forward`."""
        points = self._points[columns]
        x1, x2 = (
            torch.from_numpy(np.ascontiguousarray(points[:, side].reshape(len(columns), -1).T))
            for side in (self._first, self._second)
        )
        return to_dense(kernel.forward(x1, x2, diag=True)).reshape(len(self._first), self._points.shape[2])


class _OfDistance(torch.autograd.Function):
    """f(s), s = Σ weights · squares: a closed form of stationary kernels, as a function for autograd."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, squares: list[np.ndarray], form: Form) -> torch.Tensor:
        first, *others = zip(weights.tolist(), squares, strict=True)
        s = first[0] * first[1]
        for weight, square in others:
            s += weight * square
        value, slope, constant = form(s)
        ctx.pull = squares, slope, constant
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        squares, slope, constant = ctx.pull
        by_distance = slope(gradients[0].numpy()).reshape(-1)
        return torch.tensor([constant * float(by_distance @ square.reshape(-1)) for square in squares]), None, None


def lower_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions (p,), (p,) below the diagonal of a (k, k) matrix."""
    return np.tril_indices(k, -1)


def factorised(pairs: np.ndarray, diagonal: np.ndarray) -> torch.Tensor | None:
    """Return the Cholesky factors (b, k, k) of matrices whose elements are `pairs` (p, b), and `diagonal` (k, b).

    Returns None if one of them has no factor.
    """
    k, b = diagonal.shape
    matrices = np.zeros((b, k, k))
    matrices[:, *lower_pairs(k)] = pairs.T
    matrices[:, np.arange(k), np.arange(k)] = diagonal.T
    factors, info = torch.linalg.cholesky_ex(torch.from_numpy(matrices))
    return None if (info != 0).any() else factors


def by_rounding(factors: torch.Tensor) -> bool:
    """Return whether a matrix was factorised only thanks to rounding; a search must not end there."""
    pivots = factors.diagonal(dim1=1, dim2=2).square()
    limit = 10 * factors.shape[1] * np.finfo(float).eps
    return bool((pivots.amin(1) < limit * pivots.amax(1)).any())


@dataclass(frozen=True, eq=False)
class Conditionals:
    """The last of k points given the others, for b groups, from `factors` (b, k, k) and residuals y − m (k, b).

    With N the others, i the last, u = (−K_NN⁻¹k_Ni, 1) and g = (K_NN⁻¹r_N, 0): its residual is N(r_i − e, F) where
    e = uᵀr and F = uᵀKu.
    """

    factors: torch.Tensor
    projected: torch.Tensor  # L_N⁻¹ r_N, (b, k − 1)
    error: torch.Tensor  # e, (b,)

    @classmethod
    def of(cls, factors: torch.Tensor, residual: np.ndarray) -> "Conditionals":
        """Return the conditionals."""
        r = torch.from_numpy(np.ascontiguousarray(residual.T))
        projected = torch.linalg.solve_triangular(factors[:, :-1, :-1], r[:, :-1, None], upper=False)[..., 0]
        return cls(factors, projected, r[:, -1] - (factors[:, -1, :-1] * projected).sum(1))

    @property
    def variance(self) -> torch.Tensor:
        """Return F, (b,)."""
        return self.factors[:, -1, -1].square()

    def log_density(self) -> float:
        """Return Σ log N(e | 0, F), nats."""
        variance = self.variance
        return -0.5 * float(((2 * math.pi * variance).log() + self.error.square() / variance).sum())

    def gradients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the log density's derivatives by pairs (p, b), diagonal (k, b) and residuals (k, b).

        dF = uᵀ dK u and de = −gᵀ dK u + uᵀ dr, so that it changes by ½(e²/F² − 1/F) uᵀ dK u + e/F gᵀ dK u − e/F uᵀ dr:
        of the element K_ab, and its mirror image, by u_a h_b + u_b h_a with h = ½(e²/F² − 1/F) u + e/F g.
        """
        lower, b = self.factors[:, :-1, :-1], len(self.error)
        both = torch.stack([self.factors[:, -1, :-1], self.projected], dim=2)
        solved = torch.linalg.solve_triangular(lower.mT, both, upper=True)
        u, g = torch.ones(len(lower[0]) + 1, b), torch.zeros(len(lower[0]) + 1, b)
        u[:-1], g[:-1] = -solved[..., 0].T, solved[..., 1].T
        ratio = self.error / self.variance
        h = (0.5 * (ratio.square() - 1 / self.variance) * u + ratio * g).numpy()
        first, second = lower_pairs(len(h))
        v = u.numpy()
        by_pair = v.take(first, axis=0)
        by_pair *= h.take(second, axis=0)
        by_pair += v.take(second, axis=0) * h.take(first, axis=0)
        return by_pair, v * h, -ratio.numpy() * v
