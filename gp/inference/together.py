"""What a posterior says of several inputs together, in the three forms that posteriors have here.

`Sites`: the function given its values at some inputs, as in exact inference and with inducing inputs.
`Solves`: the same of rows whose covariance has no dense factor, but solves with vectors.
`Waves`: a sum of cosines with unknown weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_triangular

from ..matrices.tiles import diagonal, matrix, slices
from ..model.model import GaussianProcess
from ..spec import Fault, InputError
from .flat_mean import FlatMean

ROWS = 1024  # at a time


class Slopes(NamedTuple):
    """Derivatives by internal inputs (m, d) of the mean, of the function's variance and of the noise variance.

    `of_mean`, `of_variance` and `of_noise`, (m, d) each; `variance` and `noise` (m,) are the variances themselves.
    """

    mean: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    of_mean: np.ndarray
    of_variance: np.ndarray
    of_noise: np.ndarray


@dataclass(frozen=True, eq=False)
class Together:
    """A model conditioned on its rows, whose posterior of several inputs is known, in internal units.

    It holds the model itself, not a copy, so use it only while the model has the same hyperparameters.
    """

    gp: GaussianProcess

    def joint(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean (m,) and covariance (m, m) of the function at internal inputs x (m, d)."""
        raise NotImplementedError

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the posterior mean and variance (m,) at internal inputs x (m, d), within autograd's graph."""
        raise NotImplementedError

    def slopes(self, x: torch.Tensor) -> Slopes:
        """Return the derivatives of the marginal posterior by internal inputs x (m, d)."""
        found = []
        for rows in slices(len(x), ROWS):
            with torch.enable_grad():
                at = x[rows].clone().requires_grad_()
                mean, variance = self.moments(at)
                numbers = [mean, variance, self.gp.noise(at)]
                of = [_slope(number, at) for number in numbers]
            found.append([number.detach().numpy() for number in numbers] + of)
        return Slopes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _slope(numbers: torch.Tensor, at: torch.Tensor) -> np.ndarray:
    """Return the derivative (m, d) of each number (m,) by its own row of `at`."""
    if not numbers.requires_grad:
        return np.zeros(at.shape)
    (slope,) = torch.autograd.grad(numbers.sum(), at, retain_graph=True, allow_unused=True)
    return np.zeros(at.shape) if slope is None else slope.numpy()


