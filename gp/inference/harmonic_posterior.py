"""What harmonic inference knows once the model is conditioned: the weights of Fourier features, and predictions."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..matrices.tiles import slices
from ..model.model import GaussianProcess
from .method import Moments
from .together import Waves, apart
from .waves import ROWS, features, terms_of


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What is unknown of mean coefficients: a root (q, q) of their covariance, and of the weights' that follow, (p, q).

    `tensors` are the model's that hold the coefficients.
    """

    tensors: tuple[torch.Tensor, ...]
    root: np.ndarray
    weights: np.ndarray

    def columns(self, gp: GaussianProcess, x: torch.Tensor) -> np.ndarray:
        """Return the coefficients' columns (m, q) at internal inputs x (m, d), times the root."""
        found = dict(gp.mean.columns(x))  # type: ignore[operator]
        return np.asarray(np.hstack([found[tensor].detach().numpy() for tensor in self.tensors]) @ self.root)


@dataclass(frozen=True, eq=False)
class HarmonicPosterior:
    """The posterior of the features' weights: `mean` (p,) and a square root of the covariance, `spread` (p, p).

    Where mean coefficients are integrated out, the covariance is that at known ones, and `flat` says the rest.
    """

    gp: GaussianProcess
    harmonics: int
    mean: np.ndarray
    spread: np.ndarray
    log_likelihood: float
    dependence: float = 1.0
    flat: Coefficients | None = None
    condition_number: None = None  # no n×n matrix is factorised

    def together(self) -> Waves:
        """Return the posterior of several inputs together.  Raises InputError for an unknown mean but a constant."""
        orders, frequencies = np.arange(1, self.harmonics + 1), []
        for kernel in terms_of(self.gp.kernel):
            base, own = kernel.base_kernel, np.zeros((1 + 2 * len(orders), self.gp.x.shape[1]))
            own[1:, base.active_dims.tolist()] = np.tile(2 * math.pi / base.period_length.item() * orders, 2)[:, None]
            frequencies.append(own)
        # A sine is a cosine that comes a quarter of a turn later.
        phases = np.tile(np.repeat([0.0, 0.0, math.pi / 2], [1, len(orders), len(orders)]), len(frequencies))
        if self.flat is None:
            return Waves(self.gp, np.vstack(frequencies), phases, self.mean, self.spread)
        if any(tensor is not self.gp.mean.bias for tensor in self.flat.tensors):
            raise apart("the mean has coefficients besides its constant that are integrated out")
        # An unknown constant is one more wave, of frequency zero.
        root = np.block([[self.spread, -self.flat.weights], [np.zeros((1, len(self.mean))), self.flat.root]])
        still = np.zeros((1, self.gp.x.shape[1]))
        return Waves(self.gp, np.vstack([*frequencies, still]), np.append(phases, 0.0), np.append(self.mean, 0.0), root)

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean of the training rows, (n,), in internal units."""
        return self._moments(self.gp.x, self.gp.scope.step).mean

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, (n,) each, in internal units, its noise included.

        With h_i the leverage, the function's variance at row i over ρσ², they are y_i − (y_i − f_i)/(1 − h_i) and
        σ √(1 + ρh_i/(1 − h_i)): R&W 2006 eq. 5.12 for ρ = 1, [K⁻¹]_ii being (1 − h_i)/σ².
        """
        gp, moments = self.gp, self._moments(self.gp.x, self.gp.scope.step)
        noise = gp.noise_variance(gp.x)
        leverage = moments.variance / (self.dependence * noise)
        mean = gp.scope.y - (gp.scope.y - moments.mean) / (1 - leverage)
        return mean, np.sqrt(noise * (1 + self.dependence * leverage / (1 - leverage)))

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d), of each named term too.

        Terms are centred: data cannot tell the constant of one term from those of other terms and the mean.
        """
        return self._moments(x, None)

    def terms_of_rows(self, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return mean (m,) and a root (m, r) of the covariance of each named term at some of the training rows (m,)."""
        step, found = self.gp.scope.step, {}
        waves = features(self.gp, self.gp.x[rows], self.harmonics, None if step is None else step[rows])
        for name, own in self._places().items():
            roots = [self.spread[own]] if self.flat is None else [self.spread[own], self.flat.weights[own]]
            found[name] = waves[:, own] @ self.mean[own], waves[:, own] @ np.hstack(roots)
        return found

    def _moments(self, x: torch.Tensor, step: np.ndarray | None) -> Moments:
        sites = x if step is None else self.gp.sites
        with torch.no_grad():
            prior_mean = self.gp.mean(sites).numpy()
        parts = {"": slice(0, len(self.mean)), **self._places()}
        found = {name: (np.empty(len(x)), np.empty(len(x))) for name in parts}
        for rows in slices(len(x), ROWS):
            waves = features(self.gp, x[rows], self.harmonics, None if step is None else step[rows])
            for name, own in parts.items():
                found[name][0][rows] = waves[:, own] @ self.mean[own]
                found[name][1][rows] = ((waves[:, own] @ self.spread[own]) ** 2).sum(axis=1)
                if self.flat is not None:
                    columns = self.flat.columns(self.gp, sites[rows]) if name == "" else 0.0
                    found[name][1][rows] += ((columns - waves[:, own] @ self.flat.weights[own]) ** 2).sum(axis=1)
        mean, variance = found.pop("")
        return Moments(prior_mean + mean, variance, found)

    def _places(self) -> dict[str, slice]:
        """Return where the weights of each named term are, without its constant."""
        found, size = {}, 1 + 2 * self.harmonics
        for name, own in zip(self.gp.terms, slices(len(self.mean), size), strict=False):
            found[name] = slice(own.start + 1, own.stop)
        return found
