"""Mean coefficients integrated out: a flat prior over β in y = Φβ + f(x) + noise, at given hyperparameters.

β given y is N(β̂, A⁻¹), A = ΦᵀK⁻¹Φ with K the covariance of rows, noise included; the likelihood of the rest is
log N(y | Φβ̂, K) − ½ log |A|, which restricted maximum likelihood (REML) maximises  (R&W 2006 sec. 2.7, eqs. 2.42–2.45;
Harville 1974).  Every K⁻¹ becomes K⁻¹ − K⁻¹Φ A⁻¹ ΦᵀK⁻¹.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..model.model import GaussianProcess
from .profile import Profile, profile_of

INDEPENDENT = 1e-12  # of A's largest eigenvalue; smaller ones are of columns that depend on others
KNOWN = 1e-12  # share of a row's precision, at least, that the other rows know of it


@dataclass(frozen=True, eq=False)
class FlatMean:
    """What is known of the mean's q coefficients: a root (q, r) of A⁻¹ = root rootᵀ, and ½ log |A| and the like.

    `whitened` (n, r) is K⁻¹Φ root, or what else k(Z, x) is multiplied by at the sites Z of a posterior (n of them) to
    give w(x)ᵀΦ root, w(x) being the weights of targets in the mean at x.  `tensors` are the model's that hold the
    coefficients.
    """

    tensors: tuple[torch.Tensor, ...]
    root: np.ndarray
    whitened: np.ndarray
    log_determinant: float  # of A

    @classmethod
    def of(cls, tensors: tuple[torch.Tensor, ...], information: np.ndarray, solved: np.ndarray) -> "FlatMean":
        """Return what follows from the `information` A (q, q) = ΦᵀK⁻¹Φ, and `solved` (n, q), which is `whitened`'s."""
        if len(information) == 1:  # a constant mean: NumPy's own takes as long as factorising 20 rows
            sizes, directions = information[0], np.ones((1, 1))
        else:
            sizes, directions = np.linalg.eigh(information)
        kept = sizes > INDEPENDENT * sizes.max(initial=0.0)
        root = directions[:, kept] / np.sqrt(sizes[kept])
        return cls(tensors, root, solved @ root, float(np.log(sizes[kept]).sum()))

    @property
    def log_likelihood(self) -> float:
        """Return what integrating adds to the log likelihood at β̂, nats; β is in internal units."""
        return 0.5 * self.root.shape[1] * math.log(2 * math.pi) - 0.5 * self.log_determinant

    def change(self, moment: np.ndarray) -> np.ndarray:
        """Return β̂ − β, (q,), where `moment` (q,) is ΦᵀK⁻¹(y − Φβ)."""
        return np.asarray(self.root @ (self.root.T @ moment))

    def gain(self, moment: np.ndarray) -> float:
        """Return what integrating adds to the log likelihood at β, nats."""
        return 0.5 * float(((self.root.T @ moment) ** 2).sum()) + self.log_likelihood

    def columns(self, gp: GaussianProcess, x: torch.Tensor) -> np.ndarray:
        """Return the coefficients' columns (m, r) at internal inputs x (m, d), times the root."""
        return columns_of(gp, self.tensors, x) @ self.root

    def left_out(self, alpha: np.ndarray, precision: np.ndarray, solved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what each left-out target's mean and variance gain, (n,) each, where β̂ is what the model has.

        Of the rows, `alpha` is K⁻¹(y − Φβ̂), `precision` the diagonal of K⁻¹, (n,) each, and `solved` K⁻¹Φ root (n, r).
        With s_i = |solved_i|²/precision_i the share of what is known of a row that β has used up, 1/precision_i grows
        to 1/(precision_i (1 − s_i)), and so does α_i/precision_i.
        """
        share = np.minimum((solved**2).sum(axis=1) / precision, 1 - KNOWN)
        grown = share / (1 - share) / precision
        return -grown * alpha, grown


def columns_of(gp: GaussianProcess, tensors: tuple[torch.Tensor, ...], x: torch.Tensor) -> np.ndarray:
    """Return the columns Φ (m, q) of the mean's coefficients that `tensors` hold, at internal inputs x (m, d)."""
    found = dict(gp.mean.columns(x))  # type: ignore[operator]
    return np.hstack([found[tensor].detach().numpy() for tensor in tensors])


def move(gp: GaussianProcess, profile: Profile, change: np.ndarray) -> None:
    """Add `change` (q,) to the model's mean coefficients, internal units."""
    vector = gp.parameters.vector
    vector[profile.positions] += change / profile.reference
    gp.parameters.set(vector)


def integrable(gp: GaussianProcess) -> np.ndarray:
    """Return the places in the raw vector (q,) of the mean coefficients that a flat prior can be meant for.

    None have bounds or a prior.  Where rows are a sample of a table, what is known of the others has no such form.
    """
    sampled = gp.table is not None and gp.table.n > gp.n
    return np.zeros(0, dtype=int) if sampled else profile_of(gp).positions


def with_flat_mean(conditioned: Any) -> Any:
    """Return a conditioned model with its mean coefficients integrated out, and move the model to their estimate.

    Its method says that it has such a form (`Method.flattens`).
    """
    return conditioned.with_flat_mean()
