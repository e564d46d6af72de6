"""Noise models: how observations scatter about the function.  `Noise` is the registry.

To add one: a class here with a `kind`, its hyperparameters as fields and `build`, and its name in `Noise` at the end.
"""

from typing import Annotated, Any, Literal

import torch

from gp.hyperparameters import Positive
from gp.scope import Scope
from gp.spec import OneOf, Spec


class GaussianNoise(torch.nn.Module):
    """Independent N(0, sd²) at every input; the learnt parameter is log sd (1,)."""

    def __init__(self) -> None:
        super().__init__()
        self.raw_sd = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the noise variance at x (n, d), shape (n,)."""
        return (2 * self.raw_sd).exp().expand(len(x))


class Gaussian(Spec):
    """One unknown standard deviation, `sd`, in y's units."""

    kind: Literal["gaussian"] = "gaussian"
    sd: Positive | None = None

    def build(self, scope: Scope, path: str) -> GaussianNoise:
        """Return the module, its sd declared."""
        module = GaussianNoise()
        scope.declare(
            f"{path}.sd",
            self.sd,
            module.raw_sd,
            default=0.3 * scope.y_spread,
            limits=(1e-5 * scope.y_spread, 1e2 * scope.y_spread),
            unit=scope.y_scale,
            amplitude=0.5,
            power=2,
            floor=1e-4,  # gpytorch's floor of a noise variance; held to where Adam walks in gpytorch's form
        )
        return module


Noise = Annotated[Any, OneOf(Gaussian, default="gaussian")]
