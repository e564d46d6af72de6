"""Blocks of a kernel matrix and their derivatives in both modes: the interface of kernels to inference.

`Blocks` is the interface.  `Autograd` implements it for every gpytorch kernel; gp.matrices.algebra is faster for some.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel
from linear_operator import to_dense

from ..model.kernels.leaf import LogConstraint
from ..model.nodes import nodes

# A tile of float64 takes 256 KiB: a few tiles fit into a core's level-2 cache, and torch uses one thread for a tile.
TILE = (128, 256)
SHIFT = 1e-7  # step of a raw parameter, for derivatives by differences

# (weight, factor).  Pullback (VJP): given the cotangent ∂L/∂block = factor · weight, accumulate ∂L/∂θ.
Pull = Callable[[np.ndarray, float], None]
# (weight, factor, v).  Pushforward: add factor · (weight ∘ ∂block/∂θ) v to the product (∂K/∂θ) v, of the block and, off
# the diagonal, of its mirror image.
Push = Callable[[np.ndarray, float, np.ndarray], None]
Gradients = Iterator[tuple[torch.Tensor, np.ndarray]]


class Derivative(NamedTuple):
    """A block's derivative by the hyperparameters θ, in both modes; neither mode keeps or changes the weight."""

    pull: Pull
    push: Push


class Blocks(Protocol):
    """The kernel matrix k(x1, x2), x1 (n1, d), x2 (n2, d), block by block at one setting of the hyperparameters."""

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return k(x1[rows], x2[columns]), read-only for callers, and its derivative (if x2 is x1)."""
        ...

    def diagonal(self) -> np.ndarray:
        """Return k(x, x) for each row x of x1, shape (n1,)."""
        ...

    def gradients(self) -> Gradients:
        """Yield (tensor, accumulated ∂L/∂tensor): the cotangents with which one backward pass starts.

        If x1 is x2 and requires a gradient, the inputs x1 are among the tensors.
        """
        ...

    def products(self) -> Gradients:
        """Yield (raw parameter θ, accumulated (∂K/∂θ_i) v of shape (n1, size))."""
        ...


class Autograd:
    """Blocks of any gpytorch kernel by its own `forward` and autograd, over its active columns x1 and x2.

    The pushforward uses finite differences, accurate to about seven digits, which is enough for a curvature.
    """

    def __init__(self, kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._kernel, self._x1, self._x2 = kernel, x1, x2
        self._products = dict[torch.Tensor, np.ndarray]()

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return the block and its derivative, whose `pull` adds to the gradients of the tensors directly."""
        value = self._forward(rows, columns)

        def pull(weight: np.ndarray, factor: float) -> None:
            if value.requires_grad:
                value.backward(torch.from_numpy(factor * weight))

        def push(weight: np.ndarray, factor: float, vector: np.ndarray) -> None:
            with torch.no_grad():
                # Not `value`: if gradients are required, gpytorch's distance of a row to itself is 1e-8, and not 0.
                here = self._forward(rows, columns).numpy()
            for raw in self._kernel.parameters():
                product = self._products.setdefault(raw, np.zeros((len(self._x1), raw.numel())))
                for j, ahead in enumerate(self._shifted(raw, rows, columns)):
                    add_product(product[:, j], weight * ((ahead - here) * (factor / SHIFT)), rows, columns, vector)

        return value.detach().numpy(), Derivative(pull, push)

    def _forward(self, rows: slice, columns: slice) -> torch.Tensor:
        # Called directly: gpytorch's own call costs a millisecond of bookkeeping.
        return to_dense(self._kernel.forward(self._x1[rows], self._x2[columns]))

    @torch.no_grad()
    def _shifted(self, raw: torch.Tensor, rows: slice, columns: slice) -> Iterator[np.ndarray]:
        """Yield the block with one element of `raw` shifted, for each element."""
        kept = raw.clone()
        for j in range(raw.numel()):
            raw.view(-1)[j] += SHIFT
            yield self._forward(rows, columns).numpy()
            raw.copy_(kept)

    def diagonal(self) -> np.ndarray:
        """Return k(x, x) for each row x of x1."""
        return to_dense(self._kernel.forward(self._x1, self._x1, diag=True)).detach().numpy()

    def gradients(self) -> Gradients:
        """Yield nothing: the backward pass of each block already reaches the leaves."""
        yield from ()

    def products(self) -> Gradients:
        """Yield the gathered products."""
        yield from self._products.items()