@dataclass(frozen=True, eq=False)
class Sites(Together):
    """The function at inputs x is m(x) + k(x, Z) L⁻ᵀ u + what Z does not tell, u ~ N(`mean`, `root` rootᵀ).

    `z` (n, d) are the sites, `factor` L (n, n) the Cholesky factor of k(Z, Z) + diag(`noise`), `mean` (n,), and `root`
    (n, n), or None where u is known.  A flat mean's coefficients are unknown besides (gp.inference.flat_mean): where
    they are root z off, z ~ N(0, I), the function at x is (its columns there) root z − k(x, Z) `flat.whitened` z off.
    """

    z: torch.Tensor
    factor: np.ndarray
    mean: np.ndarray
    root: np.ndarray | None = None
    noise: np.ndarray | None = None
    flat: FlatMean | None = None

    def joint(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean (m,) and covariance (m, m) of the function at internal inputs x (m, d).

        R&W 2006 eqs. 2.23–2.24; a flat mean adds eq. 2.42's term.
        """
        kernel = self.gp.kernel
        cross, prior = matrix(kernel, self.z, x).numpy(), matrix(kernel, x, x).numpy()
        whitened = solve_triangular(self.lower, cross, lower=True)
        mean, covariance = self.gp.mean(x).numpy() + self.mean @ whitened, prior - whitened.T @ whitened
        if self.root is not None:
            spread = self.root.T @ whitened
            covariance += spread.T @ spread
        if self.flat:
            unknown = _unknown(self.gp, self.flat, x, torch.from_numpy(cross)).numpy()
            covariance += unknown @ unknown.T
        return mean, 0.5 * (covariance + covariance.T)

    @cached_property
    def lower(self) -> np.ndarray:
        """Return the factor with zeros above its diagonal."""
        return np.tril(self.factor)

    @cached_property
    def weights(self) -> np.ndarray:
        """Return L⁻ᵀ `mean` (n,)."""
        return np.asarray(solve_triangular(self.lower, self.mean, lower=True, trans=1))

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gp, factor = self.gp, torch.from_numpy(self.lower)
        cross = matrix(gp.kernel, self.z, x)
        whitened = torch.linalg.solve_triangular(factor, cross, upper=False)
        mean = gp.mean(x) + torch.from_numpy(self.mean) @ whitened
        variance = diagonal(gp.kernel, x) - whitened.square().sum(0)
        if self.root is not None:
            variance = variance + (torch.from_numpy(self.root).T @ whitened).square().sum(0)
        if self.flat:
            variance = variance + _unknown(gp, self.flat, x, cross).square().sum(1)
        return mean, variance


@dataclass(frozen=True, eq=False)
class Solves(Together):
    """The function at inputs x is m(x) + k(x, Z) K⁻¹(y − m) + what Z does not tell, K = k(Z, Z) + diag(`noise`).

    `z` (n, d) are the rows, `alpha` (n,) is K⁻¹(y − m), `noise` (n,); `solve` returns K⁻¹V of columns V (n, q).  A flat
    mean is as in `Sites`; `alpha` is that at its estimate.
    """

    z: torch.Tensor
    alpha: np.ndarray
    noise: np.ndarray
    solve: Callable[[np.ndarray], np.ndarray]
    flat: FlatMean | None = None

    def joint(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean (m,) and covariance (m, m) of the function at internal inputs x (m, d).

        R&W 2006 eqs. 2.23–2.24; a flat mean adds eq. 2.42's term.
        """
        kernel = self.gp.kernel
        cross, prior = matrix(kernel, self.z, x).numpy(), matrix(kernel, x, x).numpy()
        covariance = prior - cross.T @ self.solve(cross)
        if self.flat:
            unknown = _unknown(self.gp, self.flat, x, torch.from_numpy(cross)).numpy()
            covariance += unknown @ unknown.T
        return self.gp.mean(x).numpy() + self.alpha @ cross, 0.5 * (covariance + covariance.T)

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gp = self.gp
        cross = matrix(gp.kernel, self.z, x)
        # d(cᵀK⁻¹c) = 2 (K⁻¹c)ᵀdc, and K⁻¹c itself is none of autograd's.
        half = torch.from_numpy(self.solve(cross.detach().numpy()))
        variance = diagonal(gp.kernel, x) - ((2 * cross - cross.detach()) * half).sum(0)
        if self.flat:
            variance = variance + _unknown(gp, self.flat, x, cross).square().sum(1)
        return gp.mean(x) + torch.from_numpy(self.alpha) @ cross, variance


@dataclass(frozen=True, eq=False)
class Waves(Together):
    """The function is m(x) + Σ_j w_j cos(ω_jᵀx − φ_j), w ~ N(`mean`, `root` rootᵀ).

    `frequencies` ω (p, d), rad per internal unit, `phases` φ (p,), `mean` (p,), `root` (p, q).
    """

    frequencies: np.ndarray
    phases: np.ndarray
    mean: np.ndarray
    root: np.ndarray

    def joint(self, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean (m,) and covariance (m, m) of the function at internal inputs x (m, d)."""
        features = self._features(x).numpy()
        spread = features @ self.root
        return self.gp.mean(x).numpy() + features @ self.mean, spread @ spread.T

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ torch.from_numpy(self.frequencies).T - torch.from_numpy(self.phases)).cos()

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self._features(x)
        spread = features @ torch.from_numpy(self.root)
        return self.gp.mean(x) + features @ torch.from_numpy(self.mean), spread.square().sum(1)


def _unknown(gp: GaussianProcess, flat: FlatMean, x: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    """Return by how much the function at x (m, d) is off, (m, r), where a flat mean is by its root; `cross` (n, m)."""
    columns = dict(gp.mean.columns(x))  # type: ignore[operator]
    own = torch.hstack([columns[tensor] for tensor in flat.tensors])
    return own @ torch.from_numpy(flat.root) - cross.T @ torch.from_numpy(flat.whitened)


def together(conditioned: Any) -> Sites | Solves | Waves:
    """Return what a conditioned model says of several inputs together.  Raises InputError where it says nothing."""
    if not hasattr(conditioned, "together"):
        raise apart("this inference method predicts each input alone")
    found: Sites | Solves | Waves = conditioned.together()
    return found


def apart(why: str) -> InputError:
    """Return the error of a method that has no posterior of several inputs together."""
    return InputError(
        Fault(
            "inference",
            f"{why}: it has no joint posterior, no draws and no derivatives",
            "fit with inference={'kind': 'exact'} (or sgpr, where rows are many), or predict() the marginals",
        )
    )
