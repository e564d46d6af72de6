"""Study: everything the figures of one study draw."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import Fault, InputError


@dataclass(frozen=True, eq=False)
class Study:
    """A study's data and results; figures that need what is None do not apply.

    `prediction` is at `test`'s rows, `grid` on a dense grid (d = 1 or 2).  `trace` has columns evaluation and
    nats_per_datum (negative log marginal likelihood); `calibration` nominal and observed, of the held-out rows or,
    where no y was held out, of leave-one-out predictions.  `slices` are lines along each input (gp.grid.slices),
    `baseline` another prediction at `test`'s rows.  Inputs that are angles have `periods`.  `hyperparameters` are by
    name, in the data's units, `intervals` their 95 % intervals, {lower, upper}.  `interval` is the probability of every
    band.
    """

    train: Dataset
    target: str
    test: Dataset | None = None
    prediction: Posterior | None = None
    grid: Posterior | None = None
    trace: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    slices: Posterior | None = None
    baseline: Posterior | None = None
    periods: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    interval: float = 0.95
    title: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.interval < 1:
            raise InputError(
                Fault("", f"interval is {self.interval}", "give a probability between 0 and 1 such as 0.95")
            )
        if self.prediction is not None and (self.test is None or not np.array_equal(self.prediction.x, self.test.x)):
            raise InputError(Fault("", "the prediction is not at the test rows", "predict at the test rows"))
