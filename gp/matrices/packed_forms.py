"""Packed forms of gpytorch's kernels; `PACKED`, at the end, is their registry.

To add one, write a function (compiler, kernel, active columns x) → `Packed`, and add its line there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from ..model.kernels.categorical import Differing
from ..model.kernels.leaf import Scale
from . import rfp
from .distances import CLOSE
from .levels import PackedDiffering
from .packed import Compiler, Hyper, Packed
from .packed_lines import FORMS
from .stationary import MATERN_FORMS, Form, exponential


class _Differences:
    """Squared differences of inputs, column by column or, for a lengthscale that columns share, summed."""

    def __init__(self, compiler: Compiler, lengthscale: Hyper, x: torch.Tensor, *, smooth: bool = True) -> None:
        self.squares, self._smooth = compiler.squares(x, summed=len(lengthscale.fixed) == 1), smooth
        self._x = x.numpy() - x.numpy().mean(axis=0)

    def products(self, weight: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return (weight ∘ squares) v for each column, (n, size), for symmetric weights that are packed.

        Σ_k w_ik (x_i − x_k)² v_k is expanded for several columns, so that one matrix product does: curvature does not
        need all digits.  Not where weights have a pole at equal inputs.
        """
        if len(self.squares) == 1 or not self._smooth:
            return np.column_stack([rfp.product(weight * squares, v) for squares in self.squares])
        x, (n, d) = self._x, self._x.shape
        columns = np.empty((n, 1 + 2 * d), order="F")
        columns[:, 0] = v
        np.multiply(x, v[:, None], out=columns[:, 1 : 1 + d])
        np.multiply(columns[:, 1 : 1 + d], x, out=columns[:, 1 + d :])
        product = rfp.products(weight, columns)
        expanded: np.ndarray = x * (x * product[:, :1] - 2 * product[:, 1 : 1 + d]) + product[:, 1 + d :]
        return expanded


