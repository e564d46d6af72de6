"""How much of the variance each term of a sum of kernels explains."""

import numpy as np

from ..inference.method import Conditioned
from ..model.model import GaussianProcess

ROWS = 300  # at which terms are predicted, at most
PLACES = 4  # decimal places: of a term that explains nothing, rounding decides the digits


def shares(gp: GaussianProcess, conditioned: Conditioned) -> dict[str, float]:
    """Return the variance of each term's posterior mean over the training rows, over that of what is modelled of y.

    At the learnt hyperparameters.  The shares need not add up to one less that of the noise, as terms covary.  Of many
    rows some are used, always the same.  {} where the kernel is no sum.
    """
    if not gp.terms:
        return {}
    # Random instead of every k-th row, because rows may be periodic.
    rows = np.sort(np.random.default_rng(0).choice(gp.n, min(gp.n, ROWS), replace=False))
    found = conditioned.moments(gp.x[rows]).terms
    whole = float(np.var(gp.scope.y[rows])) or 1.0
    return {name: round(float(np.var(mean)) / whole, PLACES) for name, (mean, _) in found.items()}
