"""How much of the variance each term of a sum of kernels explains.

A term's share is the variance of its function over the training rows, as these are observed (a row may be a mean along
a step), over that of what is modelled of y.  Beside a mean with coefficients, what these can explain is the mean's,
and no term's: a line beside `mean: linear` (gp.inference.centred).  Shares need not add up to one less that of the
noise, as terms covary.  Of many rows some are used, always the same.
"""

from typing import Any

import numpy as np

from ..inference.centred import apart_from_mean, of_rows
from ..inference.method import Conditioned
from ..model.model import GaussianProcess
from .draws import TAILS, weighted_quantiles
from .mixture import Mixture

ROWS = 200  # at which terms are drawn, at most
SAMPLES = 8  # of the terms at each draw of the hyperparameters
PLACES = 4  # decimal places: of a term that explains nothing, rounding decides the digits


def shares(gp: GaussianProcess, conditioned: Conditioned, mixture: Mixture | None) -> dict[str, Any]:
    """Return the `shares` of terms by name, and their 95 % `share_intervals`, each with `lower` and `upper`.

    A share is the median of draws of the hyperparameters and of the term, of which the interval is.  It takes the sum
    as known: other structures that predictions average over have other terms.  How often such intervals hold the share
    of the function that made the data, by the draws of a `mixture`, stands in ARCHITECTURE.md.  Without a `mixture`,
    and of a method that has no covariance of rows, there is no interval, and the share is that of the posterior mean at
    the learnt hyperparameters.  {} where the kernel is no sum.
    """
    if not gp.terms:
        return {}
    rows = np.sort(np.random.default_rng(0).choice(gp.n, min(gp.n, ROWS), replace=False))  # as rows may be periodic
    apart = apart_from_mean(gp, rows)
    drawn = {} if mixture is None else _drawn(mixture, rows, apart)
    if mixture is None or not drawn:
        whole = _variance(gp, rows)
        means = {name: apart @ mean for name, (mean, _) in of_rows(conditioned, gp, rows).items()}
        return {"shares": {name: round(float(np.var(mean)) / whole, PLACES) for name, mean in means.items()}}
    weights, found, intervals = np.repeat(mixture.weights[:, 0] / SAMPLES, SAMPLES), {}, {}
    for name, values in drawn.items():
        lower, found[name], upper = (
            round(end, PLACES) for end in weighted_quantiles(values, weights, (TAILS[0], 0.5, TAILS[1]))
        )
        intervals[name] = {"lower": lower, "upper": upper}
    return {"shares": found, "share_intervals": intervals}


def _drawn(mixture: Mixture, rows: np.ndarray, apart: np.ndarray) -> dict[str, np.ndarray]:
    """Return the shares (S · SAMPLES,) of each term's function drawn SAMPLES times at each draw, at some `rows` (m,).

    `apart` (m, m) takes from it what is the mean's.  {} of a method that has no covariance of rows.
    """
    rng, found = np.random.default_rng(0), dict[str, list[np.ndarray]]()
    for s, each in enumerate(mixture.conditioned("shares")):
        gp = mixture.model(s)
        for name, (mean, covariance) in of_rows(each, gp, rows).items():
            if covariance is None:
                return {}
            sizes, directions = np.linalg.eigh(apart @ covariance @ apart)
            # The symmetric root, which does not depend on how directions are chosen.
            normals = rng.standard_normal((SAMPLES, len(rows))) @ directions * np.sqrt(sizes.clip(min=0.0))
            functions = apart @ mean + normals @ directions.T
            found.setdefault(name, []).append(functions.var(axis=1) / _variance(gp, rows))
    return {name: np.concatenate(values) for name, values in found.items()}


def _variance(gp: GaussianProcess, rows: np.ndarray) -> float:
    return float(np.var(gp.scope.y[rows])) or 1.0
