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

from ..parallel import one_thread
from ..parameters.candidates import Cycles
from ..parameters.vector import Learnt
from .axes import NOWHERE, STILL, Axis, Candidate, best_first, combined, crossed, some_short
from .objective import Problem
from .screen import Screen
from .terms import exchanges, leaf, of_term

SWEPT = 2  # points from which all axes are tried: the best, and the best at another value of a list
COARSE = 4  # joint lengthscales at which lists are tried
ANEW, SHARES = 6, (0.01, 0.1, 1.0)  # lengthscales of a term that begins anew, and parts of its start's amplitude
TOLD = 1e-3  # nats within which two likelihoods are one


class Screening(Screen):
    """A screen from which starts are taken."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
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

    def of_new(self, count: int) -> list[np.ndarray]:
        """Return at most `count` starts: the stated one, and the best that keep what was stated."""
        start = self._problem.parameters.start
        kept = [axis for axis in self._axes if not self._named[axis.positions].any()]
        if kept:
            self._search(start, kept)
        return self._new([Candidate(start, np.inf), *best_first(self._maxima)], count)

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
                beside = self._beside(parameter, where, vector)
                for values in beside.values:
                    begun[beside.positions] = values
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

    def _beside(self, period: Learnt, where: np.ndarray, vector: np.ndarray) -> Axis:
        """Return as an axis the periods that are left in y by the model at `vector` without the term of this cycle.

        Each comes with the lengthscale that suits it, if the kernel has one.  Noise is at its best level there.  The
        axis is empty where no covariance is known.
        """
        free, rest = self._problem.parameters.free, vector.copy()
        rest[of_term(free, self._places, period)[0]] = self._bounds[of_term(free, self._places, period)[0], 0]
        nats = self._look(rest)
        rest[self._noise] = self._levels[int(np.argmax(nats))]
        factored = self._problem.factored(rest) if np.isfinite(nats).any() else None
        if factored is None or not isinstance(period.candidates, Cycles):
            return NOWHERE
        listed = [axis.values for axis in self._axes if axis.positions is where]
        known = np.exp(np.concatenate([np.zeros((0, period.size)), *listed]))
        found, shapes = period.candidates.beside(self._problem.gp.scope, np.exp(vector[where]), known, *factored)
        axis, shape = Axis(where, self._raw(period, where, found), is_list=True), f"{leaf(period)}.lengthscale"
        for parameter, place in zip(free, self._places, strict=True):
            if parameter.name == shape and not self._named[place].any():
                axis = axis.beside(Axis(place, self._raw(parameter, place, shapes)))
        return axis

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
                beside = self._beside(*cycle, vector) if cycle else NOWHERE
                first += self._along(vector, beside if len(beside.values) else axis)
        best = Candidate(start, -np.inf)
        lists = np.concatenate([axis.positions for axis in others]) if others else np.zeros(0, dtype=int)
        for end in self._distinct(best_first(first), lists)[:SWEPT]:
            for axis in axes:
                end = max([end, *self._along(end.vector, axis)], key=lambda candidate: candidate.value)
            best = max(best, end, key=lambda candidate: candidate.value)
        return best
