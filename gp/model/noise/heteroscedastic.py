"""Noise whose level depends on x: a second Gaussian process over its logarithm."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from gpytorch.kernels import Kernel as GpytorchKernel

from ...parameters.hyperparameters import Positive
from ...parameters.scope import Scope
from ...spec import Spec
from ..kernels import Kernel, Rbf
from .base import NoiseModel
from .gaussian import declare_sd

Value = TypeVar("Value")


def log_noise(x: np.ndarray, cross: np.ndarray, prior: np.ndarray, log_level: float, weights: Any, root: Any) -> Any:
    return np.exp(log_level + weights @ cross + 0.5 * (prior - ((root @ cross) ** 2).sum(axis=0)))


class HeteroscedasticNoise(NoiseModel):
    """N(0, exp g(x)), g ~ GP(log sd², kernel), with a Gaussian q(g) at the training rows.

    Lázaro-Gredilla & Titsias 2011, "Variational heteroscedastic Gaussian process regression", eqs. 5–8: at the
    bound's optimum q(g) has mean μ = K_g (Λ − ½ I) 1 + log sd² and covariance Σ = (K_g⁻¹ + Λ)⁻¹ with Λ diagonal and
    positive, and the bound is log N(y | m, K + R) − ¼ tr Σ − KL(q(g) ‖ p(g)), R_ii = exp(μ_i − ½ Σ_ii).
    K_g is never inverted, so rows may repeat.
    """

    by_row = True
    held = True
    formula = staticmethod(log_noise)  # `cross` (n, m) and `prior` (m,) are the kernel's, between sites z and x

    def __init__(self, kernel: GpytorchKernel, x: torch.Tensor) -> None:
        super().__init__()
        self.kernel = kernel
        self.x = x
        self.raw_sd = torch.nn.Parameter(torch.zeros(1))
        self.log_precisions = torch.nn.Parameter(torch.zeros(len(x)))  # log 2Λ
        self._kept: dict[str, tuple[bytes, Any]] = {}  # K_g and the factor by Λ, and what they were computed from

    @property
    def log_sd(self) -> torch.Tensor:
        """Return the parameter log sd (1,)."""
        return self.raw_sd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return E exp g = exp(mean + ½ variance) at x (m, d), shape (m,)."""
        cross = self.kernel(self.x, x).to_dense()
        prior = self.kernel(x, diag=True)
        precisions = self._precisions
        whitened = _whitened(self._prior(), precisions, cross)[0]
        variance = prior - (whitened**2).sum(0)
        return (2 * self.raw_sd + (precisions - 0.5) @ cross + 0.5 * variance).exp()

    def numbers(self) -> dict[str, Any]:
        """Return log sd², Λ − ½ (n,), L_B⁻¹Λ^½ (n, n) and the rows z (n, d)."""
        with torch.no_grad():
            precisions, prior = self._precisions, self.kernel(self.x).to_dense()
            root = _whitened(prior, precisions, torch.eye(len(prior)))[0].numpy()
            weights, rows = (precisions - 0.5).numpy(), self.x.numpy()
        return {"log_level": 2 * self.raw_sd.item(), "weights": weights, "root": root, "z": rows}

    def left_out(self, x: torch.Tensor) -> torch.Tensor:
        """Return E exp g_i under q(g) without the site of row i, (n,); other sites and R stay as they are.

        The site is Gaussian, of precision Λ_ii: removed, Σ_ii becomes Σ_ii/c and μ_i falls by Σ_ii a_i/c, where
        c = 1 − Λ_ii Σ_ii and a = (Λ − ½ I) 1  (a cavity, as in R&W 2006 eq. 3.56).
        """
        spread, weights = self._spread().diagonal(), self._precisions - 0.5
        wider = spread / (1 - self._precisions * spread)
        shift = self._prior() @ weights - wider * weights
        return (2 * self.raw_sd + shift + 0.5 * wider).exp()

    def without(self, row: int) -> "HeteroscedasticNoise":
        """Return the noise of the other rows, whose Λ starts where q(g) keeps its mean but for the site removed."""
        with torch.no_grad():
            spread, precisions = self._spread()[:, row], self._precisions
            pull = (precisions[row] - 0.5) / (1 - precisions[row] * spread[row])
            starts = self.log_precisions + torch.log((1 + pull * spread).clamp(min=0.1))
        others = torch.arange(len(self.x)) != row
        noise = HeteroscedasticNoise(self.kernel, self.x[others])
        noise.raw_sd = self.raw_sd
        noise.log_precisions = torch.nn.Parameter(starts[others])
        return noise

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return R's diagonal (n,), and −¼ tr Σ − KL(q(g) ‖ p(g)).

        With B = I + Λ^½ K_g Λ^½ and a = (Λ − ½ I) 1, KL = ½ (aᵀ K_g a + log |B| − Σ_i Λ_ii Σ_ii).
        """
        prior, precisions = self._prior(), self._precisions
        whitened, log_determinant = self._of_rows()
        variance = prior.diagonal() - (whitened**2).sum(0)
        weights = precisions - 0.5
        shift = prior @ weights
        divergence = 0.5 * (weights @ shift + log_determinant - precisions @ variance)
        return (2 * self.raw_sd + shift - 0.5 * variance).exp(), -0.25 * variance.sum() - divergence

    def stationary(self, variance: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return log 2Λ at Λ = ½ + ∂ log N/∂ log R.

        The bound's derivative by Λ is M (½ + ∂ log N/∂ log R − Λ), M = K_g + ½ Σ∘Σ = ∂ log R/∂Λ.
        """
        return np.asarray(np.log(np.maximum(1 + 2 * slope, 1e-12)))

    def newton(self, slope: np.ndarray, curvature: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """Return log 2Λ after a Newton step for Λ = ½ + ∂ log N/∂ log R, Λ being positive.

        That equation is well conditioned, while the derivative's factor M is nearly singular, as K_g is smooth.
        Damped, it is a step in the metric of M⁻¹.
        """
        with torch.no_grad():
            moves = (self._prior() + 0.5 * self._spread() ** 2).numpy()
            now = self._precisions.numpy()
        step = np.linalg.solve((1 + damping) * np.eye(len(now)) - curvature @ moves, 0.5 + slope - now)
        return np.asarray(np.log(2 * np.maximum(now + step, 0.1 * now)))

    def _spread(self) -> torch.Tensor:
        """Return Σ (n, n)."""
        whitened = self._of_rows()[0]
        return self._prior() - whitened.T @ whitened

    def _prior(self) -> torch.Tensor:
        """Return K_g (n, n)."""
        return self._once("prior", list(self.kernel.parameters()), lambda: self.kernel(self.x).to_dense())

    def _of_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return L⁻¹ Λ^½ K_g (n, n) and log |B|."""
        tensors = [*self.kernel.parameters(), self.log_precisions]
        return self._once("rows", tensors, lambda: _whitened(self._prior(), self._precisions, self._prior()))

    def _once(self, name: str, tensors: list[torch.nn.Parameter], compute: Callable[[], Value]) -> Value:
        """Return what `compute` does; again where the `tensors` changed since, or gradients are wanted."""
        if torch.is_grad_enabled():
            return compute()
        key = b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)
        if name not in self._kept or self._kept[name][0] != key:
            self._kept[name] = key, compute()
        return self._kept[name][1]

    @property
    def _precisions(self) -> torch.Tensor:
        """Return Λ's diagonal (n,)."""
        return 0.5 * self.log_precisions.exp()


def _whitened(prior: torch.Tensor, precisions: torch.Tensor, cross: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return L⁻¹ Λ^½ `cross` (n, m) and log |B|, where L is the Cholesky factor of B = I + Λ^½ K_g Λ^½."""
    root = precisions.sqrt()
    factor = torch.linalg.cholesky(torch.eye(len(root)) + root[:, None] * prior * root)
    whitened = torch.linalg.solve_triangular(factor, root[:, None] * cross, upper=False)
    return whitened, 2 * factor.diagonal().log().sum()


class Heteroscedastic(Spec):
    """A noise level that changes with x: log variance ~ GP(log sd², `kernel`); the amplitude has no unit."""

    kind: Literal["heteroscedastic"] = "heteroscedastic"
    by_row: ClassVar[bool] = True  # the same as in its NoiseModel
    sd: Positive | None = None
    kernel: Kernel = Rbf()

    def build(self, scope: Scope, path: str) -> HeteroscedasticNoise:
        """Return the module, and declare its hyperparameters and Λ."""
        declared = len(scope.parameters)
        kernel = self.kernel.build(scope.dimensionless(), f"{path}.kernel")
        # This is a kernel of log variances: it does not scale with the covariance of y.
        scope.unscaled(declared)
        # Before Λ is learnt, the objective does not tell how good values of these hyperparameters are.
        scope.untried(declared)
        module = HeteroscedasticNoise(kernel, torch.from_numpy(np.ascontiguousarray(scope.x)))
        declare_sd(scope, f"{path}.sd", self.sd, module.raw_sd)
        scope.declare_auxiliary(f"{path}.log_precisions", module.log_precisions)
        return module
