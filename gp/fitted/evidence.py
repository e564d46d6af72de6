"""Evidence: by how many nats each term of a sum of kernels is more probable to be there than not.

With the term, the likelihood is integrated over its hyperparameters.  Its size first: log ∫ p(y | a, …) p(a) da, with a
the log of its variance about its mean over the training rows; p(a) is the user's prior of its outputscale, or else
N(log(v/m), WIDTH²) of y's variance v and m terms.  Lengthscales and the like each take off −log ∫ p(y | φ, …) p(φ) dφ /
p(y | φ̂, …), one after the other, with the user's prior or the weak one (gp.fitted.priors).  Without the term, the other
hyperparameters are at their best, looked for from several starts, as another term may take its place; with it at that
or at the optimum with all terms, whichever gives more.  Mean
coefficients are integrated out on both sides: `vecchia`, which cannot, gives way to exact inference, as rows are few.
At their maximum alone, the likelihood with a term is never below that without it, as a term can vanish; what integrals
take off is Occam's factor (MacKay 2003, sec. 28.1).
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..matrices.tiles import matrix
from ..model.model import GaussianProcess
from ..parameters.vector import Parameter
from ..training import Problem
from ..training.newton import Optimum, climb, measure_curvature, refine
from ..training.starts import Screening
from .laplace import Part
from .priors import WIDTH

ROWS = 1000  # above which a method whose cost grows with the rows takes too long: a hundred evaluations for each term
REACH = 3.0  # sds of the weak prior, from start and optimum, over which is integrated
STEEP, MATTERS, HALVED = 0.5, 7.0, 3  # nats along an interval, and below the largest, where it is halved, so often
SURE = 10.0  # nats above what there is without a term, from where on nothing else is tried
NARROW = 0.05  # of an interval, which is not halved: two nodes may be all but one
NOTHING = 30.0  # nats below the largest
NOWHERE = -1e10  # nats, where there is no likelihood
STARTS = 5  # from which the model without a term is climbed, beside the optimum with it
SOME = 300  # rows over which a term's variance is taken
CONSTANT = 1e-10  # share of a term's variance about its mean, below which it is a constant
PLACES = 1  # decimal places: machines agree on these
TOLERANCE = 1e-3  # nats


def evidence(gp: GaussianProcess, method: Method) -> dict[str, float]:
    """Return the log Bayes factor of each term, nats: how much more probable the targets are with it than without.

    The model is at its optimum, and stays there.  {} where the kernel is no sum, or one of a single term and the method
    needs a kernel (harmonic does not), and where the likelihood is no function of the hyperparameters alone, or takes
    too long (ROWS).
    """
    parameters = gp.parameters
    method = method.for_rows(gp.n)  # exact: of up to ROWS rows, that costs an approximation too little
    auxiliary = gp.auxiliary or gp.spec.noise.by_row or any(parameter.auxiliary for parameter in parameters.free)
    if (
        len(gp.terms) < (2 if method.grows else 1)
        or auxiliary
        or (method.grows and gp.n > ROWS)
        or np.ptp(gp.scope.y) == 0
    ):
        return {}
    before, found = parameters.vector, dict[str, float]()
    try:
        optimum(gp, method)  # that of the search, but for mean coefficients, which are integrated out here
        best = parameters.vector
        for name in gp.terms:
            parameters.set(best)
            rest = method.without(gp, name)
            held = _with(gp, rest, method, name)
            parameters.set(best)
            without = optimum(rest, method)
            if rest.parameters.free:
                climbed = rest.parameters.vector
                parameters.set(best)
                rest.parameters.set(_searched(rest, method))
                if (searched := optimum(rest, method)) > without:
                    without = searched
                else:
                    rest.parameters.set(climbed)
            if held < without + SURE:  # the others where they are best without the term may give more
                held = max(held, _with(gp, rest, method, name))
            found[name] = round(held - without, PLACES)
    except NotPositiveDefinite:
        return {}
    finally:
        parameters.set(before)
    return found


def optimum(gp: GaussianProcess, method: Method) -> float:
    """Move the model to the optimum near it, mean coefficients integrated out, and return the objective, nats."""
    integrating, apart = method.integrating(gp)
    problem, start = Problem(gp, integrating), gp.parameters.vector
    free = np.setdiff1d(np.arange(len(start)), apart)
    if not len(free):
        return problem(start)[0]
    part = _OfSearch(problem, start, free)
    bounds = [problem.parameters.bounds[place] for place in free]
    curvature = measure_curvature(part, start[free], central=False)
    end = climb(part, start[free], curvature, bounds, tolerance=TOLERANCE)
    end = refine(part, end.vector, end.curvature, bounds)
    problem(part.whole(end.vector))
    return end.value


def _searched(gp: GaussianProcess, method: Method) -> np.ndarray:
    """Return the best raw vector that climbs come to: from the best of many points, or from the model and its start."""
    problem, ends = Problem(gp, method, profiled=True), list[Optimum]()
    begun = [gp.parameters.vector, problem.parameters.start]
    for start in Screening(problem).starts(STARTS) if method.is_dense else begun:
        try:
            curvature = None if problem.is_informed else measure_curvature(problem, start, central=False)
            ends.append(climb(problem, start, curvature, problem.parameters.bounds, tolerance=TOLERANCE, known=ends))
        except NotPositiveDefinite:
            continue
    if not ends:
        return problem.parameters.start
    return problem.maximise_profiled(max(ends, key=lambda end: end.value).vector)


class _OfSearch(Part):
    """The objective of some places, with priors of θ, not of the raw vector."""

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.problem(self.whole(vector))
        return value, gradient[self.places]


def _with(gp: GaussianProcess, rest: GaussianProcess, method: Method, name: str) -> float:
    """Return the log likelihood with a term, its hyperparameters integrated out, and the log prior of the rest."""
    prior, _ = rest.parameters.log_prior(rest.parameters.vector)
    integrating, _ = method.integrating(gp)
    gp = Problem(gp, integrating).gp  # of rows that share their inputs, their means
    vector, places = gp.parameters.vector, gp.parameters.places
    term = [p for p in gp.parameters.free if isinstance(p, Parameter) and p.name.startswith(f"kernel.{name}.")]
    sizes = [
        p
        for p in gp.parameters.all
        if isinstance(p, Parameter) and p.amplitude and p.name.startswith(f"kernel.{name}.")
    ]

    def value(at: np.ndarray) -> float:
        try:
            gp.parameters.set(at)
            return integrating.evaluate(gp, gradient=False)[0]
        except NotPositiveDefinite:
            return NOWHERE

    def integral(direction: np.ndarray, here: float, centre: float, log_prior: Callable[[float], float]) -> float:
        low, high = min(here, centre) - REACH * WIDTH, max(here, centre) + REACH * WIDTH
        nodes = np.union1d(np.arange(low, high, 1.0), here)
        return _log_integral(lambda a: value(vector + (a - here) * direction) + log_prior(a), nodes, here)

    most, total = value(vector), prior
    here, along = _log_size(gp, name), np.zeros(len(vector))
    if sizes and all(p in term and p.positive for p in sizes) and math.isfinite(here):
        for parameter in sizes:
            along[places[parameter.tensor]] = parameter.amplitude
        size, centre = sizes[0], math.log(float(np.var(gp.scope.y)) / len(gp.terms))
        raw = float(size.raw_values()[0])

        def of_size(a: float) -> float:
            if size.prior is None:
                return _log_normal(a - centre)
            return _log_prior(size, 0, raw + size.amplitude * (a - here))

        total += integral(along, here, centre, of_size)
    else:  # of known size, or a constant, of which nothing is known beside the mean
        total += most
    for parameter in term:
        if parameter in sizes:
            continue
        start, found = parameter.raw(parameter.start), parameter.raw_values().copy()
        for k in range(parameter.size):
            one = np.zeros(len(vector))
            one[places[parameter.tensor].start + k] = 1.0
            total += integral(one, float(found[k]), float(start[k]), partial(_log_prior, parameter, k)) - most
    return total


def _log_integral(density: Callable[[float], float], nodes: np.ndarray, here: float) -> float:
    """Return the log of the integral of exp(density), by the trapezium rule; intervals are halved where it matters.

    On both sides of `here`, one of the nodes, it ends where next to nothing is.
    """
    first = int(np.searchsorted(nodes, here))
    found = {first: density(here)}
    for side in (range(first - 1, -1, -1), range(first + 1, len(nodes))):
        for k in side:
            found[k] = density(nodes[k])
            if found[k] < max(found.values()) - NOTHING:
                break
    kept = sorted(found)
    nodes, logs = nodes[kept], np.array([found[k] for k in kept])
    for _ in range(HALVED):
        steep = (np.abs(np.diff(logs)) > STEEP) & (np.diff(nodes) > NARROW)
        split = np.flatnonzero(steep & (np.maximum(logs[1:], logs[:-1]) > logs.max() - MATTERS))
        middles = 0.5 * (nodes[split] + nodes[split + 1])
        nodes, logs = (
            np.insert(nodes, split + 1, middles),
            np.insert(logs, split + 1, [density(a) for a in middles]),
        )
    parts = np.logaddexp(logs[1:], logs[:-1]) + np.log(0.5 * np.diff(nodes))
    return float(np.logaddexp.reduce(parts))


def _log_size(gp: GaussianProcess, name: str) -> float:
    """Return the log of a term's prior variance about its mean over (some of) the rows; −inf of a constant."""
    rows = torch.from_numpy(np.sort(np.random.default_rng(0).choice(gp.n, min(gp.n, SOME), replace=False)))
    with torch.no_grad():
        covariance = matrix(gp.terms[name], gp.x[rows], gp.x[rows]).numpy()
    whole = float(np.trace(covariance)) / len(rows)
    centred = whole - float(covariance.mean())
    return math.log(centred) if centred > CONSTANT * whole else -math.inf


def _log_prior(parameter: Parameter, k: int, raw: float) -> float:
    """Return the log density of the k-th number of a hyperparameter in raw form: the user's prior, or the weak one."""
    if parameter.prior is None:
        return _log_normal(raw - float(parameter.raw(parameter.start)[k]))
    values = parameter.raw(parameter.start).copy()
    values[k] = raw
    value = parameter.in_data_units(values)[[k]]
    by_raw = value if parameter.positive else parameter.units.reference[[k]] * parameter.units.unit[[k]]
    return float(parameter.prior.log_density(value)[0] + np.log(by_raw[0]))


def _log_normal(x: float) -> float:
    """Return log N(x | 0, WIDTH²)."""
    return -0.5 * (x / WIDTH) ** 2 - math.log(WIDTH * math.sqrt(2 * math.pi))
