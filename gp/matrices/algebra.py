"""Closed forms: blocks of gpytorch kernels by NumPy and BLAS, many times faster than autograd.

Closed forms are optional.  A kernel that is not in `CLOSED_FORMS`, at the end, uses autograd, also as a term or a
factor of a kernel that is.  To add one, write a function (kernel, x1, x2) → Blocks, and add its line there.

Each closed form reads its hyperparameters through a `Value`, which also passes derivatives on to gpytorch's raw
parameters.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from ..model.kernels.categorical import Differing
from ..model.kernels.leaf import Scale
from .averaged import Averaged, stacked
from .levels import DifferingBlocks
from .stationary import RationalQuadratic, matern, periodic, rbf
from .tiles import Autograd, Blocks, Derivative, Gradients, Value, active, add_product


def closed_form(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2), by closed forms where they exist; pass one tensor twice for k(x, x).

    Inputs (n, q, d) are the nodes of rows that are means along steps (gp.model.nodes).
    """
    if x1.dim() + x2.dim() > 4:
        first = stacked(x1)
        blocks = closed_form(kernel, first, first if x1 is x2 else stacked(x2))
        return Averaged(kernel, blocks, x1, x2)
    x = active(kernel, x1)
    return _of_active(kernel, x, x if x1 is x2 else active(kernel, x2))


def _of_active(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    return CLOSED_FORMS.get(type(kernel), Autograd)(kernel, x1, x2)


class _Scale:
    """outputscale · k."""

    def __init__(self, kernel: kernels.ScaleKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._scale = Value(kernel, "outputscale", len(x1))
        # gpytorch moves the active columns of the base to the ScaleKernel; the base then takes x as it is.
        self._base = _of_active(kernel.base_kernel, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        (base, of_base), scale = self._base.block(rows, columns), self._scale.at.item()
        value = base * scale

        def pull(weight: np.ndarray, factor: float) -> None:
            self._scale.gradient += factor * float(np.vdot(weight, value))
            of_base.pull(weight, factor * scale)

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            add_product(self._scale.product[:, 0], factor * weight * value, rows, columns, vector)
            of_base.push(weight, factor * scale, vector)

        return value, Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        return self._scale.at.item() * self._base.diagonal()

    def gradients(self) -> Gradients:
        yield from self._scale.gradients()
        yield from self._base.gradients()

    def products(self) -> Gradients:
        yield from self._scale.products()
        yield from self._base.products()


class _Sum:
    """Σ k."""

    def __init__(self, kernel: kernels.AdditiveKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._terms = _each(kernel.kernels, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        values, derivatives = zip(*(term.block(rows, columns) for term in self._terms), strict=True)

        def pull(weight: np.ndarray, factor: float) -> None:
            for of_term in derivatives:
                of_term.pull(weight, factor)

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            for of_term in derivatives:
                of_term.push(weight, factor, vector)

        return reduce(np.add, values), Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        return reduce(np.add, [term.diagonal() for term in self._terms])

    def gradients(self) -> Gradients:
        for term in self._terms:
            yield from term.gradients()

    def products(self) -> Gradients:
        for term in self._terms:
            yield from term.products()


class _Product:
    """Π k."""

    def __init__(self, kernel: kernels.ProductKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._factors = _each(kernel.kernels, x1, x2)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        values, derivatives = zip(*(factor.block(rows, columns) for factor in self._factors), strict=True)

        def pull(weight: np.ndarray, factor: float) -> None:
            for i, of_factor in enumerate(derivatives):
                of_factor.pull(reduce(np.multiply, values[:i] + values[i + 1 :], weight), factor)

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            for i, of_factor in enumerate(derivatives):
                of_factor.push(reduce(np.multiply, values[:i] + values[i + 1 :], weight), factor, vector)

        return reduce(np.multiply, values), Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        return reduce(np.multiply, [factor.diagonal() for factor in self._factors])

    def gradients(self) -> Gradients:
        for factor in self._factors:
            yield from factor.gradients()

    def products(self) -> Gradients:
        for factor in self._factors:
            yield from factor.products()


def _each(parts: Any, x1: torch.Tensor, x2: torch.Tensor) -> list[Blocks]:
    return [closed_form(part, x1, x2) for part in parts]


class _Constant:
    """c."""

    def __init__(self, kernel: kernels.ConstantKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._constant, self._n = Value(kernel, "constant", len(x1)), len(x1)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        constant = self._constant.at.item()

        def pull(weight: np.ndarray, factor: float) -> None:
            self._constant.gradient += factor * constant * float(weight.sum())

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            add_product(self._constant.product[:, 0], factor * constant * weight, rows, columns, vector)

        shape = rows.stop - rows.start, columns.stop - columns.start
        return np.full(shape, constant), Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        return np.full(self._n, self._constant.at.item())

    def gradients(self) -> Gradients:
        yield from self._constant.gradients()

    def products(self) -> Gradients:
        yield from self._constant.products()


CLOSED_FORMS: dict[type[Kernel], Callable[[Any, torch.Tensor, torch.Tensor], Blocks]] = {
    kernels.RBFKernel: rbf,
    kernels.MaternKernel: matern,
    kernels.RQKernel: RationalQuadratic,
    kernels.PeriodicKernel: periodic,
    kernels.ConstantKernel: _Constant,
    Differing: DifferingBlocks,
    kernels.ScaleKernel: _Scale,
    Scale: _Scale,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
