"""Where a fit ends at a limit of its inference method: harmonics that run out, nodes along steps that are too few."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..training import SAME, Problem, Search
from ..training.newton import newton_step
from .optima import RIVAL

if TYPE_CHECKING:
    from .laplace import Mode, Part

CLOSE = 2e-6  # in the raw vector, to a bound
RISES = 0.05  # nats by a logarithm, from where on a likelihood is no plateau


def limits(problem: Problem, search: Search | None) -> dict[str, str]:
    """Return by name what ended at a limit of the method though the likelihood rises beyond it, in words.

    At the best optimum, or at one that is hardly worse.  The model is moved.
    """
    told = dict[str, str]()
    for value, vector in search.optima if search else ():
        below = search.optima[0][0] - value if search else 0.0
        for name, slope in _rising(problem, vector).items() if below < RIVAL else ():
            where = f"at an optimum {below:.2g} nats lower, " if below else ""
            size, (limit, fix) = problem.parameters.by_name()[name], problem.inference.limits(problem.gp)[name]
            rises = f"though the likelihood rises beyond, by {slope:.2g} nats for a factor of e"
            told.setdefault(name, f"{where}{name} ended at {size:.3g}, {limit}, {rises}: {fix}")
    return told


def is_cut_off(part: "Part", mode: "Mode") -> bool:
    """Return whether a climb ended where the way on has no factor, or at a limit of the method.

    The likelihood still rises there: a normal about such an end, whose curvature is that of a slope, tells nothing.
    """
    here = mode.centre[mode.drawn]
    step = newton_step(slope := part(here)[1], mode.curvature)
    no_factor = 0.5 * float(slope @ step) > SAME and not math.isfinite(part.value(here + step))
    return no_factor or bool(_rising(part.problem, mode.vector))


def quadrature(problem: Problem, vector: np.ndarray) -> float | None:
    """Return how far, in nats, the likelihood is from that by twice as many nodes along each row's step.

    None where rows are no averages along steps, or the method takes these without nodes.
    """
    if problem.gp.scope.step is None or not problem.inference.is_dense:
        return None
    problem.parameters.set(vector)
    finer = replace(problem.gp, nodes=2 * problem.gp.nodes, workspace={})
    by_few, by_more = (problem.inference.evaluate(gp, gradient=False)[0] for gp in (problem.gp, finer))
    return abs(by_more - by_few)


def _rising(problem: Problem, vector: np.ndarray) -> dict[str, float]:
    """Return by name what is at a limit of the method, and by how many nats for each log the likelihood rises beyond.

    The model is moved to the raw vector.
    """
    names, limited = problem.parameters.names, problem.inference.limits(problem.gp)
    lower = np.array(problem.parameters.bounds).reshape(-1, 2)[: len(names), 0]
    at = [k for k, name in enumerate(names) if name in limited and vector[k] <= lower[k] + CLOSE]
    slope = problem(vector)[1] if at else vector
    return {names[k]: float(-slope[k]) for k in at if -slope[k] > RISES}
