"""Blocks of a kernel matrix and the way back from them: what exact inference asks of a kernel.

`Blocks` is the interface.  `Autograd` fulfils it for every gpytorch kernel, gp.matrices.algebra faster for some.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel
from linear_operator import to_dense

# A tile of float64 takes 256 KiB: a few of them stay in a core's level-2 cache, and torch works on it in one thread.
TILE = (128, 256)

# (weight, factor): takes ∂L/∂block = factor · weight back; the weight is neither kept nor changed
Pull = Callable[[np.ndarray, float], None]
Gradients = Iterator[tuple[torch.Tensor, np.ndarray]]


class Blocks(Protocol):
    """The kernel matrix k(x1, x2), x1 (n1, d), x2 (n2, d), block by block at one setting of the hyperparameters."""

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        """Return k(x1[rows], x2[columns]), not to be written to, and what takes ∂L/∂ it back (where x2 is x1)."""
        ...

    def diagonal(self) -> np.ndarray:
        """Return k(x, x) for each row x of x1, shape (n1,)."""
        ...

    def gradients(self) -> Gradients:
        """Yield tensors, each with ∂L/∂ it as gathered from all blocks taken back: the seeds of one backward pass.

        The inputs x1 are among them where x1 is x2 and asks for a gradient.
        """
        ...


class Autograd:
    """Blocks of any gpytorch kernel by its own `forward` and autograd, over its active columns x1 and x2."""

    def __init__(self, kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> None:
        self._kernel, self._x1, self._x2 = kernel, x1, x2

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        """Return the block, and its backward pass (which puts the gradient in the tensors at once)."""
        # Called directly: gpytorch's own call costs a millisecond of bookkeeping.
        value = to_dense(self._kernel.forward(self._x1[rows], self._x2[columns]))

        def pull(weight: np.ndarray, factor: float) -> None:
            if value.requires_grad:
                value.backward(torch.from_numpy(factor * weight))

        return value.detach().numpy(), pull

    def diagonal(self) -> np.ndarray:
        """Return k(x, x) for each row x of x1."""
        return to_dense(self._kernel.forward(self._x1, self._x1, diag=True)).detach().numpy()

    def gradients(self) -> Gradients:
        """Yield nothing: each block's backward pass has gone all the way."""
        yield from ()


class Kept:
    """Blocks that are computed once and kept, with all that their way back needs: for few rows."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._known: dict[tuple[int, int], tuple[np.ndarray, Pull]] = {}

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
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


class Number:
    """A hyperparameter that is one number: its value, and ∂L/∂ it as gathered so far."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.value, self.gradient, self._tensor = tensor.item(), 0.0, tensor

    def gradients(self) -> Gradients:
        """Yield the hyperparameter and ∂L/∂ it."""
        yield self._tensor, np.full(tuple(self._tensor.shape), self.gradient)


def active(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return the columns of x (n, d) that the kernel looks at."""
    columns = kernel.active_dims
    return x if columns is None or columns.tolist() == list(range(x.shape[1])) else x.index_select(-1, columns)


def autograd(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> Blocks:
    """Return the blocks of k(x1, x2) by autograd alone."""
    return Autograd(kernel, active(kernel, x1), active(kernel, x2))


def matrix(kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
    """Return k(x1, x2), within autograd's graph."""
    # Called directly: gpytorch's own call costs a millisecond of bookkeeping.
    return to_dense(kernel.forward(active(kernel, x1), active(kernel, x2)))


def diagonal(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return k(x, x) for each row of x (n, d), shape (n,)."""
    columns = active(kernel, x)
    return to_dense(kernel.forward(columns, columns, diag=True))


def lower_tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """Yield (rows, columns) of tiles that cover the lower triangle; those on the diagonal are square.

    Apart, since only of the same rows on both sides does every kernel know that their distances to themselves are zero.
    """
    for rows in slices(n, TILE[0]):
        for columns in slices(rows.start, TILE[1]):
            yield rows, columns
        yield rows, rows


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover range(n)."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
