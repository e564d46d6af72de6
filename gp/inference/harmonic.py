"""Periodic kernels of known period as a Bayesian linear model in Fourier features: exact for any number of rows.

exp(−2 sin²(πd/p)/ℓ²) = Σ_m c_m cos(2πmd/p) with c₀ = e^{−κ}I₀(κ), c_m = 2e^{−κ}I_m(κ), κ = 1/ℓ² (Abramowitz & Stegun
1964, 9.6.34).  Only sums of products of the features over the rows are needed, and they are computed once; an
evaluation costs the cube of the number of features.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch.kernels import AdditiveKernel, Kernel, PeriodicKernel, ScaleKernel
from pydantic import Field
from scipy.special import ive

from gp.inference.method import Method, Moments
from gp.inference.profile import Profile
from gp.inference.together import Waves
from gp.matrices.cholesky import NotPositiveDefinite
from gp.matrices.tiles import slices
from gp.model.model import GaussianProcess
from gp.model.noise.gaussian import GaussianNoise
from gp.parallel import one_thread
from gp.spec import Fault, InputError

MOST = 10_000  # harmonics of a kernel: with as many, its features of one row take 160 kB
TAIL = 1e-9  # largest share of a kernel's variance in the harmonics that are left out
ROWS = 8192  # at a time


class Harmonic(Method):
    """Sums of periodic kernels over one column each, with fixed periods; Fourier features up to order `harmonics`."""

    kind: Literal["harmonic"] = "harmonic"
    harmonics: Annotated[int, Field(ge=1, le=MOST)] = 30
    grows: ClassVar[bool] = False

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError if the kernel has no such expansion, or the noise has more than one level."""
        learnt = {id(parameter.tensor) for parameter in gp.parameters.free}
        for kernel in _terms_of(gp.kernel):
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

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets, nats, and its gradient by the raw vector.

        Raises NotPositiveDefinite if the expansion leaves out more than TAIL of the kernel's variance.
        """
        with one_thread(), torch.set_grad_enabled(gradient):
            value = self._solve(gp).log_likelihood(gp.n)
            if gradient and value.requires_grad:
                value.backward()
        return value.item(), gp.parameters.gradient() if gradient else np.zeros(0)

    def condition(self, gp: GaussianProcess) -> "HarmonicPosterior":
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        with one_thread(), torch.no_grad():
            solved = self._solve(gp)
            upper = solved.factor.T
            # w ~ N(μ, CCᵀ), C = D^½ L⁻ᵀ.
            spread = solved.root[:, None] * torch.linalg.solve_triangular(upper, torch.eye(len(upper)), upper=True)
            mean = spread @ solved.projected
            value = solved.log_likelihood(gp.n).item()
        return HarmonicPosterior(gp, self, mean.numpy(), spread.numpy(), value)

    def features(self, gp: GaussianProcess, x: torch.Tensor) -> np.ndarray:
        """Return Fourier features at internal inputs x (m, d): for each term 1, cos and sin of each order, (m, p)."""
        orders, parts = np.arange(1, self.harmonics + 1), []
        for kernel in _terms_of(gp.kernel):
            base = kernel.base_kernel
            angle = 2 * math.pi * x[:, base.active_dims].numpy() / base.period_length.item() * orders
            parts += [np.ones((len(x), 1)), np.cos(angle), np.sin(angle)]
        return np.hstack(parts)

    def _solve(self, gp: GaussianProcess) -> "_Solved":
        sums = gp.workspace.get("sums")
        if sums is None:
            sums = gp.workspace["sums"] = self._sums(gp)
        noise = gp.noise(gp.x[:1])[0]
        root = self._variances(gp).sqrt()
        moment, square = sums.moment, torch.tensor(sums.square)
        for tensor, start in sums.coefficients:
            weights, at = tensor.reshape(-1), slice(start, start + tensor.numel())
            moment = moment - sums.crossed[:, at] @ weights
            square = square - 2 * sums.by_target[at] @ weights
            for other, begin in sums.coefficients:
                block = sums.squared[at, begin : begin + other.numel()]
                square = square + weights @ block @ other.reshape(-1)
        precision = torch.eye(len(root)) + root[:, None] * sums.gram * root / noise
        factor = torch.linalg.cholesky(precision)
        target = (root * moment / noise)[:, None]
        projected = torch.linalg.solve_triangular(factor, target, upper=False)[:, 0]
        return _Solved(noise, root, factor, projected, square)

    def _variances(self, gp: GaussianProcess) -> torch.Tensor:
        """Return the prior variance (p,) of each feature's weight."""
        parts = list[torch.Tensor]()
        for kernel in _terms_of(gp.kernel):
            shape, left = fourier_series(kernel.base_kernel, self.harmonics)
            if left > TAIL:
                raise NotPositiveDefinite(
                    Fault(
                        "",
                        f"{self.harmonics} harmonics leave out {left:.1e} of a periodic kernel's variance "
                        f"at lengthscale {math.exp(kernel.base_kernel.raw_lengthscale.item()):.3g}",
                        "raise inference.harmonics, or that lengthscale's `lower`",
                    )
                )
            parts += [kernel.outputscale * shape, kernel.outputscale * shape[1:]]
        return torch.cat(parts).clamp_min(1e-300)  # whose roots have a slope

    def _sums(self, gp: GaussianProcess) -> "_Sums":
        columns: Any = gp.mean.columns(gp.x)  # type: ignore[operator]
        design = torch.hstack([column for _, column in columns]).numpy()
        starts = np.cumsum([0, *(tensor.numel() for tensor, _ in columns)])
        target, p = gp.y.numpy(), len(self.features(gp, gp.x[:1])[0])
        gram, moment, crossed = np.zeros((p, p)), np.zeros(p), np.zeros((p, design.shape[1]))
        for rows in slices(gp.n, ROWS):
            features = self.features(gp, gp.x[rows])
            gram += features.T @ features
            moment += features.T @ target[rows]
            crossed += features.T @ design[rows]
        return _Sums(
            gram=torch.from_numpy(gram),
            moment=torch.from_numpy(moment),
            crossed=torch.from_numpy(crossed),
            by_target=torch.from_numpy(design.T @ target),
            squared=torch.from_numpy(design.T @ design),
            square=float(target @ target),
            coefficients=[(tensor, start) for (tensor, _), start in zip(columns, starts.tolist(), strict=False)],
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    """ΦᵀΦ, Φᵀy, ΦᵀH, Hᵀy, HᵀH and yᵀy of Fourier features Φ (n, p) and the mean's columns H (n, q).

    `coefficients` are the mean's, each with the place of its first column.
    """

    gram: torch.Tensor
    moment: torch.Tensor
    crossed: torch.Tensor
    by_target: torch.Tensor
    squared: torch.Tensor
    square: float
    coefficients: list[tuple[torch.Tensor, int]]


@dataclass(frozen=True, eq=False)
class _Solved:
    """σ², D^½ (p,), the factor L of I + D^½ΦᵀΦD^½/σ², L⁻¹D^½Φᵀr/σ² (p,), and rᵀr, r = y − m."""

    noise: torch.Tensor
    root: torch.Tensor
    factor: torch.Tensor
    projected: torch.Tensor
    square: torch.Tensor

    def log_likelihood(self, n: int) -> torch.Tensor:
        """Return log N(r | 0, ΦDΦᵀ + σ²I) of n rows in nats, by the determinant lemma."""
        fit = self.square / self.noise - self.projected @ self.projected
        log_determinant = 2 * self.factor.diagonal().log().sum()
        value: torch.Tensor = -0.5 * (fit + log_determinant + n * (2 * math.pi * self.noise).log())
        return value


@dataclass(frozen=True, eq=False)
class HarmonicPosterior:
    """The posterior of the features' weights: `mean` (p,) and a square root of the covariance, `spread` (p, p)."""

    gp: GaussianProcess
    method: Harmonic
    mean: np.ndarray
    spread: np.ndarray
    log_likelihood: float
    condition_number: None = None  # no n×n matrix is factorised

    def together(self) -> Waves:
        """Return the posterior of several inputs together."""
        orders, frequencies = np.arange(1, self.method.harmonics + 1), []
        for kernel in _terms_of(self.gp.kernel):
            base, own = kernel.base_kernel, np.zeros((1 + 2 * len(orders), self.gp.x.shape[1]))
            own[1:, base.active_dims.tolist()] = np.tile(2 * math.pi / base.period_length.item() * orders, 2)[:, None]
            frequencies.append(own)
        # A sine is a cosine that comes a quarter of a turn later.
        phases = np.repeat([0.0, 0.0, math.pi / 2], [1, len(orders), len(orders)])
        every = np.tile(phases, len(frequencies))
        return Waves(self.gp, np.vstack(frequencies), every, self.mean, self.spread)

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the training rows, (n,), in internal units."""
        return self.moments(self.gp.x).mean

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, (n,) each, in internal units, its noise included.

        With h_i = φ_iᵀ CCᵀ φ_i/σ², the leverage, they are y_i − (y_i − f_i)/(1 − h_i) and σ/√(1 − h_i): R&W 2006
        eq. 5.12, [K⁻¹]_ii being (1 − h_i)/σ².
        """
        gp, moments = self.gp, self.moments(self.gp.x)
        noise = gp.noise_variance(gp.x)
        rest = 1 - moments.variance / noise
        return gp.scope.y - (gp.scope.y - moments.mean) / rest, np.sqrt(noise / rest)

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d), of each named term too.

        Terms are centred: data cannot tell the constant of one term from those of other terms and the mean.
        """
        with torch.no_grad():
            prior_mean = self.gp.mean(x).numpy()
        size = 1 + 2 * self.method.harmonics
        parts = {"": slice(0, len(self.mean))}
        for name, own in zip(self.gp.terms, slices(len(self.mean), size), strict=False):
            parts[name] = slice(own.start + 1, own.stop)
        found = {name: (np.empty(len(x)), np.empty(len(x))) for name in parts}
        for rows in slices(len(x), ROWS):
            features = self.method.features(self.gp, x[rows])
            for name, own in parts.items():
                found[name][0][rows] = features[:, own] @ self.mean[own]
                found[name][1][rows] = ((features[:, own] @ self.spread[own]) ** 2).sum(axis=1)
        mean, variance = found.pop("")
        return Moments(prior_mean + mean, variance, found)


def _terms_of(kernel: Kernel) -> list[Kernel]:
    return list(kernel.kernels) if isinstance(kernel, AdditiveKernel) else [kernel]


def fourier_series(kernel: PeriodicKernel, harmonics: int) -> tuple[torch.Tensor, float]:
    """Return the coefficients c_m of a periodic kernel of unit variance, (harmonics + 1,), and what they leave of it.

    They are differentiable by the kernel's lengthscale.
    """
    raw = kernel.raw_lengthscale.reshape(())  # log ℓ
    concentration, orders = math.exp(-2 * raw.item()), np.arange(harmonics + 1)
    bessel, twice = ive(np.arange(harmonics + 2), concentration), np.where(orders > 0, 2.0, 1.0)
    values = twice * bessel[:-1]
    # d(e^{−κ}I_m)/dκ = ½ (I_{m−1} + I_{m+1}) e^{−κ} − e^{−κ}I_m, and dκ/d(log ℓ) = −2κ.
    slope = 0.5 * (np.abs(bessel[np.abs(orders - 1)]) + bessel[1:]) - bessel[:-1]
    slopes = torch.from_numpy(-2 * concentration * twice * slope)
    series = torch.from_numpy(values) + slopes * (raw - raw.detach())  # equal in value and in slope
    return series, float(1 - values.sum())
