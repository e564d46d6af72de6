"""Gaussian noise of one unknown standard deviation."""

from typing import ClassVar, Literal

import numpy as np
import torch

from ...parameters.candidates import noise_sds
from ...parameters.hyperparameters import Positive
from ...parameters.scope import Scope
from ...parameters.vector import Bounds, Softplus, Units
from ...spec import Spec
from .base import NoiseModel


class GaussianNoise(NoiseModel):
    """Independent N(0, sd²) at every input; the parameter is log sd (1,).

    New observations have the share `kept` of that variance.
    """

    one_level = True

    def __init__(self, kept: float = 1.0) -> None:
        super().__init__()
        self.raw_sd = torch.nn.Parameter(torch.zeros(1))
        self.kept = kept

    @property
    def log_sd(self) -> torch.Tensor:
        """Return the parameter log sd (1,)."""
        return self.raw_sd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the noise variance of new observations at x (m, d), shape (m,)."""
        return (self.kept * (2 * self.raw_sd).exp()).expand(len(x))

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        """Return sd² of each of the rows, (n,)."""
        return (2 * self.raw_sd).exp().expand(len(x)), None

    def of_new(self, kept: float) -> "GaussianNoise":
        """Return the same noise, of which new observations have the share `kept`; it shares the parameter."""
        noise = GaussianNoise(kept)
        noise.raw_sd = self.raw_sd
        return noise

    def weights(self, n: int, noise_sd: torch.Tensor | None) -> np.ndarray | None:
        """Return 1 for each row."""
        return np.ones(n)

    def slopes(self, variance: np.ndarray) -> dict[torch.Tensor, np.ndarray]:
        """Return ∂ sd²/∂ log sd = 2 sd², (n, 1)."""
        return {self.raw_sd: 2 * variance[:, None]}


class Gaussian(Spec):
    """One unknown standard deviation, `sd`, in y's units."""

    kind: Literal["gaussian"] = "gaussian"
    by_row: ClassVar[bool] = False  # the same as in its NoiseModel
    sd: Positive | None = None

    def build(self, scope: Scope, path: str) -> GaussianNoise:
        """Return the module, and declare its sd."""
        module = GaussianNoise()
        declare_sd(scope, f"{path}.sd", self.sd, module.raw_sd)
        return module


def declare_sd(scope: Scope, name: str, written: Positive | None, tensor: torch.nn.Parameter) -> None:
    """Declare the standard deviation of a noise; `tensor` holds its log."""
    scope.declare(
        name,
        written,
        tensor,
        default=0.3 * scope.y_spread,
        bounds=Bounds(1e-5 * scope.y_spread, 1e2 * scope.y_spread),
        units=Units(scope.y_scale),
        amplitude=0.5,
        form=Softplus(power=2, floor=1e-4),
        candidates=noise_sds,
        # gpytorch's floor of a noise variance; Adam keeps to it in gpytorch's form
    )
