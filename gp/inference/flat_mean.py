"""Mean coefficients integrated out: a flat prior over β in y = Φβ + f(x) + noise, at given hyperparameters.

β given y is N(β̂, A⁻¹), A = ΦᵀK⁻¹Φ with K the covariance of rows, noise included; the likelihood of the rest is
log N(y | Φβ̂, K) − ½ log |A|, which restricted maximum likelihood (REML) maximises  (R&W 2006 sec. 2.7, eqs. 2.42–2.45;
Harville 1974).  Every K⁻¹ becomes K⁻¹ − K⁻¹Φ A⁻¹ ΦᵀK⁻¹.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..model.model import GaussianProcess

INDEPENDENT = 1e-12  # of A's largest eigenvalue; smaller ones are of columns that depend on others


@dataclass(frozen=True, eq=False)
class FlatMean:
    """What is known of the mean's q coefficients: `design` Φ (n, q), and a root (q, r) of A⁻¹ = root rootᵀ.

    `whitened` is K⁻¹Φ root (n, r).  `tensors` are the model's that hold the coefficients.
    """

    tensors: tuple[torch.Tensor, ...]
    design: np.ndarray
    root: np.ndarray
    whitened: np.ndarray
    log_determinant: float  # of A

    @classmethod
    def of(cls, tensors: tuple[torch.Tensor, ...], design: np.ndarray, solved: np.ndarray) -> "FlatMean":
        """Return what follows from the columns Φ and `solved` = K⁻¹Φ, (n, q) each."""
        sizes, directions = np.linalg.eigh(design.T @ solved)
        kept = sizes > INDEPENDENT * sizes.max(initial=0.0)
        root = directions[:, kept] / np.sqrt(sizes[kept])
        return cls(tensors, design, root, solved @ root, float(np.log(sizes[kept]).sum()))

    @property
    def log_likelihood(self) -> float:
        """Return what integrating adds to the log likelihood at β̂, nats; β is in internal units."""
        return 0.5 * self.root.shape[1] * math.log(2 * math.pi) - 0.5 * self.log_determinant

    def change(self, alpha: np.ndarray) -> np.ndarray:
        """Return β̂ − β, (q,), where `alpha` is K⁻¹(y − Φβ)."""
        return np.asarray(self.root @ (self.root.T @ (self.design.T @ alpha)))

    def columns(self, gp: GaussianProcess, x: torch.Tensor) -> np.ndarray:
        """Return the coefficients' columns (m, r) at internal inputs x (m, d), times the root."""
        found = dict(gp.mean.columns(x))  # type: ignore[operator]
        return np.asarray(np.hstack([found[tensor].numpy() for tensor in self.tensors]) @ self.root)
