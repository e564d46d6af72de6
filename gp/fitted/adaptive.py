"""Draws from all of the posterior of the hyperparameters of a sum, where normals at its optima see a part of it.

Where terms can stand for one another the posterior is a plateau, with ends at which a term vanishes.  Adaptive multiple
importance sampling finds its parts: draws from Student's t at the optima, then, round by round, from a smooth picture
of the draws so far (gp.fitted.jumps), all with weights as if drawn from the mixture of all proposals  (Cornuet, Marin,
Mira & Robert 2012, Scandinavian Journal of Statistics 39(4); the weights are those of Veach & Guibas 1995).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..training import Problem
from .draws import Draws
from .evidence import optimum
from .jumps import Jumps
from .laplace import SEED, Mode, find_modes
from .mixture import Mixture
from .pareto import effective, smoothed, tempered
from .priors import WIDTH, WeakPrior, log_prior

ROWS = 250  # above which its evaluations take more than some seconds
FIRST, BATCH = 256, 64  # draws of the first round, and of each further one
LEAST, ROUNDS = 4, 14  # rounds
ENOUGH, FEW = 64.0, 8.0  # effective draws with which it ends, and below which it has failed
SCALES = (1.0, 3.0)  # of the normal's root, in the first round
SEEN = 0.1  # share of all draws that is effective in a picture of them: weights that leave fewer are tempered for it
POINTS = 300  # places from which a picture is made, at most
NOWHERE = -1e10  # nats, where there is no factor
SETTINGS = 64  # of the hyperparameters that stand for all draws


def over_plateaus(mixture: Mixture, learnt: GaussianProcess, method: Method, modes: Sequence[Mode]) -> Mixture:
    """Return a `mixture` over draws of all of the posterior, weighted by the likelihood of the rows `learnt` on.

    `method` is that of the fit, before it integrates out mean coefficients.  The given mixture is returned where it is
    of chains, where the kernel has no two terms, rows are many or have a noise of their own, and where too few draws
    have the weight.  A learnt power of a transform of y is held.
    """
    parameters = mixture.gp.parameters
    places = np.setdiff1d(np.arange(len(parameters.names)), mixture.places)
    is_plain = len(mixture.gp.terms) > 1 and learnt.distinct.n <= ROWS and not mixture.gp.spec.noise.by_row
    if mixture.draws.chains or not is_plain or not len(places):
        return mixture
    before = parameters.vector
    try:
        first = _first(learnt, method, modes, places)
        draws, logs = sample(_log_posterior(learnt, mixture.method, modes[0].centre, places), first)
    finally:
        parameters.set(before)
    weights, k = smoothed(logs)
    if (count := effective(weights)) < FEW:
        return mixture
    which, times = np.unique(_resampled(np.exp(weights), SETTINGS), return_counts=True)
    vectors = np.tile(modes[0].centre, (len(which), 1))
    vectors[:, places] = draws[which]
    vectors = np.clip(vectors, *np.array(parameters.bounds).reshape(-1, 2).T)
    dropped = int((logs < NOWHERE / 2).sum())
    made = Draws(vectors, np.log(times / SETTINGS), k, count / len(logs), dropped)
    return replace(mixture, draws=made, kept=[])


def sample(log_density: Callable[[np.ndarray], float], first: Jumps) -> tuple[np.ndarray, np.ndarray]:
    """Return draws (N, k) and their log weights (N,) for a density, from the proposals `first` on."""
    rng, proposals, counts = np.random.default_rng(SEED), [first], [FIRST]
    draws, nats = np.zeros((0, first.points.shape[1])), np.zeros(0)
    proposed = np.zeros((0, 0))  # log density of each draw by each proposal
    while True:
        new = np.array([proposals[-1].draw(rng) for _ in range(counts[-1])])
        old = np.column_stack([proposed, proposals[-1].log_densities(draws)])
        proposed = np.vstack([old, np.column_stack([each.log_densities(new) for each in proposals])])
        draws, nats = np.vstack([draws, new]), np.append(nats, [log_density(each) for each in new])
        logs = nats - np.logaddexp.reduce(proposed + np.log(counts), axis=1)
        if len(proposals) == ROUNDS or (len(proposals) >= LEAST and effective(smoothed(logs)[0]) >= ENOUGH):
            return draws, logs
        weights = np.exp(tempered(logs, SEEN * len(logs)))
        proposals.append(Jumps.of(draws[_resampled(weights, POINTS)]) or first)
        counts.append(BATCH)


def _log_posterior(
    gp: GaussianProcess, method: Method, centre: np.ndarray, places: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Return the log posterior, but for a constant, at `places` (k,) of the raw vector, else at the `centre` (P,)."""
    gp, parameters = Problem(gp, method).gp, gp.parameters  # of rows that share their inputs, their means
    weak, (lower, upper) = WeakPrior.of(parameters, places), np.array(parameters.bounds).reshape(-1, 2).T

    def log_density(draw: np.ndarray) -> float:
        vector = centre.copy()
        vector[places] = draw
        parameters.set(np.clip(vector, lower, upper))  # beyond a bound the model is that at the bound
        try:
            nats = method.evaluate(gp, gradient=False)[0]
        except NotPositiveDefinite:
            return NOWHERE
        return nats + log_prior(parameters, vector)[0] + float(weak(vector[None])[0])

    return log_density


def _first(gp: GaussianProcess, method: Method, modes: Sequence[Mode], places: np.ndarray) -> Jumps:
    """Return Student's t at each optimum, of several widths, and at that without each term in turn; `gp` is moved.

    What was not drawn at an optimum is half as wide as its weak prior there.  So are the hyperparameters of a term that
    is left out, about their starts but for its size, which is small.
    """
    parameters, names = gp.parameters, np.array(gp.parameters.names)
    sizes = np.concatenate([np.full(p.size, p.amplitude > 0) for p in parameters.free])[: len(names)]
    parts = [(mode.centre[places], _root(mode, np.isin(places, mode.drawn))) for mode in modes]
    for term in gp.terms:
        parameters.set(modes[0].centre)
        rest, is_own = method.without(gp, term), np.char.startswith(names, f"kernel.{term}.")
        try:
            optimum(rest, method)
            found = find_modes(rest, method, None)
        except NotPositiveDefinite:
            continue
        for mode in found:
            centre = modes[0].centre.copy()
            centre[: len(names)][is_own] = (parameters.start - WIDTH * sizes)[: len(names)][is_own]
            centre[: len(names)][~is_own] = mode.centre[: len(rest.parameters.names)]
            drawn = np.array(rest.parameters.names)[mode.drawn]
            parts.append((centre[places], _root(mode, np.isin(names[places], drawn))))
    points, roots = zip(*((point, scale * root) for point, root in parts for scale in SCALES), strict=True)
    return Jumps.at(np.array(points), np.array(roots))


def _root(mode: Mode, known: np.ndarray) -> np.ndarray:
    """Return a root (k, k) at an optimum, of which those `known` (k,) of the places are drawn there."""
    root = np.eye(len(known)) * WIDTH / 2
    root[np.ix_(known, known)] = mode.root
    return root


def _resampled(weights: np.ndarray, count: int) -> np.ndarray:
    """Return draws (count,) by their weights (S,), evenly along their sum."""
    places = np.searchsorted(np.cumsum(weights), (np.arange(count) + 0.5) / count)
    return np.minimum(places, len(weights) - 1)
