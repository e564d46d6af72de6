"""K + noise, factorised once: the exact likelihood, its gradient, the posterior and leave-one-out all come from it.

K is filled tile by tile into one n×n buffer and factorised in place; of K only the lower triangle is ever computed.
Where rows are many, no second n×n matrix is made: the gradient overwrites the factor by the inverse, and leave-one-out
needs only the inverse's diagonal.  LAPACK is SciPy's.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import blas

from gp.inference.method import Moments, moments_of_terms, positive_part, without_factor
from gp.matrices.algebra import closed_form
from gp.matrices.cholesky import NotPositiveDefinite, condition_number, factorise, inverse_diagonal, invert
from gp.matrices.symmetric import Symmetric, symmetric
from gp.matrices.tiles import TILE, add_gradient, slices
from gp.model.model import GaussianProcess
from gp.parallel import keep_freed_memory, lapack_threads, one_thread

ROWS = 1024  # predicted at a time

keep_freed_memory()


@dataclass(frozen=True, eq=False)
class Solved:
    """A model conditioned on its rows: the lower Cholesky factor L of K + noise (n, n), and what follows from it.

    `residual` is y − m (n,) and `alpha` (K + noise)⁻¹(y − m) (n,).  Of `factor`, what is above the diagonal is not
    read.  Where rows are means of the data's (gp.model.repeats), `scatter` (n,) is theirs about these.  The tensors
    `noise` (n,) and `excess` are within autograd's graph where gradients are wanted and have no closed form.
    """

    gp: GaussianProcess
    kernel: Symmetric
    noise: torch.Tensor
    excess: torch.Tensor | None  # of the bound that the noise variance stands for, if any
    factor: np.ndarray
    log_determinant: float
    residual: np.ndarray
    alpha: np.ndarray
    scatter: np.ndarray | None

    @property
    def within_groups(self) -> float:
        """Return what rows add to the quadratic form by their scatter about the means of groups, (y − ȳ)²/noise."""
        return 0.0 if self.scatter is None else float((self.scatter / self.noise.detach().numpy()).sum())

    @property
    def log_likelihood(self) -> float:
        """Return log p(y | x) of the internal targets in nats  (R&W 2006 Alg. 2.1, line 7)."""
        fit = float(self.residual @ self.alpha)
        value = -0.5 * fit - 0.5 * self.log_determinant - 0.5 * self.gp.n * math.log(2 * math.pi)
        if self.gp.repeats and self.scatter is not None:
            value += float(self.gp.repeats.log_density(self.noise.detach().numpy(), self.scatter).sum())
        return value + (0.0 if self.excess is None else self.excess.item())

    @cached_property
    def condition_number(self) -> float:
        """Return an estimate, from below, of the condition number of K + noise."""
        return condition_number(self.factor)

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (R&W 2006 Alg. 2.1, lines 4–6)."""
        return moments_of_terms(
            self.gp, x, lambda kernels: {name: self._marginals(kernel, x) for name, kernel in kernels.items()}
        )

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the data's rows: y − noise · α, as (K + noise) α = y − m."""
        fitted: np.ndarray = self.gp.y.numpy() - self.noise.detach().numpy() * self.alpha
        return fitted[self.gp.repeats.group] if self.gp.repeats else fitted

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, in internal units, its noise included.

        mean_i = y_i − α_i/[K⁻¹]_ii and variance_i = 1/[K⁻¹]_ii  (R&W 2006 eq. 5.12), K being that of the data's rows.
        Of rows with the same inputs (gp.model.repeats) these follow from α and [K⁻¹]_jj of their group, whose mean's
        noise is s: α_i = (α + (y_i − ȳ)/s)/r and [K⁻¹]_ii = (1 − (1 − s [K⁻¹]_jj)/r)/(r s).
        """
        alpha, repeats = self.alpha, self.gp.repeats
        with one_thread(), torch.no_grad():
            precision, noise = inverse_diagonal(self.factor), self.noise.numpy()
            new = self.gp.noise(self.gp.x).numpy()
        if repeats:
            group, ratio = repeats.group, repeats.ratio
            mean_noise, new = noise[group], new[group]
            alpha = (alpha[group] + (repeats.y - repeats.mean[group]) / mean_noise) / ratio
            noise = ratio * mean_noise
            precision = (1 - (1 - mean_noise * precision[group]) / ratio) / noise
        # The noise that was learnt for a row is not known before that row is seen.
        return self.gp.observed - alpha / precision, np.sqrt(1 / precision + new - noise)

    def pull_back(self) -> None:
        """Add the gradient of the log likelihood to the model's tensors; the factor is overwritten by the inverse.

        ∂L/∂K = ½(ααᵀ − K⁻¹) (R&W 2006 eq. 5.9) goes back through the kernel tile by tile.
        """
        alpha, inverse = self.alpha, invert(self.factor)
        by_noise = 0.5 * (alpha**2 - np.diagonal(inverse))
        if self.gp.repeats and self.scatter is not None:
            by_noise += self.gp.repeats.slope(self.noise.detach().numpy(), self.scatter)
        slopes = self.gp.noise.slopes(self.noise.detach().numpy())
        known = [(raw, slope.T @ by_noise) for raw, slope in (slopes or {}).items()]
        known += [(raw, columns.T @ alpha) for raw, columns in self.gp.design.items()]
        for raw, gradient in (*self.kernel.pull(inverse, alpha), *known):
            add_gradient(raw, gradient)
        if slopes is None and self.noise.requires_grad:
            # One number: torch checks the shapes of gradients that it is given with sympy, whose import takes 0.3 s.
            by_autograd = torch.dot(self.noise, torch.from_numpy(by_noise))
            (by_autograd if self.excess is None else by_autograd + self.excess).backward()

    def refuse_rounding(self) -> None:
        """Raise NotPositiveDefinite where the matrix was factorised only thanks to rounding.

        Its smallest pivot is then below 10 n ε of the largest: a search that ended there would be lost.
        """
        pivots = np.diagonal(self.factor) ** 2  # the variance of each row given those before it
        if pivots.min() < 10 * self.gp.n * np.finfo(float).eps * pivots.max():
            raise _without_factor(self.gp)

    def _marginals(self, kernel: Kernel, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return k(x, X)α and diag(k(x, x) − k(x, X)(K + noise)⁻¹k(X, x)) for `kernel`, each (m,)."""
        mean, variance = np.empty(len(x)), np.empty(len(x))
        buffer = np.empty((min(ROWS, len(x)), self.gp.n))
        for rows in slices(len(x), ROWS):
            blocks, cross = closed_form(kernel, x[rows], self.gp.x), buffer[: rows.stop - rows.start]
            for tile in _tiles(*cross.shape):
                cross[tile], _ = blocks.block(*tile)
            mean[rows] = cross @ self.alpha
            with lapack_threads(self.gp.n):
                blas.dtrsm(1.0, self.factor.T, cross.T, lower=0, trans_a=1, overwrite_b=1)  # v = L⁻¹k, in place
            prior = blocks.diagonal()
            variance[rows] = positive_part(prior - np.einsum("ij,ij->i", cross, cross), prior)
        return mean, variance


