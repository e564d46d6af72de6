"""How much of y is noise: as it was learnt, and as new observations are predicted with."""

from typing import NamedTuple

import numpy as np

from ..inference.method import Conditioned
from ..model.model import GaussianProcess


class FoundNoise(NamedTuple):
    """The share of y's variance over the training rows that is noise, the rest being the posterior mean's.

    And the sd of new observations' noise, in y's units (a transform's, where there is one), where it is not as learnt.
    """

    share: float
    sd_of_new: float | None

    @classmethod
    def of(cls, gp: GaussianProcess, conditioned: Conditioned) -> "FoundNoise":
        """Return what is found of the model `gp`, `conditioned` at its hyperparameters."""
        noise, explained = conditioned.gp.noise_variance(gp.x), np.var(conditioned.training_mean())
        new, learnt = noise[0], gp.noise_variance(gp.x[:1])[0]
        is_less = conditioned.gp.noise.one_level and new < learnt
        share = learnt if is_less else noise.mean()
        return cls(float(share / (share + explained)), float(np.sqrt(new)) * gp.scope.y_scale if is_less else None)
