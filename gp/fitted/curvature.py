"""The curvature of a fit's objective in its hyperparameters, auxiliary parameters being maximised out."""

from dataclasses import dataclass

import numpy as np

from ..matrices.cholesky import NotPositiveDefinite
from ..training.newton import Objective, measure_curvature
from ..training.objective import Problem
from ..training.rows import Settled

MANY = 400  # elements of the raw vector, beyond which those that are auxiliary are fixed while curvature is measured


def curvature_at(problem: Problem, vector: np.ndarray) -> np.ndarray:
    """Return −∂² of the objective by the raw vector; by its first p elements, the hyperparameters, where it is MANY.

    Where noise has parameters of each row, it is that of the largest value over these, by the hyperparameters.
    """
    p = len(problem.parameters.names)
    if problem.settles_rows:
        return measure_curvature(Settled(problem, vector), vector[:p])
    if len(vector) > MANY:
        return measure_curvature(_Held(problem, vector[p:], problem.n), vector[:p])
    return measure_curvature(problem, vector)


def of_hyperparameters(curvature: np.ndarray, p: int) -> np.ndarray:
    """Return the curvature (p, p) of the profile objective, from that of `curvature_at`.

    That is the Schur complement H_hh − H_ha H_aa⁻¹ H_ah.  Where auxiliary parameters are too many for that they are
    fixed instead, and intervals come out too narrow.
    """
    if len(curvature) == p:
        return curvature
    cross = curvature[p:, :p]
    return curvature[:p, :p] - cross.T @ np.linalg.lstsq(curvature[p:, p:], cross, rcond=None)[0]


def at_best_rows(problem: Problem, vector: np.ndarray, value: float, gradient: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the objective's `value` and `gradient` where parameters of each row, if there are any, are at their best.

    The gradient is then that by the hyperparameters.  An optimizer need not have come to the best ones.
    """
    if not problem.settles_rows:
        return value, gradient
    try:
        return Settled(problem, vector)(vector[: len(problem.parameters.names)])
    except NotPositiveDefinite:
        return value, gradient


@dataclass(eq=False)
class _Held:
    """The objective as a function of the hyperparameters alone."""

    objective: Objective
    auxiliary: np.ndarray
    n: int

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.objective(np.concatenate([vector, self.auxiliary]))
        return value, gradient[: len(vector)]
