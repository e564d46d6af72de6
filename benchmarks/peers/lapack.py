"""The LAPACK calls that no exact Gaussian process can avoid, and nothing else: the unit of the tables."""

import numpy as np
from scipy.linalg import blas, lapack

from benchmarks.peers.protocol import Call, Problem, serve


def evaluation(problem: Problem) -> Call:
    """Return dpotrf + dpotri of a well-conditioned n×n matrix, in place."""
    n = len(problem.x)
    factor = np.random.default_rng(0).standard_normal((n, min(n, 500)))
    matrix = np.asfortranarray(factor @ factor.T / n + np.eye(n))

    def call(i: int) -> dict[str, float]:
        # In place, without a copy that would be measured too: the inverse is positive definite as well, so that calls
        # take the matrix to its inverse and back.
        factorised, info = lapack.dpotrf(matrix, lower=0, clean=0, overwrite_a=1)
        lapack.dpotri(factorised, lower=0, overwrite_c=1)
        return {"value": float(info)}

    return call


def prediction(problem: Problem) -> Call:
    """Return the triangular solves L⁻¹k of all new points, by blocks of 1000."""
    n, m = len(problem.x), len(problem.x_new)
    factor = np.asfortranarray(np.eye(n) + np.tri(n) / n)
    block = np.asfortranarray(np.ones((n, 1000)))

    def call(i: int) -> dict[str, float]:
        for start in range(0, m, 1000):
            blas.dtrsm(1.0, factor, block[:, : min(1000, m - start)], lower=1, overwrite_b=1)
        return {"value": float(block[0, 0])}

    return call


if __name__ == "__main__":
    # A fit is counted in evaluations' units.
    serve({"evaluation": evaluation, "fit": evaluation, "prediction": prediction}, ("scipy", "numpy"))
