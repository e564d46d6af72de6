"""Predictions that integrate over hyperparameters: a model conditioned on its rows at each of a few weighted draws.

Draws from normals (gp.fitted.laplace) have importance weights, likelihood × prior over the density of what was drawn,
their tail smoothed (gp.fitted.pareto) and no sharper than leaves half of the plausible draws effective.  Draws of
chains (gp.fitted.chains) count alike.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..forecast import Forecast
from ..inference.centred import centred
from ..inference.method import Conditioned, Method, without_factor
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..model.powers import Units, at_power, units_at
from ..transforms import Transform, mixed
from .chains import run
from .draws import MANY, Draws
from .laplace import Mode, draw, with_spread
from .own_share import OwnShare
from .pareto import PLAUSIBLE, effective, smoothed, tempered
from .priors import WeakPrior, log_prior
from .uncertainty import Laplace, Nuts

LOST = 50.0  # nats, for each element and one more, below what an optimum is worth: draws there are of something else
MIXED = 128  # of the draws of all chains, evenly spaced, at which a model predicts
KEPT = 2**23  # numbers of all factors together up to which they are kept from one prediction to the next: 64 MB


class Forecasts(NamedTuple):
    """The forecasts of the function, of a new observation and of each term, in y's units; terms in its transform's."""

    f: Forecast
    y: Forecast
    components: dict[str, Forecast]


class LeftOut(NamedTuple):
    """Each of n rows forecast from all others, at S settings of the hyperparameters: normals (S, n) of z.

    `logs` (S, n) are the log weights that settings have without the row, up to a constant of the row.
    """

    means: np.ndarray
    sds: np.ndarray
    logs: np.ndarray
    transforms: tuple[Transform | None, ...]


class Kept(NamedTuple):
    """What is kept of a draw: its raw vector with the estimated mean coefficients, their sds (q,), internal units.

    Where factors are few, also the model conditioned there.
    """

    vector: np.ndarray
    sds: np.ndarray
    conditioned: Conditioned | None

    @classmethod
    def of(cls, gp: GaussianProcess, conditioned: Conditioned, count: int) -> "Kept":
        """Return what is kept of the draw that `gp` is at, one of `count`."""
        few = count * gp.distinct.n**2 <= KEPT
        return cls(gp.parameters.vector, _sds(conditioned), conditioned if few else None)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A model at weighted draws of its hyperparameters; the mean coefficients at `places` (q,) are integrated out.

    `kept` is what is known of each draw, once the model has been conditioned there.
    """

    gp: GaussianProcess
    method: Method
    draws: Draws
    places: np.ndarray
    kept: list[Kept] = field(default_factory=list)

    @classmethod
    def of(cls, gp: GaussianProcess, method: Method, draws: Draws) -> "Mixture":
        """Return `gp`, whose rows `method` conditions on, at the `draws`, of a model file for one."""
        integrating, places = method.integrating(gp)
        return cls(gp, integrating, draws, places)

    @property
    def vectors(self) -> np.ndarray:
        """Return the draws as raw vectors (S, P)."""
        return self.draws.vectors

    @property
    def weights(self) -> np.ndarray:
        """Return the weights (S, 1), which sum to one."""
        return np.exp(self.draws.log_weights)[:, None]

    @cached_property
    def coefficients(self) -> Forecast:
        """Return what is known of the mean coefficients that are integrated out, in raw units, (q,) numbers."""
        if not self.kept:
            for _ in self.conditioned("coefficients"):
                pass
        means = np.array([kept.vector[self.places] for kept in self.kept])
        sds = np.array([kept.sds for kept in self.kept]) / self.gp.parameters.reference[self.places]
        return Forecast(means, sds, self.weights)

    def forecasts(self, x: torch.Tensor, noise: np.ndarray | None) -> Forecasts:
        """Return what is predicted at internal x (m, d); `noise` (m,) are new rows' variances, where they are known."""
        return forecasts(self.conditioned("predict"), self.weights, x, noise)

    def left_out(self, share: OwnShare) -> LeftOut:
        """Return the forecasts of each row's y from all others, in y's units, without the row's own `share`.

        A draw's weight for row i is divided by p(y_i | other rows, θ): the hyperparameters have not seen the row
        either  (Vehtari, Gelman & Gabry 2017, PSIS-LOO; here p has a closed form at each draw).
        """
        logs, means, sds, transforms = [], [], [], []
        for s, conditioned in enumerate(self.conditioned("leave out")):
            rows, one = self.model(s), share.removed(Forecast.normal(*conditioned.leave_one_out()))
            density = one.log_density(rows.scope.y)
            if rows.scope.log_slopes is not None:  # densities of several z are compared as those of y
                density = density + rows.scope.log_slopes - math.log(rows.scope.y_scale)
            logs.append(self.draws.log_weights[s] - density)
            mean, sd = in_units(rows, one.means[0], one.sds[0])
            means.append(mean)
            sds.append(sd)
            transforms.append(rows.spec.transform)
        return LeftOut(np.array(means), np.array(sds), np.array(logs), tuple(transforms))

    def model(self, s: int) -> GaussianProcess:
        """Return the model over all rows at the power of the s-th draw; it shares its hyperparameters with others."""
        units = self.draws.units
        return self.gp if units is None else at_power(self.gp, Units(*units[s].tolist()))

    def conditioned(self, label: str) -> Iterator[Conditioned]:
        """Yield the model conditioned at each draw, and put it back to what it was."""
        before = self.gp.parameters.vector
        try:
            for s, vector in enumerate(_progress(self.vectors, label)):
                kept = self.kept[s] if s < len(self.kept) else None
                if kept and kept.conditioned:
                    self.gp.parameters.set(kept.vector)
                    yield kept.conditioned
                    continue
                self.gp.parameters.set(vector)
                conditioned = self.method.condition(self.model(s))
                if s == len(self.kept):
                    self.kept.append(Kept.of(self.gp, conditioned, len(self.vectors)))
                yield conditioned
        finally:
            self.gp.parameters.set(before)


