"""Fourier features of periodic functions: a kernel's expansion, and features of rows.

exp(−2 sin²(πd/p)/ℓ²) = Σ_m c_m cos(2πmd/p) with c₀ = e^{−κ}I₀(κ), c_m = 2e^{−κ}I_m(κ), κ = 1/ℓ² (Abramowitz & Stegun
1964, 9.6.34).
"""

import math

import numpy as np
import torch
from gpytorch.kernels import AdditiveKernel, Kernel, PeriodicKernel
from scipy.special import ive

from ..model.model import GaussianProcess

ROWS = 8192  # whose features are computed at a time


def terms_of(kernel: Kernel) -> list[Kernel]:
    """Return the terms of a sum; a kernel itself, if it is none."""
    return list(kernel.kernels) if isinstance(kernel, AdditiveKernel) else [kernel]


def features(gp: GaussianProcess, x: torch.Tensor, harmonics: int, step: np.ndarray | None = None) -> np.ndarray:
    """Return features at internal inputs x (m, d): for each term of the kernel 1, cos and sin of each order, (m, p).

    With a `step` (m, d), internal, they are means along it.
    """
    orders, parts = np.arange(1, harmonics + 1), []
    for kernel in terms_of(gp.kernel):
        base = kernel.base_kernel
        turn, column = 2 * math.pi / base.period_length.item(), base.active_dims.item()
        along = None if step is None else turn * step[:, column]
        parts += [np.ones((len(x), 1)), *waves(turn * x[:, column].numpy(), along, orders)]
    return np.hstack(parts)


def fourier_series(kernel: PeriodicKernel, harmonics: int) -> tuple[torch.Tensor, float]:
    """Return the coefficients c_m of a periodic kernel of unit variance, (harmonics + 1,), and what they leave of it.

    They are differentiable by the kernel's lengthscale.
    """
    raw = kernel.raw_lengthscale.reshape(())  # log ℓ
    concentration, orders = math.exp(-2 * raw.item()), np.arange(harmonics + 1)
    bessel, twice = ive(np.arange(harmonics + 2), concentration), np.where(orders > 0, 2.0, 1.0)
    values = twice * bessel[:-1]
    # d(e^{−κ}I_m)/dκ = ½ (I_{m−1} + I_{m+1}) e^{−κ} − e^{−κ}I_m, and dκ/d(log ℓ) = −2κ.
    slope = 0.5 * (np.abs(bessel[np.abs(orders - 1)]) + bessel[1:]) - bessel[:-1]
    slopes = torch.from_numpy(-2 * concentration * twice * slope)
    series = torch.from_numpy(values) + slopes * (raw - raw.detach())  # equal in value and in slope
    return series, float(1 - values.sum())


def waves(angle: np.ndarray, step: np.ndarray | None, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cos(m·angle) and sin(m·angle) of each order, (n, M) each; means along steps if there are any.

    Along the straight line from angle − step/2 to angle + step/2, (n,) each, the mean of cos(mψ) is
    cos(m·angle) · sin(m·step/2)/(m·step/2), and likewise that of sin(mψ).
    """
    at = angle[:, None] * orders
    cos, sin = np.cos(at), np.sin(at)
    if step is not None:
        share = np.sinc(step[:, None] * orders / (2 * math.pi))
        cos, sin = cos * share, sin * share
    return cos, sin
