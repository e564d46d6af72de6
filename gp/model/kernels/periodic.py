"""Kernels that repeat: periodic, cosine, and mixtures of decaying cosines."""

import math
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch import kernels

from ...parameters.candidates import SHAPES, Cycles, frequencies, levels, widths
from ...parameters.hyperparameters import Positive
from ...parameters.periodogram import strongest_period
from ...parameters.scope import Scope
from ...parameters.vector import Bounds, Softplus, Units
from ...spec import Count, Fault, InputError
from .leaf import Leaf, declare_amplitude, log_constraint
from .stationary import Stationary


def periodic(x1: np.ndarray, x2: np.ndarray, lengthscale: Any, period_length: Any) -> np.ndarray:
    return np.exp(-2 * ((np.sin(np.pi * (x1 - x2) / period_length) / lengthscale) ** 2).sum(-1))


def periodic_frequencies(
    rng: np.random.Generator, size: int, columns: int, lengthscale: Any, period_length: Any
) -> np.ndarray:
    """Return draws of 2πm/p: e^−κ I_m(κ), κ = 1/ℓ², are the probabilities of m, the difference of two Poisson numbers.

    Their mean is κ/2 each (Skellam 1946); they are the coefficients of the kernel's Fourier series.
    """
    rate = np.broadcast_to(0.5 / np.asarray(lengthscale) ** 2, (size, columns))
    return 2 * np.pi * (rng.poisson(rate) - rng.poisson(rate)) / period_length


