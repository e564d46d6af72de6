"""Closed forms: blocks of gpytorch kernels by NumPy and BLAS, several times faster than autograd.

An extra, never a need: a kernel that `CLOSED_FORMS`, at the end, does not name goes through its own autograd, also as a
term or a factor of one that is named.  To add one: a function (kernel, x1, x2) → Blocks here, and its line there.

Each works on the values that gpytorch's own properties give (`kernel.lengthscale`, …) and hands gradients back to these,
so raw parameters and constraints stay gpytorch's business.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from gp.inference.blocks import Autograd, Blocks, Gradients, Pull, active
from gp.inference.distances import Distances

# s (caller's to write to) → f(s), and the function of ∂L/∂f that returns ∂L/∂s as a new array
Profile = Callable[[np.ndarray], tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]]


def closed_form(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2), by closed forms as far as there are any; pass one tensor twice for k(x, x)."""
    x = active(kernel, x1)
    return _of_active(kernel, x, x if x1 is x2 else active(kernel, x2))


def _of_active(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    return CLOSED_FORMS.get(type(kernel), Autograd)(kernel, x1, x2)


class _Number:
    """One hyperparameter as a float, and ∂L/∂ it, gathered."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.value, self.gradient, self._tensor = tensor.item(), 0.0, tensor

    def gradients(self) -> Gradients:
        yield self._tensor, np.full(tuple(self._tensor.shape), self.gradient)


class _Scale:
    """outputscale · k."""

    def __init__(self, kernel: kernels.ScaleKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._scale = _Number(kernel.outputscale)
        # gpytorch gives a ScaleKernel the active columns of its base, which then takes x as it is.
        self._base = _of_active(kernel.base_kernel, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        base, pull_base = self._base.block(rows, columns)

        def pull(weight: np.ndarray) -> None:
            self._scale.gradient += float(np.vdot(weight, base))
            pull_base(weight * self._scale.value)

        return base * self._scale.value, pull

    def diagonal(self) -> np.ndarray:
        return self._scale.value * self._base.diagonal()

    def gradients(self) -> Gradients:
        yield from self._scale.gradients()
        yield from self._base.gradients()


class _Sum:
    """Σ k."""

    def __init__(self, kernel: kernels.AdditiveKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._terms = [closed_form(term, x1, x2) for term in kernel.kernels]

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        values, pulls = zip(*(term.block(rows, columns) for term in self._terms), strict=True)

        def pull(weight: np.ndarray) -> None:
            for pull_term in pulls:
                pull_term(weight)

        return reduce(np.add, values), pull

    def diagonal(self) -> np.ndarray:
        return reduce(np.add, [term.diagonal() for term in self._terms])

    def gradients(self) -> Gradients:
        for term in self._terms:
            yield from term.gradients()


class _Product:
    """Π k."""

    def __init__(self, kernel: kernels.ProductKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._factors = [closed_form(factor, x1, x2) for factor in kernel.kernels]

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        values, pulls = zip(*(factor.block(rows, columns) for factor in self._factors), strict=True)

        def pull(weight: np.ndarray) -> None:
            for i, pull_factor in enumerate(pulls):
                others = values[:i] + values[i + 1 :]
                pull_factor(reduce(np.multiply, others, weight))

        return reduce(np.multiply, values), pull

    def diagonal(self) -> np.ndarray:
        return reduce(np.multiply, [factor.diagonal() for factor in self._factors])

    def gradients(self) -> Gradients:
        for factor in self._factors:
            yield from factor.gradients()


class _Constant:
    """c."""

    def __init__(self, kernel: kernels.ConstantKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._constant, self._n = _Number(kernel.constant), len(x1)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        def pull(weight: np.ndarray) -> None:
            self._constant.gradient += float(weight.sum())

        return np.full((rows.stop - rows.start, columns.stop - columns.start), self._constant.value), pull

    def diagonal(self) -> np.ndarray:
        return np.full(self._n, self._constant.value)

    def gradients(self) -> Gradients:
        yield from self._constant.gradients()


class _Stationary:
    """f(|z − z'|²), f(0) = 1, of points z that `place` makes of the inputs; other hyperparameters of f are `numbers`."""

    def __init__(
        self,
        place: Callable[[torch.Tensor], torch.Tensor],
        profile: Profile,
        x1: torch.Tensor,
        x2: torch.Tensor,
        *numbers: _Number,
    ) -> None:
        # Seen from their mean, inputs far from zero keep their digits.
        centre = x2.mean(dim=0)
        z1 = place(x1 - centre)
        self._distances = Distances(z1, z1 if x1 is x2 else place(x2 - centre))
        self._profile, self._n, self._numbers = profile, len(x1), numbers

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        s, pull_points = self._distances.block(rows, columns)
        value, slope = self._profile(s)
        return value, lambda weight: pull_points(slope(weight))

    def diagonal(self) -> np.ndarray:
        return np.ones(self._n)

    def gradients(self) -> Gradients:
        yield from self._distances.gradients()
        for number in self._numbers:
            yield from number.gradients()


def _rbf(kernel: kernels.RBFKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−s), s = Σ (x − x')²/2ℓ²  (R&W 2006 eq. 4.9)."""
    lengthscale = kernel.lengthscale
    return _Stationary(lambda x: x / (math.sqrt(2) * lengthscale), _exponential, x1, x2)


def _periodic(kernel: kernels.PeriodicKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """exp(−2 Σ sin²(π(x − x')/p)/λ) as the RBF between points on circles  (R&W 2006 eq. 4.31; gpytorch's λ is ℓ²).

    On the unit circle at the angle 2πx/p the squared distance is 4 sin²(π(x − x')/p).
    """
    angle, radius = 2 * math.pi / kernel.period_length, (2 * kernel.lengthscale) ** -0.5

    def on_circles(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([radius * torch.cos(angle * x), radius * torch.sin(angle * x)], dim=-1)

    return _Stationary(on_circles, _exponential, x1, x2)


def _matern(kernel: kernels.MaternKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Polynomial times exp(−√s), s = 2ν Σ (x − x')²/ℓ²  (R&W 2006 eq. 4.14, 4.17)."""
    lengthscale = kernel.lengthscale
    return _Stationary(lambda x: x * (math.sqrt(2 * kernel.nu) / lengthscale), _MATERN[kernel.nu], x1, x2)


def _rational_quadratic(kernel: kernels.RQKernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²  (R&W 2006 eq. 4.19)."""
    scale, alpha = kernel.lengthscale * (2 * kernel.alpha).sqrt(), _Number(kernel.alpha)

    def profile(s: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        log = np.log1p(s)
        value = np.exp(-alpha.value * log)

        def slope(weight: np.ndarray) -> np.ndarray:
            weighted = weight * value
            alpha.gradient -= float(np.vdot(weighted, log))
            return -alpha.value * weighted / (1 + s)

        return value, slope

    return _Stationary(lambda x: x / scale, profile, x1, x2, alpha)


def _exponential(s: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return exp(−s)."""
    value = np.exp(np.negative(s, out=s), out=s)

    def slope(weight: np.ndarray) -> np.ndarray:
        weighted = weight * value
        return np.negative(weighted, out=weighted)

    return value, slope


def _matern_12(s: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return exp(−r), r = √s."""
    r = np.sqrt(s, out=s)
    value = np.exp(-r)

    def slope(weight: np.ndarray) -> np.ndarray:
        # The cusp at r = 0 moves no hyperparameter.
        return weight * value / np.where(r > 0, -2 * r, np.inf)

    return value, slope


def _matern_32(s: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return (1 + r) exp(−r), r = √s."""
    r = np.sqrt(s, out=s)
    decay = np.exp(-r)

    def slope(weight: np.ndarray) -> np.ndarray:
        weighted = weight * decay
        weighted *= -0.5
        return weighted

    r += 1
    return np.multiply(r, decay, out=r), slope


def _matern_52(s: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return (1 + r + r²/3) exp(−r), r = √s."""
    r = np.sqrt(s)
    decay = np.exp(-r)
    r += 1
    s *= 1 / 3
    s += r
    s *= decay

    def slope(weight: np.ndarray) -> np.ndarray:
        weighted = weight * decay
        weighted *= r
        weighted *= -1 / 6
        return weighted

    return s, slope


_MATERN: dict[float, Profile] = {0.5: _matern_12, 1.5: _matern_32, 2.5: _matern_52}

CLOSED_FORMS: dict[type[Kernel], Callable[[Any, torch.Tensor, torch.Tensor], Blocks]] = {
    kernels.RBFKernel: _rbf,
    kernels.MaternKernel: _matern,
    kernels.RQKernel: _rational_quadratic,
    kernels.PeriodicKernel: _periodic,
    kernels.ConstantKernel: _Constant,
    kernels.ScaleKernel: _Scale,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
