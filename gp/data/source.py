"""Source, the interface of every data source, and Baseline, the prediction of its field's standard method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..new_rows import NewRows
from ..posterior import Posterior
from ..spec import Spec


@dataclass(frozen=True, eq=False)
class Baseline:
    """The prediction of the standard method of a source's field, to be scored and drawn beside the model's.

    Readers see `name`.  `facts` are results of the method itself, which are added to metrics.json.
    """

    name: str
    posterior: Posterior
    facts: Mapping[str, int | float]


class Source(Spec):
    """A source of a study's rows."""

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

    @property
    def network(self) -> dict[str, Any]:
        """Return the `nodes` of a network by name, the `receiver`, one of them, and the `senders`: input → node.

        {} where the rows are of none.
        """
        return {}

    @property
    def forecast(self) -> dict[str, int | str]:
        """Return how held-out rows are forecast from rolling origins: origins, horizon, step, along, and the season.

        {} where they are not.
        """
        return {}

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the training rows, and test rows: held-out observations, or inputs with the known true function."""
        raise NotImplementedError

    def folds(self, n: int, seed: int) -> np.ndarray | None:
        """Return the fold (n,), from 0, of each training row, if each is to be predicted by a fit to other folds."""
        return None

    def new_rows(self, train: Dataset) -> NewRows | None:
        """Return rows to predict, beside those to score; None if there are none."""
        return None

    def truth_error(self, x: np.ndarray) -> float:
        """Return the standard error of the true function, root mean square over x (m, d), in y's units: 0 if exact."""
        return 0.0

    def baseline(self, train: Dataset, x: np.ndarray) -> Baseline | None:
        """Return the prediction at x (m, d) of the field's standard method fitted to `train`; None if there is none."""
        return None
