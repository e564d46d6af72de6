"""How hyperparameters are learnt: `Train` is the registry.

To add one: a class here with a `kind` and `run(problem, seed) -> Search`, and its name in `Train` at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from gp.hyperparameters import Parameter, Parameters
from gp.inference.exact import NotPositiveDefinite
from gp.inference.profile import profile_of
from gp.models import GaussianProcess
from gp.quasi_newton import Peak, climb, measure_curvature, newton_gain
from gp.spec import Count, InputError, OneOf, PositiveFloat, Spec


class Problem:
    """What training maximises: raw vector → log marginal likelihood plus log prior (nats), and its gradient."""

    def __init__(self, gp: GaussianProcess, inference: Any, *, profiled: bool = False) -> None:
        self.gp, self.inference = gp, inference
        self.parameters: Parameters = gp.parameters
        self.n = gp.n
        self.evaluations = 0
        self._options = {"profile": profile_of(gp)} if profiled else {}

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective at `vector`, which the model then has.  Raises NotPositiveDefinite.

        Where it is profiled, the objective is the largest over scale and mean coefficients, and the model has those.
        """
        self.evaluations += 1
        self.parameters.set(vector)
        value, gradient = self.inference.evaluate(self.gp, **self._options)
        prior, slope = self.parameters.log_prior(vector)
        return value + prior, gradient + slope

    def subset(self, rows: np.ndarray) -> "Problem":
        """Return the same problem on some of the rows."""
        return Problem(self.gp.subset(rows), self.inference, profiled=bool(self._options))

    def settle(self, vector: np.ndarray) -> np.ndarray:
        """Return `vector` with scale and mean coefficients at their optimum, where the problem is profiled."""
        if self._options:
            self.parameters.set(vector)
            self.inference.evaluate(self.gp, gradient=False, **self._options)
            return self.parameters.vector
        return vector


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search for hyperparameters ended.

    The raw `vector`; the objective (nats) at each evaluation on all rows that led there; each start's end as (rows it
    ran on, nats); how many starts there were (one may come to no end), and how many evaluations all of it took.
    """

    vector: np.ndarray
    values: tuple[float, ...]
    ends: tuple[tuple[int, float], ...]
    starts: int
    evaluations: int


class Adam(Spec):
    """Adam (Kingma & Ba 2015) over gpytorch's raw form of the hyperparameters: a softplus, above a floor for noise."""

    kind: Literal["adam"] = "adam"
    steps: Count = 100
    learning_rate: PositiveFloat = 0.1

    def run(self, problem: Problem, seed: int) -> Search:
        """Return where `steps` steps end, on the objective per datum, as gpytorch's loss is."""
        parameters = problem.parameters
        raw = _to_softplus(parameters)
        first, second = np.zeros_like(raw), np.zeros_like(raw)
        values = []
        for step in tqdm(range(1, self.steps + 1), desc="adam", disable=None, leave=False):
            vector, slope = _from_softplus(parameters, raw)
            value, gradient = problem(vector)
            values.append(value)
            gradient = -gradient * slope / problem.n
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            size = self.learning_rate / (1 - 0.9**step)
            raw = raw - size * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        vector, _ = _from_softplus(parameters, raw)
        return Search(vector, tuple(values), (), 1, self.steps)


