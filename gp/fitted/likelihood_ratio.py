"""95 % intervals of hyperparameters by the likelihood ratio: where the others' best is little worse than the optimum.

A value t of one hyperparameter is inside where 2 (ℓ(θ̂) − max ℓ(t, others)) is below the square of Student's 97.5 %
quantile, of as many degrees of freedom as there are rows less mean coefficients  (Wilks 1938; that quantile instead of
the normal's, 1.96, widens it where rows are few).  ℓ has the mean coefficients integrated out (gp.inference.flat_mean)
and the user's priors.  An interval so follows ridges and plateaus of the likelihood, which a curvature does not see.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit
from tqdm import tqdm

from ..matrices.cholesky import NotPositiveDefinite
from ..training import Problem
from ..training.newton import climb
from .laplace import Mode, Part
from .limits import CLOSE as AT_BOUND

CLOSE = 0.04  # of the root of twice the nats that an end is behind: two hundredths of half an interval
STEPS = 12  # to an end, at most
WITHIN = 0.01  # nats of the others' best
UNKNOWN = 1.0  # curvature by the log of a hyperparameter, below which the data say little of it
FURTHER = 3.0  # units of the raw vector that the first step goes at most; a factor of 20


def intervals(problem: Problem, modes: Sequence[Mode], coefficients: int) -> dict[int, tuple[float, float]]:
    """Return lower and upper end in the raw vector by place; where the data do not bound it, that of the search.

    `coefficients` is how many of the mean are integrated out.  What is at a bound of the search has no interval.
    """
    quantile = float(stdtrit(max(problem.gp.total - coefficients, 1), 0.975))
    found: dict[int, tuple[float, float]] = {}
    for place in tqdm(modes[0].drawn.tolist(), desc="intervals", disable=None, leave=False, delay=1.0):
        ends = []
        for mode in modes:  # the interval holds those of optima that are nearly as good
            behind = 2 * (modes[0].nats - mode.nats)
            if behind < quantile**2 and place in mode.drawn:
                side = _Side(problem, mode, place, math.sqrt(quantile**2 - behind))
                ends += [side.end(-1.0), side.end(1.0)]
        found[place] = min(ends), max(ends)
    return found


class _Arm(NamedTuple):
    """What is climbed beside one place: the `others` (k,), their curvature (k, k), and how their best moves with it."""

    others: np.ndarray
    curvature: np.ndarray
    slope: np.ndarray


class _Inside(NamedTuple):
    """How far from the optimum, the others' best there, and the root of twice the nats lost."""

    way: float
    best: np.ndarray
    lost: float


@dataclass(eq=False)
class _Side:
    """The way from an optimum along one place, which ends where the root of twice the nats lost is the `target`."""

    problem: Problem
    mode: Mode
    place: int
    target: float

    def end(self, sign: float) -> float:
        """Return where the interval ends on the side of `sign`."""
        at = list(self.mode.drawn).index(self.place)
        others, curvature = np.delete(self.mode.drawn, at), self.mode.curvature
        rest = np.delete(np.delete(curvature, at, 0), at, 1)
        # How the others' best moves with this one, near the optimum.
        slope = -np.linalg.lstsq(rest, np.delete(curvature[at], at), rcond=1e-9)[0] if len(others) else np.zeros(0)
        se = float(np.linalg.norm(self.mode.root[at]))
        first = _Arm(others, rest, sign * slope)
        inside = self._follow(sign, first, _Inside(0.0, self.mode.vector[others], 0.0), min(self.target * se, FURTHER))
        if anew := self._anew(sign, inside):
            arm, here = anew
            inside = self._follow(sign, arm, here, self._next(inside, here.lost, math.inf, math.inf))
        return float(self.mode.vector[self.place]) + sign * float(f"{inside:.3g}")

    def _follow(self, sign: float, arm: "_Arm", here: "_Inside", way: float) -> float:
        """Return how far along the `arm` the interval reaches, from `here`, with a first step to `way`."""
        centre = float(self.mode.vector[self.place])
        low, high = self.problem.parameters.bounds[self.place]
        furthest = high - centre if sign > 0 else centre - low
        outside, lost_outside, way = math.inf, math.inf, min(way, furthest)
        for _ in range(STEPS):
            try:
                start = here.best + (way - here.way) * arm.slope
                best, lost = self._lost(arm, start, centre + sign * way)
            except NotPositiveDefinite:
                best, lost = here.best, math.inf
            if abs(lost - self.target) < CLOSE or (lost < self.target and way == furthest):
                return way
            if lost < self.target:
                here = _Inside(way, best, lost)
            else:
                outside, lost_outside = way, lost
            way = min(self._next(here.way, here.lost, outside, lost_outside), furthest)
        return here.way

    def _anew(self, sign: float, inside: float) -> "tuple[_Arm, _Inside] | None":
        """Return what goes on `inside` an end with what is unknown at the optimum begun anew; None where nothing does.

        At a bound or far along a plateau, as where a term vanished, the likelihood is flat: no climb comes back.
        """
        parameters, vector = self.problem.parameters, self.mode.vector.copy()
        low, high = np.array(parameters.bounds).reshape(-1, 2).T
        at_bound = np.flatnonzero((vector <= low + AT_BOUND) | (vector >= high - AT_BOUND))
        unknown = np.union1d(at_bound, self.mode.drawn[np.diagonal(self.mode.curvature) < UNKNOWN])
        others = np.setdiff1d(np.union1d(self.mode.drawn, unknown), [self.place])
        value = float(vector[self.place]) + sign * inside
        is_at_end = not low[self.place] + AT_BOUND < value < high[self.place] - AT_BOUND
        if is_at_end or not np.isin(others, unknown).any():
            return None
        vector[unknown] = parameters.start[unknown]
        vector[self.place] = value
        known = np.setdiff1d(others, unknown)
        rest, at = np.eye(len(others)), np.searchsorted(self.mode.drawn, known)
        rest[np.ix_(np.isin(others, known), np.isin(others, known))] = self.mode.curvature[np.ix_(at, at)]
        arm = _Arm(others, rest, np.zeros(len(others)))
        try:
            best, lost = self._lost(arm, vector[others], value)
        except NotPositiveDefinite:
            return None
        return (arm, _Inside(inside, best, lost)) if lost < self.target - CLOSE else None

    def _next(self, inside: float, lost: float, outside: float, lost_outside: float) -> float:
        """Return where to look next: the root is near to linear in the way."""
        if math.isinf(outside):
            return inside * min(max(1.05 * self.target / max(lost, 1e-9), 1.2), 3.0)
        if math.isinf(lost_outside):
            return 0.5 * (inside + outside)
        share = (self.target - lost) / (lost_outside - lost)
        return inside + min(max(share, 0.1), 0.9) * (outside - inside)

    def _lost(self, arm: "_Arm", start: np.ndarray, value: float) -> tuple[np.ndarray, float]:
        """Return the others' best where this place has the `value`, and the root of twice the nats lost there."""
        vector = self.mode.vector.copy()
        vector[self.place] = value
        bounds = np.array(self.problem.parameters.bounds).reshape(-1, 2)[arm.others]
        part = Part(self.problem, vector, arm.others)
        start = np.clip(start, *bounds.T)
        best = climb(part, start, arm.curvature, [*map(tuple, bounds)], tolerance=WITHIN)
        return best.vector, math.sqrt(max(0.0, 2 * (self.mode.nats - best.value)))
