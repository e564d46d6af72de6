"""Squared distances between two sets of points, tile by tile, without loss of digits, and the way back from them."""

from functools import partial

import numpy as np
import torch

from gp.inference.blocks import Gradients, Pull

# Below this part of the largest |z|² the expansion |z|² − 2z·z' + |z'|² has lost five digits: differences are taken then.
CLOSE = 1e-5
# Up to so many columns differences are as fast as the expansion.
FEW_COLUMNS = 2


class Distances:
    """s = |z − z'|² of the rows z of z1 (n1, D) and z' of z2 (n2, D): exactly zero where they are equal."""

    def __init__(self, z1: torch.Tensor, z2: torch.Tensor) -> None:
        self._tensor, self._same = z1, z1 is z2
        self._z1, self._z2 = z1.detach().numpy(), z2.detach().numpy()
        self._gradient = np.zeros_like(self._z1)
        self._few = self._z1.shape[1] <= FEW_COLUMNS
        if not self._few:
            # One matrix product gives s: [−2z, |z|², 1]·[z', 1, |z'|²].
            size1, size2 = ((z**2).sum(axis=1, keepdims=True) for z in (self._z1, self._z2))
            self._left = np.hstack([-2 * self._z1, size1, np.ones_like(size1)])
            self._right = np.hstack([self._z2, np.ones_like(size2), size2])
            self._close = CLOSE * max(size1.max(), size2.max())

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        """Return s, the caller's to write to, and what takes ∂L/∂s (which it may overwrite) back to the points."""
        if self._few:
            return self._by_differences(rows, columns)
        s = self._left[rows] @ self._right[columns].T
        itself = self._same and rows == columns
        if itself:
            s.flat[:: len(s) + 1] = np.inf
        close = np.nonzero(s < self._close) if s.min() < self._close else None
        if close is not None:
            if len(close[0]) > s.size // 16:
                return self._by_differences(rows, columns)
            s[close] = ((self._z1[rows][close[0]] - self._z2[columns][close[1]]) ** 2).sum(axis=1)
        if itself:
            s.flat[:: len(s) + 1] = 0.0
        return s, partial(self._pull, rows, columns, close)

    def gradients(self) -> Gradients:
        """Yield the points and ∂L/∂ them."""
        yield self._tensor, self._gradient

    def _pull(self, rows: slice, columns: slice, close: tuple[np.ndarray, ...] | None, weight: np.ndarray) -> None:
        """Add to ∂L/∂z_i = Σ_k 2 w_ik (z_i − z_k), and ∂L/∂z_k alike, by matrix products of the tile w = ∂L/∂s."""
        if close is not None:  # a cusp's slope is large there, and would be multiplied by rounding errors
            i, k = close[0] + rows.start, close[1] + columns.start
            step = 2 * weight[close][:, None] * (self._z1[i] - self._z1[k])
            np.add.at(self._gradient, i, step)
            np.subtract.at(self._gradient, k, step)
            weight[close] = 0.0
        d = self._z1.shape[1]
        for here, there, w in ((rows, columns, weight), (columns, rows, weight.T)):
            moments = w @ self._right[there, : d + 1]  # Σ_k w_ik z_k, and Σ_k w_ik
            self._gradient[here] += 2 * (self._z1[here] * moments[:, d:] - moments[:, :d])

    def _by_differences(self, rows: slice, columns: slice) -> tuple[np.ndarray, Pull]:
        s = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for z1, z2 in zip(self._z1[rows].T, self._z2[columns].T, strict=True):
            difference = np.subtract.outer(z1, z2)
            s += np.square(difference, out=difference)
        return s, partial(self._pull_differences, rows, columns)

    def _pull_differences(self, rows: slice, columns: slice, weight: np.ndarray) -> None:
        for z, gradient in zip(self._z1.T, self._gradient.T, strict=True):
            step = np.subtract.outer(z[rows], z[columns])
            step *= weight
            gradient[rows] += 2 * step.sum(axis=1)
            gradient[columns] -= 2 * step.sum(axis=0)
