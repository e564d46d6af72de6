"""Stationary kernels: decreasing functions of a scaled distance between inputs."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from gpytorch import kernels
from pydantic import model_validator

from ...parameters.candidates import lengthscales, levels
from ...parameters.hyperparameters import Positive
from ...parameters.scope import Scope
from ...parameters.vector import Bounds, Units
from ...spec import Fault, InputError
from .leaf import Leaf, log_constraint


class Stationary(Leaf):
    """A leaf with a lengthscale (shared, or with `ard` one for each column) and an outputscale."""

    lengthscale: Positive | None = None
    outputscale: Positive | None = None
    ard: bool = False

    def lengthscaled(
        self, scope: Scope, path: str, active: list[int], make: Callable[..., kernels.Kernel], **options: float
    ) -> kernels.Kernel:
        """Return `make(…)` over the active columns, and declare its lengthscale under `path`."""
        dims = len(active) if self.ard else None
        kernel = make(active_dims=active, ard_num_dims=dims, lengthscale_constraint=log_constraint(), **options)
        spread = scope.x_spread(active)
        scope.declare(
            f"{path}.lengthscale",
            self.lengthscale,
            kernel.raw_lengthscale,
            # Distances grow with the square root of the number of columns.
            default=(spread if self.ard else spread.mean()) * math.sqrt(len(active)) * 0.5 * scope.lengthscale_factor,
            bounds=Bounds(1e-4 * spread.min(), 1e5 * spread.max()),
            units=Units(scope.x_unit(active, per_column=self.ard)),
            labels=scope.labels(active, per_column=self.ard),
            is_distance=True,
            candidates=partial(lengthscales, active, per_column=self.ard, factor=scope.lengthscale_factor),
        )
        return kernel


def rbf(x1: np.ndarray, x2: np.ndarray, lengthscale: Any) -> np.ndarray:
    return np.exp(-0.5 * (((x1 - x2) / lengthscale) ** 2).sum(-1))


def rbf_frequencies(rng: np.random.Generator, size: int, columns: int, lengthscale: Any) -> np.ndarray:
    """Return draws of N(0, 1/ℓ²)  (R&W 2006 sec. 4.2.1)."""
    return rng.standard_normal((size, columns)) / lengthscale


class Rbf(Stationary):
    """exp(−d²/2), d² = Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.9)."""

    kind: Literal["rbf"] = "rbf"
    formula: ClassVar = staticmethod(rbf)
    frequencies: ClassVar = staticmethod(rbf_frequencies)

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's RBFKernel."""
        return self.lengthscaled(scope, path, active, kernels.RBFKernel)


def matern(x1: np.ndarray, x2: np.ndarray, lengthscale: Any, nu: float) -> np.ndarray:
    s = np.sqrt(2 * nu * (((x1 - x2) / lengthscale) ** 2).sum(-1))
    return {0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s**2 / 3}[nu] * np.exp(-s)


def matern_frequencies(rng: np.random.Generator, size: int, columns: int, lengthscale: Any, nu: float) -> np.ndarray:
    """Return draws of Student's t with 2ν degrees of freedom, scaled by 1/ℓ  (R&W 2006 eq. 4.15)."""
    return rng.standard_normal((size, columns)) / np.sqrt(rng.gamma(nu, 1 / nu, (size, 1))) / lengthscale


class Matern(Stationary):
    """Matérn of order nu = 1/2, 3/2 or 5/2  (R&W 2006 eq. 4.16–4.17)."""

    kind: Literal["matern"] = "matern"
    formula: ClassVar = staticmethod(matern)
    frequencies: ClassVar = staticmethod(matern_frequencies)
    nu: float = 2.5

    @model_validator(mode="after")
    def _has_known_order(self) -> "Matern":
        if self.nu not in (0.5, 1.5, 2.5):
            raise InputError(Fault("", f"nu must be 0.5, 1.5 or 2.5 (got {self.nu:g})"))
        return self

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's MaternKernel."""
        return self.lengthscaled(scope, path, active, kernels.MaternKernel, nu=self.nu)


def rational_quadratic(x1: np.ndarray, x2: np.ndarray, lengthscale: Any, alpha: Any) -> np.ndarray:
    return np.exp(-alpha * np.log1p((((x1 - x2) / lengthscale) ** 2).sum(-1) / (2 * alpha)))


def rational_quadratic_frequencies(
    rng: np.random.Generator, size: int, columns: int, lengthscale: Any, alpha: Any
) -> np.ndarray:
    """Return draws of N(0, τ/ℓ²), τ ~ Gamma(α, α): the kernel is a mixture of rbf  (R&W 2006 eq. 4.20)."""
    power = float(np.squeeze(alpha))
    return rng.standard_normal((size, columns)) * np.sqrt(rng.gamma(power, 1 / power, (size, 1))) / lengthscale


class RationalQuadratic(Stationary):
    """(1 + d²/2α)^−α  (R&W 2006 eq. 4.19)."""

    kind: Literal["rational_quadratic"] = "rational_quadratic"
    formula: ClassVar = staticmethod(rational_quadratic)
    frequencies: ClassVar = staticmethod(rational_quadratic_frequencies)
    alpha: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's RQKernel."""
        kernel = self.lengthscaled(scope, path, active, kernels.RQKernel, alpha_constraint=log_constraint())
        scope.declare(
            f"{path}.alpha",
            self.alpha,
            kernel.raw_alpha,
            default=1.0,
            bounds=Bounds(1e-3, 1e5),
            candidates=levels(0.1, 1.0, 10.0),
        )
        return kernel


Kernels = Rbf | Matern | RationalQuadratic
