"""What is known of mean coefficients where hyperparameters are uncertain: their mixture over many wide draws of these.

How far a level or a slope can be off depends on how large the function's scale and lengthscale can be, and so on the
tail of their posterior, which the draws that predictions are made at hardly see: normals at the optimum have none.
Here draws are from Student's t of few degrees of freedom there, half of them of SCALES times its width, and have the
weights of their posterior  (importance sampling from several proposals at once, Veach & Guibas 1995; their tail is
smoothed by gp.fitted.pareto).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincinv, ndtri

from ..forecast import Forecast
from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from .laplace import SEED, Mode
from .pareto import effective, smoothed
from .priors import WeakPrior, log_prior

DEGREES = 4.0  # of freedom
SCALES = (1.0, 3.0)  # of the normal's root
MOST, LEAST = 256, 64  # draws
WORK = MOST * 300.0**3  # n³ of all draws, from which on there are fewer than MOST
FEW = 8.0  # effective draws, below which these say less than those that predictions are made at


def coefficients(gp: GaussianProcess, method: Method, modes: Sequence[Mode], places: np.ndarray) -> Forecast | None:
    """Return the mixture of normals of the mean coefficients at `places` (q,), in raw units; the model is moved.

    `method` integrates them out.  None where too few of the draws have the weight, or there is nothing to draw.
    """
    alike = [mode for mode in modes if np.array_equal(mode.drawn, modes[0].drawn)]
    drawn, k = modes[0].drawn, len(modes[0].drawn)
    if not k:
        return None
    count = min(MOST, max(LEAST, int(WORK / gp.distinct.n**3)))
    each = 1 << int(math.log2(count / (len(SCALES) * len(alike))))
    parts = [(mode, scale) for mode in alike for scale in SCALES]
    vectors = np.concatenate([_draw(mode, scale, each) for mode, scale in parts])
    proposed = np.logaddexp.reduce([_log_density(mode, scale, vectors[:, drawn]) for mode, scale in parts], axis=0)
    weak = WeakPrior.of(gp.parameters, np.setdiff1d(np.arange(len(gp.parameters.names)), places))
    lower, upper = np.array(gp.parameters.bounds).reshape(-1, 2).T
    logs, means, sds = [], [], []
    for vector, density in zip(vectors, proposed, strict=True):
        gp.parameters.set(np.clip(vector, lower, upper))  # beyond a bound the model is that at the bound
        try:
            found = method.condition(gp)
        except NotPositiveDefinite:
            continue
        logs.append(found.log_likelihood + log_prior(gp.parameters, vector)[0] + weak(vector[None])[0] - density)
        means.append(gp.parameters.vector[places])
        sds.append(np.sqrt((found.flat.root**2).sum(axis=1)))  # type: ignore[attr-defined]
    if not logs:
        return None
    weights, _ = smoothed(np.array(logs))
    if effective(weights) < FEW:
        return None
    return Forecast(np.array(means), np.array(sds) / gp.parameters.reference[places], np.exp(weights)[:, None])


def _draw(mode: Mode, scale: float, count: int) -> np.ndarray:
    """Return quasi-random draws (count, P) of Student's t at a mode: a scrambled Sobol sequence, always the same."""
    from scipy.stats import qmc  # noqa: PLC0415 - its import takes 0.3 s

    k = len(mode.drawn)
    points = np.clip(qmc.Sobol(k + 1, seed=SEED).random(count), 1e-12, 1 - 1e-12)
    chi_square = 2 * gammaincinv(DEGREES / 2, points[:, k:])
    vectors = np.tile(mode.centre, (count, 1))
    vectors[:, mode.drawn] += scale * (ndtri(points[:, :k]) / np.sqrt(chi_square / DEGREES)) @ mode.root.T
    return vectors


def _log_density(mode: Mode, scale: float, places: np.ndarray) -> np.ndarray:
    """Return the log density (S,) of such draws, but for a constant of all modes, at `places` (S, k) drawn."""
    k = len(mode.drawn)
    z = np.linalg.solve(scale * mode.root, (places - mode.centre[mode.drawn]).T)
    volume = k * math.log(scale) + float(np.linalg.slogdet(mode.root)[1])
    return np.asarray(-0.5 * (DEGREES + k) * np.log1p((z**2).sum(axis=0) / DEGREES) - volume)
