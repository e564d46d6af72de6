"""The Vecchia-inducing-points full-scale likelihood: an inducing-point part, and neighbours of what it leaves.

With inducing inputs Z, L Lᵀ = K_ZZ and features a(x) = L⁻¹k(Z, x), the function is m(x) + a(x)ᵀv + r(x), where v ~
N(0, I), and r has the covariance k(x, x') − a(x)ᵀa(x').  Given v, each target is conditioned on its neighbours before
it alone (Vecchia 1988), by the covariance C of r + noise.  A row with u = (−C_NN⁻¹c_Ni, 1) and F = uᵀCu has
e = uᵀ(y − m) and b = Aᵀu, where A holds the features of its group, and

    y | v:  Π_i N(e_i | b_iᵀv, F_i),    so that  v | y ~ N(μ, S),  S⁻¹ = I + Σ b_i b_iᵀ/F_i,  μ = S Σ b_i e_i/F_i.

Gyger, Furrer & Sigrist 2025, "Vecchia-inducing-points full-scale approximations for Gaussian processes".  Without
neighbours it is FITC, without inducing inputs Vecchia's approximation; with all neighbours it is exact, whatever Z.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ...matrices.cholesky import NotPositiveDefinite
from ...matrices.tiles import diagonal, matrix, slices
from ...model.model import GaussianProcess
from ..inducing.bound import Gaussian, Inducing, Natural
from ..inducing.gradient import Covariance, backward
from ..method import without_factor
from .conditionals import Conditionals, Pairs, by_rounding, factorised, lower_pairs
from .groups import Groups

BLOCK = 512  # rows at a time
KEPT = 2**24  # numbers of the groups' factors, up to which the second pass finds those of the first: 128 MB


class Group(NamedTuple):
    """Rows (k + 1, b) of b groups: covariances by the kernel within autograd's graph, factors, and what they leave."""

    rows: np.ndarray
    pairs: torch.Tensor
    given: Conditionals
    residuals: torch.Tensor  # y − m of each group's rows, (b, k + 1)
    features: torch.Tensor  # (b, k + 1, m)
    e: torch.Tensor  # (b,)
    b: torch.Tensor  # (b, m)