class Lbfgs(Spec):
    """L-BFGS-B (SciPy) over log hyperparameters, from the starts and `restarts` seeded draws around them.

    Scale and mean coefficients are profiled out.  Where there are many rows, all starts run on a seeded subset, whose
    few best ends are then climbed on twice as many rows, and so on up to all: the curvature at an end tells the next
    climb its steps, so that few evaluations are left to do on all rows.  A climb stops where a Newton step promises
    less than `tolerance` nats.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    restarts: Annotated[int, Field(ge=0)] = 4
    tolerance: PositiveFloat = 1e-3

    def run(self, problem: Problem, seed: int) -> Search:
        """Return the best end of all starts."""
        draws, rows = np.random.default_rng(seed).spawn(2)
        full = Problem(problem.gp, problem.inference, profiled=True)
        starts = [full.parameters.start, *_draws(full.parameters, self.restarts, draws)]
        first, *others = _levels(full, rows)
        peaks = self._start(first, starts)
        ends = tuple((peak.n, peak.value) for peak in peaks)
        for level in tqdm(others, desc="climb", disable=None, leave=False):
            # An end that has no factor on more rows is dropped; where none is left, these rows' own are looked for.
            peaks = [p for peak in _best(peaks) for p in self._climb(level, peak, is_last=level is full)]
            peaks = peaks or self._start(level, starts)
        if not peaks:
            full(starts[0])  # raises, and says why
        best = max(peaks, key=lambda peak: peak.value)
        evaluations = sum(level.evaluations for level in (first, *others))
        return Search(full.settle(best.vector), best.values, ends, len(starts), evaluations)

    def _start(self, problem: Problem, starts: list[np.ndarray]) -> list[Peak]:
        """Return the peaks near the starts, fewer where some come to none."""
        peaks = []
        for start in tqdm(starts, desc="lbfgs", disable=None, leave=False):
            peaks += [peak for end in _approach(problem, start) for peak in self._climb(problem, end, is_last=False)]
        return peaks

    def _climb(self, problem: Problem, start: Peak, *, is_last: bool) -> list[Peak]:
        """Return the peak near `start`; nothing where the objective fails there.

        But for the last its curvature is measured, which costs p + 1 evaluations.
        """
        scaled = problem.n / start.n * start.curvature
        bounds, values, vector = problem.parameters.bounds, start.values if start.n == problem.n else (), start.vector
        try:
            for _ in range(3):  # what updates make of a curvature drifts along curved ridges
                peak = climb(problem, vector, scaled, bounds, tolerance=self.tolerance)
                vector, values = peak.vector, (*values, *peak.values)
                if is_last:
                    break
                scaled = measure_curvature(problem, vector, central=False)
                if newton_gain(problem(vector)[1], scaled) < self.tolerance:
                    break
        except NotPositiveDefinite:
            return []
        return [replace(peak, values=values, curvature=scaled)]


def _approach(problem: Problem, start: np.ndarray) -> list[Peak]:
    """Return where L-BFGS-B comes to from `start`, near a peak; nothing where the objective fails everywhere."""
    values: list[float] = []

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, gradient = problem(vector)
        except NotPositiveDefinite:
            # Worse than all that was seen, and flat: the line search then steps back.
            return (abs(min(values)) if values else 0.0) + 1e10, np.zeros_like(vector)
        values.append(value)
        return -value, -gradient

    # SciPy's `ftol` is relative to the loss: this is a tenth of a nat, from where climbing takes over.
    options: dict[str, Any] = {"maxiter": 200, "ftol": 0.1 / (1 + abs(loss(start)[0])), "gtol": 1e-2}
    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=problem.parameters.bounds, options=options)
    if not values:
        return []
    curvature = measure_curvature(problem, end.x, central=False)
    return [Peak(end.x, -float(end.fun), tuple(values), curvature, n=problem.n)]


MANY_ROWS = 750  # above which starts are told apart on a subset
SUBSET = 250  # rows of the smallest subset, at least
KEPT = 3  # ends at most that are taken on to more rows
WITHIN = 2.0  # nats behind the best within which an end is taken on
SAME = 0.1  # nats within which two ends are one


def _levels(problem: Problem, rng: np.random.Generator) -> Iterator[Problem]:
    """Yield the problem on ever more rows, nested: SUBSET or more, twice as many, …, all."""
    rows, n = rng.permutation(problem.n), problem.n
    for size in [n >> k for k in range(n.bit_length(), 0, -1) if n >> k >= SUBSET and n > MANY_ROWS]:
        yield problem.subset(np.sort(rows[:size]))
    yield problem


def _best(peaks: list[Peak]) -> list[Peak]:
    """Return the few highest peaks, highest first, one for each height.

    Of those of one height, the one nearest to zero in its logs: a lengthscale that ran off lies on a plateau, from
    where no gradient leads back when more rows ask for it.
    """
    groups: list[list[Peak]] = []
    for peak in sorted(peaks, key=lambda peak: -peak.value):
        if groups and groups[-1][0].value - peak.value < SAME:
            groups[-1].append(peak)
        else:
            groups.append([peak])
    kept = [group for group in groups if groups[0][0].value - group[0].value < WITHIN][:KEPT]
    return [min(group, key=lambda peak: float(np.linalg.norm(peak.vector))) for group in kept]


def polish(problem: Problem, vector: np.ndarray) -> float:
    """Return the value (nats) of the optimum near `vector`."""

    curvature = measure_curvature(problem, vector)
    return climb(problem, vector, curvature, problem.parameters.bounds, tolerance=1e-3).value


def _draws(parameters: Parameters, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return seeded starts: log-normal about the positive hyperparameters' starts, a factor of e being one sd."""
    lower, upper = np.array(parameters.bounds).reshape(-1, 2).T
    positive = np.concatenate([np.full(p.size, p.positive) for p in parameters.free])
    return [np.clip(parameters.start + rng.normal(size=len(lower)) * positive, lower, upper) for _ in range(count)]


