"""The log marginal likelihood at many levels of noise from one reduction of the kernel matrix.

K = Q T Qᵀ with T tridiagonal (LAPACK's dsytrd), so that K + s²I = Q (T + s²I) Qᵀ for every s: determinant and solve
then take O(n) for each level of noise, and Q never needs to be formed.  A reduction costs as much as about five
Cholesky factors.

Rows may be means of k of the data's rows (gp.model.repeats), with noise s²/k.  Multiplied by √k, they have noise s².
"""

import math

import numpy as np
import torch
from scipy.linalg import lapack

from ..matrices.symmetric import symmetric
from ..model.model import GaussianProcess
from ..parallel import one_thread
from .profile import Profile, least_squares


class Spectrum:
    """K reduced to T, with y − m and the mean's columns Φ turned by Qᵀ, at the model's current hyperparameters."""

    def __init__(self, gp: GaussianProcess, profile: Profile | None) -> None:
        self._n, self._total, self._profile, self._repeats = gp.n, gp.total, profile, gp.repeats
        self._share = gp.repeats.share if gp.repeats else np.ones(gp.n)
        with one_thread(), torch.no_grad():
            residual = gp.y.numpy() - gp.mean(gp.sites).numpy()
            design = profile.design if profile else np.zeros((gp.n, 0))
            turned, matrix = np.asfortranarray(np.column_stack([residual, design])), _matrix(gp)
            if gp.repeats:
                root = np.sqrt(self._share)
                turned /= root[:, None]
                matrix /= root[:, None]
                matrix /= root
            self._diagonal, self._beside, self._turned = _reduced(matrix, turned)
        self._residual, self._design = self._turned[:, 0], self._turned[:, 1:]

    def values(self, vectors: np.ndarray, noise_variances: np.ndarray) -> np.ndarray:
        """Return the log marginal likelihood (nats) of internal targets at each noise, (k,); −inf where there is none.

        Scale and mean coefficients are at their optimum where there is a profile; `vectors` (k, p) are the raw vectors
        with those noises, from which the scale moves.
        """
        k = len(vectors)
        pivots, solved = np.full((k, self._n), np.nan), np.zeros((k, *self._turned.shape))
        for j, variance in enumerate(noise_variances.tolist()):
            found, below, failed = lapack.dpttrf(self._diagonal + variance, self._beside)
            if not failed:
                pivots[j], solved[j] = found, lapack.dpttrs(found, below, self._turned)[0]
        # As an exact search does: a factor by rounding alone is none (gp.inference.exact).
        there = pivots.min(axis=1) > 10 * self._n * np.finfo(float).eps * pivots.max(axis=1)
        values = np.full(k, -math.inf)
        values[there] = self._values(vectors[there], noise_variances[there], pivots[there], solved[there])
        return values

    def _values(
        self, vectors: np.ndarray, noise_variances: np.ndarray, pivots: np.ndarray, solved: np.ndarray
    ) -> np.ndarray:
        alpha = solved[:, :, 0]
        quadratic = alpha @ self._residual
        if self._design.shape[1]:
            slopes, matrices = alpha @ self._design, self._design.T @ solved[:, :, 1:]
            changes = [least_squares(matrix, slope) for matrix, slope in zip(matrices, slopes, strict=True)]
            quadratic -= (slopes * np.array(changes).reshape(slopes.shape)).sum(axis=1)
        volume, within = np.log(pivots).sum(axis=1) + self._n * math.log(2 * math.pi), 0.0
        if self._repeats:
            noise = noise_variances[:, None] * self._share
            quadratic += (self._repeats.scatter / noise).sum(axis=1)
            within = self._repeats.log_density(noise, np.zeros(self._n)).sum(axis=1)
            volume += np.log(self._share).sum()
        shifts = self._profile.log_scales(vectors, quadratic, self._total) if self._profile else np.zeros(len(vectors))
        values: np.ndarray = within - 0.5 * (quadratic * np.exp(-shifts) + volume + self._total * shifts)
        return values


def _matrix(gp: GaussianProcess) -> np.ndarray:
    """Return the kernel matrix (n, n), its lower triangle filled, in LAPACK's order."""
    parameters = gp.parameters
    kernel = symmetric(gp.kernel, gp.sites, parameters.vector, lambda: parameters.places, gp.workspace)
    return np.asfortranarray(kernel.covariance(np.zeros(gp.n)))


def _reduced(matrix: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return T's diagonal (n,) and what is beside it (n − 1,), and Qᵀ `columns` (n, m); both are overwritten."""
    n = len(matrix)
    if n == 1:
        return matrix[0], np.zeros(1), columns  # LAPACK's wrappers want an element, which is not read
    work = int(lapack.dsytrd_lwork(n, lower=1)[0])
    reduced, diagonal, beside, tau, _ = lapack.dsytrd(matrix, lower=1, lwork=work, overwrite_a=1)
    # Q leaves the first element; on the others it is a product of reflectors as that of a QR factorisation.
    reflectors = np.asfortranarray(reduced[1:, :-1])
    columns[1:] = lapack.dormqr("L", "T", reflectors, tau, np.asfortranarray(columns[1:]), 64 * columns.shape[1])[0]
    return diagonal, beside, columns
