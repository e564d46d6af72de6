"""Starts of a search for hyperparameters: the objective's value is screened over the scales that the data can tell.

A likelihood has several optima, and a climb finds the one in whose basin it begins: where a lengthscale starts ten
times too long, the signal looks like noise, and no gradient leads back.  So the value alone, without its gradient, is
computed where hyperparameters say that they may lie (`Learnt.candidates`):

1. with all lengthscales moved together, from the gap between neighbouring inputs to beyond their range;
2. in few inputs, with one or two lengthscales short and the others long;
3. where a hyperparameter has a list of candidates, with each of them at some of the first; for a period these are
   the periodogram's peaks in the metric of what the rest of the model explains there (generalised least squares);
4. from the best of all these, along one axis after another: each input's lengthscale by itself, the amplitude of each
   term of a sum;
5. at every such point, at all levels of noise.  Where noise is one level for all rows, they take one reduction of the
   kernel matrix (gp.inference.spectrum).

The starts are the highest local maxima along these lines that differ from each other.  From the best optimum that they
lead to all axes are tried again, each term of a sum begins anew beside the rest, and two exchange what they explain.
Nothing is drawn at random.
"""

import numpy as np

from gp.inference.method import Screened
from gp.parallel import one_thread
from gp.parameters.candidates import Cycles
from gp.parameters.vector import Learnt
from gp.training.axes import STILL, Axis, Candidate, best_first, combined, crossed, some_short
from gp.training.objective import Problem
from gp.training.terms import exchanges, of_term

SWEEP = 30  # points on all axes together, but for lists; axes are thinned to it
SWEPT = 2  # points from which all axes are tried: the best, and the best at another value of a list
COARSE = 4  # joint lengthscales at which lists are tried
LEVELS = 4  # of noise, where each takes an evaluation of its own
AMPLITUDES = 10.0 ** np.array([-3, -2, -1, 0, 1, 2])  # of one term beside the others', times its start
APART = float(np.log(2.5))  # distance in log θ from which two starts are two
ANEW, SHARES = 6, (0.01, 0.1, 1.0)  # lengthscales of a term that begins anew, and parts of its start's amplitude
TOLD = 1e-3  # nats within which two likelihoods are one
CYCLES = 0.5  # the same of periods: cycles over the range of x


