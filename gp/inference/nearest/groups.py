"""Each row's neighbours among those before it, and the inducing inputs: what stays while hyperparameters move."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial import KDTree

from ...matrices.tiles import slices
from ...model.model import GaussianProcess
from ..orderings import max_min_order, nearest_before, random_order
from .scaling import scaled_inputs, scales, units

SEED = 0  # of orderings: a saved model has the same as the fitted one
SAMPLE = 20  # rows for each inducing input, at most, in which k-means looks for clusters
ROUNDS = 20  # of k-means
ELEMENTS = 2**20  # of small matrices at a time
FEATURES = 2**24  # numbers that the features of all rows may be: 128 MB, of which an evaluation needs three


@dataclass(frozen=True, eq=False)
class Groups:
    """The `rows` (k + 1, n) of n groups: each row with its k neighbours before it, in the order of the rows.

    A group's last element is the row itself.  The first k rows have fewer than k before them: their neighbours from
    position i on, of row i in the order, are no neighbours (`mask`).  `z` (m, d) are the inducing inputs, chosen with
    distances in the kernel's units at these `scales`.
    """

    scales: tuple[int, ...]
    rows: np.ndarray
    z: torch.Tensor

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield the rows (k + 1, b) of some groups, and which are none (k + 1, b), if any."""
        k, n = len(self.rows) - 1, self.rows.shape[1]
        size = at_once(k + 1, len(self.z))
        for part in slices(k, size):
            position = np.arange(k + 1)[:, None]
            yield self._rows(part), (position >= np.arange(k)[part]) & (position < k)
        for part in slices(n - k, size):
            yield self._rows(slice(part.start + k, part.stop + k)), None

    def _rows(self, part: slice) -> np.ndarray:
        return self.rows[:, part].astype(np.intp)


def at_once(k: int, m: int) -> int:
    """Return how many groups of k rows, with m features each, are gone through at a time."""
    return max(ELEMENTS // max(k * max(k, m), 1), 1)


def find_groups(gp: GaussianProcess, neighbours: int, z: torch.Tensor, ordering: str) -> Groups:
    """Return the groups of the model's rows, for distances in its kernel's units; beside inducing inputs z (m, d)."""
    at, n, k = scaled_inputs(gp), gp.n, min(neighbours, gp.n - 1)
    order = max_min_order(at, SEED) if ordering == "maxmin" else random_order(n, SEED)
    rows = np.empty((k + 1, n), dtype=np.int32)
    rows[-1] = order
    if k:
        rows[:-1, k:] = order[nearest_before(at[order], k)].T
    # Groups of rows that are near share neighbours, which then are in a core's cache.
    rank = np.empty(n, dtype=np.intp)
    rank[KDTree(at).indices] = np.arange(n)
    rows[:, k:] = rows[:, k + np.argsort(rank[order[k:]], kind="stable")]
    for i in range(k):
        rows[:-1, i] = order[np.minimum(np.arange(k), i)]
    return Groups(scales(gp), rows, z)


def centres(gp: GaussianProcess, m: int) -> torch.Tensor:
    """Return m inducing inputs (m, d), fewer where rows are few, or so many that their features need much memory.

    They are centres of clusters, for distances in the kernel's units, by k-means (Lloyd 1982) from seeded rows.
    """
    at, m = scaled_inputs(gp), min(m, gp.n, FEATURES // gp.n)
    return torch.from_numpy(_clusters(at, m) * units(gp))


def _clusters(at: np.ndarray, m: int) -> np.ndarray:
    if len(at) <= m or not m:
        return at[:m]
    rng = np.random.default_rng(SEED)
    if len(at) > SAMPLE * m:
        at = at[np.sort(rng.choice(len(at), size=SAMPLE * m, replace=False))]
    start = at[np.sort(rng.choice(len(at), size=m, replace=False))]
    with warnings.catch_warnings():
        # A cluster without rows keeps its centre.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        return np.asarray(kmeans2(at, start, iter=ROUNDS, minit="matrix")[0])
