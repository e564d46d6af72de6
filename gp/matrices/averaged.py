"""Blocks of the covariance of rows that are means along steps (gp.model.nodes), from those of all their nodes."""

from collections.abc import Iterator

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ..model.nodes import nodes
from .tiles import Blocks, Derivative, Gradients, diagonal


def stacked(x: torch.Tensor) -> torch.Tensor:
    """Return the nodes (n, q, d) as points, (q · n, d), first those of the first node; points as they are."""
    return torch.cat([points for _, points in nodes(x)])


class Averaged:
    """Σ_ab w_a w_b k(x1_a, x2_b): means along steps in x1, x2 or both, whose nodes `blocks` are stacked over."""

    def __init__(self, kernel: Kernel, blocks: Blocks, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._kernel, self._blocks, self._x1 = kernel, blocks, x1
        (self._first, n1), (self._second, n2) = (([w for w, _ in nodes(x)], len(x)) for x in (x1, x2))
        self._n = n1, n2

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return the block and its derivative."""
        parts = [
            (a, b, first * second, *self._blocks.block(*self._at(a, rows, b, columns)))
            for a, first in enumerate(self._first)
            for b, second in enumerate(self._second)
        ]

        def pull(weight: np.ndarray, factor: float) -> None:
            for _, _, share, _, derivative in parts:
                derivative.pull(weight, factor * share)

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            each = np.outer(self._second, vector).ravel()
            for a, b, _, _, derivative in parts:
                # Of different nodes, a block on the diagonal is none of `blocks`' diagonal: (a, b) comes with (b, a).
                twice = a != b and rows == columns
                derivative.push(weight, 0.5 * factor if twice else factor, each)

        return np.sum([share * value for _, _, share, value, _ in parts], axis=0), Derivative(pull, push)

    def _at(self, a: int, rows: slice, b: int, columns: slice) -> Iterator[slice]:
        """Yield where the block of node a of some rows and node b of some columns is."""
        for start, part in ((a * self._n[0], rows), (b * self._n[1], columns)):
            yield slice(start + part.start, start + part.stop)

    def diagonal(self) -> np.ndarray:
        """Return the variance of each row of x1, (n1,)."""
        return self._blocks.diagonal() if self._x1.dim() == 2 else diagonal(self._kernel, self._x1).detach().numpy()

    def gradients(self) -> Gradients:
        """Yield the gathered gradients."""
        yield from self._blocks.gradients()

    def products(self) -> Gradients:
        """Yield the gathered products."""
        for raw, product in self._blocks.products():
            yield raw, np.tensordot(self._first, product.reshape(len(self._first), self._n[0], -1), axes=1)
