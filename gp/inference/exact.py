"""Exact inference: the marginal likelihood and its gradient at the cost of one Cholesky factor and one inverse.

K is filled by blocks of rows into one n×n buffer, factorised in place, inverted in place, and
∂L/∂K = ½(ααᵀ − K⁻¹)  (R&W 2006 eq. 5.9) goes back through the kernel block by block: no second n×n matrix is kept.
Only the lower triangle is ever computed.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import blas, lapack

from gp.models import GaussianProcess
from gp.spec import InputError, Spec

BLOCK = 512  # rows of K computed at a time


class NotPositiveDefinite(ArithmeticError):
    """The covariance matrix has no Cholesky factor at these hyperparameters."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Marginal posterior in internal units at m inputs: `mean` (m,), `variance` (m,) of the function, and of each term."""

    mean: np.ndarray
    variance: np.ndarray
    terms: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


class Exact(Spec):
    """The exact Gaussian process: Cholesky in float64, no jitter, no approximation."""

    kind: Literal["exact"] = "exact"

    def check(self, n: int) -> None:
        """Raise InputError where n rows need more memory than this machine has."""
        needed, available = 1.2 * 8 * n**2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > available:
            raise InputError(
                f"exact inference over n={n} rows needs {needed / 2**30:.1f} GiB, and this machine has "
                f"{available / 2**30:.1f} GiB: fit a subset of the rows"
            )

    def evaluate(self, gp: GaussianProcess, *, gradient: bool = True) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets (nats), and its gradient by the raw vector.

        R&W 2006 Alg. 2.1 and eq. 5.9.  Raises NotPositiveDefinite.
        """
        factor, alpha, residual = _factorise(gp)
        # K = L Lᵀ, so log |K| = 2 Σ log L_ii.
        value = -0.5 * residual @ alpha - np.log(np.diagonal(factor)).sum() - 0.5 * gp.n * np.log(2 * np.pi)
        if not gradient:
            return float(value), np.zeros(0)
        inverse, info = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
        _pull_back(gp, inverse.T, alpha)
        return float(value), gp.parameters.gradient()

    def condition(self, gp: GaussianProcess) -> "ExactPosterior":
        """Return the posterior at the model's current hyperparameters.  Raises NotPositiveDefinite."""
        factor, alpha, _ = _factorise(gp)
        return ExactPosterior(gp, factor, alpha)


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior of an exact GP: the lower Cholesky factor of K + noise (n, n) and α = (K + noise)⁻¹(y − m) (n,)."""

    gp: GaussianProcess
    factor: np.ndarray
    alpha: np.ndarray

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (R&W 2006 Alg. 2.1, lines 4–6)."""
        kernels = {"": self.gp.kernel, **self.gp.terms}
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in kernels}
        with torch.no_grad():
            for rows in _blocks(len(x), max(1, min(2048, 4_000_000 // self.gp.n))):
                for name, kernel in kernels.items():
                    parts[name].append(self._marginal(kernel, x[rows]))
            prior_mean = self.gp.mean(x).numpy()
        joined = {name: tuple(map(np.concatenate, zip(*blocks, strict=True))) for name, blocks in parts.items()}
        mean, variance = joined.pop("")
        return Moments(prior_mean + mean, variance, joined)

    def _marginal(self, kernel: Kernel, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return k(x, X)α and diag(k(x, x) − k(x, X)(K + noise)⁻¹k(X, x)) for `kernel`, each (m,)."""
        cross = kernel(x, self.gp.x).to_dense().numpy()
        prior = kernel(x, diag=True).numpy()
        mean = cross @ self.alpha
        whitened = blas.dtrsm(1.0, self.factor.T, cross.T, lower=0, trans_a=1, overwrite_b=1)
        variance = prior - np.einsum("ij,ij->j", whitened, whitened)
        if (variance < -1e-6 * prior).any():
            raise ArithmeticError(
                "the posterior variance came out negative: the covariance matrix is too close to singular; "
                "raise model.noise.sd or remove nearly equal inputs"
            )
        return mean, np.maximum(variance, 0.0)  # what is left below zero is rounding


def _factorise(gp: GaussianProcess) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower Cholesky factor of K + noise (in a buffer's lower triangle), α and y − m."""
    with torch.no_grad():
        covariance = _covariance(gp)
        residual = (gp.y - gp.mean(gp.x)).numpy()
    # The buffer is C-ordered: its transpose is LAPACK's own order, and its lower triangle LAPACK's upper one.
    factor, info = lapack.dpotrf(covariance.T, lower=0, clean=0, overwrite_a=1)  # R&W Alg. 2.1, line 2
    if info != 0 or not np.isfinite(np.diagonal(factor)).all():
        raise NotPositiveDefinite
    alpha, _ = lapack.dpotrs(factor, residual, lower=0)  # line 3
    return factor.T, alpha, residual


def _covariance(gp: GaussianProcess) -> np.ndarray:
    """Return K + noise, its lower triangle filled."""
    covariance = np.empty((gp.n, gp.n))
    for rows in _blocks(gp.n, BLOCK):
        # Two calls, since only where both sides are the same rows are distances of zero exactly zero.
        covariance[rows, : rows.start] = gp.kernel(gp.x[rows], gp.x[: rows.start]).to_dense().numpy()
        covariance[rows, rows] = gp.kernel(gp.x[rows]).to_dense().numpy()
    covariance[np.diag_indices(gp.n)] += gp.noise(gp.x).numpy()
    return covariance


def _pull_back(gp: GaussianProcess, inverse: np.ndarray, alpha: np.ndarray) -> None:
    """Add the gradient of the log marginal likelihood to the model's tensors, given K⁻¹ in a lower triangle, and α."""
    for rows in _blocks(gp.n, BLOCK):
        if rows.start:  # below the diagonal every element stands for its mirror image too: 2 · ½
            weight = np.outer(alpha[rows], alpha[: rows.start]) - inverse[rows, : rows.start]
            _backward(gp.kernel(gp.x[rows], gp.x[: rows.start]).to_dense(), weight)
        lower = np.tril(np.outer(alpha[rows], alpha[rows]) - inverse[rows, rows])
        _backward(gp.kernel(gp.x[rows]).to_dense(), lower - 0.5 * np.diag(np.diagonal(lower)))
    _backward(gp.noise(gp.x), 0.5 * (alpha**2 - np.diagonal(inverse)))
    _backward(gp.mean(gp.x), alpha)


def _backward(value: torch.Tensor, weight: np.ndarray) -> None:
    if value.requires_grad:
        value.backward(torch.from_numpy(weight))


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
