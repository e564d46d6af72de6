"""Rows: the source of training rows, chunk by chunk, and minibatches of them in a random order given by the seed.

Only a few chunks are in memory at a time, so a file of rows need not fit in memory (gp.parquet).
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ...matrices.tiles import slices
from ...model.model import GaussianProcess

POOL = 2**16  # minimum of rows that are shuffled together, if chunks are small


class Batch(NamedTuple):
    """Some rows in internal units: x (b, d), y (b,), and each row's known noise sd (b,), if any."""

    x: torch.Tensor
    y: torch.Tensor
    noise_sd: torch.Tensor | None

    def at(self, rows: np.ndarray | slice) -> "Batch":
        """Return some of the rows."""
        return Batch(self.x[rows], self.y[rows], None if self.noise_sd is None else self.noise_sd[rows])


class Rows(Protocol):
    """n rows in chunks of `sizes`, any of which can be read again."""

    sizes: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Return a key that identifies these rows."""
        ...

    def read(self, chunk: int) -> Batch:
        """Return the rows of a chunk."""
        ...


class ModelRows:
    """The rows of a model, as one chunk, or in chunks of `sizes`."""

    def __init__(self, gp: GaussianProcess, sizes: tuple[int, ...] | None = None) -> None:
        self.sizes = sizes or (gp.n,)
        sd = gp.scope.noise_sd
        self._rows = Batch(gp.x, gp.y, None if sd is None else torch.from_numpy(np.ascontiguousarray(sd)))
        self._starts = np.cumsum([0, *self.sizes])

    @property
    def digest(self) -> str:
        """Return a hash of all values."""
        parts = [part.numpy().tobytes() for part in self._rows if part is not None]
        return hashlib.sha256(b"".join([str(self.sizes).encode(), *parts])).hexdigest()

    def read(self, chunk: int) -> Batch:
        """Return the rows of a chunk, without a copy."""
        return self._rows.at(slice(self._starts[chunk], self._starts[chunk + 1]))


def total(rows: Rows) -> int:
    """Return how many rows there are."""
    return sum(rows.sizes)


def draw(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` different numbers below n, sorted, in memory that does not grow with n."""
    return np.sort(rng.choice(n, size=count, replace=False, shuffle=False))


def gather(rows: Rows, wanted: np.ndarray) -> Batch:
    """Return the rows at the sorted positions `wanted`."""
    parts, start = [], 0
    for chunk, size in enumerate(rows.sizes):
        here = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + size)] - start
        if len(here):
            parts.append(rows.read(chunk).at(here))
        start += size
    return _joined(parts)


def blocks(rows: Rows, size: int) -> Iterator[Batch]:
    """Yield all rows in their order, at most `size` at a time."""
    for chunk in range(len(rows.sizes)):
        batch = rows.read(chunk)
        yield from (batch.at(part) for part in slices(len(batch.y), size))


def minibatches(rows: Rows, without: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield all rows except those at the sorted positions `without`, shuffled, `size` at a time.

    Chunks come in a random order, and POOL rows or more are shuffled together.  An incomplete minibatch at the end is
    dropped, unless it is the only one.
    """
    starts, left, yielded = np.cumsum([0, *rows.sizes]), [], False
    order = rng.permutation(len(rows.sizes)).tolist()
    for position, chunk in enumerate(order):
        first, last = starts[chunk], starts[chunk + 1]
        out = without[np.searchsorted(without, first) : np.searchsorted(without, last)] - first
        left.append((rows.read(chunk), np.delete(np.arange(last - first), out)))
        is_last = position == len(order) - 1
        if sum(len(kept) for _, kept in left) < POOL and not is_last:
            continue
        pool, kept = _pooled(left)
        kept = rng.permutation(kept)
        n_full = len(kept) // size * size
        for part in slices(n_full, size):
            yielded = True
            yield pool.at(kept[part])
        left = [] if n_full == len(kept) else [(pool.at(kept[n_full:]), np.arange(len(kept) - n_full))]
        if is_last and not yielded and left:
            yield left[0][0]


def _pooled(parts: list[tuple[Batch, np.ndarray]]) -> tuple[Batch, np.ndarray]:
    """Return the batches joined, and the positions of the rows to use."""
    offsets = np.cumsum([0, *(len(batch.y) for batch, _ in parts)])
    kept = np.concatenate([kept + offset for (_, kept), offset in zip(parts, offsets, strict=False)])
    return _joined([batch for batch, _ in parts]), kept


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    x, y, sds = zip(*parts, strict=True)
    return Batch(torch.cat(x), torch.cat(y), None if sds[0] is None else torch.cat(sds))