def forecasts(
    conditioned: Iterable[Conditioned], weights: np.ndarray, x: torch.Tensor, noise: np.ndarray | None
) -> Forecasts:
    """Return what a model says at internal x (m, d), conditioned at each of S settings with `weights` (S, 1).

    `noise` (m,) are the internal variances of new observations where they are known.
    """
    shape, transforms = (len(weights), len(x)), []
    means, sd_f, sd_y = (np.empty(shape) for _ in range(3))
    terms: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for s, each in enumerate(conditioned):
        found, scale = each.moments(x), each.gp.scope.y_scale
        transforms.append(each.gp.spec.transform)
        means[s], sd_f[s] = in_units(each.gp, found.mean, np.sqrt(found.variance))
        sd_y[s] = np.sqrt(found.variance + (each.gp.noise_variance(x) if noise is None else noise)) * scale
        for name, (mean, variance) in centred(each, x, found.terms).items():
            part = terms.setdefault(name, (np.empty(shape), np.empty(shape)))
            part[0][s], part[1][s] = mean * scale, np.sqrt(variance) * scale
    parts = {name: Forecast(*part, weights) for name, part in terms.items()}
    f, y = (Forecast(means, sd, weights, mixed(transforms)) for sd in (sd_f, sd_y))
    return Forecasts(f, y, parts)


