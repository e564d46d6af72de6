"""Fourier features of periodic functions: a kernel's expansion, and features of rows.

exp(−2 sin²(πd/p)/ℓ²) = Σ_m c_m cos(2πmd/p) with c₀ = e^{−κ}I₀(κ), c_m = 2e^{−κ}I_m(κ), κ = 1/ℓ² (Abramowitz & Stegun
1964, 9.6.34).
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from gpytorch.kernels import AdditiveKernel, Kernel, PeriodicKernel
from scipy.optimize import brentq
from scipy.special import ive

from ..model.model import GaussianProcess
from ..parameters.vector import Parameter, Parameters

ROWS = 8192  # whose features are computed at a time
BETWEEN = (1e-4, 1e4)  # lengthscales, between which is the shortest that some harmonics show
CLEAR = 0.1  # of the share that may be left out, what a search may: differences just beyond its bound then have values


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


@cache
def shortest(harmonics: int, tail: float) -> float:
    """Return the shortest lengthscale of a periodic kernel of whose variance the harmonics leave out at most `tail`."""
    orders = np.arange(harmonics + 1)

    def above(raw: float) -> float:
        kept = ive(orders, math.exp(-2 * raw))
        return math.log(max(1 - float(2 * kept.sum() - kept[0]), 1e-16) / tail)

    return math.exp(brentq(above, *np.log(BETWEEN)))


def bounded(gp: GaussianProcess, harmonics: int, tail: float) -> GaussianProcess:
    """Return the model whose periodic kernels are searched only where the harmonics leave out next to nothing.

    Without such a bound, a search along ever shorter lengthscales ends at a cliff.  A lengthscale that starts beyond it
    keeps its own: the first evaluation refuses it.
    """
    least, own = shortest(harmonics, CLEAR * tail), _lengthscales(gp)
    parameters = [
        replace(parameter, bounds=replace(parameter.bounds, lower=np.maximum(parameter.bounds.lower, least)))
        if isinstance(parameter, Parameter) and id(parameter.tensor) in own and (parameter.start >= least).all()
        else parameter
        for parameter in gp.parameters.all
    ]
    return replace(gp, parameters=Parameters(parameters), workspace={})


def names_bounded(gp: GaussianProcess, harmonics: int, tail: float) -> list[str]:
    """Return the names of the hyperparameters whose lower bound is that of `bounded`."""
    least, own = shortest(harmonics, CLEAR * tail), _lengthscales(gp)
    return [
        name
        for parameter in gp.parameters.free
        if isinstance(parameter, Parameter) and id(parameter.tensor) in own
        for name, lower in zip(parameter.names, parameter.bounds.lower, strict=True)
        if lower == least
    ]


def _lengthscales(gp: GaussianProcess) -> set[int]:
    return {id(kernel.raw_lengthscale) for kernel in gp.kernel.modules() if isinstance(kernel, PeriodicKernel)}


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
