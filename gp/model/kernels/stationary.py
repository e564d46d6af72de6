"""Stationary kernels: decreasing functions of a scaled distance between inputs."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from gpytorch import kernels
from pydantic import model_validator

from gp.model.kernels.leaf import Leaf, log_constraint
from gp.parameters.candidates import lengthscales, levels
from gp.parameters.hyperparameters import Positive
from gp.parameters.scope import Scope
from gp.parameters.vector import Bounds, Units
from gp.spec import Fault, InputError


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
            raise InputError(Fault("", f"nu must be 0.5, 1.5 or 2.5 (got {self.nu:g})"))
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
