"""A screen: the objective's value along the axes of its hyperparameters, and the local maxima seen there."""

import numpy as np

from ..inference.method import Screened
from ..parallel import one_thread
from ..parameters.candidates import Cycles
from ..parameters.vector import Learnt
from .axes import NOWHERE, Axis, Candidate, best_first
from .objective import Problem

SWEEP = 30  # points on all axes together, but for lists; axes are thinned to it
LEVELS = 4  # of noise, where each takes an evaluation of its own
AMPLITUDES = 10.0 ** np.array([-3, -2, -1, 0, 1, 2])  # of one term beside the others', times its start
APART = float(np.log(2.5))  # distance in log θ from which two starts are two
CYCLES = 0.5  # the same of periods: cycles over the range of x


class Screen:
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
        """Return the raw values (k, size) to try, within bounds, without repeats; (0, size): none but the start."""
        if parameter.candidates is not None:
            internal = parameter.candidates(self._problem.gp.scope)
        elif parameter.amplitude:
            internal = parameter.start * AMPLITUDES[:, None] ** parameter.amplitude
        else:
            return np.zeros((0, parameter.size))
        rows = self._raw(parameter, where, internal)
        return np.array([row for k, row in enumerate(rows) if k == 0 or np.abs(row - rows[k - 1]).max() > 1e-9])

    def _raw(self, parameter: Learnt, where: np.ndarray, internal: np.ndarray) -> np.ndarray:
        """Return internal values (k, size or 1) as raw ones within bounds."""
        low, high = self._bounds[where].T
        return np.array(
            [np.clip(parameter.raw(np.broadcast_to(row, (parameter.size,))), low, high) for row in internal]
        )

    def _together(self, places: list[np.ndarray]) -> Axis:
        """Return all lengthscales at `places` as one axis: each at the same part of its own ladder."""
        if not places:
            return NOWHERE
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