def solve(gp: GaussianProcess) -> Solved:
    """Return the model conditioned on its rows, at its current hyperparameters  (R&W 2006 Alg. 2.1, lines 2–3).

    Raises NotPositiveDefinite.
    """
    kernel = symmetric(gp.kernel, gp.x, gp.parameters.vector, lambda: gp.parameters.places, gp.workspace)
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled() and gp.noise.slopes(np.zeros(0)) is None):
            noise, excess = gp.training_noise()
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise _without_factor(gp) from None
    covariance = kernel.covariance(noise.detach().numpy())
    with torch.no_grad():
        residual = (gp.y - gp.mean(gp.x)).numpy()
    has_factor = factorise(covariance)  # line 2
    factor = covariance.T  # in LAPACK's own order, where the lower triangle is the upper one
    # K = L Lᵀ, so log |K| = 2 Σ log L_ii.
    log_determinant = 2 * float(np.log(np.diagonal(factor)).sum()) if has_factor else math.nan
    if not math.isfinite(log_determinant):
        raise _without_factor(gp)
    # Line 3; a third of dpotrs's time, which is made for many right-hand sides.
    alpha = blas.dtrsv(factor, blas.dtrsv(factor, residual, lower=0, trans=1), lower=0)
    scatter = gp.repeats.scatter if gp.repeats else None
    return Solved(gp, kernel, noise, excess, factor.T, log_determinant, residual, alpha, scatter)


def _without_factor(gp: GaussianProcess) -> NotPositiveDefinite:
    return without_factor(gp, f"the kernel matrix of n={gp.n} points")


def _tiles(n_rows: int, n_columns: int) -> Iterator[tuple[slice, slice]]:
    return ((rows, columns) for rows in slices(n_rows, TILE[0]) for columns in slices(n_columns, TILE[1]))
