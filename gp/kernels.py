"""Kernels: what a user may choose, each building its gpytorch kernel.  `Kernel` is the registry.

To add one: a class here with a `kind`, its hyperparameters as fields and `base`, and its name in `Kernel` at the end.
`base` builds the gpytorch kernel of unit amplitude and declares the kernel's own hyperparameters; amplitude, columns,
sums and products come by themselves.  All raw gpytorch parameters are logs of the hyperparameters (`_log`).
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.constraints import Positive as PositiveConstraint
from pydantic import Field, StringConstraints, model_validator
from scipy.signal import lombscargle

from gp.hyperparameters import Positive
from gp.scope import Scope
from gp.spec import Count, InputError, Spec, one_of

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


def _log(power: float = 1.0, factor: float = 1.0) -> PositiveConstraint:
    """Return the constraint that makes gpytorch's value factor · θ^power where its raw parameter is log θ."""
    return PositiveConstraint(
        transform=lambda raw: torch.exp(power * raw) * factor,
        inv_transform=lambda value: torch.log(value / factor) / power,
    )


class Leaf(Spec):
    """A kernel that is no sum or product: hyperparameters over some input columns (all, unless `columns` names them)."""

    amplitude: ClassVar[str] = (
        "outputscale"  # the field that is k(x, x) or takes its place; a product's factors have none
    )
    columns: list[str] | None = Field(None, min_length=1)

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the gpytorch kernel of unit amplitude over the `active` columns, its hyperparameters declared."""
        raise TypeError(f"{type(self).__name__} does not say how it is built: give it a method `base`")

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return the gpytorch kernel; `share` is its part of y's variance at the start, a `factor` has no amplitude."""
        if factor:
            _refuse_amplitude(self, path)
        active = scope.active(self.columns, path)
        base = self.base(scope, path, active)
        return base if factor else self.scaled(base, scope, path, share, active)

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times the amplitude, which is declared."""
        return _scale(base, getattr(self, "outputscale"), scope, f"{path}.outputscale", share)  # noqa: B009


class Stationary(Leaf):
    """A leaf with a lengthscale (shared, or one a column under `ard`) and an outputscale."""

    lengthscale: Positive | None = None
    outputscale: Positive | None = None
    ard: bool = False

    def lengthscaled(self, scope: Scope, path: str, active: list[int], make: Any, **options: Any) -> kernels.Kernel:
        """Return `make(…)` over the active columns, its lengthscale declared under `path`."""
        dims = len(active) if self.ard else None
        kernel = make(active_dims=active, ard_num_dims=dims, lengthscale_constraint=_log(), **options)
        spread = scope.x_spread(active)
        scope.declare(
            f"{path}.lengthscale",
            self.lengthscale,
            kernel.raw_lengthscale,
            # Distances grow with the root of the number of columns that add to them.
            default=(spread if self.ard else spread.mean()) * math.sqrt(len(active)) * 0.5,
            limits=(1e-4 * spread.min(), 1e5 * spread.max()),
            unit=scope.x_unit(active, per_column=self.ard),
            listed=self.ard,
        )
        return kernel


class Rbf(Stationary):
    """exp(−d²/2), d² = Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.9)."""

    kind: Literal["rbf"] = "rbf"

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's RBFKernel."""
        return self.lengthscaled(scope, path, active, kernels.RBFKernel)


class Matern(Stationary):
    """Matérn of order nu = 1/2, 3/2 or 5/2  (R&W 2006 eq. 4.16–4.17)."""

    kind: Literal["matern"] = "matern"
    nu: float = 2.5

    @model_validator(mode="after")
    def _has_known_order(self) -> "Matern":
        if self.nu not in (0.5, 1.5, 2.5):
            raise ValueError(f"nu must be 0.5, 1.5 or 2.5 (got {self.nu:g})")
        return self

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's MaternKernel."""
        return self.lengthscaled(scope, path, active, kernels.MaternKernel, nu=self.nu)


