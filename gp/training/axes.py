"""Axes along which a screening moves: elements of the raw vector with the values to try, and what is found there."""

import math
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

COMBINED = 64  # combinations of values at most
SHORT, LONG = (0.3, 0.6), 0.9  # parts of a ladder of lengthscales


class Candidate(NamedTuple):
    """A raw vector (p,), and the objective there (nats)."""

    vector: np.ndarray
    value: float


@dataclass(frozen=True, eq=False)
class Axis:
    """Elements of the raw vector that move together: their `positions` (m,) and the `values` (k, m) to try."""

    positions: np.ndarray
    values: np.ndarray
    is_list: bool = False  # of values that are no scale from short to long: each may be an optimum of its own

    def thinned(self, count: int) -> "Axis":
        """Return `count` of the values, evenly spread, if there are more."""
        k = len(self.values)
        chosen = np.arange(k) if count >= k else ((np.arange(count) + 0.5) * k / count).astype(int)
        return Axis(self.positions, self.values[chosen], self.is_list)

    def beside(self, other: "Axis") -> "Axis":
        """Return both as one axis, each value with that of the `other` in the same place."""
        positions = np.concatenate([self.positions, other.positions])
        return Axis(positions, np.hstack([self.values, other.values]), self.is_list)


NOWHERE = Axis(np.zeros(0, dtype=int), np.zeros((0, 0)), is_list=True)
STILL = Axis(np.zeros(0, dtype=int), np.zeros((1, 0)))  # nothing moves but the noise


def combined(axes: list[Axis]) -> Axis:
    """Return all combinations of the axes' values as one axis; of no axes or too many combinations, none."""
    count = math.prod(len(axis.values) for axis in axes)
    if not axes or count > COMBINED:
        return NOWHERE
    rows = [np.concatenate(values) for values in product(*(axis.values for axis in axes))]
    return Axis(np.concatenate([axis.positions for axis in axes]), np.array(rows), is_list=True)


def crossed(first: Axis, second: Axis) -> Axis:
    """Return all values of one axis with all of another, as one axis."""
    rows = [np.concatenate(values) for values in product(first.values, second.values)]
    positions = np.concatenate([first.positions, second.positions])
    return Axis(positions, np.array(rows).reshape(-1, len(positions)), is_list=True)


def some_short(joint: Axis) -> Axis:
    """Return all choices of one or two short lengthscales among long ones, as one axis."""
    m, values = len(joint.positions), []
    pairs = [{i, j} for i in range(m) for j in range(i + 1)]
    if m > 1 and len(pairs) * len(SHORT) <= COMBINED:
        for share in SHORT:
            short, long = (joint.values[int(part * (len(joint.values) - 1))] for part in (share, LONG))
            values += [np.where([k in chosen for k in range(m)], short, long) for chosen in pairs]
    return Axis(joint.positions, np.array(values).reshape(len(values), m), is_list=True)


def best_first(candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates by their value, highest first."""
    return sorted(candidates, key=lambda candidate: -candidate.value)