class Kept:
    """Blocks that are computed once and kept, with what their derivatives need; for few rows."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._known: dict[tuple[int, int], tuple[np.ndarray, Derivative]] = {}

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return the block as first computed."""
        key = rows.start, columns.start
        if key not in self._known:
            self._known[key] = self._blocks.block(rows, columns)
        return self._known[key]

    def diagonal(self) -> np.ndarray:
        """Return k(x, x) for each row x of x1."""
        return self._blocks.diagonal()

    def gradients(self) -> Gradients:
        """Yield the gathered gradients."""
        yield from self._blocks.gradients()

    def products(self) -> Gradients:
        """Yield the gathered products."""
        yield from self._blocks.products()


class Value:
    """A positive hyperparameter θ of a gpytorch kernel over n1 rows, and accumulated derivatives by log θ.

    `at` is θ, in its tensor's shape; `gradient` (size,) is ∂L/∂log θ, `product` (n1, size) is (∂K/∂log θ_i) v.
    """

    def __init__(self, kernel: Kernel, name: str, n1: int) -> None:
        self._raw: torch.Tensor = getattr(kernel, f"raw_{name}")
        constraint = getattr(kernel, f"raw_{name}_constraint")
        raw, self._n1 = self._raw.detach().numpy(), n1
        self._rate: Any = 1.0  # d log θ / d raw
        if isinstance(constraint, LogConstraint):
            self.at, self._rate = constraint.factor * np.exp(constraint.power * raw), constraint.power
        else:
            with torch.enable_grad():
                copy = self._raw.detach().requires_grad_()
                theta = constraint.transform(copy)
                (slope,) = torch.autograd.grad(theta.sum(), copy)
            self.at = theta.detach().numpy()
            self._rate = (slope.numpy() / self.at).reshape(-1)
        self.gradient = np.zeros(raw.size)

    @cached_property
    def product(self) -> np.ndarray:
        """Return the products accumulated so far, to which blocks add."""
        return np.zeros((self._n1, self._raw.numel()))

    def gradients(self) -> Gradients:
        """Yield (raw parameter, ∂L/∂raw)."""
        yield self._raw, (self._rate * self.gradient).reshape(self._raw.shape)

    def products(self) -> Gradients:
        """Yield (raw parameter, (∂K/∂raw_i) v)."""
        yield self._raw, self._rate * self.product


def add_gradient(tensor: torch.Tensor, gradient: np.ndarray) -> None:
    """Add ∂L/∂tensor to the gradient of a leaf that requires one, as `backward` does, but faster."""
    if tensor.requires_grad:
        seed = torch.from_numpy(gradient).reshape(tensor.shape)
        tensor.grad = seed if tensor.grad is None else tensor.grad + seed


def add_product(total: np.ndarray, weight: np.ndarray, rows: slice, columns: slice, vector: np.ndarray) -> None:
    """Add to `total` (n,) the product of a block with `vector` (n,); off the diagonal also of its mirror image."""
    total[rows] += weight @ vector[columns]
    if rows != columns:
        total[columns] += vector[rows] @ weight


def active(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return the columns of x (n, d) that the kernel uses."""
    columns = kernel.active_dims
    return x if columns is None or columns.tolist() == list(range(x.shape[1])) else x.index_select(-1, columns)


def autograd(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2) by autograd alone."""
    return Autograd(kernel, active(kernel, x1), active(kernel, x2))


def matrix(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
    """Return k(x1, x2), within autograd's graph; inputs (n, q, d) are nodes of means (gp.model.nodes)."""
    if x1.dim() + x2.dim() > 4:
        pairs = product(nodes(x1), nodes(x2))
        return torch.stack([a * b * matrix(kernel, first, second) for (a, first), (b, second) in pairs]).sum(0)
    # Called directly: gpytorch's own call costs a millisecond of bookkeeping.
    return to_dense(kernel.forward(active(kernel, x1), active(kernel, x2)))


def diagonal(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return k(x, x) for each row of x (n, d), or of nodes (n, q, d) of means, shape (n,)."""
    each = [(weight, active(kernel, points)) for weight, points in nodes(x)]
    parts = [
        a * b * to_dense(kernel.forward(first, second, diag=True)) for (a, first), (b, second) in product(each, each)
    ]
    return torch.stack(parts).sum(0)


def lower_tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """Yield (rows, columns) of tiles that cover the lower triangle; those on the diagonal are square.

    Diagonal tiles are square, because only for the same rows on both sides does every kernel know that the distances of
    rows to themselves are zero.
    """
    for rows in slices(n, TILE[0]):
        for columns in slices(rows.start, TILE[1]):
            yield rows, columns
        yield rows, rows


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover range(n)."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
