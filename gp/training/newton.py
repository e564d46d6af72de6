"""Newton's method within a trust region: an optimum in few evaluations.

Everything is in the raw vector (logs of hyperparameters) and in nats.  `curvature` is −∂²(objective), (p, p): the
objective gives one with each evaluation (`Informed`), or it was measured before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..matrices.cholesky import NotPositiveDefinite


class Objective(Protocol):
    """What is maximised: raw vector → (nats, gradient), over `n` rows."""

    n: int

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient."""
        ...


class Informed(Objective, Protocol):
    """An objective that also gives a curvature, near to its own and without negative directions."""

    def informed(self, vector: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and curvature."""
        ...


STEP = 1.0  # first trust radius, along each direction: a quadratic is not to be trusted beyond a factor of e
LONGEST = 4.0  # largest trust radius
SMALL = 0.25  # longest step whose change of the gradient tells more about the curvature than the objective itself
FLAT = 1e-3  # curvature (nats per squared unit of log θ) below which a direction counts as flat
ROUNDING = 1e-7  # predicted gain (nats) below which values no longer tell better from worse
REFINED = 1e-15  # predicted gain (nats) at which hyperparameters are known to more than six digits
LAST_STEPS = 20  # to reach REFINED, at most
SAME = 0.1  # nats within which two ends are one
FITS = 1.5  # factor between two curvatures along a line, within which they agree
RETURNS = 2  # of elements that ran off, at most so many in a climb


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimum found by a climb: the vector, the objective there and at every evaluation, the known curvature.

    `n` is the number of rows; curvature grows in proportion to it.
    """

    vector: np.ndarray
    value: float
    values: tuple[float, ...]
    curvature: np.ndarray
    n: int


@dataclass(frozen=True, eq=False)
class _Point:
    """An evaluation, with the curvature before it is corrected."""

    vector: np.ndarray
    value: float
    gradient: np.ndarray
    curvature: np.ndarray


@dataclass(eq=False)
class _Evaluated:
    """The objective within its bounds, and the changes of its gradient, which tell its curvature."""

    objective: Objective
    bounds: np.ndarray  # (p, 2)
    given: np.ndarray | None  # curvature; None where the objective is `Informed`
    values: list[float] = field(default_factory=list)
    changes: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # (step, fall of the gradient along it)
    known: tuple[_Point, int, np.ndarray] | None = None  # the last point and number of changes, and the curvature there

    def at(self, vector: np.ndarray, before: _Point | None = None) -> _Point:
        """Evaluate, and record the change of the gradient since `before`.  Raises NotPositiveDefinite."""
        vector = np.minimum(np.maximum(vector, self.bounds[:, 0]), self.bounds[:, 1])
        if self.given is None:
            point = _Point(vector, *self.objective.informed(vector))  # type: ignore[attr-defined]
        else:
            point = _Point(vector, *self.objective(vector), self.given)
        self.values.append(point.value)
        if before is not None:
            step = point.vector - before.vector
            if self.given is not None or np.abs(step).max(initial=0.0) < SMALL:
                self.changes.append((step, before.gradient - point.gradient))
        return point

    def curvature(self, point: _Point) -> np.ndarray:
        """Return the curvature at `point`, corrected by BFGS updates."""
        if self.known and self.known[0] is point and self.known[1] == len(self.changes):
            return self.known[2]
        curvature = point.curvature
        for step, fall in self.changes:
            curvature = _updated(curvature, step, fall)
        self.known = point, len(self.changes), curvature
        return curvature

    def step(self, point: _Point, radius: float, flat: float = 0.0) -> tuple[np.ndarray, float]:
        """Return the Newton step, without elements held at a bound, and its predicted gain (nats)."""
        free, curvature = ~at_active_bound(point.vector, point.gradient, self.bounds), self.curvature(point)
        if free.all():
            step = newton_step(point.gradient, curvature, radius, ignored=flat)
        else:
            step = np.zeros_like(point.vector)
            step[free] = newton_step(point.gradient[free], curvature[np.ix_(free, free)], radius, ignored=flat)
        return step, 0.5 * float(point.gradient @ step)

    def optimum(self, point: _Point) -> Optimum:
        """Return `point` as the optimum."""
        return Optimum(point.vector, point.value, tuple(self.values), self.curvature(point), self.objective.n)


def climb(
    objective: Objective,
    start: np.ndarray,
    curvature: np.ndarray | None,
    bounds: list[tuple[float, float]],
    *,
    tolerance: float,
    flat: float = 0.0,
    max_steps: int = 100,
    known: Sequence[Optimum] = (),
) -> Optimum:
    """Return the optimum near `start`: stops where a step would gain less than `tolerance` nats.

    It also stops on its way to one of the `known` optima, and returns that one, with the values that it saw itself.

    `curvature` is that at `start`; None where the objective is `Informed`.  Steps are H⁻¹g within a trust radius, which
    shrinks if a step gains less than predicted; no step goes along a direction whose curvature is less than `flat`.
    Raises NotPositiveDefinite only if the covariance at `start` has no factor.
    """
    evaluated = _Evaluated(objective, np.array(bounds).reshape(-1, 2), curvature)
    here, radius, longest = evaluated.at(start), STEP, LONGEST if curvature is None else STEP
    returns = RETURNS if curvature is None else 0
    for _ in range(max_steps):
        step, gain = evaluated.step(here, radius, flat)
        if returns and not flat:
            back, more = _return(here, evaluated.bounds)
            if more > tolerance:
                step, gain, returns = np.where(back == 0, step, back), gain + more, returns - 1
        if gain < tolerance:
            break
        for optimum in known:
            if _leads_to(optimum, here, step, gain):
                return replace(optimum, values=tuple(evaluated.values))
        try:
            ahead = evaluated.at(here.vector + step, here)
        except NotPositiveDefinite:
            radius *= 0.1
            continue
        gained, longest_step = ahead.value - here.value, float(np.abs(step).max())
        if gain < ROUNDING:  # values differ by rounding, gradients by more
            if evaluated.step(ahead, radius, flat)[1] > gain:
                break
            here = ahead
            continue
        if gained < 0.1 * gain:
            radius = 0.25 * longest_step
        elif gained > 0.5 * gain and longest_step > 0.9 * radius:
            radius = min(2 * radius, longest)
        if gained > 0:
            here = ahead
    return evaluated.optimum(here)


def refine(
    objective: Objective, start: np.ndarray, curvature: np.ndarray | None, bounds: list[tuple[float, float]]
) -> Optimum:
    """Return the optimum a few thousandths of a nat above `start`, to six digits of what the data determine."""
    return climb(objective, start, curvature, bounds, tolerance=REFINED, flat=FLAT, max_steps=LAST_STEPS)


def _leads_to(optimum: Optimum, here: _Point, step: np.ndarray, gain: float) -> bool:
    """Return whether a climb is on its way to a known optimum: it lands there, or the straight line there is uphill.

    A step lands where the optimum's own quadratic falls by less than SAME nats, and where it promises no more than the
    optimum has.  A line is uphill where value and slope here, and value and curvature at the optimum, are those of one
    polynomial that rises all the way: of the cubic with these values and slopes, the slope here is at most three times
    the mean one (Fritsch & Carlson 1980), and the curvature at its end is the optimum's, but for a factor of FITS.
    """
    gap, way = optimum.value - here.value, optimum.vector - here.vector
    if gap < gain - SAME:
        return False
    missed = way - step
    if 0.5 * float(missed @ optimum.curvature @ missed) < SAME:
        return True
    slope, curved = float(here.gradient @ way), float(way @ optimum.curvature @ way)
    of_cubic = 6 * gap - 2 * slope
    return 0 < slope <= 3 * gap and of_cubic / FITS < curved < FITS * of_cubic


def _return(point: _Point, bounds: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a step for elements that ran off to where they are flat, zero for others, and the gain that it predicts.

    With w = ℓ^−2 of a lengthscale, gradient and curvature by log ℓ vanish like w and w²: Newton's step δ in log ℓ is
    far too long, but that in w is right, and moves log ℓ by ½ log(1 + 2|δ|).
    """
    own = np.diagonal(point.curvature)
    moves = (own > 0) & (own < FLAT) & (np.abs(point.gradient) > own)
    if not moves.any():
        return np.zeros_like(point.gradient), 0.0
    moves &= ~at_active_bound(point.vector, point.gradient, bounds)
    newton = np.zeros_like(point.gradient)
    newton[moves] = point.gradient[moves] / own[moves]
    return 0.5 * np.sign(newton) * np.log1p(2 * np.abs(newton)), 0.5 * float(point.gradient @ newton)


def newton_step(
    gradient: np.ndarray, curvature: np.ndarray, radius: float = STEP, *, ignored: float = 0.0
) -> np.ndarray:
    """Return H⁻¹g with the absolute eigenvalues of H, and a length of at most `radius` along each eigenvector.

    Directions whose curvature is below `ignored` are left out.
    """
    if not len(gradient):
        return gradient
    values, directions = np.linalg.eigh(curvature)
    sizes = np.abs(values)
    lengths = np.where(sizes < ignored, 0.0, (directions.T @ gradient) / np.maximum(sizes, FLAT))
    # Clipped one by one: a flat direction must not shorten the step along the others.
    return directions @ np.minimum(np.maximum(lengths, -radius), radius)


def newton_gain(gradient: np.ndarray, curvature: np.ndarray) -> float:
    """Return the predicted gain of a Newton step, nats."""
    return 0.5 * float(gradient @ newton_step(gradient, curvature))


def at_active_bound(vector: np.ndarray, gradient: np.ndarray, bounds: ArrayLike) -> np.ndarray:
    """Return for each element whether it is at a bound and the gradient points outwards."""
    lower, upper = np.asarray(bounds).reshape(-1, 2).T
    return ((vector <= lower + 1e-9) & (gradient <= 0)) | ((vector >= upper - 1e-9) & (gradient >= 0))


def measure_curvature(objective: Objective, vector: np.ndarray, *, central: bool = True) -> np.ndarray:
    """Return −∂²(objective) at `vector`, (p, p), by differences of the gradient: 2p evaluations `central`, else p + 1.

    Where a neighbour has no value (the matrix there has no factor), the difference is that on its other side; an
    element neither of whose neighbours has one counts as flat.
    """
    step = 2e-3 if central else 1e-4  # balances truncation against the rounding of gradients
    here, rows = None if central else _try(objective, vector), []
    for shift in step * np.eye(len(vector)):
        ahead, behind = _try(objective, vector + shift), here or _try(objective, vector - shift)
        width = step if here else 2 * step
        if np.isfinite(ahead[0]) != np.isfinite(behind[0]):
            middle, width = here or _try(objective, vector), step
            if np.isfinite(ahead[0]):
                behind = middle
            else:
                ahead, behind = middle, _try(objective, vector - shift) if here else behind
        known = np.isfinite(ahead[0]) and np.isfinite(behind[0])
        rows.append((behind[1] - ahead[1]) / width if known else np.zeros_like(vector))
    curvature = np.array(rows).reshape(len(vector), len(vector))
    return 0.5 * (curvature + curvature.T)


def fine_curvature(objective: Objective, vector: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return −∂²(objective) at `vector`, (p, p), by differences of fourth order with `steps` (p,): 4p evaluations.

    They allow steps so long that a gradient's rounding tells in the eighth digit only.  Where one of them has no value,
    it is that of `measure_curvature`.
    """
    rows = []
    for step, shift in zip(steps.tolist(), np.diag(steps), strict=True):
        values, gradients = zip(*(_try(objective, vector + k * shift) for k in (-2, -1, 1, 2)), strict=True)
        if not np.isfinite(values).all():
            return measure_curvature(objective, vector)
        rows.append(-(gradients[0] - 8 * gradients[1] + 8 * gradients[2] - gradients[3]) / (12 * step))
    curvature = np.array(rows).reshape(len(vector), len(vector))
    return 0.5 * (curvature + curvature.T)


def _try(objective: Objective, vector: np.ndarray) -> tuple[float, np.ndarray]:
    try:
        return objective(vector)
    except NotPositiveDefinite:
        return -np.inf, np.zeros_like(vector)


def _updated(curvature: np.ndarray, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return the BFGS update of H, for a `step` along which the gradient fell by `fall`."""
    along = curvature @ step
    fell, curved = float(step @ fall), float(step @ along)
    if fell <= 1e-10 * math.sqrt(float(step @ step) * float(fall @ fall)) or curved <= 0:
        return curvature
    return curvature + (fall / fell)[:, None] * fall - (along / curved)[:, None] * along
