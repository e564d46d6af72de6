"""95 % intervals of hyperparameters, in the data's units."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..model.model import GaussianProcess
from ..parameters.vector import Parameters
from ..training import Problem
from ..transforms import POWERS
from . import likelihood_ratio, of_mean
from .draws import Draws
from .laplace import Mode
from .mixture import Mixture
from .priors import WIDTH

Intervals = dict[str, tuple[float, float]]
OPEN = 0.1  # in the raw vector: an end so near to a bound of the search is that bound


def integrated(gp: GaussianProcess, modes: Sequence[Mode], mixture: Mixture) -> tuple[Intervals, list[str]]:
    """Return 95 % intervals by name, and the names of what has none; the model `gp` is moved.

    Those of the covariance are quantiles of the draws of chains.  Without chains they are by the likelihood ratio, mean
    coefficients being integrated out, so that plugging these in does not bias them.  Those of the coefficients are of
    their mixture over these chains, or over wide draws (gp.fitted.of_mean).
    """
    parameters, mode, sampled, places = gp.parameters, modes[0], mixture.draws.sampled, mixture.places
    if sampled is None:
        found = likelihood_ratio.intervals(Problem(gp, mixture.method), modes, len(places))
        intervals, undetermined = _of_ends(parameters, mode.vector, found)
    else:
        intervals, undetermined = of_draws(parameters, mode, sampled)
    if len(places):
        drawn = mixture.coefficients
        if sampled is None and mixture.method.is_dense:
            drawn = of_mean.coefficients(gp, mixture.method, modes, places) or drawn
        ends = np.array(drawn.interval(0.95))
        # To a thousandth of the width, which two machines agree on.
        step = 10.0 ** (np.floor(np.log10(np.maximum(ends[1] - ends[0], 1e-300))) - 3)
        low, high = mode.vector.copy(), mode.vector.copy()
        low[places], high[places] = np.round(ends / step) * step
        low_natural, high_natural = natural(parameters, low), natural(parameters, high)
        intervals |= {parameters.names[i]: (low_natural[i], high_natural[i]) for i in places}
    known = {name: intervals[name] for name in parameters.names if name in intervals}
    return known | of_power(mixture.draws), undetermined


def of_power(draws: Draws) -> Intervals:
    """Return the interval of the power of y's transform, by mean and sd of its draws; {} if it was not drawn."""
    if draws.units is None:
        return {}
    weights, powers = np.exp(draws.log_weights), draws.units[:, 0]
    mean = float(weights @ powers)
    half = 1.96 * float(np.sqrt(weights @ (powers - mean) ** 2))
    low, high = POWERS
    return {"transform.power": (max(round(mean - half, 3), low), min(round(mean + half, 3), high))}


def _of_ends(
    parameters: Parameters, vector: np.ndarray, ends: Mapping[int, tuple[float, float]]
) -> tuple[Intervals, list[str]]:
    """Return intervals by name, and the names of what the data do not bound: an end is there a bound of the search.

    What they bound on neither side has no interval.
    """
    names, bounds = parameters.names, parameters.bounds
    intervals, undetermined = Intervals(), list[str]()
    for place, (low, high) in ends.items():
        lower, upper = vector.copy(), vector.copy()
        lower[place], upper[place] = low, high
        unbound = low < bounds[place][0] + OPEN, high > bounds[place][1] - OPEN
        if any(unbound):
            undetermined.append(names[place])
        if not all(unbound):
            intervals[names[place]] = natural(parameters, lower)[place], natural(parameters, upper)[place]
    return intervals, undetermined


def of_draws(parameters: Parameters, mode: Mode, sampled: np.ndarray) -> tuple[Intervals, list[str]]:
    """Return 95 % intervals by name, and the names of what has none, by quantiles of draws (N, P) from chains."""
    low, high = mode.vector.copy(), mode.vector.copy()
    low[mode.drawn], high[mode.drawn] = np.quantile(sampled[:, mode.drawn], (0.025, 0.975), axis=0)
    # As `asymptotic` judges: of what is known, less comes from the data than from the weak prior.
    priors = np.concatenate([np.full(p.size, p.prior is not None) for p in parameters.free])
    loose = (sampled.std(axis=0) > WIDTH / math.sqrt(2)) & ~priors
    ends = [natural(parameters, raw) for raw in (low, high)]
    names = parameters.names
    intervals = {names[i]: (ends[0][i], ends[1][i]) for i in mode.drawn if not loose[i]}
    return intervals, [names[i] for i in mode.drawn if loose[i]]


def asymptotic(
    parameters: Parameters, vector: np.ndarray, inside: np.ndarray, hessian: np.ndarray
) -> tuple[Intervals, list[str]]:
    """Return 95 % intervals by name, and the names of what has none, by the curvature of the places `inside`."""
    curvature, directions = np.linalg.eigh(hessian) if len(inside) else (np.zeros(0), np.zeros((0, 0)))
    # A standard error above three units of log θ (a factor of 20) carries no information.
    flat = curvature < 1 / 9
    variance = (directions[:, ~flat] ** 2 / curvature[~flat]).sum(axis=1)
    loose = (directions[:, flat] ** 2).sum(axis=1) > 0.05
    # To four digits: differences of gradients do not tell more.
    half = np.array([float(f"{1.96 * error:.4g}") for error in np.sqrt(variance)])
    low, high = vector.copy(), vector.copy()
    low[inside] -= half
    high[inside] += half
    ends = [natural(parameters, raw) for raw in (low, high)]
    names = parameters.names
    intervals = {names[i]: (ends[0][i], ends[1][i]) for i, free in zip(inside, loose, strict=True) if not free}
    return intervals, [names[i] for i, free in zip(inside, loose, strict=True) if free]


def natural(parameters: Parameters, vector: np.ndarray) -> list[float]:
    """Return each element of the raw vector in the data's units."""
    parts = zip(parameters.free, parameters.split(vector), strict=True)
    return [value for parameter, part in parts for value in parameter.in_data_units(part).tolist()]