class RationalQuadratic(Stationary):
    """(1 + d²/2α)^−α  (R&W 2006 eq. 4.19)."""

    kind: Literal["rational_quadratic"] = "rational_quadratic"
    alpha: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's RQKernel."""
        kernel = self.lengthscaled(scope, path, active, kernels.RQKernel, alpha_constraint=_log())
        scope.declare(f"{path}.alpha", self.alpha, kernel.raw_alpha, default=1.0, limits=(1e-3, 1e5))
        return kernel


class Periodic(Stationary):
    """exp(−2 Σ sin²(π(x − x')/p)/ℓ²)  (R&W 2006 eq. 4.31, several columns multiplied)."""

    kind: Literal["periodic"] = "periodic"
    period_length: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's PeriodicKernel, whose own lengthscale is the book's squared."""
        kernel = kernels.PeriodicKernel(
            active_dims=active,
            ard_num_dims=len(active) if self.ard else 1,
            lengthscale_constraint=_log(power=2),
            period_length_constraint=_log(),
        )
        # Unlike others', this lengthscale is no distance: it compares sines, and has no unit.
        options = {"default": 1.0, "limits": (1e-2, 1e3), "listed": self.ard, "power": 2}
        scope.declare(f"{path}.lengthscale", self.lengthscale, kernel.raw_lengthscale, **options)
        _declare_period(self, scope, path, active, kernel, listed=self.ard)
        return kernel


class Cosine(Leaf):
    """cos(2π(x − x')/p) over one column: a sinusoid of known shape, unknown phase and size."""

    kind: Literal["cosine"] = "cosine"
    period_length: Positive | None = None
    outputscale: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's CosineKernel, whose own period is half of ours."""
        if len(active) != 1:
            raise InputError(f"{path}.columns: a cosine kernel takes one column (got {len(active)}): name one")
        kernel = kernels.CosineKernel(active_dims=active, period_length_constraint=_log(factor=0.5))
        _declare_period(self, scope, path, active, kernel, listed=False)
        return kernel


class Linear(Leaf):
    """v x·x': straight lines through the origin (through the inputs' mean, where the model standardizes x)."""

    kind: Literal["linear"] = "linear"
    amplitude: ClassVar[str] = "variance"
    variance: Positive | None = None
    ard: bool = False

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return a kernel of unit variance, in internal units."""
        return _InnerProduct(1 if not self.ard else len(active), active_dims=active)

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` with its variance declared, in y²/x²."""
        size = scope.x_spread(active) ** 2 + scope.x[:, active].mean(axis=0) ** 2
        start = share * scope.y_spread**2 / (size if self.ard else size.sum())
        scope.declare(
            f"{path}.variance",
            self.variance,
            base.raw_variance,
            default=start,
            limits=(1e-10 * float(np.min(start)), 1e8 * float(np.max(start))),
            unit=scope.y_scale**2 / scope.x_unit(active, per_column=self.ard) ** 2,
            listed=self.ard,
        )
        return base


class Polynomial(Leaf):
    """s (x·x' + c)^power  (R&W 2006 sec. 4.2.2): polynomials of that degree."""

    kind: Literal["polynomial"] = "polynomial"
    power: Annotated[int, Field(ge=1, le=10)] = 2
    offset: Positive | None = None
    outputscale: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's PolynomialKernel."""
        kernel = kernels.PolynomialKernel(power=self.power, active_dims=active, offset_constraint=_log())
        size = float((scope.x[:, active] ** 2).sum(axis=1).mean()) or 1.0
        scope.declare(
            f"{path}.offset",
            self.offset,
            kernel.raw_offset,
            default=size,
            limits=(1e-6 * size, 1e6 * size),
            unit=scope.x_unit(active, per_column=False) ** 2,
        )
        return kernel

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times an outputscale, in y²/x^(2 power)."""
        size = float((scope.x[:, active] ** 2).sum(axis=1).mean()) or 1.0
        unit = float(scope.x_unit(active, per_column=False)[0]) ** (-2 * self.power)
        share = share / (2 * size) ** self.power
        return _scale(base, self.outputscale, scope, f"{path}.outputscale", share, unit=unit)


class Constant(Leaf):
    """c: one unknown level, shared by all inputs."""

    kind: Literal["constant"] = "constant"
    amplitude: ClassVar[str] = "constant"
    constant: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's ConstantKernel at one."""
        kernel = kernels.ConstantKernel(constant_constraint=_log())
        kernel.raw_constant.requires_grad_(False).zero_()
        return kernel

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` with its constant declared, in y²."""
        base.raw_constant.requires_grad_(True)
        start = share * (scope.y_spread**2 + float(scope.y.mean()) ** 2)
        limits, unit = (1e-8 * start, 1e8 * start), scope.y_scale**2
        scope.declare(f"{path}.constant", self.constant, base.raw_constant, default=start, limits=limits, unit=unit)
        return base


class White(Leaf):
    """sd² where x equals x' exactly, else 0: what differs from input to input but not between repeats of one."""

    kind: Literal["white"] = "white"
    amplitude: ClassVar[str] = "sd"
    sd: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the kernel of unit amplitude."""
        return _White(active_dims=active)

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times sd², sd in y's units."""
        scale = kernels.ScaleKernel(base, outputscale_constraint=_log(power=2))
        start = 0.1 * scope.y_spread
        limits = (1e-6 * scope.y_spread, 1e3 * scope.y_spread)
        options = {"unit": scope.y_scale, "power": 2}
        scope.declare(f"{path}.sd", self.sd, scale.raw_outputscale, default=start, limits=limits, **options)
        return scale


class SpectralMixture(Leaf):
    """Σ_q w_q Π_j cos(2π μ_qj τ_j) exp(−2π² σ_qj² τ_j²)  (Wilson & Adams 2013): any stationary kernel, with enough terms."""

    kind: Literal["spectral_mixture"] = "spectral_mixture"
    amplitude: ClassVar[str] = "mixture_weights"
    num_mixtures: Count = 4
    mixture_weights: Positive | None = None
    mixture_means: Positive | None = None
    mixture_scales: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's SpectralMixtureKernel, frequencies and their widths declared (one a mixture and column)."""
        kernel = kernels.SpectralMixtureKernel(
            num_mixtures=self.num_mixtures,
            ard_num_dims=len(active),
            active_dims=active,
            mixture_weights_constraint=_log(),
            mixture_means_constraint=_log(),
            mixture_scales_constraint=_log(),
        )
        kernel.raw_mixture_weights.requires_grad_(False).fill_(-math.log(self.num_mixtures))
        extent = np.ptp(scope.x[:, active], axis=0)
        lowest = 1 / np.where(extent > 0, extent, 1.0)
        strongest = np.array([1 / _period(scope, [j]) for j in active])
        # The strongest frequency of the data first, then its multiples, as a periodic signal would have them.
        means = np.concatenate([(q + 1) * strongest for q in range(self.num_mixtures)])
        limits, options = (1e-3 * lowest.min(), 1e4 * lowest.max()), {"listed": True}
        unit = np.tile(1 / scope.x_scale[active], self.num_mixtures)
        for name, start in (("means", means), ("scales", np.tile(lowest, self.num_mixtures))):
            raw = getattr(kernel, f"raw_mixture_{name}")
            written = getattr(self, f"mixture_{name}")
            scope.declare(f"{path}.mixture_{name}", written, raw, default=start, limits=limits, unit=unit, **options)
        return kernel

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` with its weights declared, in y²."""
        raw = base.raw_mixture_weights.requires_grad_(True)
        start = share * scope.y_spread**2 / self.num_mixtures
        limits, options = (1e-8 * start, 1e8 * start), {"unit": scope.y_scale**2, "listed": True}
        scope.declare(f"{path}.mixture_weights", self.mixture_weights, raw, default=start, limits=limits, **options)
        return base


class Sum(Spec):
    """The sum of its named terms, each of which is predicted on its own too."""

    kind: Literal["sum"] = "sum"
    terms: dict[Name, "Kernel"] = Field(min_length=1)

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return gpytorch's AdditiveKernel of the terms, in order."""
        share = share / len(self.terms)
        return kernels.AdditiveKernel(
            *(k.build(scope, f"{path}.{name}", share=share) for name, k in self.terms.items())
        )


class Product(Spec):
    """An outputscale times the product of its named factors, which have no amplitude of their own."""

    kind: Literal["product"] = "product"
    amplitude: ClassVar[str] = "outputscale"
    outputscale: Positive | None = None
    factors: dict[Name, "Kernel"] = Field(min_length=1)

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return gpytorch's ProductKernel of the factors, scaled unless it is a factor itself."""
        if factor:
            _refuse_amplitude(self, path)
        factors = [k.build(scope, f"{path}.{name}", factor=True) for name, k in self.factors.items()]
        product = kernels.ProductKernel(*factors)
        return product if factor else _scale(product, self.outputscale, scope, f"{path}.outputscale", share)


def _refuse_amplitude(spec: Any, path: str) -> None:
    if getattr(spec, spec.amplitude) is not None:
        raise InputError(
            f"{path}.{spec.amplitude}: a factor of a product has no amplitude of its own "
            f"(got {spec.to_dict()[spec.amplitude]}): give the product's outputscale instead"
        )


def _scale(
    base: kernels.Kernel, written: Any, scope: Scope, name: str, share: float, unit: float = 1.0
) -> kernels.ScaleKernel:
    """Return `base` times an outputscale, declared in y² · `unit`."""
    kernel = kernels.ScaleKernel(base, outputscale_constraint=_log())
    start = share * scope.y_spread**2
    limits = (1e-8 * start, 1e8 * start)
    scope.declare(name, written, kernel.raw_outputscale, default=start, limits=limits, unit=scope.y_scale**2 * unit)
    return kernel


def _declare_period(
    spec: Any, scope: Scope, path: str, active: list[int], kernel: kernels.Kernel, *, listed: bool
) -> None:
    extent = float(np.ptp(scope.x[:, active], axis=0).max()) or 1.0
    scope.declare(
        f"{path}.period_length",
        spec.period_length,
        kernel.raw_period_length,
        default=[_period(scope, [j]) for j in active] if listed else _period(scope, active),
        limits=(1e-4 * extent, 1e2 * extent),
        unit=scope.x_unit(active, per_column=listed),
        listed=listed,
    )


def _period(scope: Scope, active: list[int]) -> float:
    """Return the period of the strongest sinusoid in y along the first active column, from its periodogram."""
    x, y = scope.x[:, active[0]], scope.y
    keep = slice(None, None, max(1, len(x) // 2000))  # a peak is found on a subset as well
    extent = float(np.ptp(x)) or 1.0
    frequencies = np.linspace(0.5, max(2.0, min(len(x[keep]) / 2, 200.0)), 2000) / extent
    centred = y[keep] - y[keep].mean()
    power = lombscargle(x[keep], centred, 2 * np.pi * frequencies) if centred.any() else np.ones(1)
    return float(1 / frequencies[int(np.argmax(power))])


class _InnerProduct(kernels.Kernel):
    """v x·x' as a dense matrix (gpytorch's LinearKernel is lazy, and refuses blocks of unequal rows in sums)."""

    has_lengthscale = False

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.register_parameter("raw_variance", torch.nn.Parameter(torch.zeros(1, size)))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        scaled = x1 * self.raw_variance.exp()
        return (scaled * x2).sum(-1) if diag else scaled @ x2.transpose(-1, -2)


class _White(kernels.Kernel):
    """One where the inputs are equal, else zero."""

    is_stationary = True

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        if diag:
            return (x1 == x2).all(-1).to(x1)
        return (x1.unsqueeze(-2) == x2.unsqueeze(-3)).all(-1).to(x1)


Kernel = one_of(
    Rbf,
    Matern,
    RationalQuadratic,
    Periodic,
    Cosine,
    Linear,
    Polynomial,
    Constant,
    White,
    SpectralMixture,
    Sum,
    Product,
    default="rbf",
)
Sum.model_rebuild()
Product.model_rebuild()
