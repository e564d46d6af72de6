"""The state of a Markov process at inputs between rows, given all of these."""

from dataclasses import dataclass

import numpy as np

from .space import Space


@dataclass(frozen=True, eq=False)
class States:
    """States at k inputs: `mean` (m, w, k) of w sums of columns and `variance` (m, m, k) given the rows before.

    What the others say: r (m, w, k) and N (m, m, k).
    """

    space: Space
    mean: np.ndarray
    variance: np.ndarray
    r: np.ndarray
    n: np.ndarray
    features: np.ndarray | None

    def seen(self, blocks: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean (w, k), variance and prior variance (k,) of what some of the blocks add, given all rows.

        They are hᵀ(a + Pr) and hᵀ(P − PNP)h.
        """
        seen = self.space.seen[blocks]
        h = np.ones((len(seen), 1)) if self.features is None else self.features[blocks]
        c = np.einsum("mbk,bk->mk", self.variance[:, seen], np.broadcast_to(h, (len(seen), self.mean.shape[2])))
        mean = (h[:, None] * self.mean[seen]).sum(axis=0) + (c[:, None] * self.r).sum(axis=0)
        variance = (h * c[seen]).sum(axis=0) - np.einsum("ik,ijk,jk->k", c, self.n, c)
        prior = (h**2 * np.diagonal(self.space.variance)[seen, None]).sum(axis=0)
        return mean, variance, np.broadcast_to(prior, variance.shape)
