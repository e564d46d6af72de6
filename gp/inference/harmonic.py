"""Periodic kernels of known period as a Bayesian linear model in Fourier features: exact for any number of rows.

Only sums of products of the features (gp.inference.waves) over the rows are needed, and they are computed once; an
evaluation costs the cube of the number of features.
"""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch.kernels import PeriodicKernel, ScaleKernel
from pydantic import Field

from ..autocorrelation import dependence
from ..matrices.cholesky import NotPositiveDefinite
from ..matrices.tiles import slices
from ..model.model import GaussianProcess
from ..model.noise.gaussian import GaussianNoise
from ..parallel import one_thread
from ..spec import Fault, InputError
from .harmonic_parts import Flat, Solved, Sums
from .harmonic_posterior import Coefficients, HarmonicPosterior
from .method import Method, without_factor
from .profile import Profile, profile_of
from .waves import ROWS, bounded, features, fourier_series, names_bounded, terms_of

MOST = 10_000  # harmonics of a kernel: with as many, its features of one row take 160 kB
TAIL = 1e-9  # largest share of a kernel's variance in the harmonics that are left out
ORDERS = 10  # of the series whose residuals show how far noise depends


class Harmonic(Method):
    """Sums of periodic kernels over one column each, with fixed periods; Fourier features up to order `harmonics`.

    Where rows are means along steps, so are their features.  Where the noise of rows that follow each other in a run
    is correlated, n rows count as n/ρ (gp.autocorrelation): the likelihood is taken to the power 1/ρ.
    """

    kind: Literal["harmonic"] = "harmonic"
    harmonics: Annotated[int, Field(ge=1, le=MOST)] = 30
    grows: ClassVar[bool] = False
    averages: ClassVar[bool] = True

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError if the kernel has no such expansion, or the noise has more than one level."""
        learnt = {id(parameter.tensor) for parameter in gp.parameters.free}
        for kernel in terms_of(gp.kernel):
            base = kernel.base_kernel if isinstance(kernel, ScaleKernel) else kernel
            if not isinstance(kernel, ScaleKernel) or not isinstance(base, PeriodicKernel):
                raise InputError(
                    Fault(
                        "inference",
                        f"harmonic inference takes a periodic kernel, or a sum of such (got {type(base).__name__})",
                        "write {kind: exact}, or change model.kernel",
                    )
                )
            if len(base.active_dims) != 1:
                raise InputError(
                    Fault(
                        "inference",
                        f"harmonic inference takes periodic kernels over one column each (got {len(base.active_dims)})",
                        "name one in `columns`, and sum over them",
                    )
                )
            if id(base.raw_period_length) in learnt:
                raise InputError(
                    Fault(
                        "inference",
                        "harmonic inference needs a known period",
                        "write period_length: {fixed: …}, or {kind: exact}",
                    )
                )
        if not isinstance(gp.noise, GaussianNoise):
            raise InputError(
                Fault("inference", "harmonic inference takes noise of kind gaussian alone", "write {kind: exact}")
            )

    def prepare(self, gp: GaussianProcess, seed: int | None) -> GaussianProcess:
        """Return `gp` with lengthscales bounded where harmonics run out."""
        return bounded(gp, self.harmonics, TAIL)

    def limits(self, gp: GaussianProcess) -> dict[str, tuple[str, str]]:
        """Return which lengthscales are bounded by the number of harmonics, by name, and what to write."""
        told = f"the shortest that {self.harmonics} harmonics show", "raise inference.harmonics"
        return dict.fromkeys(names_bounded(gp, self.harmonics, TAIL), told)

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets, nats, and its gradient by the raw vector.

        Raises NotPositiveDefinite if the expansion leaves out more than TAIL of the kernel's variance.
        """
        with one_thread(), torch.set_grad_enabled(gradient):
            value = self._solve(gp).log_likelihood
            if gradient and value.requires_grad:
                value.backward()
        return value.item(), gp.parameters.gradient() if gradient else np.zeros(0)

    def condition(self, gp: GaussianProcess) -> "HarmonicPosterior":
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        with one_thread(), torch.no_grad():
            return self._posterior(gp, self._solve(gp))

    def integrating(self, gp: GaussianProcess) -> tuple[Method, np.ndarray]:
        """Return this method with those mean coefficients integrated out that have neither bounds nor a prior."""
        places = profile_of(gp).positions
        return (_Integrated(harmonics=self.harmonics), places) if len(places) else (self, places)

    def restrict(self, gp: GaussianProcess, rows: np.ndarray) -> GaussianProcess:
        """Return the model over some of its rows, each by itself: without runs and steps."""
        some = gp.subset(rows)
        return replace(some, scope=replace(some.scope, run=None, step=None))

    def without(self, gp: GaussianProcess, term: str) -> GaussianProcess:
        """Return the model without a term; what its sums over rows are is known, and how far noise depends stays."""
        rest, sums = gp.without_term(term), self._prepared(gp)
        own = np.repeat([name == term for name in gp.terms], 1 + 2 * self.harmonics)
        rest.workspace["sums"] = sums.at(np.flatnonzero(~own))
        return rest

    def effective_rows(self, gp: GaussianProcess) -> float:
        """Return as how many rows with independent noise the model's rows count."""
        return gp.n / self._prepared(gp).dependence

    def _posterior(self, gp: GaussianProcess, solved: Solved, flat: Flat | None = None) -> "HarmonicPosterior":
        upper = solved.factor.T
        # w ~ N(μ, CCᵀ), C = D^½ L⁻ᵀ.
        spread = solved.root[:, None] * torch.linalg.solve_triangular(upper, torch.eye(len(upper)), upper=True)
        unknown = None
        if flat is not None:
            unknown = Coefficients(flat.tensors, flat.root.numpy(), (spread @ flat.projected @ flat.root).numpy())
        mean, value = (spread @ solved.projected).numpy(), solved.log_likelihood
        value = value + flat.log_likelihood if flat else value
        return HarmonicPosterior(gp, self.harmonics, mean, spread.numpy(), value.item(), solved.dependence, unknown)

    def _solve(self, gp: GaussianProcess) -> Solved:
        sums = self._prepared(gp)
        noise = gp.noise(gp.x[:1])[0] * sums.dependence
        root = self._variances(gp).sqrt()
        weights = torch.cat([tensor.reshape(-1) for tensor in sums.coefficients])
        moment = sums.moment - sums.crossed @ weights
        square = sums.square - 2 * sums.by_target @ weights + weights @ sums.squared @ weights
        precision = torch.eye(len(root)) + root[:, None] * sums.gram * root / noise
        factor = _factor(gp, precision)
        target = (root * moment / noise)[:, None]
        projected = torch.linalg.solve_triangular(factor, target, upper=False)[:, 0]
        return Solved(noise, root, factor, projected, square, gp.n, sums.dependence)

    def _prepared(self, gp: GaussianProcess) -> Sums:
        sums = gp.workspace.get("sums")
        if sums is None:
            sums = gp.workspace["sums"] = self._sums(gp)
        return sums

    def _variances(self, gp: GaussianProcess) -> torch.Tensor:
        """Return the prior variance (p,) of each feature's weight."""
        parts = [torch.zeros(0)]  # of a sum without its only term, nothing else
        for kernel in terms_of(gp.kernel):
            shape, left = fourier_series(kernel.base_kernel, self.harmonics)
            if left > TAIL:
                raise NotPositiveDefinite(
                    Fault(
                        "",
                        f"{self.harmonics} harmonics leave out {left:.1e} of a periodic kernel's variance",
                        "raise inference.harmonics, or its lengthscale's `lower`",
                    )
                )
            parts += [kernel.outputscale * shape, kernel.outputscale * shape[1:]]
        return torch.cat(parts).clamp_min(1e-300)  # whose roots have a slope

    def _sums(self, gp: GaussianProcess) -> Sums:
        columns: Any = gp.mean.columns(gp.sites)  # type: ignore[operator]
        design = torch.hstack([column for _, column in columns]).numpy()
        target, p = gp.y.numpy(), len(features(gp, gp.x[:1], self.harmonics)[0])
        gram, moment, crossed = np.zeros((p, p)), np.zeros(p), np.zeros((p, design.shape[1]))
        step = gp.scope.step
        for rows in slices(gp.n, ROWS):
            found = features(gp, gp.x[rows], self.harmonics, None if step is None else step[rows])
            gram += found.T @ found
            moment += found.T @ target[rows]
            crossed += found.T @ design[rows]
        return Sums(
            gram=torch.from_numpy(gram),
            moment=torch.from_numpy(moment),
            crossed=torch.from_numpy(crossed),
            by_target=torch.from_numpy(design.T @ target),
            squared=torch.from_numpy(design.T @ design),
            square=float(target @ target),
            coefficients=[tensor for tensor, _ in columns],
            dependence=1.0
            if gp.scope.run is None
            else dependence(self._rough_residual(gp, gram, moment), gp.scope.run),
        )

    def _rough_residual(self, gp: GaussianProcess, gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Return what least squares on the constant and the first ORDERS harmonics of each term leave of y, (n,)."""
        orders = np.concatenate([[0], np.tile(np.arange(1, self.harmonics + 1), 2)])
        kept = np.flatnonzero(np.tile(orders, len(terms_of(gp.kernel))) <= ORDERS)
        weights = np.linalg.lstsq(gram[np.ix_(kept, kept)], moment[kept], rcond=1e-10)[0]
        residual, step = gp.y.numpy().copy(), gp.scope.step
        for rows in slices(gp.n, ROWS):
            found = features(gp, gp.x[rows], self.harmonics, None if step is None else step[rows])
            residual[rows] -= found[:, kept] @ weights
        return residual


class _Integrated(Harmonic):
    """Harmonic inference whose mean coefficients are integrated out (gp.inference.flat_mean has the formulas)."""

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the restricted log likelihood, nats, and its raw gradient: zero for what is integrated out."""
        with one_thread(), torch.set_grad_enabled(gradient):
            solved = self._solve(gp)
            flat = self._flat(gp, solved)
            value = solved.log_likelihood + flat.log_likelihood
            if gradient and value.requires_grad:
                value.backward()
        slopes = gp.parameters.gradient() if gradient else np.zeros(0)
        if gradient:
            slopes[profile_of(gp).positions] = 0
        self._move(gp, flat)
        return value.item(), slopes

    def condition(self, gp: GaussianProcess) -> "HarmonicPosterior":
        """Return the model conditioned on its rows; it is left at the estimate of its mean coefficients."""
        with one_thread(), torch.no_grad():
            self._move(gp, self._flat(gp, self._solve(gp)))
            solved = self._solve(gp)
            return self._posterior(gp, solved, self._flat(gp, solved))

    def _flat(self, gp: GaussianProcess, solved: Solved) -> Flat:
        sums, tensors = self._prepared(gp), profile_of(gp).tensors
        starts = np.cumsum([0, *(tensor.numel() for tensor in sums.coefficients)])
        places = {id(tensor): start for tensor, start in zip(sums.coefficients, starts, strict=False)}
        at = np.concatenate([places[id(tensor)] + np.arange(tensor.numel()) for tensor in tensors])
        crossed = solved.root[:, None] * sums.crossed[:, at] / solved.noise
        projected = torch.linalg.solve_triangular(solved.factor, crossed, upper=False)
        information = sums.squared[np.ix_(at, at)] / solved.noise - projected.T @ projected
        weights = torch.cat([tensor.detach().reshape(-1) for tensor in sums.coefficients])
        left = sums.by_target[at] - sums.squared[at] @ weights
        upper = _factor(gp, information).T
        root = torch.linalg.solve_triangular(upper, torch.eye(len(upper)), upper=True)
        return Flat(tensors, root, projected, root.T @ (left / solved.noise - projected.T @ solved.projected))

    def _move(self, gp: GaussianProcess, flat: Flat) -> None:
        profile, vector = profile_of(gp), gp.parameters.vector
        vector[profile.positions] += (flat.root @ flat.explained).detach().numpy() / profile.reference
        gp.parameters.set(vector)


def _factor(gp: GaussianProcess, matrix: torch.Tensor) -> torch.Tensor:
    """Return the lower Cholesky factor.  Raises NotPositiveDefinite: noise may be lost beside large outputscales."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed.item():
        raise without_factor(gp, "the precision of the features' weights")
    return factor
