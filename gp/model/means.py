"""Mean functions that a user may choose; each builds a torch module (n, d) → (n,).  `Mean` is the registry.

To add one, write a class here with a `kind`, its hyperparameters as fields, and `build`; add its name to `Mean` at the
end.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from ..parameters.hyperparameters import Real
from ..parameters.scope import Scope
from ..parameters.vector import Units
from ..spec import OneOf, Spec
from .nodes import averaged


def polynomial_mean(x: np.ndarray, bias: Any, weights: Any, active: Any) -> np.ndarray:
    x = x if active is None else x[:, active]
    return bias + np.sum([x**power @ row for power, row in enumerate(weights, start=1)], axis=0) + np.zeros(len(x))


class PolynomialFeatures(torch.nn.Module):
    """b + Σ_p w_p · x^p (elementwise powers p = 1 … degree), with parameters b (1,) and w (degree, d).

    x are the `active` of the inputs, by position; None: all.
    """

    formula: ClassVar = staticmethod(polynomial_mean)  # in NumPy alone, of the parameters by name (gp.predictor)

    def __init__(self, d: int, degree: int, active: list[int] | None = None) -> None:
        super().__init__()
        self.active = active
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.weights = torch.nn.Parameter(torch.zeros(degree, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean at x (n, d), or its averages over nodes (n, q, d), shape (n,)."""
        mean, x = self.bias.expand(len(x)), self._read(x)
        for power, weights in enumerate(self.weights, start=1):
            mean = mean + averaged(x**power) @ weights
        return mean

    def columns(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return (parameter, its columns (n, size) of the design matrix) for each linear parameter of the mean."""
        powers = [averaged(self._read(x) ** power) for power in range(1, len(self.weights) + 1)]
        design = torch.hstack(powers) if powers else torch.zeros(len(x), 0)
        return [(self.bias, torch.ones(len(x), 1)), (self.weights, design)]

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.active is None else x[..., self.active]


class Zero(Spec):
    """Zero (this is the training mean if the model standardizes y)."""

    kind: Literal["zero"] = "zero"

    def build(self, scope: Scope, path: str) -> PolynomialFeatures:
        """Return the module; it declares no hyperparameter."""
        return PolynomialFeatures(scope.x.shape[1], degree=0).requires_grad_(False)


class Constant(Spec):
    """One unknown constant, `value`, in y's units."""

    kind: Literal["constant"] = "constant"
    value: Real | None = None

    def build(self, scope: Scope, path: str) -> PolynomialFeatures:
        """Return the module, and declare its constant."""
        module = PolynomialFeatures(scope.x.shape[1], degree=0)
        scope.declare(
            f"{path}.value",
            self.value,
            module.bias,
            default=float(scope.y.mean()),
            units=Units(scope.y_scale, offset=scope.y_offset, reference=scope.y_spread),
        )
        return module


class Linear(Spec):
    """bias + Σ_j weights_j x_j; x is centred at its mean if the model standardizes x."""

    kind: Literal["linear"] = "linear"
    bias: Real | None = None
    weights: Real | None = None

    def build(self, scope: Scope, path: str) -> PolynomialFeatures:
        """Return the module, and declare its bias and slopes."""
        return _polynomial(self, 1, scope, path)


class Polynomial(Spec):
    """bias + Σ_p Σ_j weights_pj x_j^p up to `degree`; x is centred at its mean if the model standardizes x."""

    kind: Literal["polynomial"] = "polynomial"
    degree: Annotated[int, Field(ge=1, le=10)] = 2
    bias: Real | None = None
    weights: Real | None = None

    def build(self, scope: Scope, path: str) -> PolynomialFeatures:
        """Return the module, and declare its bias and weights."""
        return _polynomial(self, self.degree, scope, path)


def _polynomial(spec: Linear | Polynomial, degree: int, scope: Scope, path: str) -> PolynomialFeatures:
    """Return the module with starts from least squares; the bias has the unit of y, the weights of y/x^p."""
    n, active = len(scope.x), scope.active(None, path)
    module = PolynomialFeatures(len(active), degree, active if scope.levels else None)
    design = np.hstack([np.ones((n, 1)), *(scope.x[:, active] ** power for power in range(1, degree + 1))])
    start = np.linalg.lstsq(design, scope.y, rcond=None)[0]
    scope.declare(
        f"{path}.bias",
        spec.bias,
        module.bias,
        default=start[:1],
        units=Units(scope.y_scale, offset=scope.y_offset, reference=scope.y_spread),
    )
    labels = [
        name if p == 1 else f"{name}^{p}"
        for p in range(1, degree + 1)
        for name in scope.labels(active, per_column=True) or ()
    ]
    unit = np.concatenate([scope.unit(1, -power, active, per_column=True) for power in range(1, degree + 1)])
    sizes = np.abs(design[:, 1:]).max(axis=0)
    scope.declare(
        f"{path}.weights",
        spec.weights,
        module.weights,
        default=start[1:],
        units=Units(unit, reference=scope.y_spread / np.where(sizes > 0, sizes, 1.0)),
        labels=labels,
    )
    return module


Mean = Annotated[Zero | Constant | Linear | Polynomial, OneOf(default="constant")]