class _SoftplusForm:
    """gpytorch's own form of one hyperparameter θ: θ^power = lower + softplus(raw), or a sigmoid between two bounds."""

    def __init__(self, parameter: Parameter) -> None:
        has_lower, has_upper = parameter.bounded
        power = parameter.power
        floor = parameter.floor if parameter.positive else -np.inf
        if has_upper and not has_lower and not parameter.positive:
            raise InputError(f"{parameter.name}: adam needs a lower bound beside the upper one: give both, or neither")
        self.parameter, self.power = parameter, power
        self.lower = np.maximum(parameter.lower**power, floor) if has_lower else np.full(parameter.size, floor)
        self.upper = parameter.upper**power if has_upper else np.full(parameter.size, np.inf)

    def inverse(self, start: np.ndarray) -> np.ndarray:
        """Return gpytorch's raw value of θ = start (size,)."""
        value = start**self.power
        if (value <= self.lower).any() or (value >= self.upper).any():
            name = self.parameter.name
            seen = self.parameter.in_data_units(self.parameter.raw(start)).tolist()
            raise InputError(
                f"{name}: adam cannot start at {seen}, on or beyond a bound (a noise variance has gpytorch's floor, "
                "1e-4 in the model's units): move the start inside, or train with lbfgs"
            )
        if np.isfinite(self.upper).all():
            return np.log(value - self.lower) - np.log(self.upper - value)
        if np.isfinite(self.lower).all():
            above = value - self.lower
            return above + np.log(-np.expm1(-above))
        return value

    def forward(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return our raw value (log θ, or θ) and its derivative by gpytorch's, each (size,)."""
        sigmoid = expit(raw)
        if np.isfinite(self.upper).all():
            width = self.upper - self.lower
            value, slope = self.lower + width * sigmoid, width * sigmoid * (1 - sigmoid)
        elif np.isfinite(self.lower).all():
            value, slope = self.lower + np.logaddexp(0, raw), sigmoid
        else:
            value, slope = raw, np.ones_like(raw)
        if not self.parameter.positive:
            return value / self.parameter.reference, slope / self.parameter.reference
        return np.log(value) / self.power, slope / (self.power * value)


def _to_softplus(parameters: Parameters) -> np.ndarray:
    """Return the starts in gpytorch's raw form."""
    return np.concatenate([_SoftplusForm(p).inverse(p.start) for p in parameters.free])


def _from_softplus(parameters: Parameters, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gpytorch's raw form as our raw vector, and the derivative of the one by the other, elementwise."""
    parts = zip(parameters.free, parameters.split(raw), strict=True)
    pairs = [_SoftplusForm(parameter).forward(part) for parameter, part in parts]
    return np.concatenate([value for value, _ in pairs]), np.concatenate([slope for _, slope in pairs])


Train = Annotated[Any, OneOf(Adam, Lbfgs, default="lbfgs")]
