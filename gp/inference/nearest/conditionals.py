"""Many small covariance matrices at once: evaluated by any kernel, factorised, with their pullback.

Each of b groups has k points; the last point is conditioned on the others.  A kernel is evaluated at pairs of points,
half as many as the elements of full matrices.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel
from linear_operator import to_dense

from ...matrices.stationary import MATERN_FORMS, Form, exponential


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


def factorised(pairs: np.ndarray, diagonal: np.ndarray, features: torch.Tensor) -> torch.Tensor | None:
    """Return the Cholesky factors (b, k, k) of matrices whose elements are `pairs` (p, b), and `diagonal` (k, b).

    The products aᵀa' of `features` (b, k, m) are subtracted first.  Returns None if one of them has no factor.
    """
    k, b = diagonal.shape
    filled = np.zeros((b, k, k))
    filled[:, *lower_pairs(k)] = pairs.T
    filled[:, np.arange(k), np.arange(k)] = diagonal.T
    matrices = torch.from_numpy(filled)
    if features.shape[2]:
        matrices.baddbmm_(features, features.mT, alpha=-1)
    factors, info = torch.linalg.cholesky_ex(matrices)
    return None if (info != 0).any() else factors


def by_rounding(factors: torch.Tensor, size: float) -> bool:
    """Return whether a matrix of elements up to `size` was factorised only thanks to rounding.

    A search must not end there.  The matrix may be a difference of larger ones: `size` is then theirs.
    """
    pivots = factors.diagonal(dim1=1, dim2=2).square()
    limit = 10 * factors.shape[1] * np.finfo(float).eps
    return bool((pivots.amin(1) < limit * size).any())


@dataclass(frozen=True, eq=False)
class Conditionals:
    """The last of k points given the others, for b groups, from the `factors` (b, k, k) of their covariances C.

    With N the others and i the last, u = (−C_NN⁻¹c_Ni, 1), (b, k): of values r, e = uᵀr is what the others leave
    unexplained, and F = uᵀCu its variance.
    """

    factors: torch.Tensor
    u: torch.Tensor

    @classmethod
    def of(cls, factors: torch.Tensor) -> "Conditionals":
        """Return the conditionals."""
        solved = torch.linalg.solve_triangular(factors[:, :-1, :-1].mT, factors[:, -1, :-1, None], upper=True)[..., 0]
        return cls(factors, torch.cat([-solved, torch.ones(len(factors), 1)], dim=1))

    @property
    def variance(self) -> torch.Tensor:
        """Return F, (b,)."""
        return self.factors[:, -1, -1].square()

    def unexplained(self, values: torch.Tensor) -> torch.Tensor:
        """Return uᵀv of values v (b, k) or (b, k, m)."""
        return torch.linalg.vecdot(self.u, values) if values.dim() == 2 else (self.u[:, None] @ values)[:, 0]

    def pull(self, by_u: torch.Tensor, by_variance: torch.Tensor) -> torch.Tensor:
        """Return h (b, k), with which a function of u and F changes by uᵀ dC h.

        Its derivatives are `by_u` t (b, k) and `by_variance` s (b,).  As du = −(C_NN⁻¹dC_N: u, 0) and dF = uᵀdC u,
        that is h = s u − (C_NN⁻¹t_N, 0).
        """
        h = by_variance[:, None] * self.u
        lower = self.factors[:, :-1, :-1]
        whitened = torch.linalg.solve_triangular(lower, by_u[:, :-1, None], upper=False)
        h[:, :-1] -= torch.linalg.solve_triangular(lower.mT, whitened, upper=True)[..., 0]
        return h
