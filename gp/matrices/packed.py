"""Kernel matrices of few rows, packed: the lower triangle as one vector, row by row.

With few rows, calls of Python and torch cost more than the arithmetic.  Here a kernel is compiled once for its inputs,
and the differences of inputs are kept.  At each setting of the hyperparameters, only vectors of n(n + 1)/2 elements
must be computed.  Packed forms are optional, like those of gp.matrices.algebra: a kernel is not packed if it is not in
`PACKED` (gp.matrices.packed_forms), or if its raw parameters are not logs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import blas, lapack

from gp.matrices.tiles import Gradients, active
from gp.model.kernels.leaf import LogConstraint

FEW = 300  # up to this number of rows a kernel is packed; the differences in d columns take d n²/2 numbers


class NotPacked(Exception):
    """The kernel, or a part of it, has no packed form."""


class Packed(Protocol):
    """A kernel over n rows, as a function of the raw vector (p,) of the free hyperparameters."""

    def value(self, vector: np.ndarray) -> np.ndarray:
        """Return k (n(n + 1)/2,), read-only for callers, and keep what derivatives at `vector` need."""
        ...

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        """Pullback: add Σ weight · ∂k/∂raw to `gradient` (p,)."""
        ...

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        """Pushforward: add (weight ∘ ∂K/∂raw_i) v to column i of `moves` (n, p), for each i."""
        ...


@dataclass(frozen=True, eq=False)
class Compiler:
    """Makes packed kernels; has the registered forms, and the place of each free raw parameter in the raw vector."""

    forms: Mapping[type[Kernel], Callable[["Compiler", Any, torch.Tensor], Packed]]
    places: dict[torch.Tensor, slice]
    used: dict[torch.Tensor, slice] = field(default_factory=dict)  # raw parameters of the kernel → their places

    def kernel(self, kernel: Kernel, x: torch.Tensor) -> Packed:
        """Return the packed kernel over x (n, d).  Raises NotPacked."""
        return self.of_active(kernel, active(kernel, x))

    def of_active(self, kernel: Kernel, x: torch.Tensor) -> Packed:
        """Return the packed kernel over its active columns x."""
        if type(kernel) not in self.forms:
            raise NotPacked
        return self.forms[type(kernel)](self, kernel, x)

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
    """A hyperparameter θ = factor · exp(power · raw); raw is fixed, or has a place in the raw vector."""

    place: slice | None
    fixed: np.ndarray
    power: float
    factor: float

    def at(self, vector: np.ndarray) -> np.ndarray:
        """Return θ (size,)."""
        raw: np.ndarray = self.fixed if self.place is None else vector[self.place]
        return self.factor * np.exp(self.power * raw)

    def add(self, total: np.ndarray, by_log: np.ndarray | float) -> None:
        """Add derivatives by log θ to `total` (p,) or (n, p), as derivatives by the raw parameter."""
        if self.place is not None:
            total[..., self.place] += self.power * by_log


def differences(x: torch.Tensor) -> np.ndarray:
    """Return x_i − x_k for each column and the pairs i ≥ k in packed order, (d, n(n + 1)/2)."""
    columns = x.numpy().T
    i, k = np.tril_indices(columns.shape[1])
    return columns[:, i] - columns[:, k]


def product(packed: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the product of a packed symmetric matrix and v (n,)."""
    # LAPACK stores by columns, so rows of this lower triangle are columns of LAPACK's upper one.
    multiplied: np.ndarray = blas.dspmv(len(v), 1.0, packed, v, lower=0)
    return multiplied


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """The matrix k(x, x) of n rows x at the current values of the tensors (gp.matrices.symmetric)."""

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
        """Yield (raw parameter, derivative of −½ log |C| − ½ rᵀC⁻¹r), given C⁻¹ and α = C⁻¹r."""
        weight, _ = lapack.dtrttp(inverse.T, uplo="U")
        np.negative(weight, out=weight)
        weight = blas.dspr(len(alpha), 1.0, alpha, weight, lower=0, overwrite_ap=1)  # ααᵀ − C⁻¹
        weight[np.cumsum(np.arange(1, len(alpha) + 1)) - 1] *= 0.5  # the others also count for their mirror images
        gradient = np.zeros(len(self.vector))
        self.compiled.pull(weight, gradient)
        return ((raw, gradient[place]) for raw, place in self.places.items())

    def products(self, alpha: np.ndarray) -> Gradients:
        """Yield (raw parameter, (∂K/∂raw_i) α of shape (n, size))."""
        moves = np.zeros((len(alpha), len(self.vector)), order="F")
        self.compiled.push(1.0, alpha, moves)
        return ((raw, moves[:, place]) for raw, place in self.places.items())
