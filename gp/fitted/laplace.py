"""The Laplace approximation: how uncertain hyperparameters are, as normals at the optima that a search found.

θ is drawn from N(θ̂, (H + Λ)⁻¹) at each optimum θ̂ of the likelihood whose mean coefficients are integrated out
(gp.inference.flat_mean), times the user's priors, with H its curvature.  Λ, a weak precision about the data-driven
start, keeps what the data do not determine finite.  Everything is in the raw vector, so mostly in logs.  Auxiliary
parameters are held.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from ..inference.method import Method, Search, without_factor
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..model.powers import at_power, units_at
from ..parameters.vector import Parameters
from ..training import SAME, Problem
from ..training.newton import climb, fine_curvature, measure_curvature
from ..transforms import POWERS, BoxCox, YeoJohnson
from .limits import CLOSE, is_cut_off
from .priors import WIDTH, WeakPrior, log_factor

BEHIND = 5.0  # nats behind the best optimum within which another takes part
MODES = 3  # at most that take part
DECIMALS = 6  # of an optimum in the raw vector, which two machines agree on, but for flat directions
LONGEST = 0.05  # step of the differences that give the curvature
GRID = 0.02  # sd of an element given the others: steps, at most, of the grid of centres, which machines agree on
ARRIVED = 1e-3  # nats below which a step to an optimum is not taken
FALLEN, HALVINGS = 4.0, 12  # nats by which both sides of an optimum are worse at one sd; it is half a nat of a normal
POWER_STEP = 0.05  # of the differences of the likelihood by λ
WIDEST = 1.0  # sd of λ, at most
SEED = 0  # of the draws: a saved model has the same as the fitted one


class Power(NamedTuple):
    """What is known of the power λ of a transform of y: N(best, sd²) `between` two, and the optimum's slope by λ.

    `slope` (k,) is of the elements that are drawn.
    """

    best: float
    sd: float
    slope: np.ndarray
    between: tuple[float, float]

    @property
    def ends(self) -> np.ndarray:
        """Return the distribution function of N(best, sd²) at the ends."""
        return np.asarray(ndtr((np.array(self.between) - self.best) / self.sd))

    def quantile(self, shares: np.ndarray) -> np.ndarray:
        """Return the λ up to which there are the `shares` of probability."""
        low, high = self.ends
        return np.clip(self.best + self.sd * ndtri(low + shares * (high - low)), *self.between)

    def log_density(self, powers: np.ndarray) -> np.ndarray:
        """Return the log density at each λ, but for that of N(best, sd²) at its mean."""
        low, high = self.ends
        return np.asarray(-0.5 * ((powers - self.best) / self.sd) ** 2 - math.log(high - low))


@dataclass(frozen=True, eq=False)
class Mode:
    """An optimum: the raw `vector` (P,), the objective there (nats), and −∂² of it (k, k) by the elements `drawn`.

    Elements at a bound are not drawn, and mean coefficients that are integrated out are not either.  Draws have the
    mean `centre` (P,): the optimum, rounded to what every machine finds.  Their weights make up for the difference.
    The curvature is that at the centre.  With a `power`, draws have that of a transform of y as a further element.
    """

    vector: np.ndarray
    nats: float
    drawn: np.ndarray  # (k,) places in the vector
    curvature: np.ndarray
    centre: np.ndarray
    power: Power | None = None

    @cached_property
    def root(self) -> np.ndarray:
        """Return a root (k, k) of the covariance (H + Λ)⁻¹ = root rootᵀ."""
        sizes, directions = np.linalg.eigh(self.curvature)
        # Rounding may leave a flat direction negative.  Of a root that any matrix has, the triangular one.
        known = directions / np.sqrt(np.maximum(sizes, 0.0) + 1 / WIDTH**2)
        upper = np.linalg.qr(known.T, mode="r")
        return np.asarray((upper * np.sign(np.diagonal(upper))[:, None]).T)

    @property
    def free(self) -> int:
        """Return how many elements are drawn, λ with them."""
        return len(self.drawn) + bool(self.power)

    @property
    def log_volume(self) -> float:
        """Return log ∫ exp(−½ (θ − θ̂)ᵀ(H + Λ)(θ − θ̂)) dθ."""
        sd = self.power.sd if self.power else 1.0
        return 0.5 * self.free * math.log(2 * math.pi) + float(np.linalg.slogdet(self.root)[1]) + math.log(sd)

    def draw(self, count: int) -> np.ndarray:
        """Return quasi-random draws (count, P), with λ P + 1: a scrambled Sobol sequence, always the same."""
        vectors, k = np.tile(self.centre, (count, 1)), len(self.drawn)
        if not self.free:
            return vectors
        from scipy.stats import qmc  # noqa: PLC0415 - its import takes 0.3 s

        points = qmc.Sobol(self.free, seed=SEED).random(1 << (count - 1).bit_length())[:count]
        points = np.clip(points, 1e-12, 1 - 1e-12)
        vectors[:, self.drawn] += ndtri(points[:, :k]) @ self.root.T
        if not self.power:
            return vectors
        powers = self.power.quantile(points[:, k])
        vectors[:, self.drawn] += np.outer(powers - self.power.best, self.power.slope)
        return np.column_stack([vectors, powers])

    def log_density(self, vectors: np.ndarray, hyperparameters: np.ndarray) -> np.ndarray:
        """Return the log density (S,) of draws, as `draw` returns them; −inf where one held of these places differs."""
        held = np.setdiff1d(hyperparameters, self.drawn)
        shifts = vectors[:, self.drawn] - self.centre[self.drawn]
        if self.power:
            shifts -= np.outer(vectors[:, -1] - self.power.best, self.power.slope)
        z = np.linalg.solve(self.root, shifts.T)
        density = -0.5 * (z**2).sum(axis=0) - self.log_volume
        if self.power:
            density += self.power.log_density(vectors[:, -1])
        return np.where((vectors[:, held] == self.centre[held]).all(axis=1), density, -np.inf)


def find_modes(gp: GaussianProcess, method: Method, search: Search | None) -> tuple[Mode, ...]:
    """Return the optima of the hyperparameters of `gp`, best first; the model is moved.

    `gp` is over the rows learnt on, by `method`, whose `search` is None where nothing is free.
    """
    integrating, apart = method.integrating(gp)
    problem, free = Problem(gp, integrating), np.setdiff1d(np.arange(len(gp.parameters.names)), apart)
    starts = [np.array(gp.parameters.vector)]
    if search:
        best = max((value for value, _ in search.optima), default=0.0)
        others = [vector for value, vector in search.optima if value > best - BEHIND]
        starts = [search.vector, *(other for other in others if not np.array_equal(other, search.vector))]
    modes, count = list[Mode](), 0
    for start in starts:
        try:
            mode = _mode(problem, start, free, apart)
            if modes and is_cut_off(Part(problem, mode.centre, mode.drawn), mode):
                continue
        except NotPositiveDefinite:
            continue
        count += 1
        if all(abs(mode.nats - other.nats) > SAME for other in modes):
            modes.append(mode)
        if count == MODES:
            break
    if not modes:
        raise without_factor(gp, "the covariance of the rows, beside the optimum of the hyperparameters,")
    return tuple(sorted(modes, key=lambda mode: -mode.nats))


def _mode(problem: Problem, start: np.ndarray, free: np.ndarray, apart: np.ndarray) -> Mode:
    """Return the optimum near `start` over the places `free`, where those `apart` are integrated out."""
    bounds = np.array(problem.parameters.bounds).reshape(-1, 2)
    part = Part(problem, start, free)
    rough = measure_curvature(part, start[free])
    if (len(apart) or problem.parameters.has_prior) and len(free):  # the optimum is not quite that of the search
        start = part.whole(climb(part, start[free], rough, [*map(tuple, bounds[free])], tolerance=ARRIVED).vector)
    try:
        value, _ = part(np.clip(start.round(DECIMALS), *bounds.T)[free])
    except NotPositiveDefinite:  # at the edge of what has a factor
        value, _ = part(start[free])
    start = problem.parameters.vector  # with the coefficients that are integrated out at their mean
    inside = ((start > bounds[:, 0] + CLOSE) & (start < bounds[:, 1] - CLOSE))[free]
    drawn = free[inside]
    # Along a flat direction machines agree on few digits of an optimum, so the steps are long in a flat one.
    sd = 1 / np.sqrt(np.maximum(np.diagonal(rough)[inside], 0.0) + 1 / WIDTH**2)
    step = 2.0 ** np.floor(np.log2(GRID * sd))
    centre = start.copy()
    centre[drawn] = np.clip((start[drawn] / step).round() * step, *bounds[drawn].T)
    part = Part(problem, centre, drawn)
    if not math.isfinite(part.value(centre[drawn])):  # beyond the edge of what has a factor
        centre, part = start, Part(problem, start, drawn)
    # To four digits: differences of gradients do not tell more, and draws are to be the same on every machine.
    # Steps are no longer than the optimum is wide: a period that many cycles tell is known to a thousandth.
    measured = fine_curvature(part, centre[drawn], np.minimum(LONGEST, step / GRID))
    curvature = np.array([[float(f"{value:.4g}") for value in row] for row in measured])
    curvature = curvature.reshape(len(drawn), len(drawn)).round(4)
    top, here = part.value(centre[drawn]), centre[drawn]
    for k, place in enumerate(drawn):
        curvature[k, k] = max(curvature[k, k], _between_cliffs(part, here, top, k, curvature[k, k], bounds[place]))
    return Mode(start, value, drawn, curvature, centre)


def _between_cliffs(
    part: "Part", centre: np.ndarray, top: float, k: int, curvature: float, bounds: np.ndarray
) -> float:
    """Return the curvature of element k that a place where the likelihood falls off on both sides stands for; else 0.

    Between two rows a sharp change point is anywhere alike, and at the rows the likelihood falls: it is flat at the
    centre, where the objective is `top`, and known to the rows.  Half of the distance is taken until neither side is
    worse than FALLEN.
    """
    is_cliff, away = False, 1 / math.sqrt(max(curvature, 0.0) + 1 / WIDTH**2)
    for _ in range(HALVINGS):
        ends = np.tile(centre, (2, 1))
        ends[:, k] = np.clip(centre[k] + np.array([-away, away]), *bounds)
        if not top - max(map(part.value, ends)) >= FALLEN:  # nor where none of them has a factor
            break
        is_cliff, away = True, 0.5 * away
    return float(f"{1 / away**2:.4g}") if is_cliff else 0.0


class Part:
    """The objective as a function of some places of the raw vector, the others held; priors are of the raw vector."""

    def __init__(self, problem: Problem, vector: np.ndarray, places: np.ndarray) -> None:
        self.problem, self.vector, self.places = problem, vector, places
        self.n = problem.n

    def whole(self, part: np.ndarray) -> np.ndarray:
        """Return the raw vector with `part` at the places."""
        vector = self.vector.copy()
        vector[self.places] = part
        return vector

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        whole = self.whole(vector)
        value, gradient = self.problem(whole)
        factor, slope = log_factor(self.problem.parameters, whole)
        return value + factor, (gradient + slope)[self.places]

    def value(self, vector: np.ndarray) -> float:
        """Return the objective at `vector`; −inf where there is no factor."""
        try:
            return self(vector)[0]
        except NotPositiveDefinite:
            return -math.inf


def draw(
    modes: Sequence[Mode], parameters: Parameters, hyperparameters: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return draws, about `count`, and (S,) the log of weak prior over density of what they were drawn from.

    Each mode gets draws by its evidence.  `hyperparameters` are the places that are not integrated out.
    """
    weak = WeakPrior.of(parameters, hyperparameters)
    evidence = np.array([mode.nats + weak(mode.centre[None])[0] + mode.log_volume for mode in modes])
    shares = np.exp(evidence - evidence.max())
    counts = np.round(count * shares / shares.sum()).astype(int).tolist()
    if not any(mode.free for mode in modes):
        counts = [1] * len(modes)  # there is nothing to draw
    shared = [(mode, n) for mode, n in zip(modes, counts, strict=True) if n]
    vectors = np.concatenate([mode.draw(n) for mode, n in shared])
    logs = [mode.log_density(vectors, hyperparameters) + math.log(n / sum(counts)) for mode, n in shared]
    return vectors, weak(vectors) - np.logaddexp.reduce(logs, axis=0)


