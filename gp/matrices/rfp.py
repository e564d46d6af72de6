"""Symmetric and triangular matrices of few rows in LAPACK's rectangular full packed format (RFP).

RFP holds one triangle of an n×n matrix in n(n + 1)/2 numbers without gaps, which elementwise functions run over, and in
an order in which LAPACK's blocked routines work as fast as on a whole matrix (Gustavson et al. 2010, ACM TOMS 37(2)).
OpenBLAS inverts in it a quarter faster than in place in a whole matrix of 100 to 500 rows.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

_HOW: dict[str, Any] = {"transr": "T", "uplo": "U"}  # the fastest of the four orders


@lru_cache(maxsize=8)
def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row i and column k ≤ i of the element at each place, (n(n + 1)/2,) each."""
    numbers = np.asfortranarray(np.arange(n * n, dtype=float).reshape(n, n))  # i n + k at row i and column k
    k, i = np.divmod(lapack.dtrttf(numbers.T, **_HOW)[0].astype(np.intp), n)
    return np.maximum(i, k), np.minimum(i, k)


@lru_cache(maxsize=8)
def diagonal(n: int) -> np.ndarray:
    """Return the place of each element of the diagonal, (n,)."""
    i, k = pairs(n)
    places = np.flatnonzero(i == k)
    return places[np.argsort(i[places])]


def packed(matrix: np.ndarray) -> np.ndarray:
    """Return the upper triangle of a `matrix` (n, n) in LAPACK's order (the lower one of its transpose), packed."""
    elements: np.ndarray = lapack.dtrttf(matrix, **_HOW)[0]
    return elements


def whole(elements: np.ndarray, n: int) -> np.ndarray:
    """Return the matrix (n, n) in LAPACK's order, only its upper triangle set."""
    matrix: np.ndarray = lapack.dtfttr(n, elements, **_HOW)[0]
    return matrix


def factorise(elements: np.ndarray, n: int) -> bool:
    """Overwrite a matrix by its Cholesky factor, the transpose of its lower one; return whether it exists."""
    return bool(lapack.dpftrf(n, elements, overwrite_a=1, **_HOW)[1] == 0)


def solve(factor: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the inverse times `columns` (n, k)."""
    solved: np.ndarray = lapack.dpftrs(len(columns), factor, columns, **_HOW)[0]
    return solved


def invert(factor: np.ndarray, n: int) -> None:
    """Overwrite a Cholesky factor by the inverse of its matrix."""
    lapack.dpftri(n, factor, overwrite_a=1, **_HOW)


def outer_less(vector: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """Return v vᵀ less a matrix, for a `vector` v (n,); `elements` are overwritten."""
    less: np.ndarray = lapack.dsfrk(len(vector), 1, 1.0, vector[:, None], -1.0, elements, overwrite_c=1, **_HOW)
    return less


def product(elements: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix times v (n,)."""
    multiplied: np.ndarray = blas.dsymv(1.0, whole(elements, len(v)), v, lower=0)
    return multiplied


def products(elements: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix times `columns` (n, k)."""
    multiplied: np.ndarray = blas.dsymm(1.0, whole(elements, len(columns)), columns, lower=0)
    return multiplied
