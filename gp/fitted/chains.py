"""Hyperparameters drawn by the No-U-Turn sampler: whatever the shape of their posterior, at thousands of evaluations.

The density is likelihood × the user's priors × the weak prior of what has none (gp.fitted.priors), in the raw vector,
mean coefficients integrated out; the metric starts from the curvature at the best optimum (gp.fitted.laplace).
Auxiliary parameters, and what is at a bound there, are held.
"""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from .convergence import Convergence
from .laplace import Mode, draw
from .nuts import sample
from .priors import WeakPrior, log_prior
from .uncertainty import Nuts

SEED = 0  # of the draws: a saved model has the same as the fitted one


def run(
    gp: GaussianProcess, method: Method, modes: Sequence[Mode], places: np.ndarray, spec: Nuts
) -> tuple[np.ndarray, Convergence]:
    """Return raw vectors (chains · draws, P), chain by chain, and what these say of their convergence.

    `gp` is over the rows learnt on; it is moved.  `method` integrates mean coefficients out; `places` are the others'.
    """
    density, drawn = _Density(gp, method, modes[0], WeakPrior.of(gp.parameters, places)), modes[0].drawn
    wide, _ = draw(modes, gp.parameters, places, spec.chains)
    starts = [wide[chain % len(wide), drawn] for chain in range(spec.chains)]
    with tqdm(total=spec.chains * (spec.warmup + spec.draws), desc="chains", disable=None, leave=False, delay=1) as bar:
        found = sample(
            density,
            np.array([start if np.isfinite(density(start)[0]) else modes[0].vector[drawn] for start in starts]),
            modes[0].root,
            draws=spec.draws,
            warmup=spec.warmup,
            rngs=[np.random.default_rng([SEED, chain]) for chain in range(spec.chains)],
            done=bar.update,
        )
    vectors = np.tile(modes[0].vector, (spec.chains * spec.draws, 1))
    vectors[:, drawn] = found.draws.reshape(len(vectors), -1)
    return vectors, Convergence.of(*found)


class _Density:
    """The log posterior density (nats) at the places `drawn` of a mode, and its slope.

    Beyond a bound of the search the likelihood is that at the bound.
    """

    def __init__(self, gp: GaussianProcess, method: Method, mode: Mode, weak: WeakPrior) -> None:
        self.gp, self.method, self.mode, self.weak = gp, method, mode, weak
        self.lower, self.upper = np.array(gp.parameters.bounds).reshape(-1, 2).T

    def __call__(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        vector, parameters = self.mode.vector.copy(), self.gp.parameters
        vector[self.mode.drawn] = position
        within = np.clip(vector, self.lower, self.upper)
        parameters.set(within)
        try:
            value, slope = self.method.evaluate(self.gp)
        except NotPositiveDefinite:
            return -np.inf, np.zeros(len(position))
        with np.errstate(all="ignore"):  # a step too long may lead anywhere
            prior, by_prior = log_prior(parameters, vector)
            slope = (np.where(vector == within, slope, 0.0) + by_prior + self.weak.slope(vector))[self.mode.drawn]
            value += prior + float(self.weak(vector[None])[0])
        possible = np.isfinite(value) and np.isfinite(slope).all()
        return (value, slope) if possible else (-np.inf, np.zeros(len(position)))
