"""The Cholesky factor of a matrix of any size, and the inverse from it, in place."""

import numpy as np
from scipy.linalg import blas, lapack

from gp.matrices.tiles import slices
from gp.parallel import lapack_threads
from gp.spec import InputError

# Rows up to which LAPACK does it.  OpenBLAS's dsyrk, and so its dpotrf, crashes with two threads from 15 500 rows or
# so, on some machines later (OpenMathLib/OpenBLAS#2562, #2821); its matrix product, triangular solve and dpotri do not
# (seen up to n = 24 000).
LAPACK_ROWS = 8192
TILE = 2048


class NotPositiveDefinite(InputError):
    """The covariance matrix has no Cholesky factor at these hyperparameters."""


def factorise(matrix: np.ndarray) -> bool:
    """Put the Cholesky factor into the lower triangle of `matrix` (n, n), C-ordered; return whether there is one.

    What is above the diagonal is not read.
    """
    with lapack_threads(len(matrix)):
        if len(matrix) > LAPACK_ROWS:
            return _by_tiles(matrix)
        # C-ordered: the transpose is LAPACK's own order, the lower triangle LAPACK's upper one.
        return bool(lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=1)[1] == 0)


def invert(factor: np.ndarray) -> np.ndarray:
    """Return the inverse of L Lᵀ in the lower triangle of `factor` (n, n), whose L it overwrites."""
    with lapack_threads(len(factor)):
        inverse, _ = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
    return inverse.T


def inverse_diagonal(factor: np.ndarray) -> np.ndarray:
    """Return the diagonal (n,) of (L Lᵀ)⁻¹, L in the lower triangle of `factor` (n, n), which is kept.

    [(L Lᵀ)⁻¹]_ii is the sum of squares down column i of X = L⁻¹.  X is made TILE columns at a time by forward
    substitution, tile by tile: half the work of `invert`, and no second n×n matrix.
    """
    parts, diagonal = list(slices(len(factor), TILE)), np.zeros(len(factor))
    with lapack_threads(len(factor)):
        for j, columns in enumerate(parts):
            # dtrtri leaves what was beyond the diagonal, which may be anything.
            upper = lapack.dtrtri(np.ascontiguousarray(factor[columns, columns]).T, lower=0)[0]
            above = [np.asfortranarray(np.triu(upper).T)]
            for rows in parts[j + 1 :]:
                tile = np.zeros_like(above[0], shape=(rows.stop - rows.start, columns.stop - columns.start))
                for left, known in zip(parts[j:], above, strict=False):
                    a = np.ascontiguousarray(factor[rows, left]).T
                    tile = blas.dgemm(-1.0, a, known, beta=1.0, c=tile, trans_a=1, overwrite_c=1)
                a = np.ascontiguousarray(factor[rows, rows]).T
                above.append(blas.dtrsm(1.0, a, tile, lower=0, trans_a=1, overwrite_b=1))
            diagonal[columns] = sum(np.einsum("ij,ij->j", tile, tile) for tile in above)
    return diagonal


def condition_number(factor: np.ndarray) -> float:
    """Return an estimate, from below, of the 2-norm condition number of L Lᵀ, L in the lower triangle of `factor`.

    By power and inverse iteration; nothing of the matrix's size is made.
    """
    largest = smallest = np.random.default_rng(0).normal(size=len(factor))
    upper = factor.T  # LAPACK's own order
    for _ in range(20):
        largest = blas.dtrmv(upper, blas.dtrmv(upper, largest / np.linalg.norm(largest)), trans=1)
        smallest = blas.dtrsv(upper, blas.dtrsv(upper, smallest / np.linalg.norm(smallest), trans=1))
    return float(np.linalg.norm(largest) * np.linalg.norm(smallest))


def _by_tiles(matrix: np.ndarray) -> bool:
    """Factorise tile by tile, each from those to its left  (Golub & Van Loan 2013, sec. 4.2).

    Tiles are copied, as SciPy's BLAS takes no part of an array in place, one by one, so that memory does not grow; they
    are transposed, which makes them LAPACK's own order.
    """
    parts = list(slices(len(matrix), TILE))
    for j, columns in enumerate(parts):
        factor = np.empty(0)
        for rows in parts[j:]:
            tile = np.ascontiguousarray(matrix[rows, columns]).T
            for left in parts[:j]:
                a, b = (np.ascontiguousarray(matrix[part, left]).T for part in (columns, rows))
                tile = blas.dgemm(-1.0, a, b, beta=1.0, c=tile, trans_a=1, overwrite_c=1)
            if rows == columns:
                factor, info = lapack.dpotrf(tile, lower=0, clean=0)
                if info != 0:
                    return False
                matrix[rows, columns] = factor.T
            else:
                matrix[rows, columns] = blas.dtrsm(1.0, factor, tile, lower=0, trans_a=1, overwrite_b=1).T
    return True
