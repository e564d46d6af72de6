"""What all kernels share: raw parameters that are logs, and an amplitude, which factors of a product lack."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.constraints import Positive as PositiveConstraint
from linear_operator import to_dense
from pydantic import Field

from ...parameters.hyperparameters import Hyperparameter
from ...parameters.scope import Reads, Scope
from ...parameters.vector import Bounds, Units
from ...spec import Fault, InputError, Spec


class LogConstraint(PositiveConstraint):
    """Makes gpytorch's value equal factor · θ^power, with raw parameter log θ."""

    def __init__(self, power: float, factor: float) -> None:
        # Functions of a module can be pickled.
        forward, inverse = partial(_value, power=power, factor=factor), partial(_raw, power=power, factor=factor)
        super().__init__(transform=forward, inv_transform=inverse)
        self.power, self.factor = power, factor


def _value(raw: torch.Tensor, power: float, factor: float) -> torch.Tensor:
    return torch.exp(power * raw) * factor


def _raw(value: torch.Tensor, power: float, factor: float) -> torch.Tensor:
    return torch.log(value / factor) / power


def log_constraint(power: float = 1.0, factor: float = 1.0) -> LogConstraint:
    """Return the constraint that makes gpytorch's value equal factor · θ^power, with raw parameter log θ."""
    return LogConstraint(power, factor)


class Leaf(Spec):
    """A kernel that is no sum or product, over the input `columns` (by default all that it `reads`)."""

    amplitude: ClassVar[str] = "outputscale"  # the field that scales k(x, x); factors of a product have none
    reads: ClassVar[Reads] = "numbers"  # which inputs, where `columns` does not say
    # k(x1, x2) of unit amplitude in NumPy alone, for rows of x1 and x2 (…, d) that broadcast: where the model runs
    # without torch (gp.predictor).  Its other arguments are the exponentials of the raw parameters, and fields.
    formula: ClassVar[Callable[..., np.ndarray] | None] = None
    # Of a stationary kernel, (rng, size, columns, …) → draws (size, columns) of its spectral density, rad per x.
    frequencies: ClassVar[Callable[..., np.ndarray] | None] = None
    # Of a kernel that is a finite sum Σ φ(x) φ(x'), (x, …) → φ (m, q).
    features: ClassVar[Callable[..., np.ndarray] | None] = None
    columns: list[str] | None = Field(None, min_length=1)

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the gpytorch kernel of unit amplitude over the `active` columns; declare its hyperparameters."""
        raise TypeError(f"{type(self).__name__} does not say how it is built: give it a method `base`")

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return the gpytorch kernel; `share` is its starting share of y's variance, a `factor` has no amplitude."""
        if factor:
            refuse_amplitude(self, path)
            if self.amplitude == "variance" and getattr(self, "ard", False):
                raise InputError(
                    Fault(f"{path}.ard", "a linear factor has no variances to be learnt one a column", "drop it")
                )
        active = scope.active(self.columns, path, self.reads)
        base = self.base(scope, path, active)
        return base if factor else self.scaled(base, scope, path, share, active)

    def unit(self, scope: Scope, path: str) -> float:
        """Return the unit of `base`: data units per internal unit."""
        return 1.0

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times the amplitude, and declare the amplitude."""
        return scale(base, getattr(self, "outputscale"), scope, f"{path}.outputscale", share)  # noqa: B009


def refuse_amplitude(spec: Any, path: str) -> None:
    if getattr(spec, spec.amplitude) is not None:
        raise InputError(
            Fault(
                f"{path}.{spec.amplitude}",
                f"a factor of a product has no amplitude of its own (got {spec.to_dict()[spec.amplitude]})",
                "give the product's outputscale instead",
            )
        )


class Scale(kernels.ScaleKernel):
    """gpytorch's ScaleKernel without batches: torch's function for a batch's shape imports sympy (0.5 s)."""

    @property
    def batch_shape(self) -> torch.Size:
        """Return the empty shape: there is no batch."""
        return torch.Size([])


def scale(
    base: kernels.Kernel, written: Hyperparameter | None, scope: Scope, name: str, share: float, per: float = 1.0
) -> Scale:
    """Return `base` times an outputscale, and declare that in y² / `per`, the unit of `base`.

    It starts where the prior variance is `share` of y's variance, as a mean over the rows.
    """
    kernel = Scale(base, outputscale_constraint=log_constraint())
    start = share * scope.y_spread**2 / _mean_variance(base, scope)
    declare_amplitude(scope, name, written, kernel.raw_outputscale, start, per=per)
    return kernel


def declare_amplitude(
    scope: Scope,
    name: str,
    written: Hyperparameter | None,
    tensor: torch.nn.Parameter,
    start: float,
    *,
    per: float = 1.0,
    labels: list[str] | None = None,
) -> None:
    """Declare factors of a covariance, or of its parts: variances in y² / `per`, which start at `start`."""
    with np.errstate(all="ignore"):
        unit = np.float64(scope.y_scale**2) / per
    scope.declare(
        name,
        written,
        tensor,
        default=start,
        bounds=Bounds(1e-8 * start, 1e8 * start),
        units=Units(unit),
        labels=labels,
        amplitude=1,
    )


def _mean_variance(kernel: kernels.Kernel, scope: Scope) -> float:
    """Return the mean of k(x, x) over the rows, at the starts that were declared; 1 if it is zero."""
    x = torch.from_numpy(scope.x)
    columns = x if kernel.active_dims is None else x[:, kernel.active_dims]
    with torch.no_grad():
        return float(to_dense(kernel.forward(columns, columns, diag=True)).mean()) or 1.0