class FullScale:
    """A model over its rows at its current hyperparameters; `prior`, `noise`, `mean` (n,) are in autograd's graph.

    `features` (n, m) are those of the rows.  Raises NotPositiveDefinite.
    """

    def __init__(self, gp: GaussianProcess, groups: Groups) -> None:
        self.gp, self.groups = gp, groups
        (self.noise, _), self.prior, self.mean = gp.training_noise(), diagonal(gp.kernel, gp.x), gp.mean(gp.x)
        self.residual = gp.y - self.mean.detach()
        self.variance = (self.prior + self.noise).detach().numpy()
        self.inducing = Inducing(gp, groups.z) if len(groups.z) else None
        with torch.no_grad():
            self.features = self.features_of(gp.kernel, gp.x)
        self._columns = np.ascontiguousarray(gp.scope.x.T)
        self._pairs = lower_pairs(len(groups.rows))
        self._known: list[Conditionals] = []

    def features_of(self, kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
        """Return a(x) = L⁻¹k(Z, x) of x (b, d) for `kernel`, the model's or one of its terms, (b, m)."""
        found, z = torch.zeros(len(x), len(self.groups.z)), self.groups.z
        if self.inducing:
            for part in slices(len(x), BLOCK):
                cross = matrix(kernel, z, x[part])
                found[part] = torch.linalg.solve_triangular(self.inducing.factor, cross, upper=False).T
        return found

    def of_rows(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return residuals (b, k) and features (b, k, m) of the rows (k, b)."""
        at = torch.from_numpy(rows.T.ravel())
        # Eight times as fast as indexing by a matrix.
        chosen = self.residual.index_select(0, at), self.features.index_select(0, at)
        return chosen[0].view(rows.shape[::-1]), chosen[1].view(*rows.shape[::-1], self.features.shape[1])

    def blocks(self) -> Iterator[Group]:
        """Yield all groups, some at a time."""
        size, keeps = self.variance.max(), self.groups.rows.size * len(self.groups.rows) <= KEPT
        for number, (rows, none) in enumerate(self.groups.blocks()):
            points = self._columns[:, rows]
            pairs = Pairs(points, *self._pairs).covariance(self.gp.kernel)
            residuals, features = self.of_rows(rows)
            if none is not None:
                first, second = self._pairs
                pairs = pairs * torch.from_numpy(~(none[first] | none[second]))
                residuals[torch.from_numpy(none.T)] = 0.0
                features[torch.from_numpy(none.T)] = 0.0
            if number < len(self._known):
                given = self._known[number]
            else:
                factors = factorised(pairs.detach().numpy(), self.variance[rows], features)
                if factors is None or by_rounding(factors, size):
                    raise no_factor(self.gp)
                given = Conditionals.of(factors)
            if keeps and number == len(self._known):
                self._known.append(given)
            yield Group(
                rows, pairs, given, residuals, features, given.unexplained(residuals), given.unexplained(features)
            )

    def solve(self) -> "FullScalePosterior":
        """Return the posterior of v, and the log likelihood, by one pass over the groups."""
        m, value = self.features.shape[1], self._within_groups()
        precision, linear = torch.eye(m), torch.zeros(m)
        with torch.no_grad():
            for group in self.blocks():
                variance = group.given.variance
                weighted = group.b / variance[:, None]
                precision += group.b.T @ weighted
                linear += group.e @ weighted
                value += _log_density(group.e, variance)
            q = Natural(linear, precision).gaussian()
            value += float(0.5 * linear @ q.mean + q.factor.diagonal().log().sum())
        return FullScalePosterior(self, q, value)

    def pull_back(self, q: Gaussian) -> float:
        """Add the gradient of the log likelihood to the model's tensors, given v | y, by one more pass.

        At v | y, its own derivative does not contribute (the envelope theorem).  With ε = e − bᵀμ and s = bᵀS b, the
        gradient is −ε/F by e, (ε μ − S b)/F by b, and −½(1/F − (ε² + s)/F²) by F.  Returns log p(y | v = μ), nats:
        without inducing inputs that is the log likelihood, and no first pass is needed.
        """
        (n, m), value = self.features.shape, self._within_groups()
        by_variance, by_residual, by_features = np.zeros(n), np.zeros(n), torch.zeros(n, m)
        covariance = q.factor @ q.factor.T
        for group in self.blocks():
            with torch.no_grad():
                given, variance, b, features = group.given, group.given.variance, group.b, group.features
                spread = b @ covariance
                error = group.e - b @ q.mean
                value += _log_density(error, variance)
                by_e = -error / variance
                by_b = (torch.outer(error, q.mean) - spread) / variance[:, None]
                square = error.square() + torch.linalg.vecdot(spread, b)
                by_u = by_e[:, None] * group.residuals + (by_b[:, None] @ features.mT)[:, 0]
                h = given.pull(by_u, -0.5 * (1 - square / variance) / variance)
                # By A, of which C has −A Aᵀ, and b = Aᵀu: u by_bᵀ − (u hᵀ + h uᵀ)A.
                by_first = by_b - (h[:, None] @ features)[:, 0]
                moved = torch.stack([given.u, -h], dim=2) @ torch.stack([by_first, b], dim=1)
                by_features.index_add_(0, torch.from_numpy(group.rows.T.reshape(-1)), moved.flatten(0, 1))
            v, w = given.u.T.numpy(), h.T.numpy()
            if group.pairs.requires_grad:
                first, second = self._pairs
                by_pair = v.take(first, axis=0)
                by_pair *= w.take(second, axis=0)
                by_pair += v.take(second, axis=0) * w.take(first, axis=0)
                torch.dot(group.pairs.reshape(-1), torch.from_numpy(by_pair).reshape(-1)).backward()
            np.add.at(by_variance, group.rows.ravel(), (v * w).ravel())
            np.add.at(by_residual, group.rows.ravel(), (v * by_e.numpy()).ravel())
        self._pull_features(by_features)
        by_noise = by_variance + self._within_groups_slope()
        cotangents = [(self.prior, by_variance), (self.noise, by_noise), (self.mean, -by_residual)]
        backward([(tensor, torch.from_numpy(cotangent)) for tensor, cotangent in cotangents])
        return value

    def _pull_features(self, by_features: torch.Tensor) -> None:
        """Pullback through the rows' features, and the factor of K_ZZ."""
        if not self.inducing:
            return
        for part in slices(self.gp.n, BLOCK):
            cross = Covariance(self.gp.kernel, self.groups.z, self.gp.x[part])
            self.inducing.pull_projected(cross, self.features[part].T, by_features[part].T)
        self.inducing.pull_back()

    def _within_groups(self) -> float:
        """Return what the scatter of rows that share their inputs adds to the log likelihood (nats)."""
        repeats = self.gp.repeats
        return float(repeats.log_density(self.noise.detach().numpy(), repeats.scatter).sum()) if repeats else 0.0

    def _within_groups_slope(self) -> np.ndarray:
        """Return the slope of that by the noise variance (n,)."""
        repeats = self.gp.repeats
        return repeats.slope(self.noise.detach().numpy(), repeats.scatter) if repeats else np.zeros(self.gp.n)


@dataclass(frozen=True, eq=False)
class FullScalePosterior:
    """The posterior q(v) of the low-rank part, and the log likelihood (nats)."""

    model: FullScale
    q: Gaussian
    log_likelihood: float = field(repr=False)


def _log_density(error: torch.Tensor, variance: torch.Tensor) -> float:
    """Return Σ log N(error | 0, variance), nats."""
    return -0.5 * float(((2 * math.pi * variance).log() + error.square() / variance).sum())


def no_factor(gp: GaussianProcess) -> NotPositiveDefinite:
    """Return the error for neighbours without a Cholesky factor."""
    return without_factor(gp, "the kernel matrix of a row and its neighbours")
