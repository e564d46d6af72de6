"""The Cholesky factor of a matrix of any size, and the inverse computed from it, in place."""

import numpy as np
from scipy.linalg import blas, lapack

from ..parallel import lapack_threads
from ..spec import InputError
from .tiles import slices

# Up to this number of rows LAPACK factorises.  OpenBLAS's dsyrk, and therefore its dpotrf, crashes with two threads
# from about 15 500 rows on (on some machines later: OpenMathLib/OpenBLAS#2562, #2821).  Its matrix product, triangular
# solve and dpotri do not (tested up to n = 24 000).
LAPACK_ROWS = 8192
TILE = 2048


class NotPositiveDefinite(InputError):
    """The covariance matrix has no Cholesky factor at these hyperparameters."""


def factorise(matrix: np.ndarray) -> bool:
    """Overwrite the lower triangle of `matrix` (n, n), C-ordered, with its Cholesky factor; return whether it exists.

    Elements above the diagonal are not read.
    """
    with lapack_threads(len(matrix)):
        if len(matrix) > LAPACK_ROWS:
            return _by_tiles(matrix)
        # LAPACK's order is that of the transpose, so this lower triangle is LAPACK's upper one.
        return bool(lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=1)[1] == 0)


def invert(factor: np.ndarray) -> np.ndarray:
    """Overwrite L, the lower triangle of `factor` (n, n), with the inverse of L Lᵀ, and return `factor`."""
    with lapack_threads(len(factor)):
        inverse, _ = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
    return inverse.T


def inverse_diagonal(factor: np.ndarray) -> np.ndarray:
    """Return the diagonal (n,) of (L Lᵀ)⁻¹; L is the lower triangle of `factor` (n, n), which is not changed.

    [(L Lᵀ)⁻¹]_ii is the sum of squares of column i of X = L⁻¹.  X is computed TILE columns at a time by forward
    substitution, tile by tile.  This is half the work of `invert`, and needs no second n × n matrix.
    """
    parts, diagonal = list(slices(len(factor), TILE)), np.zeros(len(factor))
    with lapack_threads(len(factor)):
        for j, columns in enumerate(parts):
            # dtrtri does not set elements on the other side of the diagonal.
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
    """Return an estimate, from below, of the 2-norm condition number of L Lᵀ; L is the lower triangle of `factor`.

    It uses power and inverse iteration, and makes no array of the size of the matrix.
    """
    largest = smallest = np.random.default_rng(0).normal(size=len(factor))
    upper = factor.T  # LAPACK's order
    for _ in range(20):
        largest = blas.dtrmv(upper, blas.dtrmv(upper, largest / np.linalg.norm(largest)), trans=1)
        smallest = blas.dtrsv(upper, blas.dtrsv(upper, smallest / np.linalg.norm(smallest), trans=1))
    return float(np.linalg.norm(largest) * np.linalg.norm(smallest))


def _by_tiles(matrix: np.ndarray) -> bool:
    """Factorise tile by tile, each from the tiles to its left  (Golub & Van Loan 2013, sec. 4.2).

    SciPy's BLAS cannot work in place on a part of an array, so tiles are copied, one at a time to save memory.  They
    are transposed, which gives LAPACK's order.
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
