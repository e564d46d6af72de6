"""The posterior of the function at several inputs together, from which draws are taken."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..forecast import Forecast
from ..inference.method import Conditioned
from ..inference.together import together
from ..parallel import available_memory, one_thread
from ..spec import Fault, InputError, whole
from ..transforms import Transform, mixed


@dataclass(frozen=True, eq=False)
class Joint:
    """A mixture of S normals over the function at m inputs x (m, d), in y's units.

    `weights` (S,), `means` (S, m), `covariances` (S, m, m), and `noise` (S, m), the variances of new observations.
    Where y was transformed, these are of the `transform`; the mean and the draws are of y.
    """

    x: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    noise: np.ndarray
    transform: Transform | None = None

    @property
    def mean(self) -> np.ndarray:
        """Return the mean (m,) of the function."""
        return self._marginal(0.0).mean

    @property
    def sd_f(self) -> np.ndarray:
        """Return the standard deviation of the function (m,)."""
        return self._marginal(0.0).sd

    @property
    def sd_y(self) -> np.ndarray:
        """Return the standard deviation of a new observation (m,)."""
        return self._marginal(self.noise).sd

    def _marginal(self, noise: np.ndarray | float) -> Forecast:
        variances = np.diagonal(self.covariances, axis1=1, axis2=2).clip(min=0.0) + noise
        return Forecast(self.means, np.sqrt(variances), self.weights[:, None], self.transform)

    @property
    def covariance(self) -> np.ndarray:
        """Return the covariance of the function (m, m).  Raises InputError where y was transformed."""
        if self.transform is not None:
            why = "the covariance of y has no closed form where y is transformed"
            raise InputError(
                Fault("model.transform", why, "take that of draws: np.cov(joint.sample(10_000, seed=0).T)")
            )
        apart = self.means - self.mean
        return np.einsum("s,sij->ij", self.weights, self.covariances) + (apart.T * self.weights) @ apart

    @property
    def noise_variance(self) -> np.ndarray:
        """Return the variances of new observations' noise (m,)."""
        return self.weights @ self.noise

    def sample(self, n: int, seed: int, *, noise: bool = False) -> np.ndarray:
        """Return n draws of the function at x, (n, m), with `noise` of new observations; the same for the same seed."""
        n, rng = whole("n", n, 1), np.random.default_rng(whole("seed", seed, 0))
        which = rng.choice(len(self.weights), size=n, p=self.weights)
        white, draws = rng.standard_normal((n, len(self.x))), np.empty((n, len(self.x)))
        for s in np.unique(which):
            sizes, directions = np.linalg.eigh(self.covariances[s])  # a factor even where inputs are equal
            root = directions * np.sqrt(sizes.clip(min=0.0))
            draws[which == s] = self.means[s] + white[which == s] @ root.T
        if noise:
            draws += np.sqrt(self.noise[which]) * rng.standard_normal(draws.shape)
        return draws if self.transform is None else self.transform.each(which).of(draws)


def joint(
    conditioned: Iterable[Conditioned],
    weights: np.ndarray,
    x: np.ndarray,
    internal: torch.Tensor,
    noise: np.ndarray | None = None,
) -> Joint:
    """Return the joint posterior at x (m, d), `internal` in internal units, at each of S settings with `weights` (S,).

    `noise` (m,) are the internal variances of new observations where they are known.  Raises InputError where the
    method has no such posterior, or the covariances are too large.
    """
    needed, available = 8 * len(weights) * len(x) ** 2, available_memory() / 4
    if needed > available:
        raise InputError(
            Fault(
                "x",
                f"has {len(x)} rows: {len(weights)} covariances of these need {needed / 2**30:.1f} GiB of memory",
                "give fewer rows, or hyperparameters={'kind': 'plug_in'}",
            )
        )
    means, covariances, noises, transforms = [], [], [], []
    for each in conditioned:
        scope = each.gp.scope
        scale = scope.y_scale
        with one_thread(), torch.no_grad():
            mean, covariance = together(each).joint(internal)
        means.append(mean * scale + scope.y_offset)
        transforms.append(each.gp.spec.transform)
        covariances.append(covariance * scale**2)
        noises.append((each.gp.noise_variance(internal) if noise is None else noise) * scale**2)
    return Joint(x, weights, np.array(means), np.array(covariances), np.array(noises), mixed(transforms))
