"""The covariance matrix of the training rows: its factor, its inverse, and its derivatives in both modes."""

from typing import Any, Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import blas

from .algebra import closed_form
from .cholesky import factorise, invert
from .packed import FEW, Compiler, NotPacked, PackedMatrix
from .packed_forms import PACKED
from .tiles import TILE, Blocks, Gradients, Kept, lower_tiles

KEPT = 1000  # up to this number of rows tiles of K are kept; beyond, allocating memory costs more than computing twice


class Symmetric(Protocol):
    """The matrix C = k(x, x) + diag(noise) of n rows x, at one setting of the hyperparameters.

    It is first factorised and then inverted, each in place of what was before.
    """

    def factorise(self, noise: np.ndarray) -> bool:
        """Make the matrix, with `noise` (n,), and its Cholesky factor L; return whether it exists."""
        ...

    @property
    def pivots(self) -> np.ndarray:
        """Return the diagonal of L, (n,)."""
        ...

    def solve(self, columns: np.ndarray) -> np.ndarray:
        """Return C⁻¹ `columns` (n, k), by the factor."""
        ...

    def lower(self) -> np.ndarray:
        """Return L (n, n), in C order; what is above the diagonal is not to be read."""
        ...

    def covariance(self, noise: np.ndarray) -> np.ndarray:
        """Return C itself, (n, n) in C order, its lower triangle, instead of factorising it."""
        ...

    def invert(self) -> np.ndarray:
        """Overwrite the factor by C⁻¹, and return its diagonal, (n,)."""
        ...

    def subtract(self, columns: np.ndarray) -> None:
        """Subtract `columns` columnsᵀ, (n, k) each, from C⁻¹, after `invert`; `pull` then takes what is left for it."""
        ...

    def times(self, columns: np.ndarray) -> np.ndarray:
        """Return C⁻¹ `columns` (n, k), after `invert`."""
        ...

    def pull(self, alpha: np.ndarray) -> Gradients:
        """Yield (leaf of autograd's graph, derivative of −½ log |C| − ½ rᵀC⁻¹r), given α = C⁻¹r (n,), after `invert`.

        R&W 2006 eq. 5.9: ∂/∂C is ½ (ααᵀ − C⁻¹).  Gradients that autograd computes itself are added to the tensors
        directly, and not yielded.
        """
        ...

    def products(self, alpha: np.ndarray) -> Gradients:
        """Yield (raw parameter, (∂K/∂raw_i) α of shape (n, size))."""
        ...


def symmetric(kernel: Kernel, x: torch.Tensor, vector: np.ndarray, places: Any, workspace: dict[str, Any]) -> Symmetric:
    """Return the matrix of k(x, x): packed if rows are few and the kernel has a packed form, else by tiles.

    `vector` is the kernel's current raw vector; `places` returns raw parameter → place in it.  The compiled kernel is
    kept in `workspace`.  Nodes (n, q, d) of means along steps have no packed form.
    """
    if len(x) <= FEW and x.dim() == 2:
        if "packed" not in workspace:
            compiler = Compiler(PACKED, places())
            try:
                workspace["packed"] = compiler.used, compiler.kernel(kernel, x)
            except NotPacked:
                workspace["packed"] = None
        if workspace["packed"]:
            known, compiled = workspace["packed"]
            return PackedMatrix(compiled, known, vector, len(x))
    return Tiled(closed_form(kernel, x, x), len(x))


class Tiled:
    """The matrix tile by tile: with many rows, no second n × n matrix is made.

    `factor` (n, n) is its Cholesky factor, in C order, where that is known.
    """

    def __init__(self, blocks: Blocks, n: int, factor: np.ndarray | None = None) -> None:
        # Tiles are kept for derivatives, so only if there will be any.
        self._blocks: Blocks = Kept(blocks) if n <= KEPT and torch.is_grad_enabled() else blocks
        self._n = n
        self._matrix = (
            np.empty((0, 0)) if factor is None else factor
        )  # C, then L, then C⁻¹: the lower triangle, in C order

    def factorise(self, noise: np.ndarray) -> bool:
        self._matrix = self.covariance(noise)
        return factorise(self._matrix)

    @property
    def pivots(self) -> np.ndarray:
        return np.diagonal(self._matrix)

    def solve(self, columns: np.ndarray) -> np.ndarray:
        upper = self._matrix.T  # in LAPACK's own order, where the lower triangle is the upper one
        # For few columns a third of dpotrs's time, which is made for many.
        solved = [blas.dtrsv(upper, blas.dtrsv(upper, column, lower=0, trans=1), lower=0) for column in columns.T]
        return np.array(solved).reshape(columns.T.shape).T

    def lower(self) -> np.ndarray:
        return self._matrix

    def covariance(self, noise: np.ndarray) -> np.ndarray:
        covariance = np.empty((self._n, self._n))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._n <= KEPT):
            for tile in lower_tiles(self._n):
                covariance[tile], _ = self._blocks.block(*tile)
        covariance.flat[:: self._n + 1] += noise
        return covariance

    def invert(self) -> np.ndarray:
        self._matrix = invert(self._matrix)
        return np.diagonal(self._matrix)

    def subtract(self, columns: np.ndarray) -> None:
        blas.dsyrk(-1.0, columns, beta=1.0, c=self._matrix.T, lower=0, overwrite_c=1)

    def times(self, columns: np.ndarray) -> np.ndarray:
        multiplied: np.ndarray = blas.dsymm(1.0, self._matrix.T, columns, lower=0)
        return multiplied

    def pull(self, alpha: np.ndarray) -> Gradients:
        column = alpha[:, None]
        for rows, columns in lower_tiles(self._n):
            # ααᵀ − C⁻¹, without ½, because an element below the diagonal also counts for its mirror image.
            weight = self._matrix[rows, columns].copy()
            blas.dgemm(1.0, column[columns], column[rows], beta=-1.0, c=weight.T, trans_b=1, overwrite_c=1)
            if rows == columns:
                weight *= _LOWER[: len(weight), : len(weight)]
            _, derivative = self._blocks.block(rows, columns)
            derivative.pull(weight, 1.0)
        return self._blocks.gradients()

    def products(self, alpha: np.ndarray) -> Gradients:
        for rows, columns in lower_tiles(self._n):
            value, derivative = self._blocks.block(rows, columns)
            derivative.push(_ONES[: value.shape[0], : value.shape[1]], 1.0, alpha)
        return self._blocks.products()


_ONES = np.ones(TILE)
# How often each element of a tile on the diagonal counts.
_LOWER = np.tril(np.ones((TILE[0], TILE[0]))) - 0.5 * np.eye(TILE[0])
