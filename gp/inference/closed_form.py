"""Closed forms: blocks of gpytorch kernels by NumPy and BLAS, many times faster than autograd.

An extra, never a need: a kernel that `CLOSED_FORMS`, at the end, does not name goes through its own autograd, also as a
term or a factor of one that is named.  To add one: what makes Blocks of (kernel, x1, x2), and its line there.

Each works on the values that gpytorch's own properties give (`kernel.lengthscale`, …) and hands gradients back to these,
so raw parameters and their constraints stay gpytorch's business.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, Protocol

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from gp.inference.blocks import Autograd, Blocks, Gradients, Pull, active
from gp.inference.distances import Distances


def closed_form(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2), by closed forms as far as there are any; pass one tensor twice for k(x, x)."""
    x = active(kernel, x1)
    return _of_active(kernel, x, x if x1 is x2 else active(kernel, x2))


def _of_active(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    return CLOSED_FORMS.get(type(kernel), Autograd)(kernel, x1, x2)


class _Scale:
    """outputscale · k."""

    def __init__(self, kernel: kernels.ScaleKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._scale = _Number(kernel.outputscale)
        # gpytorch gives a ScaleKernel the active columns of its base, which then takes x as it is.
        self._base = _of_active(kernel.base_kernel, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        base, pull_base = self._base.block(rows, columns)

        def pull(weight: np.ndarray, factor: float) -> None:
            self._scale.gradient += factor * float(np.vdot(weight, base))
            pull_base(weight, factor * self._scale.value)

        return base * self._scale.value, pull

    def diagonal(self) -> np.ndarray:
        return self._scale.value * self._base.diagonal()

    def gradients(self) -> Gradients:
        yield from self._scale.gradients()
        yield from self._base.gradients()


class _Sum:
    """Σ k."""

    def __init__(self, kernel: kernels.AdditiveKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._terms = _each(kernel.kernels, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        values, pulls = zip(*(term.block(rows, columns) for term in self._terms), strict=True)

        def pull(weight: np.ndarray, factor: float) -> None:
            for pull_term in pulls:
                pull_term(weight, factor)

        return reduce(np.add, values), pull

    def diagonal(self) -> np.ndarray:
        return reduce(np.add, [term.diagonal() for term in self._terms])

    def gradients(self) -> Gradients:
        for term in self._terms:
            yield from term.gradients()


class _Product:
    """Π k."""

    def __init__(self, kernel: kernels.ProductKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._factors = _each(kernel.kernels, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        values, pulls = zip(*(factor.block(rows, columns) for factor in self._factors), strict=True)

        def pull(weight: np.ndarray, factor: float) -> None:
            for i, pull_factor in enumerate(pulls):
                pull_factor(reduce(np.multiply, values[:i] + values[i + 1 :], weight), factor)

        return reduce(np.multiply, values), pull

    def diagonal(self) -> np.ndarray:
        return reduce(np.multiply, [factor.diagonal() for factor in self._factors])

    def gradients(self) -> Gradients:
        for factor in self._factors:
            yield from factor.gradients()


def _each(parts: Any, x1: torch.Tensor, x2: torch.Tensor) -> list[Blocks]:
    return [closed_form(part, x1, x2) for part in parts]


class _Constant:
    """c."""

    def __init__(self, kernel: kernels.ConstantKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._constant, self._n = _Number(kernel.constant), len(x1)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        def pull(weight: np.ndarray, factor: float) -> None:
            self._constant.gradient += factor * float(weight.sum())

        return np.full((rows.stop - rows.start, columns.stop - columns.start), self._constant.value), pull

    def diagonal(self) -> np.ndarray:
        return np.full(self._n, self._constant.value)

    def gradients(self) -> Gradients:
        yield from self._constant.gradients()


class _Number:
    """A hyperparameter that is one number: its value, and ∂L/∂ it as gathered so far."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.value, self.gradient, self._tensor = tensor.item(), 0.0, tensor

    def gradients(self) -> Gradients:
        yield self._tensor, np.full(tuple(self._tensor.shape), self.gradient)


# f(s); what multiplies by df/ds but for a constant, into a new array; that constant
Profiled = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], float]
Profile = Callable[[np.ndarray], Profiled]  # s may be written to


class _Map(Protocol):
    """Inputs x (n, d) → points z (n, D), depending on hyperparameters."""

    def __call__(self, x: np.ndarray) -> np.ndarray: ...

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        """Yield the hyperparameters with ∂L/∂ them, given ∂L/∂z at x."""
        ...


class _Stationary:
    """f(|z − z'|²), f(0) = 1, of points z that `place` makes of the inputs."""

    def __init__(self, place: _Map, profile: Profile, x1: torch.Tensor, x2: torch.Tensor) -> None:
        # Seen from their mean, inputs far from zero keep their digits.
        centre = x2.numpy().mean(axis=0)
        self._place, self._profile, self._x = place, profile, x1.numpy() - centre
        z1 = place(self._x)
        self._distances = Distances(z1, z1 if x1 is x2 else place(x2.numpy() - centre))

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        s, pull_distances = self._distances.block(rows, columns)
        value, slope, constant = self._profile(s)
        return value, lambda weight, factor: pull_distances(slope(weight), constant * factor)

    def diagonal(self) -> np.ndarray:
        return np.ones(len(self._x))

    def gradients(self) -> Gradients:
        yield from self._place.gradients(self._x, self._distances.gradient)


class _Scaled:
    """z = x · factor / lengthscale, of shape (1, d) or (1, 1)."""

    def __init__(self, factor: float, lengthscale: torch.Tensor) -> None:
        self._lengthscale, self._weights = lengthscale, factor / lengthscale.detach().numpy()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x * self._weights

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        slope = -self._weights / self._lengthscale.detach().numpy()
        yield self._lengthscale, _shaped_as(self._lengthscale, x * gradient) * slope


class _OnCircles:
    """z = radius · (cos, sin)(angle · x) for each column of x; angle and radius (1, d) or (1, 1)."""

    def __init__(self, angle: torch.Tensor, radius: torch.Tensor) -> None:
        self._angle, self._radius = angle, radius

    def __call__(self, x: np.ndarray) -> np.ndarray:
        radius, phase = self._radius.detach().numpy(), x * self._angle.detach().numpy()
        return np.hstack([radius * np.cos(phase), radius * np.sin(phase)])

    def gradients(self, x: np.ndarray, gradient: np.ndarray) -> Gradients:
        (first, second), (z, turned) = np.hsplit(gradient, 2), np.hsplit(self(x), 2)
        radius = self._radius.detach().numpy()
        yield self._radius, _shaped_as(self._radius, (first * z + second * turned) / radius)
        yield self._angle, _shaped_as(self._angle, x * (second * z - first * turned))


def _shaped_as(tensor: torch.Tensor, gradient: np.ndarray) -> np.ndarray:
    """Return (n, d) summed over rows, and over columns where they share one number."""
    return gradient.sum(axis=0, keepdims=True) if tensor.numel() > 1 else gradient.sum(keepdims=True)


def _rbf(kernel: kernels.RBFKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−s), s = Σ (x − x')²/2ℓ²  (R&W 2006 eq. 4.9)."""
    return _Stationary(_Scaled(math.sqrt(0.5), kernel.lengthscale), _exponential, x1, x2)


def _periodic(kernel: kernels.PeriodicKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−2 Σ sin²(π(x − x')/p)/λ) as an RBF between points on circles  (R&W 2006 eq. 4.31; gpytorch's λ is ℓ²).

    On the unit circle, at angles 2πx/p, squared distances are 4 sin²(π(x − x')/p).
    """
    place = _OnCircles(angle=2 * math.pi / kernel.period_length, radius=(2 * kernel.lengthscale).rsqrt())
    return _Stationary(place, _exponential, x1, x2)


def _matern(kernel: kernels.MaternKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """A polynomial times exp(−√s), s = 2ν Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.16–4.17)."""
    return _Stationary(_Scaled(math.sqrt(2 * kernel.nu), kernel.lengthscale), _MATERN[kernel.nu], x1, x2)


class _RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²  (R&W 2006 eq. 4.19)."""

    def __init__(self, kernel: kernels.RQKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._alpha = _Number(kernel.alpha)
        width = kernel.lengthscale * (2 * kernel.alpha).sqrt()
        self._at_fixed_power = _Stationary(_Scaled(1.0, width), self._profile, x1, x2)

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

    def _profile(self, s: np.ndarray) -> Profiled:
        value = np.log1p(s)
        value *= -self._alpha.value
        np.exp(value, out=value)
        s += 1
        return value, lambda weight: weight * value / s, -self._alpha.value


def _exponential(s: np.ndarray) -> Profiled:
    """Profile exp(−s)."""
    value = np.exp(np.negative(s, out=s), out=s)
    return value, lambda weight: weight * value, -1.0


def _matern_12(s: np.ndarray) -> Profiled:
    """Profile exp(−r), r = √s, whose slope is −k/2r; the cusp at r = 0 moves no hyperparameter."""
    r = np.sqrt(s, out=s)
    value = np.negative(r)
    np.exp(value, out=value)
    return value, lambda weight: weight * value / np.where(r > 0, r, np.inf), -1 / 2


def _matern_32(s: np.ndarray) -> Profiled:
    """Profile (1 + r) exp(−r), r = √s, whose slope is −exp(−r)/2."""
    r = np.sqrt(s, out=s)
    decay = np.negative(r)
    np.exp(decay, out=decay)
    r += 1
    return np.multiply(r, decay, out=r), lambda weight: weight * decay, -1 / 2


def _matern_52(s: np.ndarray) -> Profiled:
    """Profile (1 + r + r²/3) exp(−r), r = √s, whose slope is −(1 + r) exp(−r)/6."""
    r = np.sqrt(s)
    decay = np.negative(r)
    np.exp(decay, out=decay)
    r += 1
    s /= 3
    s += r
    s *= decay
    r *= decay
    return s, lambda weight: weight * r, -1 / 6


_MATERN: dict[float, Profile] = {0.5: _matern_12, 1.5: _matern_32, 2.5: _matern_52}

CLOSED_FORMS: dict[type[Kernel], Callable[[Any, torch.Tensor, torch.Tensor], Blocks]] = {
    kernels.RBFKernel: _rbf,
    kernels.MaternKernel: _matern,
    kernels.RQKernel: _RationalQuadratic,
    kernels.PeriodicKernel: _periodic,
    kernels.ConstantKernel: _Constant,
    kernels.ScaleKernel: _Scale,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
