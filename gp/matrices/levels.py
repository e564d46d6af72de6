"""The kernel over levels, k = exp(−Σ_j [a_j ≠ b_j]/ℓ_j), by tiles and packed; ∂k/∂log ℓ_j = k [a_j ≠ b_j]/ℓ_j."""

import numpy as np
import torch

from ..model.kernels.categorical import Differing
from . import rfp
from .packed import Compiler
from .tiles import Derivative, Gradients, Value, add_product


class DifferingBlocks:
    """Blocks of k(x1, x2) of levels by number, x1 (n1, d), x2 (n2, d)."""

    def __init__(self, kernel: Differing, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._lengthscale, self._x1, self._x2 = Value(kernel, "lengthscale", len(x1)), x1.numpy(), x2.numpy()
        self._rates = 1 / self._lengthscale.at.reshape(-1)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return the block and its derivative."""
        pairs = zip(self._x1[rows].T, self._x2[columns].T, strict=True)
        differ = [(a[:, None] != b).astype(np.float64) for a, b in pairs]
        differ = differ if len(self._rates) > 1 else [np.sum(differ, axis=0)]
        value = np.exp(-sum(rate * each for rate, each in zip(self._rates, differ, strict=True)))

        def pull(weight: np.ndarray, factor: float) -> None:
            weighted = weight * value
            self._lengthscale.gradient += factor * self._rates * [float(np.vdot(weighted, each)) for each in differ]

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            weighted = factor * weight * value
            for j, (rate, each) in enumerate(zip(self._rates, differ, strict=True)):
                add_product(self._lengthscale.product[:, j], rate * weighted * each, rows, columns, vector)

        return value, Derivative(pull, push)

    def diagonal(self) -> np.ndarray:
        """Return ones (n1,)."""
        return np.ones(len(self._x1))

    def gradients(self) -> Gradients:
        """Yield the gathered gradients."""
        yield from self._lengthscale.gradients()

    def products(self) -> Gradients:
        """Yield the gathered products."""
        yield from self._lengthscale.products()


class PackedDiffering:
    """The packed k(x, x) of levels by number, x (n, d)."""

    def __init__(self, compiler: Compiler, kernel: Differing, x: torch.Tensor) -> None:
        self._lengthscale = compiler.hyper(kernel, "lengthscale")
        i, k = rfp.pairs(len(x))
        differ = np.array([column[i] != column[k] for column in x.numpy().T], dtype=np.float64)
        self._differ = differ if len(self._lengthscale.fixed) > 1 else differ.sum(axis=0, keepdims=True)

    def value(self, vector: np.ndarray) -> np.ndarray:
        """Return k (n(n + 1)/2,)."""
        self._rates = 1 / self._lengthscale.at(vector)
        self._value = np.exp(-(self._rates @ self._differ))
        return self._value

    def pull(self, weight: np.ndarray, gradient: np.ndarray) -> None:
        """Add Σ weight · ∂k/∂raw to `gradient` (p,)."""
        self._lengthscale.add(gradient, self._rates * (self._differ @ (weight * self._value)))

    def push(self, weight: np.ndarray, v: np.ndarray, moves: np.ndarray) -> None:
        """Add (weight ∘ ∂K/∂raw_i) v to column i of `moves` (n, p)."""
        weighted = weight * self._value
        products = [rfp.product(weighted * each, v) for each in self._differ]
        self._lengthscale.add(moves, self._rates * np.column_stack(products))
