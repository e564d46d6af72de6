"""Squared distances between two sets of points and their derivatives, tile by tile, without cancellation."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np

from .tiles import Derivative, add_product

# Below this fraction of the largest |z|², the expansion |z|² − 2z·z' + |z'|² loses five digits; differences do not.
CLOSE = 1e-5
# Up to this number of columns, differences are as fast as the expansion.
FEW_COLUMNS = 2


class Distances:
    """s = |z − z'|² for the rows z of z1 (n1, D) and z' of z2 (n2, D), exactly zero if they are equal.

    If z2 is z1, `gradient` (n1, D) accumulates ∂L/∂z, and `products` accumulates (w ∘ ∂s/∂θ) v for each of the
    `tangents` ∂z/∂θ (n1, D): column by column, (n1, D), as if each column of z had a θ of its own.  With `only_scaled`,
    θ only scales the columns of z; then only the sums Σ z · gradient of each column are right, at half the cost.
    """

    def __init__(
        self, z1: np.ndarray, z2: np.ndarray, tangents: Callable[[], list[np.ndarray]], *, only_scaled: bool
    ) -> None:
        self._z1, self._z2, self._same, self._only_scaled = z1, z2, z1 is z2, only_scaled
        self._make_tangents = tangents
        self.gradient = np.zeros_like(z1)
        self._few = z1.shape[1] <= FEW_COLUMNS
        if not self._few:
            # One matrix product gives s: [z, 1, |z|²]·[−2z', |z'|², 1].
            size1, size2 = (np.einsum("ij,ij->i", z, z)[:, None] for z in (z1, z2))
            self._left = np.concatenate([z1, np.ones_like(size1), size1], axis=1)
            self._right = np.concatenate([-2 * z2, size2, np.ones_like(size2)], axis=1)
            self._close = CLOSE * max(size1.max(), size2.max())

    @cached_property
    def _tangents(self) -> list[np.ndarray]:
        return self._make_tangents()

    @cached_property
    def products(self) -> list[np.ndarray]:
        """Return the products accumulated so far, one for each tangent."""
        return [np.zeros_like(tangent) for tangent in self._tangents]

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        """Return s, which the caller may overwrite, and its derivative, which may overwrite the weight given to it."""
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
        return s, Derivative(partial(self._pull, rows, columns, close), partial(self._push, rows, columns, close))

    def _pull(
        self, rows: slice, columns: slice, close: tuple[np.ndarray, ...] | None, weight: np.ndarray, factor: float
    ) -> None:
        """Pullback: add Σ_k 2 w_ik (z_i − z_k) to ∂L/∂z_i, and the same to ∂L/∂z_k, by matrix products; w = ∂L/∂s."""
        if close is not None:  # at a cusp the slope is large, and would amplify rounding errors
            i, k = close[0] + rows.start, close[1] + columns.start
            step = (2 * factor * weight[close])[:, None] * (self._z1[i] - self._z1[k])
            np.add.at(self.gradient, i, step)
            np.subtract.at(self.gradient, k, step)
            weight[close] = 0.0
        if rows == columns:
            weight.flat[:: len(weight) + 1] = 0.0
        d, z = self._z1.shape[1], self._z1
        moments = weight @ self._left[columns, : d + 1]  # Σ_k w_ik z_k, and Σ_k w_ik
        if self._only_scaled:  # Σ_k z_k Σ_i w_ik z_i is Σ_i z_i Σ_k w_ik z_k
            self.gradient[rows] += 2 * factor * (z[rows] * moments[:, d:] - 2 * moments[:, :d])
            self.gradient[columns] += 2 * factor * (z[columns] * weight.sum(axis=0)[:, None])
            return
        self.gradient[rows] += 2 * factor * (z[rows] * moments[:, d:] - moments[:, :d])
        moments = weight.T @ self._left[rows, : d + 1]
        self.gradient[columns] += 2 * factor * (z[columns] * moments[:, d:] - moments[:, :d])

    def _push(
        self,
        rows: slice,
        columns: slice,
        close: tuple[np.ndarray, ...] | None,
        weight: np.ndarray,
        factor: float,
        vector: np.ndarray,
    ) -> None:
        """Pushforward: add Σ_k w_ik 2 (z_i − z_k)(ż_i − ż_k) v_k for each tangent ż, by matrix products."""
        if close is not None:
            i, k = close[0] + rows.start, close[1] + columns.start
            steps = (2 * factor * weight[close])[:, None] * (self._z1[i] - self._z1[k])
            for tangent, product in zip(self._tangents, self.products, strict=True):
                moved = steps * (tangent[i] - tangent[k])
                np.add.at(product, i, moved * vector[k, None])
                if rows != columns:
                    np.add.at(product, k, moved * vector[i, None])
            weight[close] = 0.0
        if rows == columns:
            weight.flat[:: len(weight) + 1] = 0.0
        else:
            self._push_expanded(columns, rows, weight.T, factor, vector)
        self._push_expanded(rows, columns, weight, factor, vector)

    def _push_expanded(
        self, rows: slice, columns: slice, weight: np.ndarray, factor: float, vector: np.ndarray
    ) -> None:
        (z, others), v = (self._z1[rows], self._z1[columns]), vector[columns, None]
        weighted = [
            v,
            v * others,
            *(v * t[columns] for t in self._tangents),
            *(v * others * t[columns] for t in self._tangents),
        ]
        sums = weight @ np.hstack(weighted)
        total, by_z, *rest = np.split(sums, 1 + z.shape[1] * np.arange(len(weighted) - 1), axis=1)
        by_tangent, by_both = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        for tangent, product, one, both in zip(self._tangents, self.products, by_tangent, by_both, strict=True):
            t = tangent[rows]
            product[rows] += 2 * factor * (z * t * total - z * one - t * by_z + both)

    def _by_differences(self, rows: slice, columns: slice) -> tuple[np.ndarray, Derivative]:
        first, *others = zip(self._z1[rows].T, self._z2[columns].T, strict=True)
        s = np.subtract.outer(*first)
        s *= s
        for z1, z2 in others:
            difference = np.subtract.outer(z1, z2)
            difference *= difference
            s += difference
        pull, push = (partial(way, rows, columns) for way in (self._pull_differences, self._push_differences))
        return s, Derivative(pull, push)

    def _pull_differences(self, rows: slice, columns: slice, weight: np.ndarray, factor: float) -> None:
        for z, gradient in zip(self._z1.T, self.gradient.T, strict=True):
            step = np.subtract.outer(z[rows], z[columns])
            step *= weight
            gradient[rows] += 2 * factor * step.sum(axis=1)
            gradient[columns] -= 2 * factor * step.sum(axis=0)

    def _push_differences(
        self, rows: slice, columns: slice, weight: np.ndarray, factor: float, vector: np.ndarray
    ) -> None:
        for j, z in enumerate(self._z1.T):
            step = np.subtract.outer(z[rows], z[columns])
            step *= weight
            for tangent, product in zip(self._tangents, self.products, strict=True):
                moved = np.subtract.outer(tangent[rows, j], tangent[columns, j])
                moved *= step
                add_product(product[:, j], 2 * factor * moved, rows, columns, vector)
