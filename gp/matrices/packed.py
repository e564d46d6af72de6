"""Kernel matrices of few rows, packed: the lower triangle as one vector, row by row.

Where rows are few, calls of Python and torch cost more than arithmetic does.  Here a kernel is compiled once for its
inputs, whose differences are kept; at each setting of the hyperparameters only vectors of n(n + 1)/2 elements are left
to compute.  An extra, as gp.matrices.algebra is: a kernel that `PACKED` (gp.matrices.packed_forms) does not name is not
packed, nor is one whose raw parameters are not logs.
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
    """What packed kernels are made from: the forms there are, each free raw parameter's place in the raw vector."""

    forms: Mapping[type[Kernel], Callable[["Compiler", Any, torch.Tensor], Packed]]
    places: dict[torch.Tensor, slice]
    used: dict[torch.Tensor, slice] = field(default_factory=dict)  # those that the kernel has

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


def differences(x: torch.Tensor) -> np.ndarray:
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
