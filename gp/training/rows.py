"""The objective where noise has parameters of each row: its largest value over these, given the hyperparameters.

A bound that needs parameters of each row (gp.model.noise) hardly depends on most of their combinations.  A search over
all of them moves along ridges, and ends somewhere else on each machine.  Given the hyperparameters, though, a few
Newton steps reach the optimum to the last digits, as they are well conditioned.  By the
envelope theorem the gradient there is that of the objective with the rows' parameters held.
"""

import numpy as np
import torch

from ..inference.method import ByNoise
from ..matrices.cholesky import NotPositiveDefinite
from .objective import Problem

STEPS = 60  # at most; two or three are enough near the optimum of neighbouring hyperparameters
REACHED = 1e-5  # step behind which the next would be of the size of rounding: each squares the one before
SAME_NOISE = 0.01  # by which the logs of rows' variances differ at most, where noise is the same for all rows
LEAST, DAMPED = 0.25, 4.0  # the first damping of a step that gains nothing, and the factor to the next
ROUNDING = 1e-10  # by which equal values may differ, relative to their size


class Settled(Problem):
    """Raw vector of the hyperparameters (p,) → (nats, gradient), the rows' parameters being at their optimum.

    `rows` are their raw values (n,) at the latest evaluation, from where the next starts.
    """

    def __init__(self, problem: Problem, vector: np.ndarray) -> None:
        """Take the rows' parameters from the raw `vector` of `problem`."""
        super().__init__(problem.gp, problem.inference)
        self.parameters = problem.parameters.without_auxiliary
        self.p = sum(parameter.size for parameter in self.parameters.free)
        self.rows = vector[self.p :]

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective at `vector`, and set the model to it.  Raises NotPositiveDefinite.

        That is raised where the rows' parameters come to no optimum, too.
        """
        self.rows = self._optimum(vector)
        self.gp.parameters.set(np.concatenate([vector, self.rows]))
        self.evaluations += 1
        value, gradient = self.inference.evaluate(self.gp)
        prior, slope = self.parameters.log_prior(vector)
        return value + prior, gradient[: len(vector)] + slope

    def full(self, vector: np.ndarray) -> np.ndarray:
        """Return the raw vector of hyperparameters and rows, these at their optimum."""
        self.rows = self._optimum(vector)
        return np.concatenate([vector, self.rows])

    def _optimum(self, vector: np.ndarray) -> np.ndarray:
        """Return the rows' parameters where the bound is largest, from where they are.

        Where a Newton step gains nothing, far from the optimum, it is damped until it does.
        """
        rows, here, damping = self.rows, self._look(vector, self.rows), 0.0
        for _ in range(STEPS):
            if here is None:
                break
            self.gp.parameters.set(np.concatenate([vector, rows]))
            ahead = self.gp.noise.newton(here.slope, here.curvature, damping)
            if damping == 0 and np.abs(ahead - rows).max() < REACHED:
                return ahead
            found = self._look(vector, ahead)
            if found and found.value >= here.value - ROUNDING * (1 + abs(here.value)):
                rows, here = ahead, found
                damping = damping / DAMPED if damping > DAMPED * LEAST else 0.0
            else:
                damping = max(DAMPED * damping, LEAST)
        raise NotPositiveDefinite("the parameters of the noise of each row have no optimum nearby")

    def _look(self, vector: np.ndarray, rows: np.ndarray) -> ByNoise | None:
        """Return the bound with these `rows`, and its derivatives; None without a factor, or where they overflow."""
        self.evaluations += 1
        self.gp.parameters.set(np.concatenate([vector, rows]))
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found = self.inference.evaluate_by_noise(self.gp)
        except NotPositiveDefinite:
            return None
        return found if np.isfinite(found.curvature).all() else None


def begun_anew(problem: Problem, vector: np.ndarray) -> np.ndarray | None:
    """Return the raw `vector` with how noise differs between rows back at its start; None where it does differ.

    A climb that loses that, as it finds the function last, ends on a plateau: noise is then the same for all rows, and
    no gradient leads back.  The level of the noise stays.
    """
    if not problem.settles_rows:
        return None
    gp, start = problem.gp, problem.parameters.start
    gp.parameters.set(vector)
    with torch.no_grad():
        variance = gp.training_noise()[0].numpy()
    if np.ptp(np.log(variance)) > SAME_NOISE:
        return None
    anew, kept = vector.copy(), gp.noise.log_sd
    for tensor in gp.noise.parameters():
        if tensor is not kept and tensor in gp.parameters.places:
            place = gp.parameters.places[tensor]
            anew[place] = start[place]
    return anew
