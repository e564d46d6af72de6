"""Closed forms: blocks of gpytorch kernels by NumPy and BLAS, many times faster than autograd.

An extra, never a need: a kernel that `CLOSED_FORMS`, at the end, does not name goes through its own autograd, also as a
term or a factor of one that is named.  To add one: what makes Blocks of (kernel, x1, x2), and its line there.

Each takes the values that gpytorch's own properties give (`kernel.lengthscale`, …) and hands gradients back to these:
raw parameters and their constraints stay gpytorch's business.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from gp.matrices.stationary import RationalQuadratic, matern, periodic, rbf
from gp.matrices.tiles import Autograd, Blocks, Gradients, Number, Pull, active
from gp.model.kernels.leaf import Scale


def closed_form(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2), by closed forms as far as there are any; pass one tensor twice for k(x, x)."""
    x = active(kernel, x1)
    return _of_active(kernel, x, x if x1 is x2 else active(kernel, x2))


def _of_active(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    return CLOSED_FORMS.get(type(kernel), Autograd)(kernel, x1, x2)


class _Scale:
    """outputscale · k."""

    def __init__(self, kernel: kernels.ScaleKernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._scale = Number(kernel.outputscale)
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
        self._constant, self._n = Number(kernel.constant), len(x1)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        def pull(weight: np.ndarray, factor: float) -> None:
            self._constant.gradient += factor * float(weight.sum())

        return np.full((rows.stop - rows.start, columns.stop - columns.start), self._constant.value), pull

    def diagonal(self) -> np.ndarray:
        return np.full(self._n, self._constant.value)

    def gradients(self) -> Gradients:
        yield from self._constant.gradients()


CLOSED_FORMS: dict[type[Kernel], Callable[[Any, torch.Tensor, torch.Tensor], Blocks]] = {
    kernels.RBFKernel: rbf,
    kernels.MaternKernel: matern,
    kernels.RQKernel: RationalQuadratic,
    kernels.PeriodicKernel: periodic,
    kernels.ConstantKernel: _Constant,
    kernels.ScaleKernel: _Scale,
    Scale: _Scale,
    kernels.AdditiveKernel: _Sum,
    kernels.ProductKernel: _Product,
}
