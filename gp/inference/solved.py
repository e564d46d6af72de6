"""K + noise, factorised once: the exact likelihood, its gradient, the posterior and leave-one-out all come from it.

K is filled tile by tile into one n×n buffer and factorised in place; of K only the lower triangle is ever computed.
Where rows are many, no second n×n matrix is made: the gradient overwrites the factor by the inverse, and leave-one-out
needs only the inverse's diagonal.  LAPACK is SciPy's.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import blas

from ..matrices.algebra import closed_form
from ..matrices.cholesky import NotPositiveDefinite, condition_number, inverse_diagonal, invert
from ..matrices.packed import PackedMatrix
from ..matrices.symmetric import Symmetric, Tiled, symmetric
from ..matrices.tiles import TILE, slices
from ..model.model import GaussianProcess
from ..parallel import keep_freed_memory, lapack_threads, one_thread
from .flat_mean import FlatMean, move
from .left_out import leave_one_out
from .method import ByNoise, Moments, moments_of_terms, positive_part, without_factor
from .profile import profile_of
from .together import Sites

ROWS = 1024  # predicted at a time

keep_freed_memory()


@dataclass(frozen=True, eq=False)
class Solved:
    """A model conditioned on its rows: K + noise (n, n), factorised, and what follows from it.

    `noise` (n,) is each row's variance, `residual` is y − m (n,), `alpha` (K + noise)⁻¹(y − m) (n,), and `whitened`
    (K + noise)⁻¹Φ (n, q).  Where rows are means of the data's (gp.model.repeats), `scatter` (n,) is theirs about these.
    With a `flat` mean its coefficients are integrated out, and the model holds their estimate.
    Noise that has no closed form is in `graph` as well, within autograd's graph where gradients are wanted.
    """

    gp: GaussianProcess
    matrix: Symmetric
    noise: np.ndarray
    graph: tuple[torch.Tensor, torch.Tensor | None] | None  # noise (n,); the excess of the bound it stands for, if any
    log_determinant: float
    residual: np.ndarray
    alpha: np.ndarray
    whitened: np.ndarray
    scatter: np.ndarray | None
    flat: FlatMean | None = None

    @cached_property
    def factor(self) -> np.ndarray:
        """Return the Cholesky factor L (n, n) of K + noise; what is above the diagonal is not to be read."""
        return self.matrix.lower()

    @property
    def within_groups(self) -> float:
        """Return what rows add to the quadratic form by their scatter about the means of groups, (y − ȳ)²/noise."""
        return 0.0 if self.scatter is None else float((self.scatter / self.noise).sum())

    @property
    def log_likelihood(self) -> float:
        """Return log p(y | x) of the internal targets in nats  (R&W 2006 Alg. 2.1, line 7)."""
        fit = float(self.residual @ self.alpha)
        value = -0.5 * fit - 0.5 * self.log_determinant - 0.5 * self.gp.n * math.log(2 * math.pi)
        if self.gp.repeats and self.scatter is not None:
            value += float(self.gp.repeats.log_density(self.noise, self.scatter).sum())
        value += self.flat.log_likelihood if self.flat else 0.0
        excess = self.graph[1] if self.graph else None
        return value if excess is None else value + excess.item()

    @cached_property
    def condition_number(self) -> float:
        """Return an estimate, from below, of the condition number of K + noise."""
        return condition_number(self.factor)

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (R&W 2006 Alg. 2.1, lines 4–6)."""

        def marginals(kernels: Mapping[str, Kernel]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            own = self.flat.columns(self.gp, x) if self.flat else None
            found = {name: (np.empty(len(x)), np.empty(len(x))) for name in kernels}
            for rows in slices(len(x), ROWS):
                for name, cross, prior in self._crosses(kernels, x[rows]):
                    # A term of a sum has no mean function of its own.
                    columns = None if name or own is None else own[rows]
                    mean, variance = found[name]
                    mean[rows], variance[rows] = self._marginals(cross, prior, columns)
            return found

        return moments_of_terms(self.gp, x, marginals)

    def with_flat_mean(self) -> "Solved":
        """Return it with mean coefficients integrated out, by the same factor; the model moves to their estimate."""
        with one_thread(), torch.no_grad():
            return solve_flat(self.gp, self.factor)

    def together(self) -> Sites:
        """Return the posterior of several inputs together."""
        mean = self.alpha @ np.tril(self.factor)
        return Sites(self.gp, self.gp.sites, self.factor, mean, noise=self.noise, flat=self.flat)

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the data's rows: y − noise · α, as (K + noise) α = y − m."""
        fitted: np.ndarray = self.gp.y.numpy() - self.noise * self.alpha
        return fitted[self.gp.repeats.group] if self.gp.repeats else fitted

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, in internal units, its noise included."""
        with one_thread():
            precision = inverse_diagonal(self.factor)
            if self.flat:
                # A row that alone tells a coefficient is not predicted from the others: its sd is then a million.
                left = precision - (self.flat.whitened**2).sum(axis=1)
                precision = np.maximum(left, 1e-12 * precision)
            return leave_one_out(self.gp, self.alpha, precision, self.noise)

    def pull_back(self) -> np.ndarray:
        """Return the gradient of the log likelihood by the raw vector, (p,); the factor is overwritten by the inverse.

        ∂L/∂K = ½(ααᵀ − K⁻¹) (R&W 2006 eq. 5.9) goes back through the kernel.
        """
        alpha, parameters = self.alpha, self.gp.parameters
        by_noise = 0.5 * (alpha**2 - self.matrix.invert())
        if self.flat:
            self.matrix.subtract(self.flat.whitened)
            by_noise += 0.5 * (self.flat.whitened**2).sum(axis=1)
        if self.gp.repeats and self.scatter is not None:
            by_noise += self.gp.repeats.slope(self.noise, self.scatter)
        gradient = np.zeros(len(parameters.reference))
        known = [(raw, slope.T @ by_noise) for raw, slope in self.noise_slopes.items()]
        known += [(raw, columns.T @ alpha) for raw, columns in self.gp.design.items()]
        for raw, by_raw in (*self.matrix.pull(alpha), *known):
            if raw in parameters.places:
                gradient[parameters.places[raw]] += by_raw.reshape(-1)
        gradient *= parameters.reference
        if self.graph:
            noise, excess = self.graph
            # One number: torch checks the shapes of gradients that it is given with sympy, whose import takes 0.3 s.
            by_autograd = torch.dot(noise, torch.from_numpy(by_noise))
            (by_autograd if excess is None else by_autograd + excess).backward()
        return gradient + parameters.gradient() if self.by_autograd else gradient

    @cached_property
    def noise_slopes(self) -> dict[torch.Tensor, np.ndarray]:
        """Return ∂noise/∂θ (n, size) for each raw parameter θ, where it has a closed form."""
        return self.gp.noise.slopes(self.noise) or {}

    @property
    def by_autograd(self) -> bool:
        """Return whether any gradient is left in the model's tensors, by autograd."""
        return self.graph is not None or not isinstance(self.matrix, PackedMatrix)

    def by_log_noise(self) -> ByNoise:
        """Return the likelihood and its derivatives by the logs of the rows' noise; the factor is overwritten.

        With C = (K + noise)⁻¹ and R = noise the first derivatives are ½ R_i (α_i² − C_ii), and the second
        R_i (½ C_ij² − α_i C_ij α_j) R_j, to whose diagonal the first are added.  A flat mean lessens C.
        """
        noise, inverse = self.noise, np.tril(invert(self.factor))
        inverse += np.tril(inverse, -1).T
        if self.flat:
            inverse -= self.flat.whitened @ self.flat.whitened.T
        first = 0.5 * noise * (self.alpha**2 - np.diagonal(inverse))
        second = np.outer(noise, noise) * (0.5 * inverse**2 - np.outer(self.alpha, self.alpha) * inverse)
        return ByNoise(self.log_likelihood, noise, first, second + np.diag(first))

    def refuse_rounding(self) -> None:
        """Raise NotPositiveDefinite where the matrix was factorised only thanks to rounding.

        Its smallest pivot is then below 10 n ε of the largest: a search that ended there would be lost.
        """
        pivots = self.matrix.pivots**2  # the variance of each row given those before it
        if pivots.min() < 10 * self.gp.n * np.finfo(float).eps * pivots.max():
            raise _without_factor(self.gp)

    def _crosses(self, kernels: Mapping[str, Kernel], x: torch.Tensor) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield each kernel's name, k(x, X) (m, n), which may be overwritten, and the diagonal of k(x, x), (m,).

        The kernel named "" is the sum of the others, if any, and is added up from these.
        """
        shape = len(x), self.gp.n
        # Means along steps are taken of the sum itself, which has other roundings.
        adds_up = len(kernels) > 1 and self.gp.sites.dim() == 2
        whole, whole_prior, cross = np.zeros(shape if adds_up else 0), np.zeros(len(x)), np.empty(shape)
        for name, kernel in kernels.items():
            if adds_up and not name:
                continue
            blocks = closed_form(kernel, x, self.gp.sites)
            for tile in _tiles(*shape):
                cross[tile], _ = blocks.block(*tile)
            prior = blocks.diagonal()
            if adds_up:
                whole += cross
                whole_prior += prior
            yield name, cross, prior
        if adds_up:
            yield "", whole, whole_prior

    def _marginals(
        self, cross: np.ndarray, prior: np.ndarray, columns: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return k(x, X)α and diag(k(x, x) − k(x, X)(K + noise)⁻¹k(X, x)), each (m,); `cross` is overwritten.

        A flat mean, whose `columns` at x are (m, r), adds what is unknown of its coefficients  (R&W 2006 eq. 2.42).
        """
        mean, unknown = cross @ self.alpha, None
        if self.flat:
            unknown = (0.0 if columns is None else columns) - cross @ self.flat.whitened
        with lapack_threads(self.gp.n):
            blas.dtrsm(1.0, self.factor.T, cross.T, lower=0, trans_a=1, overwrite_b=1)  # v = L⁻¹k, in place
        variance = positive_part(prior - np.einsum("ij,ij->i", cross, cross), prior)
        return mean, variance if unknown is None else variance + (unknown**2).sum(axis=1)


def solve(gp: GaussianProcess, design: np.ndarray | None = None, factor: np.ndarray | None = None) -> Solved:
    """Return the model conditioned on its rows, at its current hyperparameters  (R&W 2006 Alg. 2.1, lines 2–3).

    `design` (n, q) are columns Φ to be solved for as well, `factor` (n, n) is that of K + noise, where it is known.
    Raises NotPositiveDefinite.
    """
    parameters = gp.parameters
    noise, graph = _noise(gp)
    if factor is None:
        matrix = symmetric(gp.kernel, gp.sites, parameters.vector, lambda: parameters.places, gp.workspace)
        has_factor = matrix.factorise(noise)  # line 2
    else:
        matrix, has_factor = Tiled(closed_form(gp.kernel, gp.sites, gp.sites), gp.n, factor), True
    # K = L Lᵀ, so log |K| = 2 Σ log L_ii.
    log_determinant = 2 * float(np.log(matrix.pivots).sum()) if has_factor else math.nan
    if not math.isfinite(log_determinant):
        raise _without_factor(gp)
    residual = gp.y.numpy() - gp.prior_mean()
    columns = np.empty((gp.n, 1 if design is None else 1 + design.shape[1]), order="F")
    columns[:, 0] = residual
    if design is not None:
        columns[:, 1:] = design
    solved = matrix.solve(columns)  # line 3
    scatter = gp.repeats.scatter if gp.repeats else None
    return Solved(gp, matrix, noise, graph, log_determinant, residual, solved[:, 0], solved[:, 1:], scatter)


def solve_flat(gp: GaussianProcess, factor: np.ndarray | None = None) -> Solved:
    """Return the model solved with its mean coefficients integrated out, and move it to their estimate."""
    profile = profile_of(gp)
    solved = solve(gp.distinct, profile.design, factor)
    flat = FlatMean.of(profile.tensors, profile.design.T @ solved.whitened, solved.whitened)
    change = flat.change(profile.design.T @ solved.alpha)
    move(gp, profile, change)
    alpha = solved.alpha - flat.whitened @ (flat.whitened.T @ solved.residual)
    return replace(solved, residual=solved.residual - profile.design @ change, alpha=alpha, flat=flat)


def _noise(gp: GaussianProcess) -> tuple[np.ndarray, tuple[torch.Tensor, torch.Tensor | None] | None]:
    """Return each row's noise variance (n,); with the excess also as tensors, where there is no closed form."""
    if gp.noise.one_level and gp.noise.log_sd is not None:
        level = np.full(gp.n, math.exp(2 * gp.noise.log_sd.item()))
        return (level * gp.repeats.share if gp.repeats else level), None
    has_slopes = gp.noise.slopes(np.zeros(0)) is not None
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not has_slopes):
            noise, excess = gp.training_noise()
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise _without_factor(gp) from None
    return noise.detach().numpy(), None if has_slopes and excess is None else (noise, excess)


def _without_factor(gp: GaussianProcess) -> NotPositiveDefinite:
    return without_factor(gp, f"the kernel matrix of n={gp.n} points")


def _tiles(n_rows: int, n_columns: int) -> Iterator[tuple[slice, slice]]:
    return ((rows, columns) for rows in slices(n_rows, TILE[0]) for columns in slices(n_columns, TILE[1]))
