"""The uncollapsed bound on the marginal likelihood over inducing inputs, its gradient, and natural-gradient steps.

Hensman, Fusi & Lawrence 2013, "Gaussian processes for big data", eq. 4, whitened (Hensman, Matthews & Ghahramani 2015,
sec. 4): the function at the inducing inputs Z (m, d) is its prior mean + L v, L Lᵀ = K_ZZ, v ~ N(0, I), and
q(v) = N(μ, F Fᵀ).  With a_i = L⁻¹ k(Z, x_i) and r_i = y_i − m(x_i),

    bound = Σ_i [log N(r_i | μᵀa_i, σ_i²) − (k_ii − |a_i|² + |Fᵀa_i|²) / 2σ_i²] − KL(q(v) ‖ p(v)).

The pullbacks of the linear algebra are written out, so that autograd keeps no graph of it.  Only kernel, mean and noise
are differentiated by their own code (gp.inference.inducing.gradient).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import blas, lapack

from ...matrices.cholesky import NotPositiveDefinite
from ...matrices.tiles import diagonal
from ...model.model import GaussianProcess
from ...spec import Fault
from .gradient import Covariance, backward
from .rows import Batch

JITTER = 1e-8  # on K_ZZ's diagonal, relative to its mean: needed for close inducing inputs and smooth kernels
BLOCK = 512  # rows at a time, in a pass over all rows


@dataclass(frozen=True, eq=False)
class Gaussian:
    """q(v) = N(mean, factor factorᵀ): mean (m,), factor (m, m) lower triangular."""

    mean: torch.Tensor
    factor: torch.Tensor

    def divergence(self) -> float:
        """Return KL(q(v) ‖ N(0, I)) in nats."""
        squares = self.factor.square().sum() + self.mean.square().sum() - len(self.mean)
        return float(0.5 * squares - self.factor.diagonal().abs().log().sum())


@dataclass(frozen=True, eq=False)
class Natural:
    """A Gaussian by its natural parameters: `linear` = Σ⁻¹μ (m,) and `precision` = Σ⁻¹ (m, m)."""

    linear: torch.Tensor
    precision: torch.Tensor

    @classmethod
    def prior(cls, m: int) -> "Natural":
        """Return p(v) = N(0, I)."""
        return cls(torch.zeros(m), torch.eye(m))

    def towards(self, other: "Natural", step: float) -> "Natural":
        """Return the result of a natural-gradient step of length `step`, if the optimum is `other`.

        With Gaussian noise, the natural gradient of the bound is the difference of the two (Hensman et al. 2013,
        sec. 3.1), so a single step of length 1 reaches the optimum.
        """
        return Natural(torch.lerp(self.linear, other.linear, step), torch.lerp(self.precision, other.precision, step))

    def gaussian(self) -> Gaussian:
        """Return it as a Gaussian: mean, and lower Cholesky factor of the covariance."""
        # P = U Uᵀ with U upper triangular, from the Cholesky factor of the reversed P; then P⁻¹ = U⁻ᵀ U⁻¹.
        upper = torch.linalg.cholesky(self.precision.flip(0, 1)).flip(0, 1)
        factor = torch.linalg.solve_triangular(upper.T, torch.eye(len(upper)), upper=False)
        return Gaussian(factor @ (factor.T @ self.linear), factor)


class Inducing:
    """A model at its current hyperparameters with inducing inputs z (m, d), and the accumulated gradients.

    If grad is enabled, `expected` adds to the gradients of the model's tensors and of z, which are complete after
    `pull_back`; `with_q` also to those of q: `by_mean` (m,) and `by_factor` (m, m).  Raises NotPositiveDefinite.
    """

    def __init__(self, gp: GaussianProcess, z: torch.Tensor) -> None:
        self._gp, self.z, m = gp, z, len(z)
        self._covariance = Covariance(gp.kernel, z)
        covariance = self._covariance.value
        jitter = JITTER * covariance.diagonal().mean() * torch.eye(m)
        try:
            self.factor = torch.linalg.cholesky(covariance + jitter)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise NotPositiveDefinite(
                Fault(
                    "",
                    f"the kernel matrix of {m} inducing inputs is not positive definite",
                    "lower inference.inducing, or give the kernel's lengthscales an upper bound",
                )
            ) from None
        self._inverse = np.asfortranarray(lapack.dtrtri(self.factor.numpy(), lower=1)[0])
        self._by_factor_of_prior = torch.zeros(m, m)
        self.by_mean, self.by_factor = torch.zeros(m), torch.zeros(m, m)

    def project(self, rows: Batch) -> "Projected":
        """Return the quantities that the bound needs of some rows."""
        gp, cross = self._gp, Covariance(self._gp.kernel, self.z, rows.x)
        noise, _ = gp.noise.of_rows(rows.x, rows.noise_sd)
        prior, mean = diagonal(gp.kernel, rows.x), gp.mean(rows.x)
        with torch.no_grad():
            return Projected(self._inverse, cross, prior, mean, noise, rows.y - mean, 1 / noise)

    def pull_collapsed(self, best: "Natural", rows: Iterable[Batch]) -> None:
        """Pullback of the collapsed bound, given the optimal q(v), by one more pass over the rows.

        At the optimal q, with S = precision⁻¹ and μ = S linear, the derivative of q does not contribute (the envelope
        theorem). With M = L⁻ᵀ(I − S)L⁻¹ and w = L⁻ᵀμ it is, by k(Z, x_i), (M k(Z, x_i) + r_i w)/σ_i² with
        r_i = y_i − m(x_i) − wᵀk(Z, x_i), and by K_ZZ −½ L⁻ᵀ(S⁻¹ − 2I + S + μμᵀ)L⁻¹: half the m² · n of `expected`.
        """
        m, inverse = len(self.z), torch.from_numpy(self._inverse)
        with torch.no_grad():
            spread = torch.linalg.inv(best.precision)
            spread = 0.5 * (spread + spread.T)
            mean, eye = spread @ best.linear, torch.eye(m)
            weights, inner = inverse.T @ mean, inverse.T @ (eye - spread) @ inverse
            by_rows = np.asfortranarray((0.5 * (inner + inner.T)).numpy())
            outer = best.precision - 2 * eye + spread + torch.outer(mean, mean)
            by_prior = -0.5 * inverse.T @ outer @ inverse
            by_prior.diagonal().add_(JITTER * by_prior.trace() / m)
        for batch in rows:
            part = self.project(batch)
            with torch.no_grad():
                cross = part.cross.value
                # SciPy's BLAS wants columns: a matrix that lies in rows is its transpose.
                by_cross = torch.from_numpy(blas.dsymm(1.0, by_rows, cross.numpy().T, side=1, lower=1).T)
                residual = part.residual - weights @ cross
                square = residual**2 + part.prior - torch.linalg.vecdot(cross, by_cross, dim=0)
                by_mean = part.precision * residual
                by_noise = 0.5 * part.precision * (square * part.precision - 1)
                by_cross *= part.precision
                by_cross += torch.outer(weights, by_mean)
            cotangents = ((part.prior, -0.5 * part.precision), (part.mean, by_mean), (part.noise, by_noise))
            backward([*part.cross.cotangents(by_cross), *cotangents])
        backward(self._covariance.cotangents(by_prior))

    def expected(self, q: Gaussian, rows: "Projected", weight: float = 1.0, *, with_q: bool = False) -> float:
        """Return `weight` times Σ_i E_q log p(y_i | f_i), nats, and accumulate its gradient."""
        a, precision = rows.projected, weight * rows.precision
        with torch.no_grad():
            spread = q.factor.T @ a
            residual = rows.residual - q.mean @ a
            square = residual**2 + rows.prior - (a * a).sum(0) + (spread * spread).sum(0)
            value = -0.5 * float(weight * (2 * math.pi * rows.noise).log().sum() + precision @ square)
        if torch.is_grad_enabled():
            with torch.no_grad():
                by_mean = precision * residual
                by_projected = torch.outer(q.mean, by_mean) + (a - q.factor @ spread) * precision
                by_cross = self._by_cross(a, by_projected)
                if with_q:
                    self.by_mean += a @ by_mean
                    self.by_factor -= a @ (spread * precision).T
                by_noise = 0.5 * precision * (square * rows.precision - 1)
            cotangents = ((rows.prior, -0.5 * precision), (rows.mean, by_mean), (rows.noise, by_noise))
            backward([*rows.cross.cotangents(by_cross), *cotangents])
        return value

    def pull_projected(self, cross: Covariance, projected: torch.Tensor, by_projected: torch.Tensor) -> None:
        """Pullback to k(Z, x), and to the factor of K_ZZ, of a = L⁻¹k(Z, x) (m, b), given the cotangent by a."""
        with torch.no_grad():
            by_cross = self._by_cross(projected, by_projected)
        backward(list(cross.cotangents(by_cross)))

    def _by_cross(self, projected: torch.Tensor, by_projected: torch.Tensor) -> torch.Tensor:
        """Return the cotangent by k(Z, x), given that by a = L⁻¹k(Z, x), and accumulate that by L."""
        by_cross = torch.linalg.solve_triangular(self.factor.T, by_projected, upper=True)
        self._by_factor_of_prior -= by_cross @ projected.T
        return by_cross

    def pull_back(self) -> None:
        """Pullback through the Cholesky factor of K_ZZ  (Murray 2016, "Differentiation of the Cholesky
        decomposition", eq. 10)."""
        with torch.no_grad():
            inner = (self.factor.T @ self._by_factor_of_prior.tril()).tril()
            inner.diagonal().mul_(0.5)
            half = torch.linalg.solve_triangular(self.factor.T, inner + inner.T, upper=True)
            weight = 0.5 * torch.linalg.solve_triangular(self.factor.T, half.T, upper=True)
            weight.diagonal().add_(JITTER * weight.trace() / len(weight))
        backward(self._covariance.cotangents(weight))


@dataclass(frozen=True, eq=False)
class Projected:
    """b rows against m inducing inputs: L⁻¹ (m, m), k(Z, x) (m, b); k(x, x), mean and noise variance (b,), within
    autograd's graph; y − mean and 1/noise (b,), outside it."""

    inverse: np.ndarray
    cross: Covariance
    prior: torch.Tensor
    mean: torch.Tensor
    noise: torch.Tensor
    residual: torch.Tensor
    precision: torch.Tensor

    @cached_property
    def projected(self) -> torch.Tensor:
        """Return a = L⁻¹k(Z, x) (m, b)."""
        # SciPy's BLAS wants columns: a matrix that lies in rows is its transpose.
        cross = self.cross.value.numpy().T
        return torch.from_numpy(blas.dtrmm(1.0, self.inverse, cross, side=1, lower=1, trans_a=1).T)

    def sites(self, weight: float = 1.0) -> Natural:
        """Return p(v) Π_i N(r_i | a_iᵀv, σ_i²)^weight: the optimal q(v) if these were all rows."""
        weighted = weight * self.precision * self.projected
        m = len(weighted)
        return Natural(weighted @ self.residual, torch.eye(m) + weighted @ self.projected.T)


def optimum(gp: GaussianProcess, z: torch.Tensor, rows: Iterable[Batch]) -> tuple[Natural, float]:
    """Return the optimal q(v) at the model's hyperparameters, by one pass over all rows, and the bound there (nats).

    This is the bound of Titsias (2009, "Variational learning of inducing variables in sparse Gaussian processes", eq.
    9).
    """
    with torch.no_grad():
        inducing, m, constant = Inducing(gp, z), len(z), 0.0
        gram, linear = np.eye(m, order="F"), torch.zeros(m)
        for batch in rows:
            part = inducing.project(batch)
            root = part.precision.sqrt()
            whitened = part.projected * root
            linear += whitened @ (root * part.residual)
            gram = blas.dsyrk(1.0, whitened.numpy().T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
            square = part.residual**2 + part.prior
            constant -= 0.5 * float((2 * math.pi * part.noise).log().sum() + part.precision @ square)
        lower = torch.from_numpy(gram).tril()
        best = Natural(linear, lower + lower.tril(-1).T)
        q = best.gaussian()
        # The trace of Σ a aᵀ/σ², and log |precision| = −2 Σ log F_jj.
        constant += 0.5 * float(lower.trace() - m)
        return best, constant + float(0.5 * linear @ q.mean + q.factor.diagonal().log().sum())
