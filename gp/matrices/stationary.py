"""Closed forms of stationary kernels: functions of a distance between points computed from the inputs."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from gpytorch import kernels

from .distances import Distances
from .tiles import Blocks, Derivative, Gradients, Value, add_product

# f(s); a function that returns an array times df/ds, up to a constant; that constant
Formed = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], float]
Form = Callable[[np.ndarray], Formed]  # it may overwrite s


def rbf(kernel: kernels.RBFKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−s), s = Σ (x − x')²/2ℓ²  (R&W 2006 eq. 4.9)."""
    lengthscale = Value(kernel, "lengthscale", len(x1))
    return _Stationary(_Scaled(math.sqrt(0.5) / lengthscale.at, {lengthscale: -1.0}), exponential, x1, x2)


def periodic(kernel: kernels.PeriodicKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−2 Σ sin²(π(x − x')/p)/λ) as an RBF between points on circles  (R&W 2006 eq. 4.31; gpytorch's λ is ℓ²).

    Points on the unit circle at angles 2πx/p have squared distances 4 sin²(π(x − x')/p).
    """
    place = _OnCircles(*(Value(kernel, name, len(x1)) for name in ("lengthscale", "period_length")))
    return _Stationary(place, exponential, x1, x2)


def matern(kernel: kernels.MaternKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """A polynomial times exp(−√s), s = 2ν Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.16–4.17)."""
    lengthscale = Value(kernel, "lengthscale", len(x1))
    place = _Scaled(math.sqrt(2 * kernel.nu) / lengthscale.at, {lengthscale: -1.0})
    return _Stationary(place, MATERN_FORMS[kernel.nu], x1, x2)


class RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²  (R&W 2006 eq. 4.19)."""

    def __init__(self, kernel: kernels.RQKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        lengthscale, self._alpha = (Value(kernel, name, len(x1)) for name in ("lengthscale", "alpha"))
        self._power = self._alpha.at.item()
        place = _Scaled(1 / (lengthscale.at * math.sqrt(2 * self._power)), {lengthscale: -1.0, self._alpha: -0.5})
        self._at_fixed_power = _Stationary(place, self._form, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        value, of_rest = self._at_fixed_power.block(rows, columns)

        def by_power() -> np.ndarray:
            """Return ∂/∂log α (1 + s)^−α = k log k, which is 0 if k is 0."""
            logs = np.log(np.maximum(value, np.finfo(float).tiny))
            logs *= value
            return logs

        def pull(weight: np.ndarray, factor: float) -> None:
            self._alpha.gradient += factor * float(np.vdot(weight, by_power()))
            of_rest.pull(weight, factor)

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            add_product(self._alpha.product[:, 0], factor * weight * by_power(), rows, columns, vector)
            of_rest.push(weight, factor, vector)

        return value, Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        return self._at_fixed_power.diagonal()

    def gradients(self) -> Gradients:
        yield from self._at_fixed_power.gradients()

    def products(self) -> Gradients:
        yield from self._at_fixed_power.products()

    def _form(self, s: np.ndarray) -> Formed:
        value = np.log1p(s)
        value *= -self._power
        np.exp(value, out=value)
        s += 1
        return value, lambda weight: weight * value / s, -self._power


class _Map(Protocol):
    """A map from inputs x (n, d) to points z (n, D) by hyperparameters, which may only scale the columns of z."""

    only_scales: bool

    def __call__(self, x: np.ndarray) -> np.ndarray: ...

    def tangents(self, x: np.ndarray) -> dict[Value, np.ndarray]:
        """Return ∂z/∂log θ (n, D) for each hyperparameter θ, as if each column of z had its own θ."""
        ...

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x (n, d), given ∂L/∂z at x."""
        ...


class _Stationary:
    """f(|z − z'|²), f(0) = 1, for points z that `place` computes from the inputs."""

    def __init__(self, place: _Map, form: Form, x1: torch.Tensor, x2: torch.Tensor) -> None:
        # Inputs are centred, so that inputs far from zero keep their digits.
        inputs = x2.detach().numpy()
        centre = inputs.sum(axis=0) / len(x2)
        self._place, self._form, self._x, self._inputs = place, form, x1.detach().numpy() - centre, x1
        z1 = place(self._x)
        z2 = z1 if x1 is x2 else place(inputs - centre)
        only_scaled = place.only_scales and not x1.requires_grad
        self._distances = Distances(z1, z2, lambda: list(self._tangents.values()), only_scaled=only_scaled)

    @cached_property
    def _tangents(self) -> dict[Value, np.ndarray]:
        return self._place.tangents(self._x)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        s, of_s = self._distances.block(rows, columns)
        value, slope, constant = self._form(s)
        return value, Derivative(
            pull=lambda weight, factor: of_s.pull(slope(weight), constant * factor),
            push=lambda weight, factor, vector: of_s.push(slope(weight), constant * factor, vector),
        )

    def diagonal(self) -> np.ndarray:
        return np.ones(len(self._x))

    def gradients(self) -> Gradients:
        gradient = self._distances.gradient
        for value, tangent in self._tangents.items():
            value.gradient += _by_element(value, np.einsum("ij,ij->j", gradient, tangent)[None])[0]
            yield from value.gradients()
        if self._inputs.requires_grad:
            yield self._inputs, self._place.by_inputs(self._x, gradient)

    def products(self) -> Gradients:
        for value, product in zip(self._tangents, self._distances.products, strict=True):
            value.product[:] += _by_element(value, product)
            yield from value.products()


def _by_element(value: Value, columns: np.ndarray) -> np.ndarray:
    """Return derivatives by the elements of θ, (n, size), from those as if each column of z had its own θ, (n, D).

    D is a multiple of the number of inputs; each input has its own θ, or all share one.
    """
    size = len(value.gradient)
    return columns.reshape(len(columns), -1, size).sum(axis=1)


class _Scaled:
    """z = x · weights; the weights (1, d) or (1, 1) are products of powers of hyperparameters, `powers`."""

    only_scales = True

    def __init__(self, weights: np.ndarray, powers: dict[Value, float]) -> None:
        self._weights, self._powers = weights, powers

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x * self._weights

    def tangents(self, x: np.ndarray) -> dict[Value, np.ndarray]:
        return {value: power * self(x) for value, power in self._powers.items()}

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return gradient * self._weights


class _OnCircles:
    """z = radius · (cos, sin)(angle · x) for each column of x: radius = (2λ)^−½, angle = 2π/p, (1, d) or (1, 1)."""

    only_scales = False

    def __init__(self, lengthscale: Value, period: Value) -> None:
        self._lengthscale, self._period = lengthscale, period
        self._radius, self._angle = (2 * lengthscale.at) ** -0.5, 2 * math.pi / period.at

    def __call__(self, x: np.ndarray) -> np.ndarray:
        phase = x * self._angle
        return np.hstack([self._radius * np.cos(phase), self._radius * np.sin(phase)])

    def tangents(self, x: np.ndarray) -> dict[Value, np.ndarray]:
        z, phase = self(x), x * self._angle
        first, second = np.hsplit(z, 2)
        return {self._lengthscale: -0.5 * z, self._period: np.hstack([second * phase, -first * phase])}

    def by_inputs(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        (first, second), (z, turned) = np.hsplit(gradient, 2), np.hsplit(self(x), 2)
        return self._angle * (second * z - first * turned)


def exponential(s: np.ndarray) -> Formed:
    """Return exp(−s)."""
    value = np.exp(np.negative(s, out=s), out=s)
    return value, lambda weight: weight * value, -1.0


def _matern_12(s: np.ndarray) -> Formed:
    """Return exp(−r), r = √s, whose slope is −k/2r."""
    r = np.sqrt(s, out=s)
    # No hyperparameter changes a distance of zero, so the slope at this cusp only needs to be finite.
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