def with_spread(gp: GaussianProcess, learnt: GaussianProcess, method: Method, modes: Sequence[Mode]) -> list[Mode]:
    """Return the `modes` with what is known of the power of y's transform, if it was learnt; models are put back.

    `learnt` is over the rows learnt on, `gp` over all.  By differences of the likelihood and its gradient by λ, the
    density of λ and hyperparameters θ is normal at each optimum: the variance of λ is over θ, which leans on it.
    All get a power or, where one has no factor beside the learnt power, none: draws of all have the same elements.
    """
    transform, before = gp.spec.transform, gp.parameters.vector
    if not (isinstance(transform, BoxCox | YeoJohnson) and transform.learnt):
        return list(modes)
    assert transform.power is not None
    best = float(np.clip(transform.power, POWERS[0] + POWER_STEP, POWERS[1] - POWER_STEP))
    between = transform.likely(transform.of(gp.scope.y * gp.scope.y_scale + gp.scope.y_offset))
    models = [at_power(learnt, units_at(gp, best + step)) for step in (-POWER_STEP, 0.0, POWER_STEP)]
    found = []
    try:
        for mode in modes:
            parts = [Part(Problem(moved, method), mode.centre, mode.drawn) for moved in models]
            values, slopes = zip(*(part(mode.centre[mode.drawn]) for part in parts), strict=True)
            nats = [value + moved.log_jacobian for value, moved in zip(values, models, strict=True)]
            curvature = -(nats[0] - 2 * nats[1] + nats[2]) / POWER_STEP**2
            cross = -(slopes[2] - slopes[0]) / (2 * POWER_STEP)
            slope = -mode.root @ (mode.root.T @ cross)
            precision = max(curvature + float(cross @ slope), 1 / WIDEST**2)
            sd = float(f"{precision**-0.5:.2g}")
            rounded = np.array([float(f"{value:.3g}") for value in slope])  # as far as machines agree
            found.append(replace(mode, power=Power(transform.power, sd, rounded, between)))
    except NotPositiveDefinite:
        return list(modes)
    finally:
        gp.parameters.set(before)
    return found
