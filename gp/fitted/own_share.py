"""Leave-one-out where noise has parameters of each row: what the other rows' learnt from a row is taken back.

Formulas for left-out rows take the noise of the others as known, though it was learnt with the row among them: noise
beside an outlier is large because of it.  Here that noise is settled again without the row, hyperparameters being kept.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..forecast import Forecast
from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..training import Problem
from ..training.rows import Settled

WORK = 6e9  # n³ for each row settled without another; 280 rows are all settled, of 500 those that pull most, 48


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
    if not (gp.noise.by_row and method.is_dense):
        return OwnShare(np.zeros(1), np.ones(1))
    vector = gp.parameters.vector
    mean, sd = method.condition(gp).leave_one_out()
    pull = np.abs(method.evaluate_by_noise(gp).slope)
    shift, ratio = np.zeros(gp.n), np.ones(gp.n)
    most = np.argsort(-pull, kind="stable")[: int(WORK / gp.n**3)]
    for row in tqdm(most.tolist(), desc="leave out", disable=None, leave=False, delay=1.0):
        others, here = gp.without(row), slice(row, row + 1)
        settled = Settled(Problem(others, method), others.parameters.vector)
        try:
            others.parameters.set(settled.full(vector[: settled.p]))
            moments = method.condition(others).moments(gp.sites[here])
        except NotPositiveDefinite:
            continue
        shift[row] = moments.mean[0] - mean[row]
        ratio[row] = np.sqrt(moments.variance[0] + others.noise_variance(gp.x[here])[0]) / sd[row]
    gp.parameters.set(vector)
    return OwnShare(shift, ratio)
