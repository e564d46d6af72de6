"""Study: everything the figures of one study draw."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import InputError


@dataclass(frozen=True, eq=False)
class Study:
    """A study's data and results; figures that need what is None do not apply.

    `prediction` is at `test`'s rows, `grid` on a dense grid (d = 1 or 2).  `trace` has columns evaluation and
    nats_per_datum (negative log marginal likelihood); `calibration` nominal and observed, of the held-out rows or,
    where no y was held out, of leave-one-out predictions.  `interval` is the probability of every band.
    """

    train: Dataset
    target: str
    test: Dataset | None = None
    prediction: Posterior | None = None
    grid: Posterior | None = None
    trace: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    interval: float = 0.95
    title: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.interval < 1:
            raise InputError(f"interval is {self.interval}: give a probability between 0 and 1 such as 0.95")
        if self.prediction is not None and (self.test is None or not np.array_equal(self.prediction.x, self.test.x)):
            raise InputError("the prediction is not at the test rows: predict at the test rows")
