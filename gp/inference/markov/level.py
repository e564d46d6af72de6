"""Noise whose log variance is a Markov process too: its level, settled in O(n) at given hyperparameters.

The model and its bound are those of gp.model.noise.heteroscedastic: log variance g ~ GP(log sd², K_g), a Gaussian q(g),
and log N(y | m, K + R) − ¼ tr Σ − KL(q(g) ‖ p(g)) with R_ii = exp(μ_i − ½ Σ_ii).  Here q(g) is the posterior of g given
pseudo-targets z with noise of precision Λ, so a filter over K_g gives it, and with it the bound.

Where the bound is stationary, with D = ∂ log N/∂ log R = ½ R (α² − diag K⁻¹) of y's own filter,

    Λ = ½ + D,  z = μ + D/Λ,

which is taken for a step, accelerated (Khan & Lin 2017, "Conjugate-computation variational inference"; of Markov
processes Chang, Wilkinson, Khan & Solin 2020, "Fast variational learning in state-space Gaussian process models").  The
level is thus a function of the hyperparameters, with no parameters of rows; by the envelope theorem the gradient of the
bound is that with Λ and z held.  Inside, z and μ are those of u = g − log sd².
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...matrices.cholesky import NotPositiveDefinite
from ...model.means import PolynomialFeatures
from ...model.model import GaussianProcess
from ...model.noise.base import NoiseModel
from ...model.noise.gaussian import GaussianNoise
from ...model.noise.heteroscedastic import HeteroscedasticNoise, log_noise
from ...model.noise.known import KnownNoise
from ...parameters.vector import Parameters
from ..method import Moments
from .filtered import Filtered

PASSES = 200  # of both filters, at most; fifteen to thirty are usual
REACHED = 1e-9  # largest difference of log Λ and Λz from what the bound asks for, at which the level is settled
ENOUGH = 1e-6  # the same, where a step makes it no smaller: that is rounding
MIXED = 8  # steps before, of which the next is made
LEAST = 1e-12  # Λ of a row that says nothing of the level, as rounding leaves it
SOFT = 1e-6  # added to Λ in logs: of less, digits are rounding
SHORTEST = 1e-3  # share of a step, below which no share of it gains
ROUNDING = 1e-10  # by which equal values may differ, relative to their size


class Unsettled(GaussianNoise):
    """The same noise before it is settled: the level sd² for all rows, by which starts are told apart."""

    scalable = False  # a scale that is settled beside the level, which can do the same, takes a hundred steps

    def __init__(self, noise: HeteroscedasticNoise) -> None:
        super().__init__()
        self.raw_sd, self.kernel = noise.raw_sd, noise.kernel

    def weights(self, n: int, noise_sd: torch.Tensor | None) -> None:
        """Return None: rows of equal inputs say more of their noise than their mean does."""


def unsettled(gp: GaussianProcess) -> GaussianProcess:
    """Return the model with its noise `Unsettled`, without parameters of rows, if it has a level that changes."""
    if not isinstance(gp.noise, HeteroscedasticNoise):
        return gp
    return replace(gp, noise=Unsettled(gp.noise), parameters=gp.parameters.without_auxiliary, workspace={})


@dataclass(frozen=True, eq=False)
class Level:
    """q(u) of the rows of a model: Λ and Λz (n,), and the filtered `latent` model of u that they make."""

    precision: np.ndarray
    pull: np.ndarray
    latent: Filtered

    @classmethod
    def of(cls, gp: GaussianProcess, precision: np.ndarray, pull: np.ndarray, *, gradient: bool = False) -> "Level":
        """Return the level at the inputs of `gp` by Λ and Λz (n,)."""
        scope = replace(gp.scope, y=pull / precision, noise_sd=1 / np.sqrt(precision), run=None, log_slopes=None)
        no_mean = PolynomialFeatures(gp.scope.x.shape[1], degree=0).requires_grad_(False)
        known = KnownNoise(float((1 / precision).mean()))
        latent = GaussianProcess(gp.spec, scope, no_mean, gp.noise.kernel, known, Parameters([]))
        return cls(precision, pull, Filtered.of(latent, None, gradient=gradient))

    @cached_property
    def moments(self) -> Moments:
        """Return μ and Σ's diagonal, (n,) each."""
        # The smoother's own: (z − α/Λ) and (1 − d/Λ)/Λ lose their digits where Λ is next to nothing.
        return self.latent.moments(self.latent.gp.x)

    @property
    def shift(self) -> np.ndarray:
        """Return log R − log sd², (n,)."""
        return self.moments.mean - 0.5 * self.moments.variance

    @property
    def excess(self) -> float:
        """Return −¼ tr Σ − KL(q ‖ p), nats; KL is that of HeteroscedasticNoise.of_rows."""
        mean, variance = self.moments.mean, self.moments.variance
        log_determinant = np.log(self.latent.spread).sum() + np.log(self.precision).sum()
        divergence = 0.5 * (mean @ self.latent.sites[0] + log_determinant - self.precision @ variance)
        return -float(0.25 * variance.sum() + divergence)


