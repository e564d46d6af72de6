"""Predictions that integrate over hyperparameters: a model conditioned on its rows at each of a few weighted draws.

The mixture's weights are importance weights, likelihood × prior over the density of what was drawn, their tail smoothed
(gp.fitted.pareto) and no sharper than leaves half of the plausible draws effective.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from gp.fitted.laplace import Mode, draw
from gp.fitted.pareto import effective, smoothed, tempered
from gp.forecast import Forecast
from gp.inference.method import Conditioned, Method, without_factor
from gp.inference.solved import Solved
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import GaussianProcess
from gp.parameters.vector import Parameters

KEPT = 2**23  # numbers of all factors together up to which they are kept from one prediction to the next: 64 MB


class Forecasts(NamedTuple):
    """The forecasts of the function, of a new observation and of each term, in y's units."""

    f: Forecast
    y: Forecast
    components: dict[str, Forecast]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Raw vectors (S, P) of one model, with the log weight of each; `pareto_k` says how far weights can be trusted.

    `effective` is the share of draws that had the weight before it was tempered.

    `dropped` is how many draws had no Cholesky factor.  The mean coefficients at `places` (q,) are integrated out:
    a vector has their mean, `sds` (S, q) are in raw units.  Where factors are few, models are `kept` conditioned.
    """

    gp: GaussianProcess
    method: Method
    vectors: np.ndarray
    log_weights: np.ndarray
    pareto_k: float
    effective: float
    dropped: int
    places: np.ndarray
    sds: np.ndarray
    kept: Sequence[Conditioned] | None

    @property
    def weights(self) -> np.ndarray:
        """Return the weights (S, 1), which sum to one."""
        return np.exp(self.log_weights)[:, None]

    def forecasts(self, x: torch.Tensor, noise: np.ndarray | None) -> Forecasts:
        """Return what is predicted at internal x (m, d); `noise` (m,) are new rows' variances, where they are known."""
        return forecasts(self.gp, self._conditioned("predict"), self.weights, x, noise)

    def leave_one_out(self) -> Forecast:
        """Return the forecast of each row's target from all others, in internal units.

        A draw's weight for row i is divided by p(y_i | other rows, θ): the hyperparameters have not seen the row
        either  (Vehtari, Gelman & Gabry 2017, PSIS-LOO; here p has a closed form at each draw).
        """
        each = [conditioned.leave_one_out() for conditioned in self._conditioned("leave out")]
        means, sds = (np.array(parts) for parts in zip(*each, strict=True))
        density = np.array([Forecast.normal(*pair).log_density(self.gp.scope.y) for pair in each])
        logs = self.log_weights[:, None] - density
        return Forecast(means, sds, np.exp(np.array([smoothed(column)[0] for column in logs.T])).T)

    def _conditioned(self, label: str) -> Iterator[Conditioned]:
        """Yield the model conditioned at each draw, and put it back to what it was."""
        before = self.gp.parameters.vector
        try:
            for s, vector in enumerate(_progress(self.vectors, label)):
                self.gp.parameters.set(vector)
                yield self.kept[s] if self.kept else self.method.condition(self.gp)
        finally:
            self.gp.parameters.set(before)


def forecasts(
    gp: GaussianProcess,
    conditioned: Iterable[Conditioned],
    weights: np.ndarray,
    x: torch.Tensor,
    noise: np.ndarray | None,
) -> Forecasts:
    """Return what a model says at internal x (m, d), conditioned at each of S settings with `weights` (S, 1).

    `noise` (m,) are the internal variances of new observations where they are known.
    """
    scale, offset, shape = gp.scope.y_scale, gp.scope.y_offset, (len(weights), len(x))
    means, sd_f, sd_y = (np.empty(shape) for _ in range(3))
    terms: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for s, each in enumerate(conditioned):
        found = each.moments(x)
        means[s] = found.mean * scale + offset
        sd_f[s] = np.sqrt(found.variance) * scale
        sd_y[s] = np.sqrt(found.variance + (gp.noise_variance(x) if noise is None else noise)) * scale
        for name, (mean, variance) in found.terms.items():
            part = terms.setdefault(name, (np.empty(shape), np.empty(shape)))
            part[0][s], part[1][s] = mean * scale, np.sqrt(variance) * scale
    parts = {name: Forecast(*part, weights) for name, part in terms.items()}
    return Forecasts(Forecast(means, sd_f, weights), Forecast(means, sd_y, weights), parts)


def mix(gp: GaussianProcess, method: Method, learnt: GaussianProcess, modes: Sequence[Mode], count: int) -> Mixture:
    """Return `gp` conditioned at about `count` draws, weighted by the likelihood of the rows `learnt` on.

    `modes` are over these rows; the model is put back to what it was.
    """
    parameters, before = gp.parameters, gp.parameters.vector
    integrating, apart = method.integrating(gp)
    places = np.setdiff1d(np.arange(len(parameters.names)), apart)
    vectors, ratios = draw(modes, parameters, places, count)
    lower, upper = np.array(parameters.bounds).reshape(-1, 2).T
    keep, kept, logs, settled, sds = count * gp.distinct.n**2 <= KEPT, [], [], [], []
    try:
        for vector, ratio in zip(_progress(vectors, "draws"), ratios, strict=True):
            within = np.clip(vector, lower, upper)  # beyond a bound the model is that at the bound
            parameters.set(within)
            try:
                conditioned = integrating.condition(gp)
                settled_at = parameters.vector
                value = conditioned.log_likelihood if learnt is gp else integrating.evaluate(learnt, gradient=False)[0]
            except NotPositiveDefinite:
                continue
            logs.append(value + _log_prior(parameters, within) + ratio)
            settled.append(settled_at)
            sds.append(_sds(conditioned) / parameters.reference[apart])
            kept += [conditioned] if keep else []
    finally:
        parameters.set(before)
    if not logs:
        raise without_factor(gp, "the covariance of the rows, at every draw of the hyperparameters,")
    log_weights, k = smoothed(np.array(logs))
    at, dropped = np.array(settled), len(vectors) - len(logs)
    share = effective(log_weights) / len(logs)
    return Mixture(
        gp, integrating, at, tempered(log_weights), k, share, dropped, apart, np.array(sds), kept if keep else None
    )


def _sds(conditioned: Conditioned) -> np.ndarray:
    """Return the standard deviation of each mean coefficient that is integrated out, in internal units."""
    if not isinstance(conditioned, Solved) or conditioned.flat is None:
        return np.zeros(0)
    return np.sqrt((conditioned.flat.root**2).sum(axis=1))


def _log_prior(parameters: Parameters, vector: np.ndarray) -> float:
    """Return the log density of the user's priors in the raw vector: that of θ, times θ where raw is its log."""
    value, _ = parameters.log_prior(vector)
    parts = zip(parameters.free, parameters.split(vector), strict=True)
    return value + sum(float(part.sum()) for parameter, part in parts if parameter.prior and parameter.positive)


def _progress(vectors: np.ndarray, label: str) -> Iterable[np.ndarray]:
    """Return the vectors, with a bar on a terminal where they take more than a second."""
    return tqdm(vectors, desc=label, disable=None, leave=False, delay=1.0)
