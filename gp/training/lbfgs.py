"""A search for hyperparameters: the best of many candidates are climbed, over ever more rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from tqdm import tqdm

from ..inference.method import Search
from ..inference.orderings import neighbourhoods_first
from ..matrices.cholesky import NotPositiveDefinite
from ..parallel import MANY_ROWS as THREADED
from ..parallel import fan_out, one_thread
from ..parameters.scope import spread
from ..spec import Fault, PositiveFloat, Spec
from .ends import distinct, few_best
from .newton import SAME, Optimum, climb, measure_curvature, newton_gain, refine
from .objective import Problem
from .rows import Settled, begun_anew
from .starts import Screening


class Lbfgs(Spec):
    """A search over log hyperparameters, from the best of many candidates (gp.training.starts).

    Up to `restarts` + 1 candidates that differ are climbed, where the user stated starts the stated one first; then a
    few more around the best optimum, as long as they lead to a better one.  With `restarts` 0 nothing is screened: the
    one climb begins at the stated or default start.

    Scale and mean coefficients are profiled out.  A climb takes Newton steps (gp.training.newton) by the average
    information, where the inference method gives it.  Elsewhere L-BFGS-B comes near, and Newton steps with the
    curvature measured there go on; where there are parameters of each row, L-BFGS-B goes all the way.  A climb stops
    where a step would gain less than `tolerance` nats; up to 1000 rows, the best end is then brought to six digits.

    Where there are many rows, all starts run on a seeded subset, whose few best ends are then climbed on twice as many
    rows, and so on up to all, so that few evaluations are left to do on all rows.

    Starts that would take long run side by side (gp.parallel).
    """

    kind: Literal["lbfgs"] = "lbfgs"
    restarts: Annotated[int, Field(ge=0)] = 9
    tolerance: PositiveFloat = 1e-3

    def run(self, problem: Problem, seed: int) -> Search:
        """Return the best end of all starts."""
        full = Problem(problem.gp, problem.inference, profiled=True)
        first, *others = _levels(full, seed)
        screening = Screening(first) if self.restarts else None
        starts = screening.starts(self.restarts + 1) if screening else []
        starts = starts or [full.parameters.start]
        levels, optima = [first], self._start(first, starts)
        if screening and not first.has_auxiliary:
            further, found = self._look_around(first, screening, optima)
            starts, optima = [*starts, *further], [*optima, *found]
        if optima and (anew := begun_anew(first, max(optima, key=lambda optimum: optimum.value).vector)) is not None:
            starts, optima = [*starts, anew], [*optima, *self._near(first, anew)]
        ends = tuple((first.gp.total, optimum.value) for optimum in optima)
        for level in tqdm(others, desc="climb", disable=None, leave=False):
            # An end that has no factor on more rows is dropped; where none is left, these rows' own are looked for.
            optima = [end for optimum in few_best(optima) for end in self._climb(level, optimum, is_last=level is full)]
            optima = optima or self._start(level, starts)
            levels.append(level)
        if not optima:
            _refuse(full)
        # Of ends that differ by rounding alone (terms of a sum, exchanged) the one found first: a stated start's.
        highest = max(optimum.value for optimum in optima)
        best = next(optimum for optimum in optima if optimum.value > highest - self.tolerance)
        apart = _all_refined(full, [best, *distinct(optima)[1:]])
        evaluations = sum(level.evaluations for level in levels)
        pairs = tuple((optimum.value, full.maximise_profiled(optimum.vector)) for optimum in apart)
        screened = screening.summary if screening else None
        return Search(pairs[0][1], apart[0].values, ends, len(starts), evaluations, optima=pairs, screened=screened)

    def _look_around(
        self, problem: Problem, screening: Screening, optima: list[Optimum]
    ) -> tuple[list[np.ndarray], list[Optimum]]:
        """Return further starts and their optima: from around the best optimum, as long as that finds a better one."""
        starts, found = list[np.ndarray](), list[Optimum]()
        if not optima:
            return starts, found
        best = max(optima, key=lambda optimum: optimum.value)
        for _ in range(LOOKS):
            more = screening.around(best.vector, best.value, FURTHER)
            ends = self._start(problem, more, known=distinct([*optima, *found]))
            starts, found = [*starts, *more], [*found, *ends]
            better = max([best, *ends], key=lambda optimum: optimum.value)
            if better.value < best.value + SAME:
                break
            best = better
        return starts, found

    def _start(self, problem: Problem, starts: list[np.ndarray], known: Sequence[Optimum] = ()) -> list[Optimum]:
        """Return the optima near the starts, in their order, fewer where some come to none.

        A climb stops on its way to one of the `known` optima or to that of the first start; others would not be known
        to a worker.  Those that would take long go on to workers: a clock may say so, as it changes no result.
        """
        optima, done, began = list[Optimum](), 0, perf_counter()
        for start in tqdm(starts, desc="lbfgs", disable=None, leave=False):
            # The first always runs here: workers are sent what the method keeps from its first evaluation.
            optima += self._near(problem, start, known)
            if not done:
                known = [*known, *optima]
            done += 1
            to_come = (perf_counter() - began) / done * (len(starts) - done)
            if to_come > LONG and problem.n < THREADED:
                break
        return optima + self._side_by_side(problem, starts[done:], known)

    def _side_by_side(self, problem: Problem, starts: list[np.ndarray], known: Sequence[Optimum]) -> list[Optimum]:
        """Return the optima near the starts, in their order, as `problem` itself would come to them and count."""
        if not starts:
            return []
        before = problem.evaluations
        found = fan_out(self._counted, [(problem, start, known) for start in starts], label="lbfgs")
        problem.evaluations = before + sum(evaluations for _, evaluations in found)
        return [optimum for optima, _ in found for optimum in optima]

    def _counted(self, problem: Problem, start: np.ndarray, known: Sequence[Optimum]) -> tuple[list[Optimum], int]:
        """Return the optimum near `start`, if any, and how many evaluations it took."""
        before = problem.evaluations
        return self._near(problem, start, known), problem.evaluations - before

    def _near(self, problem: Problem, start: np.ndarray, known: Sequence[Optimum] = ()) -> list[Optimum]:
        """Return the optimum near `start`; nothing where it comes to none."""
        with one_thread():  # as a worker has
            if problem.settles_rows:
                return self._near_settled(problem, problem.maximise_profiled(start))
            if problem.has_auxiliary:
                return _approach(problem, start, within=self.tolerance)
            if problem.is_informed:
                return self._climb_informed(problem, start, known=known)
            near = _approach(problem, start, within=0.1)  # nats, from where climbing takes over
            return [optimum for end in near for optimum in self._climb(problem, end, is_last=False)]

    def _near_settled(self, problem: Problem, start: np.ndarray) -> list[Optimum]:
        """Return the optimum near `start`, found in the hyperparameters alone; its curvature is that in these."""
        settled = Settled(problem, start)
        try:
            ends = self._near(settled, start[: settled.p])
            return [replace(end, vector=settled.full(end.vector)) for end in ends]
        finally:
            problem.evaluations += settled.evaluations

    def _climb(self, problem: Problem, start: Optimum, *, is_last: bool) -> list[Optimum]:
        """Return the optimum near `start`; nothing where the objective fails there.

        But for the last its curvature is measured, which costs p + 1 evaluations, unless the objective gives it.
        """
        if problem.is_informed:
            return self._climb_informed(problem, start.vector, start.values if start.n == problem.n else ())
        scaled = problem.n / start.n * start.curvature
        bounds, values, vector = problem.parameters.bounds, start.values if start.n == problem.n else (), start.vector
        try:
            for _ in range(3):  # what updates make of a curvature drifts along curved ridges
                optimum = climb(problem, vector, scaled, bounds, tolerance=self.tolerance)
                vector, values = optimum.vector, (*values, *optimum.values)
                if is_last:
                    break
                scaled = measure_curvature(problem, vector, central=False)
                if newton_gain(problem(vector)[1], scaled) < self.tolerance:
                    break
        except NotPositiveDefinite:
            return []
        return [replace(optimum, values=values, curvature=scaled)]

    def _climb_informed(
        self, problem: Problem, start: np.ndarray, before: tuple[float, ...] = (), known: Sequence[Optimum] = ()
    ) -> list[Optimum]:
        """Return the optimum near `start`, its values after those `before`; nothing where `start` has none."""
        try:
            optimum = climb(problem, start, None, problem.parameters.bounds, tolerance=self.tolerance, known=known)
        except NotPositiveDefinite:
            return []
        return [replace(optimum, values=(*before, *optimum.values))]


def _refuse(problem: Problem) -> None:
    """Raise NotPositiveDefinite: as an evaluation at the start does, or because all climbs ended without a factor."""
    problem(problem.parameters.start)
    raise NotPositiveDefinite(
        Fault(
            "",
            "every climb came to hyperparameters at which nothing can be computed, as where noise vanishes",
            "give noise.sd a `lower`, or take noise of kind gaussian",
        )
    )


def _approach(problem: Problem, start: np.ndarray, *, within: float) -> list[Optimum]:
    """Return where L-BFGS-B comes to from `start`, until a step gains less than `within` nats.

    Nothing where the objective fails everywhere.  Curvature is measured unless auxiliary parameters make it too large.
    """
    values: list[float] = []
    if not len(start):
        value, _ = problem(start)
        return [Optimum(start, value, (value,), np.zeros((0, 0)), n=problem.n)]

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, gradient = problem(vector)
        except NotPositiveDefinite:
            # Worse than all that was seen, and flat: the line search then steps back.
            return (abs(min(values)) if values else 0.0) + 1e10, np.zeros_like(vector)
        values.append(value)
        return -value, -gradient

    # SciPy's `ftol` is relative to the loss.
    options: dict[str, Any] = {"maxiter": 200, "ftol": within / (1 + abs(loss(start)[0])), "gtol": 1e-2}
    if problem.has_auxiliary:  # nothing climbs on from here: go all the way
        options |= {"maxiter": 2000, "maxfun": 4000, "maxcor": 100, "ftol": 0.1 * options["ftol"], "gtol": 1e-4}
    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=problem.parameters.bounds, options=options)
    if not values:
        return []
    unknown = np.zeros((0, 0))
    curvature = unknown if problem.has_auxiliary else measure_curvature(problem, end.x, central=False)
    return [Optimum(end.x, -float(end.fun), tuple(values), curvature, n=problem.n)]


LONG = 10.0  # seconds of starts to come, from which workers pay: each takes about 3 to begin
MANY_ROWS = 750  # above which starts are told apart on a subset
SUBSET = 250  # rows of the smallest subset, at least
LOOKS, FURTHER = 3, 4  # times that starts are looked for around the best optimum, and of each how many
REFINED_ROWS = 1000  # up to which an end is brought to six digits, and not only to `tolerance`
REFINED, BEHIND = 3, 5.0  # ends at most, and nats behind the best within which they are: predictions may use them


def _levels(problem: Problem, seed: int) -> Iterator[Problem]:
    """Yield the problem on ever more rows, nested: SUBSET or more, twice as many, …, all.

    Half of the rows come with their neighbours, so that a short lengthscale is seen.
    """
    n, method = problem.n, problem.inference
    sizes = [n >> k for k in range(n.bit_length(), 0, -1) if n >> k >= SUBSET and n > MANY_ROWS]
    if sizes and method.grows and not problem.gp.noise.by_row:
        x = problem.gp.scope.x
        rows = neighbourhoods_first(x / spread(x), seed)
        for size in sizes:
            yield problem.subset(np.sort(rows[:size]))
    yield problem


def _all_refined(problem: Problem, optima: list[Optimum]) -> list[Optimum]:
    """Return the distinct optima, best first, those that predictions may use at the end of their climbs."""
    count = 1 if problem.has_auxiliary else REFINED
    close = [optimum for optimum in optima[:count] if optimum.value > optima[0].value - BEHIND]
    best, *refined = [_refined(problem, optimum) for optimum in close]
    # What came to the best one on the last steps, terms exchanged perhaps, is no other.
    others = [optimum for optimum in refined if abs(optimum.value - best.value) >= SAME]
    return distinct([best, *others, *optima[len(close) :]])


def _refined(problem: Problem, optimum: Optimum) -> Optimum:
    """Return the optimum at the end of a climb to all the digits that matter, where evaluations are cheap."""
    if (problem.n > REFINED_ROWS and problem.inference.grows) or (problem.has_auxiliary and not problem.settles_rows):
        return optimum
    if problem.settles_rows:
        settled = Settled(problem, optimum.vector)
        end = refine(settled, optimum.vector[: settled.p], optimum.curvature, settled.parameters.bounds)
        end = replace(end, vector=settled.full(end.vector))
        problem.evaluations += settled.evaluations
    else:
        curvature = None if problem.is_informed else optimum.curvature
        end = refine(problem, optimum.vector, curvature, problem.parameters.bounds)
    return max(optimum, replace(end, values=(*optimum.values, *end.values)), key=lambda end: end.value)


def polish(problem: Problem, vector: np.ndarray, curvature: np.ndarray) -> float:
    """Return the value (nats) of the optimum near `vector`, where the `curvature` is known (unless auxiliary)."""
    if problem.settles_rows:
        settled = Settled(problem, vector)
        return polish(settled, vector[: settled.p], curvature)
    if problem.has_auxiliary:
        return max((optimum.value for optimum in _approach(problem, vector, within=1e-3)), default=-np.inf)
    optimum = climb(problem, vector, curvature, problem.parameters.bounds, tolerance=1e-3)
    return refine(problem, optimum.vector, optimum.curvature, problem.parameters.bounds).value