class Settled(NoiseModel):
    """The noise of rows at their `level`."""

    formula = staticmethod(log_noise)

    def __init__(self, noise: Unsettled, level: Level) -> None:
        super().__init__()
        self.raw_sd, self.kernel, self.level = noise.raw_sd, noise.kernel, level

    @property
    def log_sd(self) -> torch.Tensor:
        """Return the parameter log sd (1,)."""
        return self.raw_sd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return E exp g = exp(mean + ½ variance) at x (m, d), shape (m,)."""
        if x.requires_grad:  # filters are outside of autograd's graph
            mean, variance = self.level.latent.together().moments(x)
            return (2 * self.raw_sd + mean + 0.5 * variance).exp()
        found = self.level.latent.moments(x)
        return (2 * self.raw_sd + torch.from_numpy(found.mean + 0.5 * found.variance)).exp()

    def numbers(self) -> dict[str, Any]:
        """Return what the same noise has as a dense form."""
        dense = HeteroscedasticNoise(self.kernel, self.level.latent.gp.x)
        dense.raw_sd = self.raw_sd
        dense.log_precisions = torch.nn.Parameter(torch.from_numpy(2 * self.level.precision).log())
        return dense.numbers()

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return R's diagonal (n,), and −¼ tr Σ − KL(q(g) ‖ p(g)), whose gradient is that with Λ and z held."""
        excess = torch.tensor(self.level.excess)
        if torch.is_grad_enabled():
            by_kernel = self.level.latent.pulled()[0]
            excess = excess + by_kernel - by_kernel.detach()
        return (2 * self.raw_sd + torch.from_numpy(self.level.shift)).exp(), excess

    def left_out(self, x: torch.Tensor) -> torch.Tensor:
        """Return E exp g_i under q(g) without the site of row i, (n,), other sites and R being as they are.

        HeteroscedasticNoise.left_out has the formulas.
        """
        level, mean, variance = self.level, self.level.moments.mean, self.level.moments.variance
        wider = variance / (1 - level.precision * variance)
        shift = mean - wider * (level.pull - level.precision * mean)
        return (2 * self.raw_sd + torch.from_numpy(shift + 0.5 * wider)).exp()


def settled(gp: GaussianProcess, filtered: Callable[[GaussianProcess], Filtered], *, gradient: bool) -> GaussianProcess:
    """Return the model with its noise at the level that the bound asks for, if it is `Unsettled`.

    `filtered` conditions a model on its rows; the bound is its log likelihood, and no step makes it smaller.  With
    `gradient`, the noise has that of the bound by its kernel.  Raises NotPositiveDefinite where no such level is found.
    """
    noise, n = gp.noise, gp.n
    if not isinstance(noise, Unsettled):
        return gp

    def at(precision: np.ndarray, pull: np.ndarray) -> tuple[Level, Filtered]:
        level = Level.of(gp, precision, pull)
        return level, filtered(replace(gp, noise=Settled(noise, level), workspace={}))

    mixing, left, passes = _Mixing(), math.inf, 0
    level, found = at(np.full(n, 0.5), np.zeros(n))
    while passes < PASSES:
        alpha, diagonal = found.sites
        slope = 0.5 * found.noise.detach().numpy() * (alpha**2 - diagonal)
        precision, value = np.maximum(0.5 + slope, LEAST), found.log_likelihood
        here = np.concatenate([np.log(level.precision + SOFT), level.pull])
        image = np.concatenate([np.log(precision + SOFT), precision * level.moments.mean + slope])
        before, left = left, float(np.abs(image - here).max())
        if left < REACHED or before <= left < ENOUGH:
            level = Level.of(gp, level.precision, level.pull, gradient=gradient)
            return replace(gp, noise=Settled(noise, level), workspace={})
        for ahead in mixing.steps(here, image):
            passes += 1
            with suppress(NotPositiveDefinite), np.errstate(over="ignore"):
                level, found = at(np.maximum(np.exp(ahead[:n]) - SOFT, LEAST), ahead[n:])
                if found.log_likelihood >= value - ROUNDING * (1 + abs(value)):
                    break
        else:
            break
    raise NotPositiveDefinite("the level of the noise has no optimum nearby")


class _Mixing:
    """Anderson's acceleration of a fixed-point iteration, which alone crawls where y hardly tells noise from function.

    Anderson 1965, "Iterative procedures for nonlinear integral equations"; in the form of Walker & Ni 2011, eq. 2.2.
    """

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._changes: list[tuple[np.ndarray, np.ndarray]] = []  # of the image, and of the residual

    def steps(self, here: np.ndarray, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yield where to go from `here`, whose `image` is known: first furthest, then where no earlier one was good."""
        residual = image - here
        if self._last is not None:
            before, its_image = self._last
            self._changes.append((image - its_image, residual - (its_image - before)))
            self._changes = self._changes[-MIXED:]
        self._last = here, image
        if self._changes:
            images, residuals = (np.array(part).T for part in zip(*self._changes, strict=True))
            yield image - images @ np.linalg.lstsq(residuals, residual, rcond=None)[0]
            self._changes = []
        share = 1.0
        while share > SHORTEST:
            yield here + share * residual
            share /= 2
