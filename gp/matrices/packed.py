"""Kernel matrices of few rows, packed: the lower triangle as one vector, row by row.

Where rows are few, calls of Python and torch cost more than arithmetic does.  Here a kernel is compiled once for its
inputs, whose differences are kept; at each setting of the hyperparameters only vectors of n(n + 1)/2 elements are left
to compute.  An extra, as gp.matrices.algebra is: a kernel that `PACKED`, at the end, does not name is not packed, nor
is one whose raw parameters are not logs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel
from scipy.linalg import blas, lapack

from gp.matrices.stationary import MATERN_FORMS, Form, exponential
from gp.matrices.tiles import Gradients, active
from gp.model.kernels.leaf import LogConstraint, Scale

FEW = 300  # rows up to which a kernel is packed: differences of d columns take d n²/2 numbers


class NotPacked(Exception):
    """The kernel, or a part of it, has no packed form."""


class Packed(Protocol):
    """A kernel over n rows, as a function of the raw vector (p,) of the free hyperparameters."""

    def value(self, vector: np.ndarray) -> np.ndarray:
        """Return k (n(n + 1)/2,), not to be written to, and keep what derivatives at `vector` need."""
        ...

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        """Add Σ weight · ∂k/∂raw to `gradient` (p,)."""
        ...

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        """Add (weight ∘ ∂K/∂raw_i) v to each column of `moves` (n, p)."""
        ...


@dataclass(frozen=True, eq=False)
class Compiler:
    """What packed kernels are made from: the place of each free raw parameter in the raw vector."""

    places: dict[torch.Tensor, slice]
    used: dict[torch.Tensor, slice] = field(default_factory=dict)  # those that the kernel has

    def kernel(self, kernel: Kernel, x: torch.Tensor) -> Packed:
        """Return the packed kernel over x (n, d).  Raises NotPacked."""
        return self.of_active(kernel, active(kernel, x))

    def of_active(self, kernel: Kernel, x: torch.Tensor) -> Packed:
        """Return the packed kernel over its active columns x."""
        if type(kernel) not in PACKED:
            raise NotPacked
        return PACKED[type(kernel)](self, kernel, x)

    def hyper(self, kernel: Kernel, name: str) -> "Hyper":
        """Return the kernel's hyperparameter."""
        constraint, raw = getattr(kernel, f"raw_{name}_constraint"), getattr(kernel, f"raw_{name}")
        if not isinstance(constraint, LogConstraint):
            raise NotPacked
        if raw in self.places:
            self.used[raw] = self.places[raw]
        fixed = raw.detach().numpy().reshape(-1).copy()
        return Hyper(self.places.get(raw), fixed, constraint.power, constraint.factor)


@dataclass(frozen=True, eq=False)
class Hyper:
    """A hyperparameter θ = factor · exp(power · raw), at its place in the raw vector, or fixed."""

    place: slice | None
    fixed: np.ndarray
    power: float
    factor: float

    def at(self, vector: np.ndarray) -> np.ndarray:
        """Return θ (size,)."""
        raw: np.ndarray = self.fixed if self.place is None else vector[self.place]
        return self.factor * np.exp(self.power * raw)

    def add(self, total: np.ndarray, by_log: np.ndarray | float) -> None:
        """Add to `total` (p,), or to its columns (n, p), what is known by log θ."""
        if self.place is not None:
            total[..., self.place] += self.power * by_log


def _differences(x: torch.Tensor) -> np.ndarray:
    """Return x_i − x_k of each column for the pairs i ≥ k in packed order, (d, n(n + 1)/2)."""
    columns = x.numpy().T
    i, k = np.tril_indices(columns.shape[1])
    return columns[:, i] - columns[:, k]