class Screening:
    """The axes of a problem's hyperparameters, and what was seen along them."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._bounds = np.array(problem.parameters.bounds).reshape(-1, 2)
        free = problem.parameters.free
        self._places = np.split(np.arange(len(self._bounds)), np.cumsum([p.size for p in free])[:-1])
        self._named = np.concatenate([np.full(p.size, p.named) for p in free])
        self._distances = [where for p, where in zip(free, self._places, strict=True) if p.is_distance and p.candidates]
        self._periods = np.concatenate([np.full(p.size, isinstance(p.candidates, Cycles)) for p in free])
        self._extent = float(np.ptp(problem.gp.scope.x, axis=0).max(initial=0.0))
        self._noise, self._levels = self._noise_levels()
        self._axes = self._find_axes()
        self._seen: dict[bytes, np.ndarray] = {}  # vector but for its noise → nats at each level of noise
        self._maxima: list[Candidate] = []
        self._tried: list[Candidate] = []  # starts that were returned, and optima that were looked around

    def starts(self, count: int) -> list[np.ndarray]:
        """Return at most `count` starts, best first.

        Where the user stated starts, the first is the stated one as it is, and the second the best that keeps what was
        stated; the others move all.
        """
        start, own = self._problem.parameters.start, []
        if self._named.any():
            kept = [axis for axis in self._axes if not self._named[axis.positions].any()]
            own = [Candidate(start, np.inf), self._search(start, kept)]
        self._search(start, self._axes)
        return self._new([*own, *best_first(self._maxima)], count)

    def around(self, optimum: np.ndarray, value: float, count: int) -> list[np.ndarray]:
        """Return at most 2 `count` further starts: the best local maxima along all axes through an optimum.

        Half are of terms begun anew, if any; one above the optimum's own `value` (nats) however near it is to others.
        """
        if len(self._axes) < 2:
            return []  # that line has been seen
        self._tried.append(Candidate(optimum, np.inf))
        anew = list[Candidate]()
        if self._problem.inference.is_dense:  # elsewhere each point takes as many evaluations as there are levels
            with one_thread():
                anew = best_first(self._begun_anew(optimum, value))
        above = [candidate for candidate in anew if candidate.value > value][:count]
        beside = [found for axis in self._axes for found in self._along(optimum, axis)]
        joint = self._together(self._distances)
        if any(not np.isin(axis.positions, joint.positions).all() for axis in self._axes):
            beside += self._along(optimum, some_short(joint))  # now that the other terms are known
        self._tried += above
        return [
            *(candidate.vector for candidate in above),
            *self._new(anew, count - len(above)),
            *self._new(best_first(beside), count),
        ]

    def _begun_anew(self, optimum: np.ndarray, value: float) -> list[Candidate]:
        """Return local maxima where one term begins anew, or two exchange what they explain; the rest is an optimum's.

        A cycle begins at the periods that the rest leaves in y, another term of a sum at all lengthscales, each with
        several amplitudes.
        """
        found, vector = list[Candidate](), self._problem.maximise_profiled(optimum)
        free, bounds, noise = self._problem.parameters.free, self._bounds.T, self._problem.gp.noise.log_sd
        terms = sum(p.amplitude > 0 and p.tensor is not noise for p in free)
        for parameter, where in zip(free, self._places, strict=True):
            amplitude, own = of_term(free, self._places, parameter)
            begun, shape = vector.copy(), np.setdiff1d(own, where)
            begun[own] = self._problem.parameters.start[own]
            if isinstance(parameter.candidates, Cycles):
                axes = [axis for axis in self._axes if np.isin(axis.positions, shape).all()]
                for period in self._beside(parameter, where, vector):
                    begun[where] = period
                    best = best_first(self._along(begun, STILL))[:1]
                    for axis in axes if best else []:
                        best = best_first([*best, *self._along(best[0].vector, axis)])[:1]
                    found += best
            elif parameter.is_distance and parameter.candidates and terms > 1:
                shares = np.clip(begun[amplitude] + np.log(SHARES)[:, None], *bounds[:, amplitude])
                found += self._along(begun, crossed(self._together([where]).thinned(ANEW), Axis(amplitude, shares)))
        for exchanged in exchanges(free, self._places, vector):
            nats = self._problem.at_levels(exchanged, self._noise, exchanged[self._noise][None])[0]
            if abs(nats - value) > TOLD:  # or both are of one kernel, and only their names differ
                found += self._along(np.clip(exchanged, *bounds), STILL)
        return found

    def _beside(self, parameter: Learnt, where: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Return raw periods (k, size) that are left in y by the model at `vector` without the term of this cycle.

        Noise is at its best level there.  (0, size) where no covariance is known.
        """
        rest, amplitude = vector.copy(), of_term(self._problem.parameters.free, self._places, parameter)[0]
        rest[amplitude] = self._bounds[amplitude, 0]
        nats = self._look(rest)
        rest[self._noise] = self._levels[int(np.argmax(nats))]
        factored = self._problem.factored(rest) if np.isfinite(nats).any() else None
        if factored is None or not isinstance(parameter.candidates, Cycles):
            return np.zeros((0, parameter.size))
        listed = [axis.values for axis in self._axes if axis.positions is where]
        known = np.exp(np.concatenate([np.zeros((0, parameter.size)), *listed]))
        found = parameter.candidates.beside(self._problem.gp.scope, np.exp(vector[where]), known, *factored)
        return self._raw(parameter, where, found)

    def _cycle(self, axis: Axis) -> tuple[Learnt, np.ndarray] | None:
        """Return the period that moves along an axis, and its place; None: there is none."""
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            if where is axis.positions and isinstance(parameter.candidates, Cycles):
                return parameter, where
        return None

    def _new(self, candidates: list[Candidate], count: int) -> list[np.ndarray]:
        """Return at most `count` of the candidates, of those that differ from all that were tried."""
        known = len(self._tried)
        self._tried = self._distinct([*self._tried, *candidates])[: known + count]
        return [candidate.vector for candidate in self._tried[known:]]

    @property
    def summary(self) -> Screened:
        """Return how many points were screened, and over which ranges."""
        return Screened(len(self._seen), len(self._distinct(best_first(self._maxima))), self._ranges())

    def _noise_levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the noise level's place in the vector, and its raw values (k, 1); of shapes (0,), (1, 0) if fixed."""
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            if parameter.tensor is self._problem.gp.noise.log_sd:
                levels = Axis(where, self._values(parameter, where))
                return where, (levels if self._problem.has_spectrum else levels.thinned(LEVELS)).values
        return np.zeros(0, dtype=int), np.zeros((1, 0))

    def _find_axes(self) -> list[Axis]:
        """Return an axis for each lengthscale, and one for each other hyperparameter that has candidates."""
        axes, redundant = list[Axis](), self._problem.profiles_scale and bool(len(self._noise))
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            if parameter.tensor is self._problem.gp.noise.log_sd:
                continue
            if parameter.candidates is None and parameter.amplitude and redundant:
                redundant = False  # one amplitude, against the noise, is what levels of noise try
                continue
            values = self._values(parameter, where)
            if parameter.is_distance:
                axes += [Axis(where[[j]], values[:, [j]]) for j in range(parameter.size)]
            else:
                axes.append(Axis(where, values, is_list=parameter.candidates is not None))
        axes = [axis for axis in axes if len(axis.values) > 1]
        if len(axes) > SWEEP:
            return []
        total = sum(len(axis.values) for axis in axes if not axis.is_list)
        part = min(1.0, SWEEP / max(total, 1))
        return [axis if axis.is_list else axis.thinned(max(2, int(part * len(axis.values)))) for axis in axes]

    def _values(self, parameter: Learnt, where: np.ndarray) -> np.ndarray:
        """Return the raw values (k, size) to try, within bounds; (0, size) where there are none but the start."""
        if parameter.candidates is not None:
            internal = parameter.candidates(self._problem.gp.scope)
        elif parameter.amplitude:
            internal = parameter.start * AMPLITUDES[:, None] ** parameter.amplitude
        else:
            return np.zeros((0, parameter.size))
        return self._raw(parameter, where, internal)

    def _raw(self, parameter: Learnt, where: np.ndarray, internal: np.ndarray) -> np.ndarray:
        """Return internal values (k, size or 1) as raw ones within bounds, without repeats in a row."""
        low, high = self._bounds[where].T
        rows = [np.clip(parameter.raw(np.broadcast_to(row, (parameter.size,))), low, high) for row in internal]
        return np.array([row for k, row in enumerate(rows) if k == 0 or np.abs(row - rows[k - 1]).max() > 1e-9])

    def _search(self, start: np.ndarray, axes: list[Axis]) -> Candidate:
        """Look along the axes from `start`; return the best that was seen."""
        moved = {int(i) for axis in axes for i in axis.positions}
        joint = self._together([where for where in self._distances if set(where.tolist()) <= moved])
        first = [*self._along(start, STILL), *self._along(start, joint)]
        first += self._along(start, some_short(joint))
        others = [axis for axis in axes if axis.is_list]
        if not len(joint.values):
            first += self._along(start, combined(others))
        for values in joint.thinned(COARSE).values if others else []:
            vector = start.copy()
            vector[joint.positions] = values
            for axis in others:
                cycle = self._cycle(axis)
                found = self._beside(*cycle, vector) if cycle else axis.values
                first += self._along(vector, Axis(axis.positions, found if len(found) else axis.values, is_list=True))
        best = Candidate(start, -np.inf)
        lists = np.concatenate([axis.positions for axis in others]) if others else np.zeros(0, dtype=int)
        for end in self._distinct(best_first(first), lists)[:SWEPT]:
            for axis in axes:
                end = max([end, *self._along(end.vector, axis)], key=lambda candidate: candidate.value)
            best = max(best, end, key=lambda candidate: candidate.value)
        return best

    def _together(self, places: list[np.ndarray]) -> Axis:
        """Return all lengthscales at `places` as one axis: each at the same part of its own ladder."""
        if not places:
            return Axis(np.zeros(0, dtype=int), np.zeros((0, 0)))
        ladders = [self._values(self._problem.parameters.free[self._owner(where)], where) for where in places]
        steps = np.linspace(0, 1, max(map(len, ladders)))
        rows = [ladder[np.rint(steps * (len(ladder) - 1)).astype(int)] for ladder in ladders]
        return Axis(np.concatenate(places), np.hstack(rows))

    def _owner(self, where: np.ndarray) -> int:
        return next(k for k, place in enumerate(self._places) if place is where)

    def _along(self, start: np.ndarray, axis: Axis) -> list[Candidate]:
        """Return the local maxima over the axis and the noise, the other elements being those of `start`."""
        if not len(axis.values):
            return []
        vectors = np.repeat(start[None], len(axis.values), axis=0)
        vectors[:, axis.positions] = axis.values
        with one_thread():
            table = np.array([self._look(vector) for vector in vectors]).reshape(len(vectors), len(self._levels))
        beside, found = 0 if axis.is_list else 1, []
        padded = np.pad(table, ((beside, beside), (1, 1)), constant_values=-np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, (1 + 2 * beside, 3)).max(axis=(2, 3))
        for k, j in zip(*np.nonzero(np.isfinite(table) & (table >= around)), strict=True):
            vector = vectors[k].copy()
            vector[self._noise] = self._levels[j]
            found.append(Candidate(vector, float(table[k, j])))
        self._maxima += found
        return found

    def _look(self, vector: np.ndarray) -> np.ndarray:
        """Return the objective at `vector` with each level of noise, (levels,)."""
        shape = vector.copy()
        shape[self._noise] = 0.0
        key = shape.tobytes()
        if key not in self._seen:
            self._seen[key] = self._problem.at_levels(vector, self._noise, self._levels)
        return self._seen[key]

    def _distinct(self, candidates: list[Candidate], among: np.ndarray | None = None) -> list[Candidate]:
        """Return the candidates but those near an earlier one in all elements `among` which they may differ; None: all.

        Two periods differ by half a cycle over the range of x, other hyperparameters by a factor.
        """
        if not candidates:  # nowhere had the covariance a factor
            return []
        kept, places = list[Candidate](), np.array([candidate.vector for candidate in candidates]) / APART
        places[:, self._periods] = self._extent / np.exp(APART * places[:, self._periods]) / CYCLES
        places = places if among is None else places[:, among]
        left = np.ones(len(candidates), dtype=bool)
        for k, candidate in enumerate(candidates):
            if left[k]:
                kept.append(candidate)
                left &= (np.abs(places - places[k]) > 1).any(axis=1)
        return kept

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """Return the least and largest value tried of each hyperparameter by name, in the data's units."""
        if not self._seen:
            return {}
        seen = np.array([np.frombuffer(key) for key in self._seen])
        ranges = dict[str, tuple[float, float]]()
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            values = self._levels if parameter.tensor is self._problem.gp.noise.log_sd else seen[:, where]
            if not parameter.auxiliary and np.ptp(values, axis=0).any():
                ends = [parameter.in_data_units(values.min(axis=0)), parameter.in_data_units(values.max(axis=0))]
                ranges |= {
                    name: (float(low), float(high)) for name, low, high in zip(parameter.names, *ends, strict=True)
                }
        return ranges