class Periodic(Stationary):
    """exp(−2 Σ sin²(π(x − x')/p)/ℓ²)  (R&W 2006 eq. 4.31; a product over columns)."""

    kind: Literal["periodic"] = "periodic"
    formula: ClassVar = staticmethod(periodic)
    frequencies: ClassVar = staticmethod(periodic_frequencies)
    period_length: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's PeriodicKernel, whose lengthscale is the square of the book's."""
        kernel = kernels.PeriodicKernel(
            active_dims=active,
            ard_num_dims=len(active) if self.ard else 1,
            lengthscale_constraint=log_constraint(power=2),
            period_length_constraint=log_constraint(),
        )
        if not self.ard:
            # Built with a number of columns, as None builds no parameters; then None, as 1 refuses two columns.
            kernel.ard_num_dims = None
        # Unlike other lengthscales, this one scales sines, not distances, and has no unit.
        scope.declare(
            f"{path}.lengthscale",
            self.lengthscale,
            kernel.raw_lengthscale,
            default=1.0,
            bounds=Bounds(1e-2, 1e3),
            labels=scope.labels(active, per_column=self.ard),
            form=Softplus(power=2),
            candidates=levels(*SHAPES),
        )
        _declare_period(self, scope, path, active, kernel, per_column=self.ard)
        return kernel


def cosine(x1: np.ndarray, x2: np.ndarray, period_length: Any) -> np.ndarray:
    return np.cos(2 * np.pi * (x1 - x2) / period_length)[..., 0]


def cosine_frequencies(rng: np.random.Generator, size: int, columns: int, period_length: Any) -> np.ndarray:
    """Return 2π/p, its only frequency."""
    return np.broadcast_to(2 * np.pi / np.asarray(period_length), (size, columns))


class Cosine(Leaf):
    """cos(2π(x − x')/p) over one column: a sinusoid of unknown phase and amplitude."""

    kind: Literal["cosine"] = "cosine"
    formula: ClassVar = staticmethod(cosine)
    frequencies: ClassVar = staticmethod(cosine_frequencies)
    period_length: Positive | None = None
    outputscale: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's CosineKernel, whose period is half of p."""
        if len(active) != 1:
            raise InputError(
                Fault(f"{path}.columns", f"a cosine kernel takes one column (got {len(active)})", "name one")
            )
        kernel = kernels.CosineKernel(active_dims=active, period_length_constraint=log_constraint(factor=0.5))
        _declare_period(self, scope, path, active, kernel, per_column=False)
        return kernel


def spectral_mixture(
    x1: np.ndarray, x2: np.ndarray, mixture_weights: Any, mixture_means: Any, mixture_scales: Any
) -> np.ndarray:
    step, total = 2 * np.pi * (x1 - x2), 0.0
    for weight, mean, scale in zip(mixture_weights, mixture_means, mixture_scales, strict=True):
        total = total + weight * np.cos(step * mean).prod(-1) * np.exp(-0.5 * ((step * scale) ** 2).sum(-1))
    return np.asarray(total)


def spectral_mixture_frequencies(
    rng: np.random.Generator, size: int, columns: int, mixture_weights: Any, mixture_means: Any, mixture_scales: Any
) -> np.ndarray:
    """Return draws of 2π N(±μ_q, σ_q²), mixture q by its weight  (Wilson & Adams 2013, eq. 11)."""
    weights, means, scales = (np.asarray(part) for part in (mixture_weights, mixture_means, mixture_scales))
    which = rng.choice(len(weights), size, p=weights / weights.sum())
    sign = rng.choice([-1.0, 1.0], (size, columns))
    return 2 * np.pi * (sign * means[which] + scales[which] * rng.standard_normal((size, columns)))


class SpectralMixture(Leaf):
    """Σ_q w_q Π_j cos(2π μ_qj τ_j) exp(−2π² σ_qj² τ_j²)  (Wilson & Adams 2013, eq. 12)."""

    kind: Literal["spectral_mixture"] = "spectral_mixture"
    formula: ClassVar = staticmethod(spectral_mixture)
    frequencies: ClassVar = staticmethod(spectral_mixture_frequencies)
    amplitude: ClassVar[str] = "mixture_weights"
    num_mixtures: Count = 4
    mixture_weights: Positive | None = None
    mixture_means: Positive | None = None
    mixture_scales: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the kernel with equal weights; declare frequencies and widths, for each mixture and column."""
        kernel = _SpectralMixture(self.num_mixtures, len(active), active_dims=active)
        extent = np.ptp(scope.x[:, active], axis=0)
        lowest = 1 / np.where(extent > 0, extent, 1.0)
        strongest = np.array([1 / _period(scope, [j]) for j in active])
        # Start at the strongest frequency of the data and its multiples, as a periodic signal has them.
        means = np.concatenate([(q + 1) * strongest for q in range(self.num_mixtures)])
        limits = (1e-3 * float(lowest.min()), 1e4 * float(lowest.max()))
        unit = np.tile(1 / scope.x_scale[active], self.num_mixtures)
        labels = [f"{q}.{scope.columns[j]}" for q in range(self.num_mixtures) for j in active]
        tried = {"means": frequencies, "scales": widths}
        for name, start in (("means", means), ("scales", np.tile(lowest, self.num_mixtures))):
            raw = getattr(kernel, f"raw_mixture_{name}")
            written = getattr(self, f"mixture_{name}")
            scope.declare(
                f"{path}.mixture_{name}",
                written,
                raw,
                default=start,
                bounds=Bounds(*limits),
                units=Units(unit),
                labels=labels,
                candidates=partial(tried[name], active, self.num_mixtures),
            )
        return kernel

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base`, and declare its weights, in y²."""
        raw = base.raw_mixture_weights.requires_grad_(True)
        start = share * scope.y_spread**2 / self.num_mixtures
        labels = [str(q) for q in range(self.num_mixtures)]
        declare_amplitude(scope, f"{path}.mixture_weights", self.mixture_weights, raw, start, labels=labels)
        return base


class _SpectralMixture(kernels.Kernel):
    """Σ_q w_q Π_j …  (gpytorch's SpectralMixtureKernel is Π_j Σ_q w_q …: not the same for several columns)."""

    is_stationary = True

    def __init__(self, num_mixtures: int, d: int, **options: Any) -> None:
        super().__init__(**options)
        weights = torch.full((num_mixtures,), -math.log(num_mixtures))
        self.register_parameter("raw_mixture_weights", torch.nn.Parameter(weights, requires_grad=False))
        for name in ("raw_mixture_means", "raw_mixture_scales"):
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(num_mixtures, d)))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        steps = x1 - x2 if diag else x1.unsqueeze(-2) - x2.unsqueeze(-3)
        parts = zip(self.raw_mixture_weights, self.raw_mixture_means, self.raw_mixture_scales, strict=True)
        return sum(
            raw_weight.exp()
            * (2 * math.pi * steps * raw_mean.exp()).cos().prod(-1)
            * (-2 * math.pi**2 * (steps * raw_scale.exp()) ** 2).sum(-1).exp()
            for raw_weight, raw_mean, raw_scale in parts
        )


def _declare_period(
    spec: Periodic | Cosine, scope: Scope, path: str, active: list[int], kernel: kernels.Kernel, *, per_column: bool
) -> None:
    extent = float(np.ptp(scope.x[:, active], axis=0).max()) or 1.0

    def strongest() -> np.ndarray:
        found = np.array([_period(scope, [j]) for j in active] if per_column else _period(scope, active))
        return np.minimum(found, 0.95 * extent)

    scope.declare(
        f"{path}.period_length",
        spec.period_length,
        kernel.raw_period_length,
        default=strongest,  # a periodogram takes longer than all else here, and is not needed where a period is given
        # The longest period is the range of the data: the data cannot determine a longer one.
        bounds=Bounds(1e-4 * extent, extent, hard=True),
        units=Units(scope.x_unit(active, per_column=per_column)),
        labels=scope.labels(active, per_column=per_column),
        candidates=Cycles(active, per_column=per_column),
    )


def _period(scope: Scope, active: list[int]) -> float:
    """Return the strongest period of y along the first active column."""
    return strongest_period(scope.x[:, active[0]], scope.y)


Kernels = Periodic | Cosine | SpectralMixture