def product(packed: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the product of a symmetric matrix, packed, by v (n,)."""
    # To LAPACK, which stores by columns, rows of the lower triangle are columns of the upper one.
    multiplied: np.ndarray = blas.dspmv(len(v), 1.0, packed, v, lower=0)
    return multiplied


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """The matrix k(x, x) of n rows x, at the present values of the hyperparameters' tensors (gp.matrices.symmetric)."""

    compiled: Packed
    places: dict[torch.Tensor, slice]
    vector: np.ndarray

    def covariance(self, noise: np.ndarray) -> np.ndarray:
        """Return k(x, x) + diag(noise), (n, n), its lower triangle."""
        full, _ = lapack.dtpttr(len(noise), self.compiled.value(self.vector), uplo="U")
        covariance: np.ndarray = full.T
        covariance.flat[:: len(noise) + 1] += noise
        return covariance

    def pull(self, inverse: np.ndarray, alpha: np.ndarray) -> Gradients:
        """Yield raw parameters with their derivative of −½ log |C| − ½ rᵀC⁻¹r, given C⁻¹ and α = C⁻¹r."""
        weight, _ = lapack.dtrttp(inverse.T, uplo="U")
        np.negative(weight, out=weight)
        weight = blas.dspr(len(alpha), 1.0, alpha, weight, lower=0, overwrite_ap=1)  # ααᵀ − C⁻¹
        weight[np.cumsum(np.arange(1, len(alpha) + 1)) - 1] *= 0.5  # the others stand for their mirror images, too
        gradient = np.zeros(len(self.vector))
        self.compiled.pull(weight, gradient)
        return ((raw, gradient[place]) for raw, place in self.places.items())

    def products(self, alpha: np.ndarray) -> Gradients:
        """Yield raw parameters with (∂K/∂raw_i) α, (n, size)."""
        moves = np.zeros((len(alpha), len(self.vector)), order="F")
        self.compiled.push(1.0, alpha, moves)
        return ((raw, moves[:, place]) for raw, place in self.places.items())


class _Radial:
    """f(s), s = c Σ (x − x')²/ℓ², of the forms of gp.matrices.stationary."""

    def __init__(self, lengthscale: Hyper, x: torch.Tensor, c: float, form: Form) -> None:
        self._lengthscale, self._c, self._form = lengthscale, c, form
        squares = _differences(x) ** 2
        # A shared lengthscale needs their sum alone.
        self._squares = squares if len(lengthscale.fixed) > 1 else squares.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._weights = self._c / self._lengthscale.at(vector) ** 2
        value, self._slope, self._constant = self._form(self._weights @ self._squares)
        return value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_weights = self._squares @ self._slope(weight)
        self._lengthscale.add(gradient, -2 * self._constant * self._weights * by_weights)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the slope, a function that does not cross processes and is of one evaluation only."""
        return {name: value for name, value in self.__dict__.items() if name != "_slope"}

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        slope = self._slope(np.broadcast_to(weight, self._squares.shape[1:]))
        columns = [product(slope * squares, v) for squares in self._squares]
        self._lengthscale.add(moves, -2 * self._constant * self._weights * np.column_stack(columns))


def _rbf(compiler: Compiler, kernel: kernels.RBFKernel, x: torch.Tensor) -> Packed:
    return _Radial(compiler.hyper(kernel, "lengthscale"), x, 0.5, exponential)


def _matern(compiler: Compiler, kernel: kernels.MaternKernel, x: torch.Tensor) -> Packed:
    return _Radial(compiler.hyper(kernel, "lengthscale"), x, 2 * kernel.nu, MATERN_FORMS[kernel.nu])


class _RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²."""

    def __init__(self, compiler: Compiler, kernel: kernels.RQKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._alpha = (compiler.hyper(kernel, name) for name in ("lengthscale", "alpha"))
        self._squares = _differences(x) ** 2
        if len(self._lengthscale.fixed) == 1:
            self._squares = self._squares.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._power = self._alpha.at(vector).item()
        self._weights = 0.5 / (self._power * self._lengthscale.at(vector) ** 2)
        self._s = self._weights @ self._squares
        self._logs = np.log1p(self._s)
        self._value = np.exp(-self._power * self._logs)
        return self._value

    def _by_log(self, weight: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return what ∂/∂log α is at fixed s · α, and ∂/∂s, times the weight."""
        weighted = weight * self._value
        by_s = -self._power * weighted / (1 + self._s)
        return -self._power * weighted * self._logs - by_s * self._s, by_s

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(gradient, by_alpha.sum())
        self._lengthscale.add(gradient, -2 * self._weights * (self._squares @ by_s))

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(moves, product(by_alpha, v)[:, None])
        columns = [product(by_s * squares, v) for squares in self._squares]
        self._lengthscale.add(moves, -2 * self._weights * np.column_stack(columns))


class _Periodic:
    """exp(−2 Σ sin²(π(x − x')/p)/λ), gpytorch's λ being ℓ²."""

    def __init__(self, compiler: Compiler, kernel: kernels.PeriodicKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._period = (compiler.hyper(kernel, name) for name in ("lengthscale", "period_length"))
        self._angles = np.pi * _differences(x)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._weights = 2 / self._lengthscale.at(vector)[:, None]
        self._phases = self._angles / self._period.at(vector)[:, None]
        self._sines = np.sin(self._phases) ** 2
        self._value = np.exp(-(self._weights * self._sines).sum(axis=0))
        return self._value

    def _derivatives(self) -> list[tuple[Hyper, np.ndarray]]:
        """Return ∂(−s)/∂log θ (size, n(n + 1)/2) of both hyperparameters θ."""
        by_period = self._weights * self._phases * np.sin(2 * self._phases)
        both = (self._lengthscale, self._weights * self._sines), (self._period, by_period)
        return [(hyper, by if len(hyper.fixed) > 1 else by.sum(axis=0, keepdims=True)) for hyper, by in both]

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        weighted = weight * self._value
        for hyper, by_log in self._derivatives():
            hyper.add(gradient, by_log @ weighted)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        weighted = weight * self._value
        for hyper, by_log in self._derivatives():
            hyper.add(moves, np.column_stack([product(weighted * by, v) for by in by_log]))


class _Scaled:
    """outputscale · k."""

    def __init__(self, compiler: Compiler, kernel: kernels.ScaleKernel, x: torch.Tensor) -> None:
        # gpytorch gives a ScaleKernel the active columns of its base, which then takes x as it is.
        self._scale, self._base = compiler.hyper(kernel, "outputscale"), compiler.of_active(kernel.base_kernel, x)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._at = self._scale.at(vector).item()
        self._value = self._at * self._base.value(vector)
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._scale.add(gradient, weight @ self._value)
        self._base.pull(self._at * weight, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        self._scale.add(moves, product(weight * self._value, v)[:, None])
        self._base.push(self._at * weight, v, moves)


class _Constant:
    """c."""

    def __init__(self, compiler: Compiler, kernel: kernels.ConstantKernel, x: torch.Tensor) -> None:
        self._constant, self._ones = compiler.hyper(kernel, "constant"), np.ones(len(x) * (len(x) + 1) // 2)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._value = self._constant.at(vector) * self._ones
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._constant.add(gradient, weight @ self._value)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        self._constant.add(moves, product(weight * self._value, v)[:, None])


class _Sum:
    """Σ k."""

    def __init__(self, compiler: Compiler, kernel: kernels.AdditiveKernel, x: torch.Tensor) -> None:
        self._terms = [compiler.kernel(term, x) for term in kernel.kernels]

    def value(self, vector: np.ndarray) -> np.ndarray:
        return np.sum([term.value(vector) for term in self._terms], axis=0)

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        for term in self._terms:
            term.pull(weight, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        for term in self._terms:
            term.push(weight, v, moves)


class _Product:
    """Π k."""

    def __init__(self, compiler: Compiler, kernel: kernels.ProductKernel, x: torch.Tensor) -> None:
        self._factors = [compiler.kernel(factor, x) for factor in kernel.kernels]

    def value(self, vector: np.ndarray) -> np.ndarray:
        values = np.array([factor.value(vector) for factor in self._factors])
        self._others = [np.delete(values, i, axis=0).prod(axis=0) for i in range(len(values))]
        return self._others[0] * values[0]

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        for factor, others in zip(self._factors, self._others, strict=True):
            factor.pull(weight * others, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        for factor, others in zip(self._factors, self._others, strict=True):
            factor.push(weight * others, v, moves)


PACKED: dict[type[Kernel], Callable[[Compiler, Any, torch.Tensor], Packed]] = {
    kernels.RBFKernel: _rbf,
    kernels.MaternKernel: _matern,
    kernels.RQKernel: _RationalQuadratic,
    kernels.PeriodicKernel: _Periodic,
    kernels.ConstantKernel: _Constant,
    kernels.ScaleKernel: _Scaled,
    Scale: _Scaled,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
