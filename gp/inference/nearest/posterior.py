"""The posterior of any input given its nearest training rows and the inducing inputs, and leave-one-out."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.spatial import KDTree

from ...matrices.tiles import diagonal, slices
from ...model.model import GaussianProcess
from ...parallel import one_thread
from ..flat_mean import FlatMean, columns_of, move
from ..inducing.bound import Gaussian
from ..method import Marginals, Moments, moments_of_terms, positive_part
from ..orderings import nearest, nearest_others
from ..profile import profile_of
from ..together import apart
from .conditionals import Pairs, factorised, lower_pairs
from .full_scale import FullScale, FullScalePosterior, no_factor
from .groups import at_once


@dataclass(frozen=True, eq=False)
class Local:
    """A function at b inputs given their nearest rows and v: N(mean + bᵀv, variance), b (b, m) being `features`.

    `weights` (b, k) are those of the nearest rows' residuals.
    """

    mean: torch.Tensor
    features: torch.Tensor
    variance: torch.Tensor
    prior: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True, eq=False)
class NearestPosterior:
    """The posterior of each input given the low-rank part and its `near` nearest rows, in `tree` in `units` (d,).

    With a `flat` mean its coefficients are integrated out, the model holds their estimate, and `of_flat` (n, r) is
    Φ root.
    """

    gp: GaussianProcess
    full_scale: FullScale
    solved: FullScalePosterior
    tree: KDTree
    units: np.ndarray
    near: int
    flat: FlatMean | None = None
    of_flat: torch.Tensor | None = None
    condition_number: None = None  # no n×n matrix is factorised

    @property
    def log_likelihood(self) -> float:
        """Return the approximate log marginal likelihood of the internal targets in nats."""
        return self.solved.log_likelihood

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)."""
        return moments_of_terms(self.gp, x, lambda kernels: self._marginals(kernels, x))

    def with_flat_mean(self) -> "NearestPosterior":
        """Return it with its mean coefficients integrated out; the model moves to their estimate.

        Of each column of Φ as the targets, e = uᵀφ is what neighbours leave.  With b = Σ b_i e_iᵀ/F_i and M = S b, v is
        known as M, and A = Σ e_i e_iᵀ/F_i − bᵀM.
        """
        profile, q = profile_of(self.gp), self.solved.q
        design = torch.from_numpy(columns_of(self.gp, profile.tensors, self.gp.x))
        gram, moment = torch.zeros(design.shape[1], design.shape[1]), torch.zeros(design.shape[1])
        b = torch.zeros(len(q.mean), design.shape[1])
        with one_thread(), torch.no_grad():
            for group in self.full_scale.blocks():
                left = group.given.unexplained(design[torch.from_numpy(group.rows.T)])
                weighted = left / group.given.variance[:, None]
                gram, moment, b = gram + left.T @ weighted, moment + group.e @ weighted, b + group.b.T @ weighted
            means = q.factor @ (q.factor.T @ b)
            flat = FlatMean.of(profile.tensors, (gram - b.T @ means).numpy(), means.numpy())
            found = (moment - b.T @ q.mean).numpy()
            change = torch.from_numpy(flat.change(found))
            moved = copy(self.full_scale)
            moved.residual = moved.residual - design @ change
        move(self.gp, profile, change.numpy())
        known = replace(
            self.solved,
            model=moved,
            q=Gaussian(q.mean - means @ change, q.factor),
            log_likelihood=self.solved.log_likelihood + flat.gain(found),
        )
        of_flat = design @ torch.from_numpy(flat.root)
        return replace(self, full_scale=moved, solved=known, flat=flat, of_flat=of_flat)

    def _unknown(self, local: Local, near: np.ndarray, own: torch.Tensor | float) -> torch.Tensor:
        """Return what is unknown at b inputs by their columns, `own` (b, r), and those of the rows `near` (b, k)."""
        assert self.flat is not None
        assert self.of_flat is not None
        seen = (local.weights[:, None] @ self.of_flat[torch.from_numpy(near)])[:, 0]
        return own - seen - local.features @ torch.from_numpy(self.flat.whitened)

    def _marginals(self, kernels: Mapping[str, Kernel], x: torch.Tensor) -> Marginals:
        found = {name: (np.empty(len(x)), np.empty(len(x))) for name in kernels}
        k, q, points = min(self.near, self.gp.n), self.solved.q, x.numpy() / self.units
        for part in self._parts(len(x), k):
            near = nearest(self.tree, points[part], k)
            local = self._given(kernels, x[part], near)
            own = torch.from_numpy(self.flat.columns(self.gp, x[part])) if self.flat else 0.0
            for name, of in local.items():
                spread = (of.features @ q.factor).square().sum(1)
                found[name][0][part] = of.mean + of.features @ q.mean
                found[name][1][part] = positive_part(of.variance + spread, of.prior)
                if self.flat:  # a term of a sum has no mean function of its own
                    found[name][1][part] += self._unknown(of, near, 0.0 if name else own).square().sum(1).numpy()
        return found

    def together(self) -> NoReturn:
        """Raise InputError: the posterior of each input is given rows of its own."""
        raise apart("vecchia conditions each input on rows of its own")

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the data's rows, in internal units."""
        mean = self.moments(self.gp.x).mean
        return mean[self.gp.repeats.group] if self.gp.repeats else mean

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given v without it, and its nearest others, internal units, noise included.

        Those may come before it or after.  To those at other inputs, a row's own group adds its other rows.
        """
        gp, k, q = self.gp, min(self.near, self.gp.n - 1), self.solved.q
        mean, variance = np.empty(gp.n), np.empty(gp.n)
        with one_thread(), torch.no_grad():
            weight, features, precision = self._sites
            # The precision of a target given v, less what v tells of it.
            own = precision - (features @ q.factor).square().sum(1)
            for part in self._parts(gp.n, k):
                rows = np.arange(gp.n)[part]
                local = self._given({"": gp.kernel}, gp.x[part], nearest_others(self.tree, rows, k))[""]
                # Without the row's site, S grows by S c cᵀS/own, and μ loses S c α/own.
                moved = torch.linalg.vecdot(local.features @ q.factor, features[part] @ q.factor) / own[part]
                mean[part] = local.mean + local.features @ q.mean - moved * weight[part]
                spread = (local.features @ q.factor).square().sum(1) + moved.square() * own[part]
                variance[part] = positive_part(local.variance + spread, local.prior)
            if self.flat and self.of_flat is not None:
                more = self.flat.left_out(weight.numpy(), own.numpy(), self._solved_columns(features))
                mean, variance = mean + more[0], variance + more[1]
            mean, noise = gp.mean(gp.x).numpy() + mean, gp.noise_variance(gp.x)
            if gp.repeats:
                mean, variance = gp.repeats.with_others(mean, variance, gp.training_noise()[0].numpy())
                noise = noise[gp.repeats.group]
        return mean, np.sqrt(variance + noise)

    def _solved_columns(self, features: torch.Tensor) -> np.ndarray:
        """Return K⁻¹Φ root (n, r) of the rows, where `features` (n, m) are c = QA."""
        assert self.flat is not None
        assert self.of_flat is not None
        found = torch.zeros_like(self.of_flat)
        for group in self.full_scale.blocks():
            rows, u = torch.from_numpy(group.rows.T), group.given.u
            left = group.given.unexplained(self.of_flat[rows]) / group.given.variance[:, None]
            found.index_add_(0, rows.reshape(-1), (u[:, :, None] * left[:, None]).flatten(0, 1))
        return (found - features @ torch.from_numpy(self.flat.whitened)).numpy()

    @cached_property
    def _sites(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return α = K⁻¹(y − m) (n,), and c = QA (n, m) and diag Q (n,), Q being the targets' precision given v.

        With q = Q(y − m), a target given v and all others is N(y − (q − cᵀv)/Q_ii, 1/Q_ii), and α = q − cᵀμ.
        """
        n, m = self.full_scale.features.shape
        weight, features, precision = torch.zeros(n), torch.zeros(n, m), torch.zeros(n)
        for group in self.full_scale.blocks():
            rows, u, variance = torch.from_numpy(group.rows.T), group.given.u, group.given.variance[:, None]
            precision.index_add_(0, rows.reshape(-1), (u.square() / variance).reshape(-1))
            weight.index_add_(0, rows.reshape(-1), (u * group.e[:, None] / variance).reshape(-1))
            scaled = (u / variance)[:, :, None] * group.b[:, None]
            features.index_add_(0, rows.reshape(-1), scaled.flatten(0, 1))
        return weight - features @ self.solved.q.mean, features, precision

    def _parts(self, n: int, k: int) -> Iterator[slice]:
        return slices(n, at_once(k, self.full_scale.features.shape[1]))

    def _given(self, terms: Mapping[str, Kernel], x: torch.Tensor, near: np.ndarray) -> dict[str, Local]:
        """Return each term at x (b, d) given v and the training rows `near` (b, k)."""
        whole, gp, rows, k = self.full_scale, self.gp, near.T, near.shape[1]
        points = np.concatenate([np.ascontiguousarray(gp.scope.x.T)[:, rows], x.numpy().T[:, None]], axis=1)
        residual, features = whole.of_rows(rows)
        factors = factorised(
            Pairs(points, *lower_pairs(k)).covariance(gp.kernel).numpy(), whole.variance[rows], features
        )
        if factors is None:
            raise no_factor(gp)
        to_new, found = Pairs(points, np.arange(k), np.full(k, k)), {}
        for name, kernel in terms.items():
            own, prior = whole.features_of(kernel, x), diagonal(kernel, x)
            cross = to_new.covariance(kernel).T - (own[:, None] @ features.mT)[:, 0]
            whitened = torch.linalg.solve_triangular(factors, cross[:, :, None], upper=False)
            weights = torch.linalg.solve_triangular(factors.mT, whitened, upper=True)[:, :, 0]
            found[name] = Local(
                mean=torch.linalg.vecdot(weights, residual),
                features=own - (weights[:, None] @ features)[:, 0],
                variance=prior - own.square().sum(1) - whitened.square().sum((1, 2)),
                prior=prior,
                weights=weights,
            )
        return found
