"""The Cholesky factor by tiles, beside LAPACK's."""

import numpy as np
import pytest

from gp.matrices import cholesky
from gp.matrices.cholesky import LAPACK_ROWS, factorise, inverse_diagonal, invert

RNG = np.random.default_rng(0)


def covariance(n):
    x = RNG.uniform(size=(n, 1))
    return np.exp(-0.5 * ((x - x.T) / 0.1) ** 2) + 0.01 * np.eye(n)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(cholesky, "LAPACK_ROWS", 0)
    monkeypatch.setattr(cholesky, "TILE", 32)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100, 128])
def test_tiles_give_the_factor(small, n):
    matrix = covariance(n)
    given = matrix + np.triu(np.full((n, n), np.nan), 1)  # what is above the diagonal is not read
    assert factorise(given)
    np.testing.assert_allclose(np.tril(given), np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-12)


def test_the_inverse_is_that_of_the_matrix():
    matrix = covariance(60)
    factor = matrix.copy()
    assert factorise(factor)
    expected = np.linalg.inv(matrix)
    np.testing.assert_allclose(np.tril(invert(factor)), np.tril(expected), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100, 128])
def test_the_diagonal_of_the_inverse_keeps_the_factor(small, n):
    matrix = covariance(n)
    factor = matrix + np.triu(np.full((n, n), np.nan), 1)
    assert factorise(factor)
    before = factor.copy()
    np.testing.assert_allclose(inverse_diagonal(factor), np.diagonal(np.linalg.inv(matrix)), rtol=1e-9)
    np.testing.assert_array_equal(factor, before)


@pytest.mark.parametrize("row", [0, 40, 99])
def test_a_matrix_without_a_factor_is_told(small, row):
    matrix = covariance(100)
    matrix[row, row] = -1.0
    assert not factorise(matrix)


def test_a_matrix_without_a_factor_is_told_by_lapack_too():
    matrix = covariance(100)
    matrix[40, 40] = -1.0
    assert not factorise(matrix)


def test_lapack_never_gets_so_many_rows_that_openblas_would_crash(monkeypatch):
    assert LAPACK_ROWS < 15_500  # from where on it does, with two threads
    monkeypatch.setattr(cholesky, "LAPACK_ROWS", 100)
    monkeypatch.setattr(cholesky, "TILE", 32)
    sizes, dpotrf = [], cholesky.lapack.dpotrf
    monkeypatch.setattr(cholesky.lapack, "dpotrf", lambda a, **options: sizes.append(len(a)) or dpotrf(a, **options))
    assert factorise(covariance(100))
    assert factorise(covariance(101))  # from here on no call gets more than a tile, however many rows there are
    assert sizes == [100, 32, 32, 32, 5]
