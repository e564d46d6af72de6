"""Closed forms of stationary kernels: functions of a distance between points that are made of the inputs."""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from gpytorch import kernels

from gp.matrices.distances import Distances
from gp.matrices.tiles import Blocks, Gradients, Number, Pull

# f(s); what multiplies an array by df/ds but for a constant, into a new one; that constant
Formed = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], float]
Form = Callable[[np.ndarray], Formed]  # s may be written to


def rbf(kernel: kernels.RBFKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−s), s = Σ (x − x')²/2ℓ²  (R&W 2006 eq. 4.9)."""
    return _Stationary(_Scaled(math.sqrt(0.5), kernel.lengthscale), exponential, x1, x2)


def periodic(kernel: kernels.PeriodicKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−2 Σ sin²(π(x − x')/p)/λ) as an RBF between points on circles  (R&W 2006 eq. 4.31; gpytorch's λ is ℓ²).

    On the unit circle, at angles 2πx/p, squared distances are 4 sin²(π(x − x')/p).
    """
    place = _OnCircles(angle=2 * math.pi / kernel.period_length, radius=(2 * kernel.lengthscale).rsqrt())
    return _Stationary(place, exponential, x1, x2)


def matern(kernel: kernels.MaternKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """A polynomial times exp(−√s), s = 2ν Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.16–4.17)."""
    return _Stationary(_Scaled(math.sqrt(2 * kernel.nu), kernel.lengthscale), MATERN_FORMS[kernel.nu], x1, x2)


class RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²  (R&W 2006 eq. 4.19)."""

    def __init__(self, kernel: kernels.RQKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._alpha = Number(kernel.alpha)
        width = kernel.lengthscale * (2 * kernel.alpha).sqrt()
        self._at_fixed_power = _Stationary(_Scaled(1.0, width), self._form, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        value, pull_rest = self._at_fixed_power.block(rows, columns)

        def pull(weight: np.ndarray, factor: float) -> None:
            # ∂/∂α (1 + s)^−α = k log k / α, which is 0 where k is.
            logs = np.log(np.maximum(value, np.finfo(float).tiny))
            logs *= value
            self._alpha.gradient += factor * float(np.vdot(weight, logs)) / self._alpha.value
            pull_rest(weight, factor)

        return value, pull

    def diagonal(self) -> np.ndarray:
        return self._at_fixed_power.diagonal()

    def gradients(self) -> Gradients:
        yield from self._alpha.gradients()
        yield from self._at_fixed_power.gradients()

    def _form(self, s: np.ndarray) -> Formed:
        value = np.log1p(s)
        value *= -self._alpha.value
        np.exp(value, out=value)
        s += 1
        return value, lambda weight: weight * value / s, -self._alpha.value


class _Map(Protocol):
    """Inputs x (n, d) → points z (n, D), depending on hyperparameters, which may do no more than scale z's columns."""

    only_scales: bool

    def __call__(self, x: np.ndarray) -> np.ndarray: ...

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        """Yield the hyperparameters with ∂L/∂ them, given ∂L/∂z at x."""
        ...

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x (n, d), given ∂L/∂z at x."""
        ...


class _Stationary:
    """f(|z − z'|²), f(0) = 1, of points z that `place` makes of the inputs."""

    def __init__(self, place: _Map, form: Form, x1: torch.Tensor, x2: torch.Tensor) -> None:
        # Seen from their mean, inputs far from zero keep their digits.
        centre = x2.detach().numpy().sum(axis=0) / len(x2)
        self._place, self._form, self._x, self._inputs = place, form, x1.detach().numpy() - centre, x1
        z1 = place(self._x)
        z2 = z1 if x1 is x2 else place(x2.detach().numpy() - centre)
        self._distances = Distances(z1, z2, only_scaled=place.only_scales and not x1.requires_grad)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        s, pull_distances = self._distances.block(rows, columns)
        value, slope, constant = self._form(s)
        return value, lambda weight, factor: pull_distances(slope(weight), constant * factor)

    def diagonal(self) -> np.ndarray:
        return np.ones(len(self._x))

    def gradients(self) -> Gradients:
        gradient = self._distances.gradient
        yield from self._place.gradients(self._x, gradient)
        if self._inputs.requires_grad:
            yield self._inputs, self._place.by_inputs(self._x, gradient)


class _Scaled:
    """z = x · factor / lengthscale, of shape (1, d) or (1, 1)."""

    only_scales = True

    def __init__(self, factor: float, lengthscale: torch.Tensor) -> None:
        self._lengthscale, self._weights = lengthscale, factor / lengthscale.detach().numpy()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x * self._weights

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        slope = -self._weights / self._lengthscale.detach().numpy()
        yield self._lengthscale, _shaped_as(self._lengthscale, x * gradient) * slope

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return gradient * self._weights


class _OnCircles:
    """z = radius · (cos, sin)(angle · x) for each column of x; angle and radius (1, d) or (1, 1)."""

    only_scales = False

    def __init__(self, angle: torch.Tensor, radius: torch.Tensor) -> None:
        self._angle, self._radius = angle, radius

    def __call__(self, x: np.ndarray) -> np.ndarray:
        radius, phase = self._radius.detach().numpy(), x * self._angle.detach().numpy()
        return np.hstack([radius * np.cos(phase), radius * np.sin(phase)])

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        yield (
            self._radius,
            _shaped_as(self._radius, sum(np.hsplit(self(x) * gradient, 2)) / self._radius.detach().numpy()),
        )
        yield self._angle, _shaped_as(self._angle, x * self._by_phase(x, gradient))

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return self._angle.detach().numpy() * self._by_phase(x, gradient)

    def _by_phase(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        (first, second), (z, turned) = np.hsplit(gradient, 2), np.hsplit(self(x), 2)
        return second * z - first * turned


def _shaped_as(tensor: torch.Tensor, gradient: np.ndarray) -> np.ndarray:
    """Return (n, d) summed over rows, and over columns where they share one number."""
    return gradient.sum(axis=0, keepdims=True) if tensor.numel() > 1 else gradient.sum(keepdims=True)


def exponential(s: np.ndarray) -> Formed:
    """Return exp(−s)."""
    value = np.exp(np.negative(s, out=s), out=s)
    return value, lambda weight: weight * value, -1.0


def _matern_12(s: np.ndarray) -> Formed:
    """Return exp(−r), r = √s, whose slope is −k/2r."""
    r = np.sqrt(s, out=s)
    # A distance of zero moves with no hyperparameter, however steep the cusp there: finite is enough.
    np.maximum(r, 1e-150, out=r)
    value = np.negative(r)
    np.exp(value, out=value)

    def slope(weight: np.ndarray) -> np.ndarray:
        weighted = weight * value
        weighted /= r
        return weighted

    return value, slope, -1 / 2


def _matern_32(s: np.ndarray) -> Formed:
    """Return (1 + r) exp(−r), r = √s, whose slope is −exp(−r)/2."""
    r = np.sqrt(s, out=s)
    decay = np.negative(r)
    np.exp(decay, out=decay)
    r += 1
    return np.multiply(r, decay, out=r), lambda weight: weight * decay, -1 / 2


def _matern_52(s: np.ndarray) -> Formed:
    """Return (1 + r + r²/3) exp(−r), r = √s, whose slope is −(1 + r) exp(−r)/6."""
    r = np.sqrt(s)
    decay = np.negative(r)
    np.exp(decay, out=decay)
    r += 1
    s *= 1 / 3
    s += r
    s *= decay

    def slope(weight: np.ndarray) -> np.ndarray:
        weighted = weight * decay
        weighted *= r
        return weighted

    return s, slope, -1 / 6


MATERN_FORMS: dict[float, Form] = {0.5: _matern_12, 1.5: _matern_32, 2.5: _matern_52}
