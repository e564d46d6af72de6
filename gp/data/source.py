"""Source: what every data source is, and Baseline: what its field would predict from its rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import Spec


@dataclass(frozen=True, eq=False)
class Baseline:
    """The prediction of the standard method of a data source's field, to be scored and drawn beside the model's.

    `name` is what readers see, `facts` are what the method says of itself, which metrics.json then has too.
    """

    name: str
    posterior: Posterior
    facts: Mapping[str, int | float]


class Source(Spec):
    """Where a study's rows come from."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the inputs' names."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """Return the target's name."""
        raise NotImplementedError

    @property
    def periods(self) -> dict[str, float]:
        """Return the period of each input that is an angle."""
        return {}

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the training rows, and rows to test on: held-out observations, or where the true function is known."""
        raise NotImplementedError

    def baseline(self, train: Dataset, x: np.ndarray) -> Baseline | None:
        """Return the prediction at x (m, d) of the field's standard method fitted to `train`; None if there is none."""
        return None
