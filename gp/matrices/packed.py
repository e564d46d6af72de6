"""Kernel matrices of few rows, packed: the lower triangle as one vector, in the order of gp.matrices.rfp.

With few rows, calls of Python and torch cost more than the arithmetic.  Here a kernel is compiled once for its inputs,
and the squared differences of inputs are kept.  At each setting of the hyperparameters, only vectors of n(n + 1)/2
elements must be computed.  Packed forms are optional, like those of gp.matrices.algebra: a kernel is not packed if it
is not in `PACKED` (gp.matrices.packed_forms), or if its raw parameters are not logs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ..model.kernels.leaf import LogConstraint
from . import rfp
from .tiles import Gradients, active

FEW = 512  # up to this number of rows a kernel is packed
KEPT = 2**20  # numbers that squared differences may take: more would not stay in a core's caches


_ONE = np.ones(1)


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

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        """Pushforward: add (weight ∘ ∂K/∂raw_i) v to column i of `moves` (n, p), for each i."""
        ...


@dataclass(frozen=True, eq=False)
class Compiler:
    """Makes packed kernels; has the registered forms, and the place of each free raw parameter in the raw vector."""

    forms: Mapping[type[Kernel], Callable[["Compiler", Any, torch.Tensor], Packed]]
    places: dict[torch.Tensor, slice]
    used: dict[torch.Tensor, slice] = field(default_factory=dict)  # raw parameters of the kernel → their places
    kept: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # inputs, their squared differences

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
        return self.log_of(raw, constraint.power, constraint.factor)

    def log_of(self, raw: torch.Tensor, power: float = 1.0, factor: float = 1.0) -> "Hyper":
        """Return the hyperparameter factor · exp(power · raw)."""
        if raw in self.places:
            self.used[raw] = self.places[raw]
        return Hyper(self.places.get(raw), raw.detach().numpy().reshape(-1).copy(), power, factor)

    def squares(self, x: torch.Tensor, *, summed: bool) -> np.ndarray:
        """Return (x_i − x_k)² of each pair, (d, n(n + 1)/2), or summed over columns, (1, n(n + 1)/2).

        Kernels of the same columns share them.  Raises NotPacked where they would take too much memory.
        """
        columns = np.ascontiguousarray(x.numpy().T)
        size = 1 if summed else len(columns)
        for inputs, known in self.kept:
            if len(known) == size and np.array_equal(inputs, columns):
                return known
        i, k = rfp.pairs(len(x))
        if sum(known.size for _, known in self.kept) + size * len(i) > KEPT:
            raise NotPacked
        squares = np.zeros((size, len(i)))
        for j, column in enumerate(columns):
            squares[0 if summed else j] += (column[i] - column[k]) ** 2
        self.kept.append((columns, squares))
        return squares


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


class PackedMatrix:
    """k(x, x) + diag(noise) of n rows x at the current values of the tensors (gp.matrices.symmetric)."""

    def __init__(self, compiled: Packed, places: dict[torch.Tensor, slice], vector: np.ndarray, n: int) -> None:
        self._compiled, self._places, self._vector, self._n = compiled, places, vector, n
        self._elements = np.empty(0)  # of the matrix, then of its factor, then of its inverse

    def factorise(self, noise: np.ndarray) -> bool:
        """Make the matrix and its Cholesky factor; return whether it exists."""
        self._fill(noise)
        return rfp.factorise(self._elements, self._n)

    @property
    def pivots(self) -> np.ndarray:
        """Return the diagonal of the factor, (n,)."""
        return self._elements[rfp.diagonal(self._n)]

    def solve(self, columns: np.ndarray) -> np.ndarray:
        """Return the inverse times `columns` (n, k), by the factor."""
        return rfp.solve(self._elements, columns)

    def lower(self) -> np.ndarray:
        """Return the factor L (n, n), in C order; what is above the diagonal is not set."""
        return rfp.whole(self._elements, self._n).T

    def covariance(self, noise: np.ndarray) -> np.ndarray:
        """Return the matrix itself (n, n), its lower triangle, in C order."""
        self._fill(noise)
        return self.lower()

    def invert(self) -> np.ndarray:
        """Overwrite the factor by the inverse; return the inverse's diagonal, (n,)."""
        rfp.invert(self._elements, self._n)
        return self.pivots

    def subtract(self, columns: np.ndarray) -> None:
        """Subtract `columns` columnsᵀ, (n, k) each, from the inverse, after `invert`."""
        for column in columns.T:
            self._elements = -rfp.outer_less(np.ascontiguousarray(column), self._elements)

    def times(self, columns: np.ndarray) -> np.ndarray:
        """Return the inverse times `columns` (n, k), after `invert`."""
        return rfp.products(self._elements, columns)

    def pull(self, alpha: np.ndarray) -> Gradients:
        """Yield (raw parameter, derivative of −½ log |C| − ½ rᵀC⁻¹r), given α = C⁻¹r, after `invert`."""
        weight = rfp.outer_less(alpha, self._elements.copy())  # ααᵀ − C⁻¹
        weight[rfp.diagonal(self._n)] *= 0.5  # the others also count for their mirror images
        gradient = np.zeros(len(self._vector))
        self._compiled.pull(weight, gradient)
        return ((raw, gradient[place]) for raw, place in self._places.items())

    def products(self, alpha: np.ndarray) -> Gradients:
        """Yield (raw parameter, (∂K/∂raw_i) α of shape (n, size))."""
        moves = np.zeros((len(alpha), len(self._vector)), order="F")
        self._compiled.push(_ONE, alpha, moves)
        return ((raw, moves[:, place]) for raw, place in self._places.items())

    def _fill(self, noise: np.ndarray) -> None:
        self._elements = self._compiled.value(self._vector).copy()
        self._elements[rfp.diagonal(self._n)] += noise
