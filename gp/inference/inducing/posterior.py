"""What sparse methods share: the posterior given q(u), leave-one-out in one more pass, a suitable starting noise."""

import contextlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ...matrices.cholesky import NotPositiveDefinite
from ...matrices.tiles import diagonal, matrix, slices
from ...model.model import GaussianProcess
from ...parallel import one_thread
from ..method import Moments, moments_of_terms, positive_part
from ..together import Sites
from .bound import BLOCK, Gaussian, Inducing, optimum
from .rows import ModelRows, blocks


@dataclass(frozen=True, eq=False)
class SparsePosterior:
    """A sparse GP conditioned on its rows: K_ZZ factorised, q(v), and the `bound` (nats) if already known."""

    gp: GaussianProcess
    inducing: Inducing
    q: Gaussian
    bound: float | None = None
    condition_number: None = None  # no n×n matrix is factorised

    @cached_property
    def log_likelihood(self) -> float:
        """Return the bound on the log marginal likelihood of the internal targets in nats."""
        if self.bound is not None:
            return self.bound
        with one_thread(), torch.no_grad():
            return bound_at(self.gp, self.inducing, self.q)

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (Hensman et al. 2013, eq. 2)."""
        return moments_of_terms(
            self.gp, x, lambda kernels: {name: self._marginals(kernel, x) for name, kernel in kernels.items()}
        )

    def together(self) -> Sites:
        """Return the posterior of several inputs together."""
        factor, q = self.inducing.factor.numpy(), self.q
        return Sites(self.gp, self.inducing.z.detach(), factor, q.mean.numpy(), root=q.factor.numpy())

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the training rows, (n,), in internal units."""
        means = []
        with one_thread(), torch.no_grad():
            for batch in blocks(ModelRows(self.gp), BLOCK):
                rows = self.inducing.project(batch)
                means.append(rows.mean + self.q.mean @ rows.projected)
        return torch.cat(means).numpy()

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd without its own site in q(u), (n,) each, in internal units, noise included.

        q(v) ∝ p(v) Π_i N(r_i | a_iᵀv, σ_i²) at its optimum.  Without the site of row i, and with h = |Fᵀa_i|²/σ_i², the
        function's mean is (μᵀa_i − h r_i)/(1 − h), and the contribution of q(v) to its variance h σ_i²/(1 − h) (Sherman
        & Morrison).  Inducing inputs and hyperparameters are not refitted.  Raises ArithmeticError if q(v) is so far
        from its optimum that it does not contain the site of a row.
        """
        q, means, variances = self.q, [], []
        with one_thread(), torch.no_grad():
            for batch in blocks(ModelRows(self.gp), BLOCK):
                rows = self.inducing.project(batch)
                share = (q.factor.T @ rows.projected).square().sum(0) * rows.precision
                if not (share < 1).all():
                    raise ArithmeticError(
                        "q(u) knows less of a training row than the row itself says, so it is not the optimum at these "
                        "hyperparameters and has no leave-one-out: fit again"
                    )
                mean = (q.mean @ rows.projected - share * rows.residual) / (1 - share)
                means.append(batch.y - rows.residual + mean)
                unexplained = (rows.prior - rows.projected.square().sum(0)).clamp(min=0.0)
                # A noise parameter of a row is unknown if that row is left out.
                variances.append(unexplained + share * rows.noise / (1 - share) + self.gp.noise(batch.x))
        return torch.cat(means).numpy(), torch.cat(variances).sqrt().numpy()

    def _marginals(self, kernel: Kernel, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the term that `kernel` is, each (m,)."""
        means, variances = [], []
        for part in slices(len(x), BLOCK):
            cross, prior = matrix(kernel, self.inducing.z, x[part]), diagonal(kernel, x[part])
            projected = torch.linalg.solve_triangular(self.inducing.factor, cross, upper=False)
            means.append(self.q.mean @ projected)
            spread = self.q.factor.T @ projected
            variances.append(positive_part(prior - projected.square().sum(0) + spread.square().sum(0), prior))
        return torch.cat(means).numpy(), torch.cat(variances).numpy()


def bound_at(gp: GaussianProcess, inducing: Inducing, q: Gaussian, *, with_q: bool = False) -> float:
    """Return the bound (nats) at q(v), optimal or not, and accumulate its gradient; `with_q` also that of q(v).

    If the model's rows are a sample, this is their estimate of the bound over all rows.
    """
    weight, batches = gp.total / gp.n, blocks(ModelRows(gp), BLOCK)
    value = sum(inducing.expected(q, inducing.project(batch), weight, with_q=with_q) for batch in batches)
    return value - q.divergence()


def suit_noise(gp: GaussianProcess, z: torch.Tensor) -> int:
    """Raise the model's noise sd to the value with the best bound over its rows; return the number of evaluations.

    To the bound, what inducing inputs z (m, d) cannot explain is noise.  If the exact model found almost no noise, the
    bound is so low that no gradient leads back.
    """
    names, start, bounds = gp.parameters.names, gp.parameters.vector, dict[float, float]()
    if "noise.sd" not in names:
        return 0
    at = names.index("noise.sd")
    highest = min(gp.parameters.bounds[at][1], max(start[at], 0.0))  # in logs: the sd of y, within the bounds
    for raised in [*np.arange(start[at], highest), highest]:
        vector = start.copy()
        vector[at] = raised
        gp.parameters.set(vector)
        with one_thread(), contextlib.suppress(NotPositiveDefinite):
            _, value = optimum(gp, z, blocks(ModelRows(gp), BLOCK))
            bounds[value + gp.parameters.log_prior(vector)[0]] = raised
    start[at] = bounds[max(bounds)] if bounds else start[at]
    gp.parameters.set(start)
    return len(bounds)
