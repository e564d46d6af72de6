"""Packed forms of gpytorch's kernels; `PACKED`, at the end, is their registry.

To add one, write a function (compiler, kernel, active columns x) → `Packed`, and add its line there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from gp.matrices.packed import Compiler, Hyper, Packed, differences, product
from gp.matrices.stationary import MATERN_FORMS, Form, exponential
from gp.model.kernels.leaf import Scale


class _Radial:
    """f(s), s = c Σ (x − x')²/ℓ², with f a form of gp.matrices.stationary."""

    def __init__(self, lengthscale: Hyper, x: torch.Tensor, c: float, form: Form) -> None:
        self._lengthscale, self._c, self._form = lengthscale, c, form
        squares = differences(x) ** 2
        # A shared lengthscale needs only their sum.
        self._squares = squares if len(lengthscale.fixed) > 1 else squares.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._weights = self._c / self._lengthscale.at(vector) ** 2
        value, self._slope, self._constant = self._form(self._weights @ self._squares)
        return value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_weights = self._squares @ self._slope(weight)
        self._lengthscale.add(gradient, -2 * self._constant * self._weights * by_weights)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the slope, a function that cannot be pickled and belongs to one evaluation."""
        return {name: value for name, value in self.__dict__.items() if name != "_slope"}

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        slope = self._slope(np.broadcast_to(weight, self._squares.shape[1:]))
        columns = [product(slope * squares, v) for squares in self._squares]
        self._lengthscale.add(moves, -2 * self._constant * self._weights * np.column_stack(columns))


def _rbf(compiler: Compiler, kernel: kernels.RBFKernel, x: torch.Tensor) -> Packed:
    return _Radial(compiler.hyper(kernel, "lengthscale"), x, 0.5, exponential)


def _matern(compiler: Compiler, kernel: kernels.MaternKernel, x: torch.Tensor) -> Packed:
    return _Radial(compiler.hyper(kernel, "lengthscale"), x, 2 * kernel.nu, MATERN_FORMS[kernel.nu])


class _RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²."""

    def __init__(self, compiler: Compiler, kernel: kernels.RQKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._alpha = (compiler.hyper(kernel, name) for name in ("lengthscale", "alpha"))
        self._squares = differences(x) ** 2
        if len(self._lengthscale.fixed) == 1:
            self._squares = self._squares.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._power = self._alpha.at(vector).item()
        self._weights = 0.5 / (self._power * self._lengthscale.at(vector) ** 2)
        self._s = self._weights @ self._squares
        self._logs = np.log1p(self._s)
        self._value = np.exp(-self._power * self._logs)
        return self._value

    def _by_log(self, weight: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂log α at fixed s · α, and ∂/∂s, both times the weight."""
        weighted = weight * self._value
        by_s = -self._power * weighted / (1 + self._s)
        return -self._power * weighted * self._logs - by_s * self._s, by_s

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(gradient, by_alpha.sum())
        self._lengthscale.add(gradient, -2 * self._weights * (self._squares @ by_s))

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(moves, product(by_alpha, v)[:, None])
        columns = [product(by_s * squares, v) for squares in self._squares]
        self._lengthscale.add(moves, -2 * self._weights * np.column_stack(columns))


class _Periodic:
    """exp(−2 Σ sin²(π(x − x')/p)/λ), gpytorch's λ being ℓ²."""

    def __init__(self, compiler: Compiler, kernel: kernels.PeriodicKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._period = (compiler.hyper(kernel, name) for name in ("lengthscale", "period_length"))
        self._angles = np.pi * differences(x)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._weights = 2 / self._lengthscale.at(vector)[:, None]
        self._phases = self._angles / self._period.at(vector)[:, None]
        self._sines = np.sin(self._phases) ** 2
        self._value = np.exp(-(self._weights * self._sines).sum(axis=0))
        return self._value

    def _derivatives(self) -> list[tuple[Hyper, np.ndarray]]:
        """Return ∂(−s)/∂log θ (size, n(n + 1)/2) of both hyperparameters θ."""
        by_period = self._weights * self._phases * np.sin(2 * self._phases)
        both = (self._lengthscale, self._weights * self._sines), (self._period, by_period)
        return [(hyper, by if len(hyper.fixed) > 1 else by.sum(axis=0, keepdims=True)) for hyper, by in both]

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        weighted = weight * self._value
        for hyper, by_log in self._derivatives():
            hyper.add(gradient, by_log @ weighted)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        weighted = weight * self._value
        for hyper, by_log in self._derivatives():
            hyper.add(moves, np.column_stack([product(weighted * by, v) for by in by_log]))


class _Scaled:
    """outputscale · k."""

    def __init__(self, compiler: Compiler, kernel: kernels.ScaleKernel, x: torch.Tensor) -> None:
        # gpytorch moves the active columns of the base to the ScaleKernel; the base then takes x as it is.
        self._scale, self._base = compiler.hyper(kernel, "outputscale"), compiler.of_active(kernel.base_kernel, x)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._at = self._scale.at(vector).item()
        self._value = self._at * self._base.value(vector)
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._scale.add(gradient, weight @ self._value)
        self._base.pull(self._at * weight, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        self._scale.add(moves, product(weight * self._value, v)[:, None])
        self._base.push(self._at * weight, v, moves)


class _Constant:
    """c."""

    def __init__(self, compiler: Compiler, kernel: kernels.ConstantKernel, x: torch.Tensor) -> None:
        self._constant, self._ones = compiler.hyper(kernel, "constant"), np.ones(len(x) * (len(x) + 1) // 2)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._value = self._constant.at(vector) * self._ones
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._constant.add(gradient, weight @ self._value)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        self._constant.add(moves, product(weight * self._value, v)[:, None])


class _Sum:
    """Σ k."""

    def __init__(self, compiler: Compiler, kernel: kernels.AdditiveKernel, x: torch.Tensor) -> None:
        self._terms = [compiler.kernel(term, x) for term in kernel.kernels]

    def value(self, vector: np.ndarray) -> np.ndarray:
        return np.sum([term.value(vector) for term in self._terms], axis=0)

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        for term in self._terms:
            term.pull(weight, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        for term in self._terms:
            term.push(weight, v, moves)


class _Product:
    """Π k."""

    def __init__(self, compiler: Compiler, kernel: kernels.ProductKernel, x: torch.Tensor) -> None:
        self._factors = [compiler.kernel(factor, x) for factor in kernel.kernels]

    def value(self, vector: np.ndarray) -> np.ndarray:
        values = np.array([factor.value(vector) for factor in self._factors])
        self._others = [np.delete(values, i, axis=0).prod(axis=0) for i in range(len(values))]
        return self._others[0] * values[0]

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        for factor, others in zip(self._factors, self._others, strict=True):
            factor.pull(weight * others, gradient)

    def push(self, weight: np.ndarray | float, v: np.ndarray, moves: np.ndarray) -> None:
        for factor, others in zip(self._factors, self._others, strict=True):
            factor.push(weight * others, v, moves)


PACKED: dict[type[Kernel], Callable[[Compiler, Any, torch.Tensor], Packed]] = {
    kernels.RBFKernel: _rbf,
    kernels.MaternKernel: _matern,
    kernels.RQKernel: _RationalQuadratic,
    kernels.PeriodicKernel: _Periodic,
    kernels.ConstantKernel: _Constant,
    kernels.ScaleKernel: _Scaled,
    Scale: _Scaled,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
