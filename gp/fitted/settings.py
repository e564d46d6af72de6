"""A model conditioned on its rows at the one setting of its hyperparameters that was learnt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..inference.flat_mean import integrable, with_flat_mean
from ..inference.method import Conditioned, Method
from ..model.model import GaussianProcess
from .uncertainty import FlatMean, Treatment


@dataclass(frozen=True, eq=False)
class AtEstimate:
    """A model with its mean coefficients integrated out, which is at their estimate while it is asked.

    `vector` is its raw vector with that estimate.
    """

    gp: GaussianProcess
    conditioned: Conditioned
    vector: np.ndarray

    @classmethod
    def of(cls, gp: GaussianProcess, conditioned: Conditioned) -> "AtEstimate":
        """Return what follows for `gp`, `conditioned` at its learnt coefficients; it is put back to these."""
        before = gp.parameters.vector
        try:
            found = with_flat_mean(conditioned)
            return cls(gp, found, gp.parameters.vector)
        finally:
            gp.parameters.set(before)

    def __iter__(self) -> Iterator[Conditioned]:
        """Yield the conditioned model, and put the model back to what it was."""
        before = self.gp.parameters.vector
        try:
            self.gp.parameters.set(self.vector)
            yield self.conditioned
        finally:
            self.gp.parameters.set(before)


def as_learnt(
    gp: GaussianProcess, method: Method, conditioned: Conditioned, treatment: Treatment
) -> Iterable[Conditioned]:
    """Return the model at what was learnt, its mean coefficients integrated out where the `treatment` says so.

    Where none can be, or the method has no form for it, they are plugged in.
    """
    if isinstance(treatment, FlatMean) and method.flattens and len(integrable(gp)):
        return AtEstimate.of(gp, conditioned)
    return [conditioned]
