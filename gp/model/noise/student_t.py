"""Student's t noise: robust against outliers."""

from typing import ClassVar, Literal

import numpy as np
import torch

from ...parameters.hyperparameters import Positive
from ...parameters.scope import Scope
from ...parameters.vector import Bounds
from ...spec import Spec
from .base import NoiseModel
from .gaussian import declare_sd


class StudentTNoise(NoiseModel):
    """sd · t_ν noise as N(0, sd²/w), w ~ Gamma(ν/2, ν/2), with q(w_i) = Gamma((ν + 1)/2, rate_i) for each row.

    Tipping & Lawrence 2005, "Variational inference for Student-t models", sec. 3, for a GP (Kuss 2006, sec. 5.3): with
    E the mean under q, the bound is log N(y | m, K + diag(sd²/E w)) + Σ ½ (E log w − log E w) − KL(q(w) ‖ p(w)).
    """

    by_row = True

    def __init__(self, n: int) -> None:
        super().__init__()
        self.raw_sd = torch.nn.Parameter(torch.zeros(1))
        self.raw_nu = torch.nn.Parameter(torch.zeros(1))
        self.log_rates = torch.nn.Parameter(torch.zeros(n))

    @property
    def log_sd(self) -> torch.Tensor:
        """Return the parameter log sd (1,)."""
        return self.raw_sd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the variance sd² ν/(ν − 2) of t noise at x (m, d), shape (m,)."""
        nu = self.raw_nu.exp()
        return ((2 * self.raw_sd).exp() * nu / (nu - 2)).expand(len(x))

    def without(self, row: int) -> "StudentTNoise":
        """Return the noise of the other rows, with the rates that they have."""
        rates = self.log_rates.detach()
        noise = StudentTNoise(len(rates) - 1)
        noise.raw_sd, noise.raw_nu = self.raw_sd, self.raw_nu
        noise.log_rates = torch.nn.Parameter(rates[torch.arange(len(rates)) != row])
        return noise

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sd²/E w_i (n,), and Σ ½ (E log w − log E w) − KL(q(w) ‖ p(w))."""
        # This is the shape of the optimal q, whatever the residuals.
        half = 0.5 * self.raw_nu.exp()
        shape, rates = half + 0.5, self.log_rates.exp()
        mean_log = shape.digamma() - self.log_rates
        divergence = (
            (shape - half) * shape.digamma()
            - shape.lgamma()
            + half.lgamma()
            + half * (self.log_rates - half.log())
            + shape * (half / rates - 1)
        )
        excess = 0.5 * (mean_log - shape.log() + self.log_rates) - divergence
        return (2 * self.raw_sd).exp() * rates / shape, excess.sum()

    def stationary(self, variance: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the logs of ν/2 + ½ E(y − f)²/sd², the rates of the optimal q(w), with ½ E(y − f)² = (½ + slope) R."""
        nu, sd = (float(raw.detach().exp()) for raw in (self.raw_nu, self.raw_sd))
        return np.asarray(np.log(0.5 * nu + (0.5 + slope) * variance / sd**2))

    def newton(self, slope: np.ndarray, curvature: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """Return log rates after a Newton step for where the bound's derivative by them is zero.

        That is slope − ν/2 + shape · ν/2 / rate.
        """
        half, now = 0.5 * float(self.raw_nu.detach().exp()), self.log_rates.detach().numpy()
        pull = (half + 0.5) * half * np.exp(-now)
        return np.asarray(now + np.linalg.solve(np.diag((1 + damping) * pull) - curvature, slope - half + pull))


class StudentT(Spec):
    """sd times Student's t with `nu` degrees of freedom; nu > 2, so that the variance is finite.

    `sd` is the scale, in y's units; a new observation's standard deviation is sd √(ν/(ν − 2)).
    """

    kind: Literal["student_t"] = "student_t"
    by_row: ClassVar[bool] = True  # the same as in its NoiseModel
    sd: Positive | None = None
    nu: Positive | None = None

    def build(self, scope: Scope, path: str) -> StudentTNoise:
        """Return the module, and declare its hyperparameters and rates."""
        n = len(scope.y)
        module = StudentTNoise(n)
        declare_sd(scope, f"{path}.sd", self.sd, module.raw_sd)
        scope.declare(
            f"{path}.nu",
            self.nu,
            module.raw_nu,
            default=4.0,
            bounds=Bounds(2.1, 1e3, hard=True),
        )
        scope.declare_auxiliary(f"{path}.log_rates", module.log_rates)
        return module