def in_units(gp: GaussianProcess, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a mean and an sd, of internal units, in those of y, or of the transform at the power of `gp`."""
    return mean * gp.scope.y_scale + gp.scope.y_offset, sd * gp.scope.y_scale


def mix(
    gp: GaussianProcess, method: Method, learnt: GaussianProcess, modes: Sequence[Mode], treatment: Laplace | Nuts
) -> Mixture:
    """Return `gp` conditioned at draws, weighted by the likelihood of the rows `learnt` on.

    `modes` are over these rows; the model is put back to what it was.
    """
    parameters, before = gp.parameters, gp.parameters.vector
    integrating, apart = method.integrating(gp)
    places = np.setdiff1d(np.arange(len(parameters.names)), apart)
    try:
        if isinstance(treatment, Nuts) and len(modes[0].drawn):
            sampled, chains = run(learnt, integrating, modes, places, treatment)
            some = np.linspace(0, len(sampled) - 1, min(len(sampled), MIXED)).round().astype(int)
            draws, kept = _weighted(gp, integrating, learnt, sampled[some], None)
            draws = replace(draws, chains=chains, sampled=sampled)
        else:
            count = treatment.draws if isinstance(treatment, Laplace) else 2
            modes = with_spread(gp, learnt, integrating, modes) if isinstance(treatment, Laplace) else modes
            best, weak = modes[0], WeakPrior.of(parameters, places)
            worth = best.nats + best.log_volume + float(weak(best.vector[None])[0])
            drawn = draw(modes, parameters, places, count)
            draws, kept = _weighted(gp, integrating, learnt, *drawn, best, worth)
    finally:
        parameters.set(before)
    return Mixture(gp, integrating, draws, apart, kept)


def _weighted(
    gp: GaussianProcess,
    method: Method,
    learnt: GaussianProcess,
    vectors: np.ndarray,
    ratios: np.ndarray | None,
    best: Mode | None = None,
    worth: float = -math.inf,
) -> tuple[Draws, list[Kept]]:
    """Return those of the `vectors` (S, P) that have a factor with their weights, and the model conditioned at each.

    A further element of each is the power of y's transform, where the `best` optimum knows it.  `ratios` (S,) are the
    log of the weak prior over the density that vectors were drawn from; None: they were drawn from the posterior, and
    count alike.  Where none comes near what the `best` optimum is `worth` (nats), as without noise, that is the one;
    where many have no factor, those left are to come nearer.
    """
    parameters, kept, logs, found, places = gp.parameters, list[Kept](), [], [], []
    lower, upper = np.array(parameters.bounds).reshape(-1, 2).T
    units = [units_at(gp, power) for power in vectors[:, len(lower) :].ravel().tolist()]
    for s, vector in enumerate(_progress(vectors[:, : len(lower)], "draws")):
        within = np.clip(vector, lower, upper)  # beyond a bound the model is that at the bound
        parameters.set(within)
        model = at_power(gp, units[s]) if units else gp
        try:
            conditioned = method.condition(model)
            keep, log = Kept.of(model, conditioned, len(vectors)), 0.0
            if ratios is not None:
                on = model if learnt is gp else at_power(learnt, units[s]) if units else learnt
                log = conditioned.log_likelihood if on is model else method.evaluate(on, gradient=False)[0]
                log += log_prior(parameters, vector)[0] + ratios[s]
                log += on.log_jacobian - learnt.log_jacobian if units else 0.0
        except NotPositiveDefinite:
            continue
        logs.append(log)
        found.append(within)
        kept.append(keep)
        places.append(s)
    if not logs:
        raise without_factor(gp, "the covariance of the rows, at every draw of the hyperparameters,")
    log_weights, k = smoothed(np.array(logs))
    dropped, share = len(vectors) - len(logs), effective(log_weights) / len(logs)
    many = dropped > MANY * len(vectors)
    if best and max(logs) < worth - (PLAUSIBLE if many else LOST * (1 + len(best.drawn))):
        draws, kept = _weighted(gp, method, learnt, best.vector[None], None)
        return replace(draws, pareto_k=k, dropped=dropped if many else 0), kept
    of_z = np.array(units)[places] if units else None
    return Draws(np.array(found), tempered(log_weights), k, share, dropped, units=of_z), kept


def _sds(conditioned: Conditioned) -> np.ndarray:
    """Return the standard deviation of each mean coefficient that is integrated out, in internal units."""
    flat = getattr(conditioned, "flat", None)
    return np.zeros(0) if flat is None else np.sqrt((flat.root**2).sum(axis=1))


def _progress(vectors: np.ndarray, label: str) -> Iterable[np.ndarray]:
    """Return the vectors, with a bar on a terminal where they take more than a second."""
    return tqdm(vectors, desc=label, disable=None, leave=False, delay=1.0)
