"""Starts of a search for hyperparameters: the objective's value is screened over the scales that the data can tell.

A likelihood has several optima, and a climb finds the one in whose basin it begins: where a lengthscale starts ten
times too long, the signal looks like noise, and no gradient leads back.  So the value alone, without its gradient, is
computed where hyperparameters say that they may lie (`Learnt.candidates`):

1. with all lengthscales moved together, from the gap between neighbouring inputs to beyond their range;
2. in few inputs, with one or two lengthscales short and the others long;
3. where a hyperparameter has a list of candidates (a periodogram's periods), with each of them at some of the first;
4. from the best of all these, along one axis after another: each input's lengthscale by itself, the amplitude of each
   term of a sum;
5. at every such point, at all levels of noise.  Where noise is one level for all rows, they take one reduction of the
   kernel matrix (gp.inference.spectrum).

The starts are the highest local maxima along these lines that differ from each other.  From the best optimum that they
lead to all axes are tried again.  Nothing is drawn at random.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from gp.inference.method import Screened
from gp.parameters.vector import Learnt
from gp.training.objective import Problem

SWEEP = 30  # points on all axes together, but for lists; axes are thinned to it
SWEPT = 2  # points from which all axes are tried: the best, and the best at another value of a list
SHORT, LONG = (0.3, 0.6), 0.9  # parts of a ladder of lengthscales
COMBINED = 64  # combinations of short lengthscales, or of lists, at most
COARSE = 4  # joint lengthscales at which lists are tried
LEVELS = 4  # of noise, where each takes an evaluation of its own
AMPLITUDES = 10.0 ** np.array([-3, -2, -1, 0, 1, 2])  # of one term beside the others', times its start
APART = float(np.log(2.5))  # distance in log θ from which two starts are two
LISTED = 0.05  # the same of what is a list of values


class Candidate(NamedTuple):
    """A raw vector (p,), and the objective there (nats)."""

    vector: np.ndarray
    value: float


@dataclass(frozen=True, eq=False)
class _Axis:
    """Elements of the raw vector that move together: their `positions` (m,) and the `values` (k, m) to try."""

    positions: np.ndarray
    values: np.ndarray
    is_list: bool = False  # of values that are no scale from short to long: each may be an optimum of its own

    def thinned(self, count: int) -> "_Axis":
        """Return `count` of the values, evenly spread, if there are more."""
        k = len(self.values)
        chosen = np.arange(k) if count >= k else ((np.arange(count) + 0.5) * k / count).astype(int)
        return _Axis(self.positions, self.values[chosen], self.is_list)


class Screening:
    """The axes of a problem's hyperparameters, and what was seen along them."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._bounds = np.array(problem.parameters.bounds).reshape(-1, 2)
        free = problem.parameters.free
        self._places = np.split(np.arange(len(self._bounds)), np.cumsum([p.size for p in free])[:-1])
        self._named = np.concatenate([np.full(p.size, p.named) for p in free])
        self._distances = [where for p, where in zip(free, self._places, strict=True) if p.is_distance and p.candidates]
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
        return self._new([*own, *_sorted(self._maxima)], count)

    def around(self, optimum: np.ndarray, count: int) -> list[np.ndarray]:
        """Return at most `count` further starts: the best local maxima along all axes through an optimum."""
        if len(self._axes) < 2:
            return []  # that line has been seen
        self._tried.append(Candidate(optimum, np.inf))
        return self._new(_sorted([found for axis in self._axes for found in self._along(optimum, axis)]), count)

    def _new(self, candidates: list[Candidate], count: int) -> list[np.ndarray]:
        """Return at most `count` of the candidates, of those that differ from all that were tried."""
        known = len(self._tried)
        self._tried = _distinct([*self._tried, *candidates])[: known + count]
        return [candidate.vector for candidate in self._tried[known:]]

    @property
    def summary(self) -> Screened:
        """Return how many points were screened, and over which ranges."""
        return Screened(len(self._seen), len(_distinct(_sorted(self._maxima))), self._ranges())

    def _noise_levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the noise level's place in the vector, and its raw values (k, 1); of shapes (0,), (1, 0) if fixed."""
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            if parameter.tensor is self._problem.gp.noise.log_sd:
                levels = _Axis(where, self._values(parameter, where))
                return where, (levels if self._problem.has_spectrum else levels.thinned(LEVELS)).values
        return np.zeros(0, dtype=int), np.zeros((1, 0))

    def _find_axes(self) -> list[_Axis]:
        """Return an axis for each lengthscale, and one for each other hyperparameter that has candidates."""
        axes, redundant = list[_Axis](), self._problem.profiles_scale and bool(len(self._noise))
        for parameter, where in zip(self._problem.parameters.free, self._places, strict=True):
            if parameter.tensor is self._problem.gp.noise.log_sd:
                continue
            if parameter.candidates is None and parameter.amplitude and redundant:
                redundant = False  # one amplitude, against the noise, is what levels of noise try
                continue
            values = self._values(parameter, where)
            if parameter.is_distance:
                axes += [_Axis(where[[j]], values[:, [j]]) for j in range(parameter.size)]
            else:
                axes.append(_Axis(where, values, is_list=parameter.candidates is not None))
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
        low, high = self._bounds[where].T
        rows = [np.clip(parameter.raw(np.broadcast_to(row, (parameter.size,))), low, high) for row in internal]
        return np.array([row for k, row in enumerate(rows) if k == 0 or np.abs(row - rows[k - 1]).max() > 1e-9])

    def _search(self, start: np.ndarray, axes: list[_Axis]) -> Candidate:
        """Look along the axes from `start`; return the best that was seen."""
        moved = {int(i) for axis in axes for i in axis.positions}
        joint = self._together([where for where in self._distances if set(where.tolist()) <= moved])
        first = [*self._along(start, _Axis(np.zeros(0, dtype=int), np.zeros((1, 0)))), *self._along(start, joint)]
        first += self._along(start, self._some_short(joint))
        others = [axis for axis in axes if axis.is_list]
        if not len(joint.values):
            first += self._along(start, _combined(others))
        for values in joint.thinned(COARSE).values if others else []:
            vector = start.copy()
            vector[joint.positions] = values
            for axis in others:
                first += self._along(vector, axis)
        apart = np.full(len(self._bounds), np.inf)
        for axis in others:
            apart[axis.positions] = LISTED
        best = Candidate(start, -np.inf)
        for end in _distinct(_sorted(first), apart)[:SWEPT]:
            for axis in axes:
                end = max([end, *self._along(end.vector, axis)], key=lambda candidate: candidate.value)
            best = max(best, end, key=lambda candidate: candidate.value)
        return best

    def _some_short(self, joint: _Axis) -> _Axis:
        """Return all choices of one or two short lengthscales among long ones, as one axis."""
        m, values = len(joint.positions), []
        pairs = [{i, j} for i in range(m) for j in range(i + 1)]
        if m > 2 and len(pairs) * len(SHORT) <= COMBINED:
            for share in SHORT:
                short, long = (joint.values[int(part * (len(joint.values) - 1))] for part in (share, LONG))
                values += [np.where([k in chosen for k in range(m)], short, long) for chosen in pairs]
        return _Axis(joint.positions, np.array(values).reshape(len(values), m), is_list=True)

    def _together(self, places: list[np.ndarray]) -> _Axis:
        """Return all lengthscales at `places` as one axis: each at the same part of its own ladder."""
        if not places:
            return _Axis(np.zeros(0, dtype=int), np.zeros((0, 0)))
        ladders = [self._values(self._problem.parameters.free[self._owner(where)], where) for where in places]
        steps = np.linspace(0, 1, max(map(len, ladders)))
        rows = [ladder[np.rint(steps * (len(ladder) - 1)).astype(int)] for ladder in ladders]
        return _Axis(np.concatenate(places), np.hstack(rows))

    def _owner(self, where: np.ndarray) -> int:
        return next(k for k, place in enumerate(self._places) if place is where)

    def _along(self, start: np.ndarray, axis: _Axis) -> list[Candidate]:
        """Return the local maxima over the axis and the noise, the other elements being those of `start`."""
        vectors = np.repeat(start[None], len(axis.values), axis=0)
        vectors[:, axis.positions] = axis.values
        table = np.array([self._look(vector) for vector in vectors]).reshape(len(vectors), len(self._levels))
        found = []
        for k, j in zip(*np.nonzero(np.isfinite(table)), strict=True):
            beside = 0 if axis.is_list else 1
            around = table[max(k - beside, 0) : k + beside + 1, max(j - 1, 0) : j + 2]
            if table[k, j] >= around.max():
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


def _combined(axes: list[_Axis]) -> _Axis:
    """Return all combinations of the axes' values as one axis; of no axes or too many combinations, none."""
    count = math.prod(len(axis.values) for axis in axes)
    if not axes or count > COMBINED:
        return _Axis(np.zeros(0, dtype=int), np.zeros((0, 0)), is_list=True)
    rows = [np.concatenate(values) for values in product(*(axis.values for axis in axes))]
    return _Axis(np.concatenate([axis.positions for axis in axes]), np.array(rows), is_list=True)


def _distinct(candidates: list[Candidate], apart: np.ndarray | float = APART) -> list[Candidate]:
    """Return the candidates but those near an earlier one: no element is `apart` or more."""
    kept, vectors = list[Candidate](), np.array([candidate.vector for candidate in candidates])
    left = np.ones(len(candidates), dtype=bool)
    for k, candidate in enumerate(candidates):
        if left[k]:
            kept.append(candidate)
            left &= (np.abs(vectors - candidate.vector) > apart).any(axis=1)
    return kept


def _sorted(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: -candidate.value)
