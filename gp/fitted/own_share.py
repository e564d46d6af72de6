"""Leave-one-out where noise has parameters of each row: what the other rows' learnt from a row is taken back.

Formulas for left-out rows take the noise of the others as known, though it was learnt with the row among them: noise
beside an outlier is large because of it.  Here that noise is settled again without the row, hyperparameters being kept.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..forecast import Forecast
from ..inference.method import Conditioned, Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..training import Problem
from ..training.rows import Settled

WORK = 6e9  # n³ for each row settled without another; 280 rows are all settled, of 500 those that pull most, 48
FILTERED = 50_000  # n for each, where inference takes a time that grows as n: 50 of 1000 rows


@dataclass(frozen=True, eq=False)
class OwnShare:
    """By how much each row's own share moves its left-out mean, and the factor on the sd: (n,) each, internal units.

    Where rows have none, (1,) each: 0 and 1.
    """

    shift: np.ndarray
    ratio: np.ndarray

    def removed(self, left_out: Forecast) -> Forecast:
        """Return the forecast of left-out rows, by formulas at each of some draws, without their own share."""
        return Forecast(left_out.means + self.shift, left_out.sds * self.ratio, left_out.weights)


def own_share(gp: GaussianProcess, method: Method) -> OwnShare:
    """Return each row's own share at the model's hyperparameters; none where noise learns nothing for each row.

    Of many rows the share is taken of those whose targets pull most at their own noise; others keep the formula.
    """
    if not gp.spec.noise.by_row:
        return OwnShare(np.zeros(1), np.ones(1))
    vector = gp.parameters.vector
    mean, sd = method.condition(gp).leave_one_out()
    if method.is_dense:
        pull, count = np.abs(method.evaluate_by_noise(gp).slope), int(WORK / gp.n**3)
    else:
        pull, count = np.abs(((gp.observed - mean) / sd) ** 2 - 1), int(FILTERED / gp.n)
    shift, ratio = np.zeros(gp.n), np.ones(gp.n)
    most = np.argsort(-pull, kind="stable")[:count]
    for row in tqdm(most.tolist(), desc="leave out", disable=None, leave=False, delay=1.0):
        here = slice(row, row + 1)
        try:
            others = _without(gp, method, row)
        except NotPositiveDefinite:
            continue
        moments, noise = others.moments(gp.sites[here]), others.gp.noise_variance(gp.x[here])
        shift[row] = moments.mean[0] - mean[row]
        ratio[row] = np.sqrt(moments.variance[0] + noise[0]) / sd[row]
    gp.parameters.set(vector)
    return OwnShare(shift, ratio)


def _without(gp: GaussianProcess, method: Method, row: int) -> Conditioned:
    """Return the model conditioned on the other rows, their noise settled.  Raises NotPositiveDefinite."""
    if not method.is_dense:  # then it settles noise itself
        return method.condition(method.restrict(gp, np.delete(np.arange(gp.n), row)))
    others = gp.without(row)
    settled = Settled(Problem(others, method), others.parameters.vector)
    others.parameters.set(settled.full(gp.parameters.vector[: settled.p]))
    return method.condition(others)
