"""95 % intervals of hyperparameters by the likelihood ratio: where the others' best is little worse than the optimum.

A value t of one hyperparameter is inside where 2 (ℓ(θ̂) − max ℓ(t, others)) is below the square of Student's 97.5 %
quantile, of as many degrees of freedom as there are rows less mean coefficients  (Wilks 1938; that quantile instead of
the normal's, 1.96, widens it where rows are few).  ℓ has the mean coefficients integrated out (gp.inference.flat_mean)
and the user's priors.  An interval so follows ridges and plateaus of the likelihood, which a curvature does not see.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from tqdm import tqdm

from ..matrices.cholesky import NotPositiveDefinite
from ..training import Problem
from ..training.newton import climb
from .laplace import Mode, Part

CLOSE = 0.04  # of the root of twice the nats that an end is behind: two hundredths of half an interval
STEPS = 12  # to an end, at most
WITHIN = 0.01  # nats of the others' best
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


@dataclass(eq=False)
class _Side:
    """The way from an optimum along one place, which ends where the root of twice the nats lost is the `target`."""

    problem: Problem
    mode: Mode
    place: int
    target: float

    def end(self, sign: float) -> float:
        """Return where the interval ends on the side of `sign`."""
        centre = float(self.mode.vector[self.place])
        low, high = self.problem.parameters.bounds[self.place]
        furthest = high - centre if sign > 0 else centre - low
        at = list(self.mode.drawn).index(self.place)
        others, curvature = np.delete(self.mode.drawn, at), self.mode.curvature
        rest = np.delete(np.delete(curvature, at, 0), at, 1)
        # How the others' best moves with this one, near the optimum.
        slope = -np.linalg.lstsq(rest, np.delete(curvature[at], at), rcond=1e-9)[0] if len(others) else np.zeros(0)
        se = float(np.linalg.norm(self.mode.root[at]))
        inside, best, lost, outside = 0.0, self.mode.vector[others], 0.0, math.inf
        lost_outside, way = math.inf, min(self.target * se, FURTHER, furthest)
        for _ in range(STEPS):
            try:
                start = best + sign * (way - inside) * slope
                ahead, here = self._lost(others, start, rest, centre + sign * way)
            except NotPositiveDefinite:
                here = math.inf
            if abs(here - self.target) < CLOSE or (here < self.target and way == furthest):
                inside = way
                break
            if here < self.target:
                inside, best, lost = way, ahead, here
            else:
                outside, lost_outside = way, here
            way = min(self._next(inside, lost, outside, lost_outside), furthest)
        return centre + sign * float(f"{inside:.3g}")

    def _next(self, inside: float, lost: float, outside: float, lost_outside: float) -> float:
        """Return where to look next: the root is near to linear in the way."""
        if math.isinf(outside):
            return inside * min(max(1.05 * self.target / max(lost, 1e-9), 1.2), 3.0)
        if math.isinf(lost_outside):
            return 0.5 * (inside + outside)
        share = (self.target - lost) / (lost_outside - lost)
        return inside + min(max(share, 0.1), 0.9) * (outside - inside)

    def _lost(
        self, others: np.ndarray, start: np.ndarray, curvature: np.ndarray, value: float
    ) -> tuple[np.ndarray, float]:
        """Return the others' best where this place has the `value`, and the root of twice the nats lost there."""
        vector = self.mode.vector.copy()
        vector[self.place] = value
        bounds = np.array(self.problem.parameters.bounds).reshape(-1, 2)[others]
        part = Part(self.problem, vector, others)
        start = np.clip(start, *bounds.T)
        best = climb(part, start, curvature, [*map(tuple, bounds)], tolerance=WITHIN)
        return best.vector, math.sqrt(max(0.0, 2 * (self.mode.nats - best.value)))
