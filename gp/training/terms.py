"""Which hyperparameters belong to one term of a kernel, told by their names."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from ..parameters.vector import Learnt


def of_term(free: Sequence[Learnt], places: list[np.ndarray], parameter: Learnt) -> tuple[np.ndarray, np.ndarray]:
    """Return the places in the raw vector of the amplitude of a hyperparameter's term, and of it and its leaf.

    The amplitude is the nearest in the kernel's tree that scales all of y's covariance; it may be none, (0,).
    """
    name = leaf(parameter)
    above = [k for k, p in enumerate(free) if p.amplitude and f"{name}.".startswith(f"{leaf(p)}.")]
    nearest = max(above, key=lambda k: len(free[k].name), default=None)
    amplitude = np.zeros(0, dtype=int) if nearest is None else places[nearest]
    own = [place for p, place in zip(free, places, strict=True) if leaf(p) == name]
    return amplitude, np.union1d(amplitude, np.concatenate(own))


def exchanges(free: Sequence[Learnt], places: list[np.ndarray], vector: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the raw vector with the lengthscales and amplitudes of two terms exchanged, for each two of a size."""
    distances = [(p, place) for p, place in zip(free, places, strict=True) if p.is_distance]
    for (first, one), (second, other) in combinations(distances, 2):
        ours, theirs = (of_term(free, places, p)[0] for p in (first, second))
        if len(one) == len(other) and not np.array_equal(ours, theirs) and len(ours) == len(theirs):
            exchanged = vector.copy()
            exchanged[[*one, *ours, *other, *theirs]] = vector[[*other, *theirs, *one, *ours]]
            yield exchanged


def leaf(parameter: Learnt) -> str:
    """Return the name of the kernel in the tree that has the hyperparameter."""
    return parameter.name.rpartition(".")[0]
