"""Where climbs ended: the distinct optima, and those that are worth taking on to more rows."""

import numpy as np

from .newton import SAME, Optimum

KEPT = 3  # ends at most that are taken on to more rows
WITHIN = 2.0  # nats behind the best within which an end is taken on


def few_best(optima: list[Optimum]) -> list[Optimum]:
    """Return the few best optima, best first, one for each value.

    Of those of one value, the one nearest to zero in its logs: a lengthscale that ran off lies on a plateau, from
    where no gradient leads back when more rows ask for it.
    """
    groups = _groups(optima)
    kept = [group for group in groups if groups[0][0].value - group[0].value < WITHIN][:KEPT]
    return [min(group, key=lambda optimum: float(np.linalg.norm(optimum.vector))) for group in kept]


def distinct(optima: list[Optimum]) -> list[Optimum]:
    """Return the best optimum of each value, best first."""
    return [group[0] for group in _groups(optima)]


def _groups(optima: list[Optimum]) -> list[list[Optimum]]:
    """Return the optima in groups of (nearly) equal value, best first."""
    groups: list[list[Optimum]] = []
    for optimum in sorted(optima, key=lambda optimum: -optimum.value):
        if groups and groups[-1][0].value - optimum.value < SAME:
            groups[-1].append(optimum)
        else:
            groups.append([optimum])
    return groups
