"""Packed forms of kernels that are no function of a distance: lines, polynomials, and the switch of a change point."""

from typing import Any

import numpy as np
import torch
from gpytorch import kernels

from ..model.kernels.changepoint import Switch
from ..model.kernels.features import InnerProduct
from . import rfp
from .packed import KEPT, Compiler, NotPacked


def _outer(column: np.ndarray) -> np.ndarray:
    """Return the products of each pair of elements, packed."""
    i, k = rfp.pairs(len(column))
    return np.asarray(column[i] * column[k])


class PackedLine:
    """Σ_j v_j x_j x_j', with one variance for all columns or one for each."""

    def __init__(self, compiler: Compiler, kernel: InnerProduct, x: torch.Tensor) -> None:
        self._variance = compiler.log_of(kernel.raw_variance)
        if x.shape[1] * len(x) * (len(x) + 1) // 2 > KEPT:
            raise NotPacked
        products = np.array([_outer(column) for column in x.numpy().T])
        self._products = products if len(self._variance.fixed) > 1 else products.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        self._at = self._variance.at(vector)
        return np.asarray(self._at @ self._products)

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._variance.add(gradient, self._at * (self._products @ weight))

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        products = [rfp.product(weight * product, v) for product in self._products]
        self._variance.add(moves, self._at * np.column_stack(products))


class PackedPolynomial:
    """(x·x' + c)^power."""

    def __init__(self, compiler: Compiler, kernel: kernels.PolynomialKernel, x: torch.Tensor) -> None:
        self._offset, self._power = compiler.hyper(kernel, "offset"), int(kernel.power)
        self._products = np.sum([_outer(column) for column in x.numpy().T], axis=0)

    def value(self, vector: np.ndarray) -> np.ndarray:
        offset = self._offset.at(vector).item()
        base = self._products + offset
        below = base ** (self._power - 1)
        self._slope = self._power * offset * below
        return np.asarray(below * base)

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        self._offset.add(gradient, weight @ self._slope)

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        self._offset.add(moves, rfp.product(weight * self._slope, v)[:, None])


class PackedSwitch:
    """σ_i σ_k a_ik + (1 − σ_i)(1 − σ_k) b_ik, σ the logistic function of (x − location)/width; a after, b before.

    A side may have no kernel.
    """

    def __init__(self, compiler: Compiler, kernel: Switch, x: torch.Tensor) -> None:
        self._raw = kernel.raw_location
        self._location, self._width = (compiler.log_of(raw) for raw in (kernel.raw_location, kernel.raw_width))
        sides = [(sign, side) for sign, side in ((-1, kernel.before), (1, kernel.after)) if side is not None]
        self._signs, self._sides = zip(*((sign, compiler.kernel(side, x)) for sign, side in sides), strict=True)
        self._x, self._pairs = x.numpy()[:, kernel.j], rfp.pairs(len(x))

    def value(self, vector: np.ndarray) -> np.ndarray:
        width = self._width.at(vector).item()
        t = (self._x - self._raw.detach().item()) / width  # the location itself: its raw value is no log
        on = 0.5 * (1 + np.tanh(0.5 * t))  # does not overflow
        off = 0.5 * (1 - np.tanh(0.5 * t))
        i, k = self._pairs
        self._parts = [on if sign > 0 else off for sign in self._signs]
        self._weights = [part[i] * part[k] for part in self._parts]
        # ∂σ by location and log width; those of 1 − σ have the other sign.
        self._moves = [-on * off / width, -on * off * t]
        self._values = [side.value(vector) for side in self._sides]
        return sum(weight * value for weight, value in zip(self._weights, self._values, strict=True))

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        by_on, n = np.zeros(len(self._x)), len(self._x)
        for sign, part, value in zip(self._signs, self._parts, self._values, strict=True):
            weighted = weight * value
            # An element of the diagonal depends on σ_i twice.
            by_on += sign * (rfp.product(weighted, part) + weighted[rfp.diagonal(n)] * part)
        for hyper, move in zip((self._location, self._width), self._moves, strict=True):
            hyper.add(gradient, by_on @ move)
        for side, own in zip(self._sides, self._weights, strict=True):
            side.pull(weight * own, gradient)

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        for sign, part, value in zip(self._signs, self._parts, self._values, strict=True):
            weighted = weight * value
            straight = rfp.product(weighted, part * v)
            for hyper, move in zip((self._location, self._width), self._moves, strict=True):
                change = sign * (move * straight + part * rfp.product(weighted, move * v))
                hyper.add(moves, change[:, None])
        for side, own in zip(self._sides, self._weights, strict=True):
            side.push(weight * own, v, moves)


FORMS: dict[type[kernels.Kernel], Any] = {
    InnerProduct: PackedLine,
    kernels.PolynomialKernel: PackedPolynomial,
    Switch: PackedSwitch,
}
