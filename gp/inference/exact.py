"""Exact inference: the marginal likelihood and its gradient at the cost of one Cholesky factor and one inverse.

K is filled tile by tile into one n×n buffer, factorised in place, inverted in place, and ∂L/∂K = ½(ααᵀ − K⁻¹)
(R&W 2006 eq. 5.9) goes back through the kernel tile by tile: of K only the lower triangle is ever computed, and
where rows are many no second n×n matrix is kept (up to FEW_ROWS, K's tiles are).  LAPACK is SciPy's.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from gpytorch.kernels import Kernel
from pydantic import Field
from scipy.linalg import blas, lapack

from gp.inference.method import Method, Moments
from gp.inference.orderings import pairs
from gp.inference.profile import Profile
from gp.matrices.algebra import closed_form
from gp.matrices.cholesky import NotPositiveDefinite, factorise, invert
from gp.matrices.tiles import TILE, Blocks, Kept, lower_tiles, slices
from gp.model.model import GaussianProcess
from gp.parallel import available_memory, keep_freed_memory, lapack_threads, one_thread
from gp.parameters.scope import spread
from gp.spec import Fault, InputError

MATRICES = 1.2  # the peak memory of an evaluation, in n×n matrices
INSTEAD = "write inference: {kind: auto}, which takes an approximation (its gap to exact stands among the metrics)"
FEW_ROWS = 1000  # up to which tiles of K are kept instead of computed twice: beyond, fresh memory costs more
ROWS = 1024  # predicted at a time
FEWEST = 20  # that hyperparameters are learnt on
SEED = 0  # of the rows that hyperparameters are learnt on: a saved model has the same as the fitted one


keep_freed_memory()


class Exact(Method):
    """The exact Gaussian process: Cholesky in float64, no jitter, no approximation.

    With `rows`, where there are more, hyperparameters are learnt exactly on so many: a seeded half, and the row nearest
    to each.  The posterior given these is that of all rows: these are factorised where they are predicted from or left
    out, not at every evaluation.
    """

    kind: Literal["exact"] = "exact"
    rows: Annotated[int, Field(ge=FEWEST)] | None = None

    def check(self, n: int) -> None:
        """Raise InputError where n rows need more memory than this machine has."""
        needed, available = MATRICES * 8 * n**2, available_memory()
        if needed > available:
            raise InputError(
                Fault(
                    "",
                    f"exact inference over n={n} rows needs {needed / 2**30:.1f} GiB of memory, and this machine has "
                    f"{available / 2**30:.1f} GiB",
                    INSTEAD,
                )
            )

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where some of the rows cannot stand for all."""
        if gp.noise.by_row and self._chosen(gp) is not None:
            raise InputError(
                Fault(
                    "inference.rows",
                    f"noise of this kind learns something for every row, and rows is {self.rows} of n={gp.n}",
                    "remove inference.rows, or take noise of kind gaussian or known",
                )
            )

    def learnt_on(self, gp: GaussianProcess) -> GaussianProcess:
        """Return the model over the rows that hyperparameters are learnt on."""
        chosen = self._chosen(gp)
        return gp if chosen is None else gp.subset(chosen)

    def learn(self, problem: Any, train: Any, seed: int, checkpoints: Path | None = None) -> Any:
        """Return the `Search` by `train`."""
        chosen = self._chosen(problem.gp)
        if chosen is None:
            return train.run(problem, seed)
        return replace(train.run(problem.subset(chosen), seed), rows=self.rows)

    def _chosen(self, gp: GaussianProcess) -> np.ndarray | None:
        """Return the rows that hyperparameters are learnt on; None: all."""
        if self.rows is None or gp.n <= self.rows:
            return None
        return pairs(gp.scope.x / spread(gp.scope.x), self.rows, SEED)

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets (nats), and its gradient by the raw vector.

        R&W 2006 Alg. 2.1 and eq. 5.9.  With a `profile`, the model's scale and mean coefficients are first moved to
        their optimum.  Raises NotPositiveDefinite.
        """
        with one_thread(), torch.set_grad_enabled(gradient):
            solved = _solve(gp)
            if profile:
                _refuse_rounding(gp, solved.factor)
            move = None if profile is None else _move(gp, solved, profile)
            solved = move.solved if move else solved
            fit = float(solved.residual @ solved.alpha)
            value = -0.5 * fit - 0.5 * solved.log_determinant - 0.5 * gp.n * math.log(2 * math.pi)  # line 7
            value += 0.0 if solved.excess is None else solved.excess.item()
            if gradient:
                _pull_back(solved)
        slope = gp.parameters.gradient() if gradient else np.zeros(0)
        if move and profile:
            gp.parameters.set(move.vector)
            slope = profile.gradient(slope, move.stopped) if gradient else slope
        return value, slope

    def condition(self, gp: GaussianProcess) -> "ExactPosterior":
        """Return the posterior at the model's current hyperparameters.  Raises NotPositiveDefinite."""
        with one_thread(), torch.no_grad():
            solved = _solve(gp)
        return ExactPosterior(gp, solved.factor, solved.alpha)

    def leave_one_out(self, gp: GaussianProcess) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, (n,) each, in internal units, its noise included.

        mean_i = y_i − α_i/[K⁻¹]_ii and variance_i = 1/[K⁻¹]_ii  (R&W 2006 eq. 5.12).  Raises NotPositiveDefinite.
        """
        with one_thread(), torch.no_grad():
            solved = _solve(gp)
            precision = np.diagonal(invert(solved.factor))
            # What a row's own noise was found to be is not known before it is seen.
            surprise = (gp.noise(gp.x) - solved.noise).numpy()
        return gp.y.numpy() - solved.alpha / precision, np.sqrt(1 / precision + surprise)


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior of an exact GP: the lower Cholesky factor of K + noise (n, n) and α = (K + noise)⁻¹(y − m) (n,)."""

    gp: GaussianProcess
    factor: np.ndarray
    alpha: np.ndarray

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (R&W 2006 Alg. 2.1, lines 4–6)."""
        kernels = {"": self.gp.kernel, **self.gp.terms}
        with one_thread(), torch.no_grad():
            parts = {name: self._marginals(kernel, x) for name, kernel in kernels.items()}
            prior_mean = self.gp.mean(x).numpy()
        mean, variance = parts.pop("")
        return Moments(prior_mean + mean, variance, parts)

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
            variance[rows] = prior - np.einsum("ij,ij->i", cross, cross)
            if (variance[rows] < -1e-6 * prior).any():
                raise ArithmeticError(
                    "the posterior variance came out negative: the covariance matrix is too close to singular; "
                    "raise model.noise.sd or remove nearly equal inputs"
                )
        return mean, np.maximum(variance, 0.0)  # what is left below zero is rounding


@dataclass(frozen=True, eq=False)
class _Solved:
    """K + noise solved: what it came from, its lower Cholesky factor, y − m, and α = (K + noise)⁻¹(y − m)."""

    kernel: Blocks
    noise: torch.Tensor
    excess: torch.Tensor | None  # of the bound that the noise variance stands for, if any
    mean: torch.Tensor
    factor: np.ndarray
    log_determinant: float
    residual: np.ndarray
    alpha: np.ndarray


def _solve(gp: GaussianProcess) -> _Solved:
    kernel, mean = closed_form(gp.kernel, gp.x, gp.x), gp.mean(gp.x)
    try:
        noise, excess = gp.training_noise()
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise _without_factor(gp) from None
    kernel = Kept(kernel) if gp.n <= FEW_ROWS else kernel
    covariance = _covariance(kernel, noise.detach().numpy())
    residual = gp.y.numpy() - mean.detach().numpy()
    has_factor = factorise(covariance)  # R&W Alg. 2.1, line 2
    factor = covariance.T  # in LAPACK's own order, where the lower triangle is the upper one
    # K = L Lᵀ, so log |K| = 2 Σ log L_ii.
    log_determinant = 2 * float(np.log(np.diagonal(factor)).sum()) if has_factor else math.nan
    if not math.isfinite(log_determinant):
        raise _without_factor(gp)
    # Line 3; a third of dpotrs's time, which is made for many right-hand sides.
    alpha = blas.dtrsv(factor, blas.dtrsv(factor, residual, lower=0, trans=1), lower=0)
    return _Solved(kernel, noise, excess, mean, factor.T, log_determinant, residual, alpha)


def _refuse_rounding(gp: GaussianProcess, factor: np.ndarray) -> None:
    """Raise NotPositiveDefinite where the factor is one by rounding only: a search that ended there would be lost."""
    pivots = np.diagonal(factor) ** 2  # the variance of each row given those before it
    if pivots.min() < 10 * gp.n * np.finfo(float).eps * pivots.max():
        raise _without_factor(gp)


def _without_factor(gp: GaussianProcess) -> NotPositiveDefinite:
    noise = gp.parameters.in_data_units().get("noise.sd", math.nan)
    return NotPositiveDefinite(
        Fault(
            "",
            f"the kernel matrix of n={gp.n} points is not positive definite at noise.sd={noise:g}",
            "raise model.noise.sd (its `lower`, where it is learnt) or remove duplicate inputs",
        )
    )


@dataclass(frozen=True, eq=False)
class _Move:
    """What is solved at the optimal scale and mean coefficients, the raw vector with them, and the bound in the way.

    With K + noise = c K₁, it is K₁'s factor beside (y − m)/√c and K₁⁻¹(y − m)/√c: in the gradient by log θ the c of ∂K
    cancels that of K⁻¹, and the mean's is zero.
    """

    solved: _Solved
    vector: np.ndarray
    stopped: int | None


def _move(gp: GaussianProcess, solved: _Solved, profile: Profile) -> _Move:
    """Return `solved` with scale and mean coefficients at their optimum; the model keeps those it has."""

    def solve(columns: np.ndarray) -> np.ndarray:
        return np.column_stack([lapack.dpotrs(solved.factor.T, column, lower=0)[0] for column in columns.T])

    residual, alpha, change = profile.residual(solved.residual, solved.alpha, solve)
    vector = gp.parameters.vector
    vector[profile.positions] += change
    shift, stopped = profile.log_scale(vector, float(residual @ alpha), gp.n)
    root, volume = math.exp(0.5 * shift), solved.log_determinant + gp.n * shift
    scaled = replace(solved, log_determinant=volume, residual=residual / root, alpha=alpha / root)
    return _Move(scaled, vector + shift * profile.amplitude, stopped)


def _covariance(kernel: Blocks, noise: np.ndarray) -> np.ndarray:
    """Return K + noise, its lower triangle filled."""
    n = len(noise)
    covariance = np.empty((n, n))
    with torch.set_grad_enabled(torch.is_grad_enabled() and n <= FEW_ROWS):
        for tile in lower_tiles(n):
            covariance[tile], _ = kernel.block(*tile)
    covariance.flat[:: n + 1] += noise
    return covariance


def _pull_back(solved: _Solved) -> None:
    """Add the gradient of the log marginal likelihood to the model's tensors; the factor is overwritten."""
    kernel, alpha, inverse = solved.kernel, solved.alpha, invert(solved.factor)
    column = alpha[:, None]
    for rows, columns in lower_tiles(len(alpha)):
        # ααᵀ − K⁻¹, without ½: below the diagonal every element stands for its mirror image too.
        weight = inverse[rows, columns].copy()
        blas.dgemm(1.0, column[columns], column[rows], beta=-1.0, c=weight.T, trans_b=1, overwrite_c=1)
        if rows == columns:
            weight *= _LOWER[: len(weight), : len(weight)]
        _, derivative = kernel.block(rows, columns)
        derivative.pull(weight, 1.0)
    seeds = [*kernel.gradients(), (solved.noise, 0.5 * (alpha**2 - np.diagonal(inverse))), (solved.mean, alpha)]
    learnt = [
        torch.dot(tensor.reshape(-1), torch.from_numpy(seed).reshape(-1))
        for tensor, seed in seeds
        if tensor.requires_grad
    ]
    if solved.excess is not None and solved.excess.requires_grad:
        learnt.append(solved.excess)
    if learnt:
        # One number: torch checks the shapes of gradients that it is given with sympy, whose import takes 0.3 s.
        torch.stack(learnt).sum().backward()


# What the elements of a tile on the diagonal stand for.
_LOWER = np.tril(np.ones((TILE[0], TILE[0]))) - 0.5 * np.eye(TILE[0])


def _tiles(n_rows: int, n_columns: int) -> Iterator[tuple[slice, slice]]:
    return ((rows, columns) for rows in slices(n_rows, TILE[0]) for columns in slices(n_columns, TILE[1]))