class _Radial:
    """f(s), s = c Σ (x − x')²/ℓ², with f a form of gp.matrices.stationary."""

    def __init__(self, lengthscale: Hyper, differences: _Differences, c: float, form: Form) -> None:
        self._lengthscale, self._differences, self._c, self._form = lengthscale, differences, c, form

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._weights = self._c / self._lengthscale.at(vector) ** 2
        value, self._slope, self._constant = self._form(self._weights @ self._differences.squares)
        return value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_weights = self._differences.squares @ self._slope(weight)
        self._lengthscale.add(gradient, -2 * self._constant * self._weights * by_weights)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the slope, a function that cannot be pickled and belongs to one evaluation."""
        return {name: value for name, value in self.__dict__.items() if name != "_slope"}

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        products = self._differences.products(self._slope(weight), v)
        self._lengthscale.add(moves, -2 * self._constant * self._weights * products)


def _rbf(compiler: Compiler, kernel: kernels.RBFKernel, x: torch.Tensor) -> Packed:
    lengthscale = compiler.hyper(kernel, "lengthscale")
    return _Radial(lengthscale, _Differences(compiler, lengthscale, x), 0.5, exponential)


def _matern(compiler: Compiler, kernel: kernels.MaternKernel, x: torch.Tensor) -> Packed:
    lengthscale = compiler.hyper(kernel, "lengthscale")
    differences = _Differences(compiler, lengthscale, x, smooth=kernel.nu > 1)
    return _Radial(lengthscale, differences, 2 * kernel.nu, MATERN_FORMS[kernel.nu])


class _RationalQuadratic:
    """(1 + s)^−α, s = Σ (x − x')²/2αℓ²."""

    def __init__(self, compiler: Compiler, kernel: kernels.RQKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._alpha = (compiler.hyper(kernel, name) for name in ("lengthscale", "alpha"))
        self._differences = _Differences(compiler, self._lengthscale, x)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._power = self._alpha.at(vector).item()
        self._weights = 0.5 / (self._power * self._lengthscale.at(vector) ** 2)
        self._s = self._weights @ self._differences.squares
        self._logs = np.log1p(self._s)
        self._value = np.exp(-self._power * self._logs)
        return self._value

    def _by_log(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂log α at fixed s · α, and ∂/∂s, both times the weight."""
        weighted = weight * self._value
        by_s = -self._power * weighted / (1 + self._s)
        return -self._power * weighted * self._logs - by_s * self._s, by_s

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(gradient, by_alpha.sum())
        self._lengthscale.add(gradient, -2 * self._weights * (self._differences.squares @ by_s))

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        by_alpha, by_s = self._by_log(weight)
        self._alpha.add(moves, rfp.product(by_alpha, v)[:, None])
        self._lengthscale.add(moves, -2 * self._weights * self._differences.products(by_s, v))


class _Periodic:
    """exp(−2 Σ sin²(π(x − x')/p)/λ), gpytorch's λ being ℓ², as exp(−|z − z'|²) of points z on circles.

    The columns of z are c = r cos φ and s = r sin φ, with φ = 2πx/p and r² = 1/2λ (gp.matrices.stationary).
    """

    def __init__(self, compiler: Compiler, kernel: kernels.PeriodicKernel, x: torch.Tensor) -> None:
        self._lengthscale, self._period = (compiler.hyper(kernel, name) for name in ("lengthscale", "period_length"))
        self._x = x.numpy() - x.numpy().mean(axis=0)

    def value(self, vector: np.ndarray) -> np.ndarray:
        (n, d), radius = self._x.shape, (2 * self._lengthscale.at(vector)) ** -0.5
        self._phase = self._x * (2 * np.pi / self._period.at(vector))
        self._squares = np.broadcast_to(radius**2, (d,))
        self._cosine, self._sine = radius * np.cos(self._phase), radius * np.sin(self._phase)
        z = np.hstack([self._cosine, self._sine])
        size = float(self._squares.sum())
        s = rfp.packed((z @ z.T).T)
        s *= -2
        s += 2 * size
        close = np.flatnonzero(s < CLOSE * size)
        i, k = (pairs[close] for pairs in rfp.pairs(n))
        s[close] = np.sin(0.5 * (self._phase[i] - self._phase[k])) ** 2 @ (4 * self._squares)
        self._value = np.exp(np.negative(s, out=s), out=s)
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        d, c, s = len(self._squares), self._cosine, self._sine
        ones, z = np.ones((len(c), 1)), [c, s]
        product = self._times(weight, np.hstack([*z, ones]))
        by_c, by_s, total = product[:, :d], product[:, d:-1], product[:, -1].sum()
        self._add(self._lengthscale, gradient, self._squares * total - (c * by_c + s * by_s).sum(axis=0))
        self._add(self._period, gradient, 2 * (self._phase * (s * by_c - c * by_s)).sum(axis=0))

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        c, s, phase, column = self._cosine, self._sine, self._phase, v[:, None]
        parts = [c * column, s * column]
        turned = [part * phase for part in parts]
        product = self._times(weight, np.hstack([*parts, *turned, column]))
        by_c, by_s, by_turned_c, by_turned_s = np.hsplit(product[:, :-1], 4)
        self._add(self._lengthscale, moves, 2 * (self._squares * product[:, -1:] - c * by_c - s * by_s))
        by_period = phase * (s * by_c - c * by_s) - s * by_turned_c + c * by_turned_s
        self._add(self._period, moves, 2 * by_period)

    def _times(self, weight: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return (weight ∘ K) · columns (n, k), each pair of rows counted once."""
        return rfp.products(weight * self._value, columns)

    @staticmethod
    def _add(hyper: Hyper, total: np.ndarray, by_column: np.ndarray) -> None:
        """Add derivatives by column, (…, d), to those of the hyperparameter, which all columns may share."""
        hyper.add(total, by_column if len(hyper.fixed) > 1 else by_column.sum(axis=-1, keepdims=True))


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

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        self._scale.add(moves, rfp.product(weight * self._value, v)[:, None])
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

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        self._constant.add(moves, rfp.product(weight * self._value, v)[:, None])


class _Sum:
    """Σ k."""

    def __init__(self, compiler: Compiler, kernel: kernels.AdditiveKernel, x: torch.Tensor) -> None:
        self._terms = [compiler.kernel(term, x) for term in kernel.kernels]

    def value(self, vector: np.ndarray) -> np.ndarray:
        return np.sum([term.value(vector) for term in self._terms], axis=0)

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        for term in self._terms:
            term.pull(weight, gradient)

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
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

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        for factor, others in zip(self._factors, self._others, strict=True):
            factor.push(weight * others, v, moves)


PACKED: dict[type[Kernel], Callable[[Compiler, Any, torch.Tensor], Packed]] = {
    kernels.RBFKernel: _rbf,
    kernels.MaternKernel: _matern,
    kernels.RQKernel: _RationalQuadratic,
    kernels.PeriodicKernel: _Periodic,
    kernels.ConstantKernel: _Constant,
    Differing: PackedDiffering,
    kernels.ScaleKernel: _Scaled,
    Scale: _Scaled,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
    **FORMS,
}
