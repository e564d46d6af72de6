"""What sparse methods share: the posterior given q(u), leave-one-out in one more pass, a suitable starting noise."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ...matrices.cholesky import NotPositiveDefinite
from ...matrices.tiles import diagonal, matrix, slices
from ...model.model import GaussianProcess
from ...parallel import one_thread
from ..flat_mean import FlatMean, columns_of, move
from ..method import Moments, moments_of_terms, positive_part
from ..profile import profile_of
from ..together import Sites
from .bound import BLOCK, Gaussian, Inducing, Projected, optimum
from .new_noise import kept_of_noise
from .rows import Batch, ModelRows, blocks, draw, gather

LEFT_OUT = 4096  # rows, at most, that say what the noise of new observations is: to some 2 %


class LeftOutRows(NamedTuple):
    """Of b left-out rows: mean, the variance that inducing inputs leave, that of q(u), and the noise's, (b,) each."""

    mean: torch.Tensor
    unexplained: torch.Tensor
    unseen: torch.Tensor
    noise: torch.Tensor


@dataclass(frozen=True, eq=False)
class SparsePosterior:
    """A sparse GP conditioned on its rows: K_ZZ factorised, q(v), and the `bound` (nats) if already known.

    The noise of `gp` may be less for new observations than for the rows (`with_new_noise`).  With a `flat` mean its
    coefficients are integrated out, and the model holds their estimate.
    """

    gp: GaussianProcess
    inducing: Inducing
    q: Gaussian
    bound: float | None = None
    flat: FlatMean | None = None
    condition_number: None = None  # no n×n matrix is factorised

    @cached_property
    def log_likelihood(self) -> float:
        """Return the bound on the log marginal likelihood of the internal targets in nats."""
        if self.bound is not None:
            return self.bound
        with one_thread(), torch.no_grad():
            return bound_at(self.gp, self.inducing, self.q) + (self.flat.log_likelihood if self.flat else 0.0)

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)  (Hensman et al. 2013, eq. 2)."""
        own = self.flat.columns(self.gp, x) if self.flat else None

        def marginals(kernels: Mapping[str, Kernel]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            # A term of a sum has no mean function of its own.
            return {name: self._marginals(kernel, x, None if name else own) for name, kernel in kernels.items()}

        return moments_of_terms(self.gp, x, marginals)

    def with_flat_mean(self) -> "SparsePosterior":
        """Return it with its mean coefficients integrated out; the model moves to their estimate.

        K is k(X, Z) K_ZZ⁻¹ k(Z, X) + noise.  With S the covariance of q(v), b = Σ a_i φ_iᵀ/σ_i² and M = S b, the mean
        at x for the columns Φ as targets is a(x)ᵀM, and A = Σ φ_i φ_iᵀ/σ_i² − bᵀM.  Here b = L⁻¹ Σ k(Z, x_i) φ_iᵀ/σ_i².
        """
        gp, z, q, profile = self.gp, self.inducing.z.detach(), self.q, profile_of(self.gp)
        count = len(profile.positions)
        cross, gram, moment = np.zeros((len(z), count)), np.zeros((count, count)), np.zeros(count)
        with one_thread(), torch.no_grad():
            for batch in blocks(ModelRows(gp), BLOCK):
                columns = columns_of(gp, profile.tensors, batch.x)
                weighted = columns / gp.noise.of_rows(batch.x, batch.noise_sd)[0].numpy()[:, None]
                cross += matrix(gp.kernel, z, batch.x).numpy() @ weighted
                gram += columns.T @ weighted
                moment += weighted.T @ (batch.y - gp.mean(batch.x)).numpy()
            factor = self.inducing.factor
            b = torch.linalg.solve_triangular(factor, torch.from_numpy(cross), upper=False)
            means = q.factor @ (q.factor.T @ b)
            whitened = torch.linalg.solve_triangular(factor.T, means, upper=True).numpy()
            flat = FlatMean.of(profile.tensors, gram - (b.T @ means).numpy(), whitened)
            moment -= (b.T @ q.mean).numpy()
            change, bound = flat.change(moment), self.bound
            moved = Gaussian(q.mean - means @ torch.from_numpy(change), q.factor)
        move(gp, profile, change)
        return replace(self, q=moved, flat=flat, bound=None if bound is None else bound + flat.gain(moment))

    def together(self) -> Sites:
        """Return the posterior of several inputs together."""
        factor, q = self.inducing.factor.numpy(), self.q
        return Sites(self.gp, self.inducing.z.detach(), factor, q.mean.numpy(), root=q.factor.numpy(), flat=self.flat)

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
        & Morrison).  What a flat mean adds is that of K (`with_flat_mean`), whose precision of a row is (1 − h)/σ_i².
        Inducing inputs and hyperparameters are not refitted.  Raises ArithmeticError if q(v) is so far
        from its optimum that it does not contain the site of a row.
        """
        parts = [self._left_out(batch) for batch in blocks(ModelRows(self.gp), BLOCK)]
        mean, unexplained, unseen, new = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        return mean, np.sqrt(unexplained + unseen + new)

    def _left_out(self, batch: Batch) -> LeftOutRows:
        """Return what is known of each of b rows without its own site."""
        q = self.q
        with one_thread(), torch.no_grad():
            rows = self.inducing.project(batch)
            share = (q.factor.T @ rows.projected).square().sum(0) * rows.precision
            if not (share < 1).all():
                raise ArithmeticError(
                    "q(u) knows less of a training row than the row itself says, so it is not the optimum at these "
                    "hyperparameters and has no leave-one-out: fit again"
                )
            fitted = q.mean @ rows.projected
            mean = (fitted - share * rows.residual) / (1 - share)
            more_mean, more_variance = self._of_flat_mean(batch, rows, share, rows.residual - fitted)
            return LeftOutRows(
                mean=batch.y - rows.residual + mean + more_mean,
                unexplained=(rows.prior - rows.projected.square().sum(0)).clamp(min=0.0),
                unseen=share * rows.noise / (1 - share) + more_variance,
                noise=self.gp.noise(batch.x),
            )

    def with_new_noise(self) -> "SparsePosterior":
        """Return it with the noise that new observations are predicted with, where it is learnt.

        Of many rows, LEFT_OUT say what it is.  (gp.inference.inducing.new_noise)
        """
        gp = self.gp
        if not (gp.noise.one_level and "noise.sd" in gp.parameters.names):
            return self
        some = draw(gp.n, min(gp.n, LEFT_OUT), np.random.default_rng(0))
        batch = gather(ModelRows(gp), some)
        try:
            parts = [self._left_out(batch.at(rows)) for rows in slices(len(some), BLOCK)]
        except ArithmeticError:  # q(u) is not the optimum at these hyperparameters, and rows have no leave-one-out
            return self
        mean, unexplained, unseen, noise = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        variance = unexplained + unseen + noise
        kept = kept_of_noise(batch.y.numpy() - mean, variance, unexplained, float(noise[0]))
        return self if kept == 1 else replace(self, gp=replace(gp, noise=gp.noise.of_new(kept)))

    def _of_flat_mean(
        self, batch: Batch, rows: Projected, share: torch.Tensor, left: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what mean and variance of left-out rows gain, (b,) each; `left` (b,) is y less the posterior mean."""
        if self.flat is None:
            return torch.zeros(len(left)), torch.zeros(len(left))
        unexplained = self.flat.columns(self.gp, batch.x) - rows.cross.value.numpy().T @ self.flat.whitened
        precision, solved = ((1 - share) * rows.precision).numpy(), rows.precision.numpy()[:, None] * unexplained
        mean, variance = self.flat.left_out((left * rows.precision).numpy(), precision, solved)
        return torch.from_numpy(mean), torch.from_numpy(variance)

    def _marginals(self, kernel: Kernel, x: torch.Tensor, columns: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the term that `kernel` is, each (m,); a flat mean has `columns` (m, r) at x."""
        means, variances = [], []
        for part in slices(len(x), BLOCK):
            cross, prior = matrix(kernel, self.inducing.z, x[part]), diagonal(kernel, x[part])
            projected = torch.linalg.solve_triangular(self.inducing.factor, cross, upper=False)
            means.append(self.q.mean @ projected)
            spread = self.q.factor.T @ projected
            variance = positive_part(prior - projected.square().sum(0) + spread.square().sum(0), prior)
            if self.flat:
                unknown = (0.0 if columns is None else columns[part]) - cross.numpy().T @ self.flat.whitened
                variance = variance + torch.from_numpy((unknown**2).sum(axis=1))
            variances.append(variance)
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
