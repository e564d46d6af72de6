"""(K + noise)X = B for all rows without a factor: conjugate gradients, preconditioned by the full-scale approximation.

K is computed tile by tile in each step, so memory grows as the number of rows only.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from tqdm import tqdm

from ..inference.nearest.full_scale import FullScale
from ..inference.nearest.groups import centres, find_groups
from ..matrices.algebra import closed_form
from ..matrices.tiles import slices
from ..model.model import GaussianProcess
from ..parallel import one_thread

TILE = 512
STEPS = 100  # at most
NEIGHBOURS, INDUCING = 20, 1000  # of the preconditioner: with 200 inducing inputs, steps are ten times as many


class Preconditioner:
    """The inverse of the full-scale covariance: BᵀF⁻¹(I − b S bᵀF⁻¹)B, where B has the groups' u in its rows."""

    def __init__(self, gp: GaussianProcess) -> None:
        model = FullScale(gp, find_groups(gp, NEIGHBOURS, centres(gp, INDUCING), "maxmin"))
        self._factor = model.solve().q.factor.numpy()
        rows, u, features, variances = [], [], [], []
        for group in model.blocks():
            rows.append(group.rows.T)
            u.append(group.given.u)
            features.append(group.b)
            variances.append(group.given.variance)
        columns, weights = np.concatenate(rows), torch.cat(u).numpy()
        starts = np.arange(0, columns.size + 1, columns.shape[1])
        self._whitening = csr_array((weights.ravel(), columns.ravel(), starts), shape=(gp.n, gp.n))
        self._features, self._variance = torch.cat(features).numpy(), torch.cat(variances).numpy()[:, None]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the inverse times values (n, t)."""
        scaled = (self._whitening @ values) / self._variance
        spread = self._factor @ (self._factor.T @ (self._features.T @ scaled))
        return np.asarray(self._whitening.T @ (scaled - (self._features @ spread) / self._variance))


@dataclass(frozen=True, eq=False)
class Solution:
    """X (n, t) after so many `steps`, and √(rᵀM⁻¹r) of each column's residual r = b − (K + noise)x, (t,).

    With M near K + noise, `error`² is by how much bᵀx falls short of bᵀ(K + noise)⁻¹b, and wᵀx is off by at most error
    √(wᵀ(K + noise)⁻¹w) for any w.
    """

    x: np.ndarray
    steps: int
    error: np.ndarray


def solve(gp: GaussianProcess, right: np.ndarray, tolerance: np.ndarray) -> Solution:
    """Return X for the right-hand sides (n, t), by steps until each `error` is below its `tolerance` (t,), or STEPS.

    Conjugate gradients for all columns side by side  (Golub & Van Loan 2013, "Matrix computations", Alg. 11.5.1).
    """
    with one_thread(), torch.no_grad():
        noise, precondition = gp.training_noise()[0].numpy()[:, None], Preconditioner(gp)
        x, residual, steps = np.zeros_like(right), right.copy(), 0
        ahead = precondition(residual)
        direction, square = ahead, np.einsum("ij,ij->j", residual, ahead)
        with tqdm(total=STEPS, desc=f"conjugate gradients, {gp.n} rows", disable=None, leave=False) as progress:
            while steps < STEPS and (np.sqrt(square) > tolerance).any():
                product = _times(gp, direction) + noise * direction
                length = _ratio(square, np.einsum("ij,ij->j", direction, product))
                x += length * direction
                residual -= length * product
                ahead = precondition(residual)
                before, square = square, np.einsum("ij,ij->j", residual, ahead)
                direction = ahead + _ratio(square, before) * direction
                steps += 1
                progress.update()
    return Solution(x, steps, np.sqrt(square))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, and 0 for a column that has no residual left."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _times(gp: GaussianProcess, values: np.ndarray) -> np.ndarray:
    """Return K times values (n, t), each tile of the lower triangle computed once."""
    blocks, total = closed_form(gp.kernel, gp.x, gp.x), np.zeros_like(values)
    for rows in slices(gp.n, TILE):
        for columns in slices(rows.stop, TILE):
            tile, _ = blocks.block(rows, columns)
            total[rows] += tile @ values[columns]
            if columns != rows:
                total[columns] += tile.T @ values[rows]
    return total
