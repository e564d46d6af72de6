"""How much of the variance each term of a sum of kernels explains."""

import numpy as np

from ..inference.centred import covariances
from ..inference.method import Conditioned
from ..model.model import GaussianProcess
from .draws import weighted_quantiles
from .mixture import Mixture

ROWS = 300  # at which terms are predicted, at most
DRAWN = 100  # at which they are drawn, at most
SAMPLES = 8  # of the terms at each draw of the hyperparameters
PLACES = 4  # decimal places: of a term that explains nothing, rounding decides the digits


def shares(gp: GaussianProcess, conditioned: Conditioned) -> dict[str, float]:
    """Return the variance of each term's posterior mean over the training rows, over that of what is modelled of y.

    At the learnt hyperparameters.  The shares need not add up to one less that of the noise, as terms covary.  Of many
    rows some are used, always the same.  {} where the kernel is no sum.
    """
    if not gp.terms:
        return {}
    rows = _rows(gp.n, ROWS)
    found = conditioned.moments(gp.x[rows]).terms
    whole = float(np.var(gp.scope.y[rows])) or 1.0
    return {name: round(float(np.var(mean)) / whole, PLACES) for name, (mean, _) in found.items()}


def share_intervals(mixture: Mixture) -> dict[str, dict[str, float]]:
    """Return the `lower` and `upper` end of the 95 % interval of each term's share.

    Terms are drawn at some rows, SAMPLES times for each draw of the hyperparameters.
    """
    rng, drawn = np.random.default_rng(0), dict[str, list[np.ndarray]]()
    for s, each in enumerate(mixture.conditioned("shares")):
        gp = mixture.model(s)
        rows = _rows(gp.n, DRAWN)
        x, whole = gp.x[rows], float(np.var(gp.scope.y[rows])) or 1.0
        spreads = covariances(each, x)
        for name, (mean, _) in each.moments(x).terms.items():
            functions = np.tile(mean, (SAMPLES, 1))
            if name in spreads:
                sizes, directions = np.linalg.eigh(spreads[name])
                # The symmetric root, which does not depend on how directions are chosen.
                functions += (
                    rng.standard_normal(functions.shape) @ directions * np.sqrt(sizes.clip(min=0.0))
                ) @ directions.T
            drawn.setdefault(name, []).append(functions.var(axis=1) / whole)
    weights, found = np.repeat(mixture.weights[:, 0] / SAMPLES, SAMPLES), {}
    for name, values in drawn.items():
        lower, upper = weighted_quantiles(np.concatenate(values), weights)
        found[name] = {"lower": round(lower, PLACES), "upper": round(upper, PLACES)}
    return found


def _rows(n: int, most: int) -> np.ndarray:
    """Return some of n rows: random instead of every k-th one, because rows may be periodic."""
    return np.sort(np.random.default_rng(0).choice(n, min(n, most), replace=False))
