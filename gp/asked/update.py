"""New rows without a refit: hyperparameters are kept, and the factor of K + noise is appended to, in O(n²).

With L the factor of the rows so far and B = L⁻¹k(X, X'), that of all rows has the further rows (Bᵀ, C), where C is the
factor of k(X', X') + noise − BᵀB  (Golub & Van Loan 2013, sec. 4.2.9).  Draws of the hyperparameters are kept too;
their weights are multiplied by the density of the new rows that each draw predicts.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import chi2

from ..dataset import Dataset, TableStatistics, as_array, checked
from ..fitted.averaged import Alternative
from ..fitted.columns import inputs_of
from ..fitted.draws import weighted_quantiles
from ..fitted.fitted import Fitted
from ..fitted.mixture import Kept, Mixture
from ..fitted.pareto import effective
from ..fitted.uncertainty import Laplace, Nuts
from ..inference.exact import Exact
from ..inference.method import Conditioned, Method, Search, without_factor
from ..inference.solved import Solved
from ..matrices.tiles import matrix
from ..model.model import GaussianProcess
from ..parallel import one_thread
from ..spec import Fault, InputError, kind_of
from ..transforms import Transform
from .joint import Joint

SIMULATED = 400  # sets of new rows, of which the expected range is
UNLIKELY = 0.01  # probability of rows as surprising, below which a refit is due
FEW = 1 / 16  # share of the draws that have the weight, two of 32, below which a refit is due
GROWN = 2.0  # times the rows that hyperparameters were learnt on, at which a refit is due


@dataclass(frozen=True)
class Surprise:
    """How surprising new rows were to the model: their joint log density (nats, y in its own units).

    `lower` and `upper` are where it lies in 95 of 100 cases if the model is right, and `probability` that of a density
    as low.  Where y is transformed, both are of the density of the transform, to which these rows' own log slopes are
    added: what is odd does not depend on the units of y.  Rows outside the transform's domain are refused, so that the
    cases are those inside.  `refit` are the reasons to fit again; `learnt_on` is the
    number of rows that the last fit had.
    """

    rows: int
    log_density: float
    lower: float
    upper: float
    probability: float
    learnt_on: int
    refit: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = (
            f"{self.rows} new row{'s' if self.rows > 1 else ''}: log density {self.log_density:.4g} nats, "
            f"expected {self.lower:.4g} to {self.upper:.4g} (as low with probability {self.probability:.2g})"
        )
        return f"{said}; fit again: {'; '.join(self.refit)}" if self.refit else said


def update(fitted: Fitted, x: Any, y: Any, noise_sd: Any = None) -> Fitted:
    """Return the model conditioned on its rows and new ones, x (m, d) or (m,) and y (m,), hyperparameters kept.

    Inputs and targets stay in the internal units of the fit.  Raises InputError for rows that have faults, and where
    the factor is not that of exact inference.
    """
    for model in (fitted, *(each.fitted for each in fitted.alternatives)):
        _refuse(model)
    data, new = _rows(fitted, x, y, noise_sd)
    found, gained = _updated(fitted, data)
    by_setting, alternatives = [gained], list[Alternative]()
    for each in fitted.alternatives:
        later, by_draw = _updated(each.fitted, data)
        # Where each model has a power of its own, densities of the new rows are all of the first's z.
        by_draw = by_draw + (_jacobian(later, each.fitted) - _jacobian(found, fitted))
        more = _log_mean(each.fitted, by_draw) - _log_mean(fitted, gained)
        alternatives.append(Alternative(later, each.name, each.log_odds + more))
        by_setting += [by_draw] if fitted.mixture() else []
    object.__setattr__(found, "alternatives", tuple(alternatives))
    learnt_on = fitted.surprise.learnt_on if fitted.surprise else fitted.data.n
    object.__setattr__(found, "surprise", _surprise(fitted, new, np.concatenate(by_setting), learnt_on))
    return found


def _log_weights(fitted: Fitted) -> np.ndarray:
    """Return the log weights (S,) of all settings that predictions are made at by the default rule."""
    models, logs = fitted.models(None)
    drawn = [mixture.draws.log_weights if (mixture := model.mixture()) else np.zeros(1) for model in models]
    return np.concatenate([log + own for log, own in zip(logs, drawn, strict=True)])


def _jacobian(later: Fitted, before: Fitted) -> float:
    """Return the log slopes of the new rows' transform, from y to internal z."""
    return later.gp.log_jacobian - before.gp.log_jacobian


def _log_mean(fitted: Fitted, gained: np.ndarray) -> float:
    """Return the log density (nats) of the new rows by one model, at whose settings it was `gained` (S,)."""
    mixture = fitted.mixture()
    return float(np.logaddexp.reduce((mixture.draws.log_weights if mixture else 0.0) + gained))


def _updated(fitted: Fitted, data: Dataset) -> tuple[Fitted, np.ndarray]:
    """Return one model conditioned on all rows of `data`, and the log density (S,) of the new ones at each setting."""
    mixture = fitted.mixture()
    known, made = fitted._conditioned, dict(fitted._mixtures)
    built = fitted.model.build(data)
    # Raw numbers are in units of their scales, which are of the data where they are no logs.
    units = fitted.gp.parameters.reference / built.parameters.reference
    vector = fitted.vector * units
    search = None if fitted.search is None else Search(vector, (), (), 0, 0)
    found = replace(fitted, data=data, vector=vector, search=search, draws={}, alternatives=(), gap=None, built=built)
    gained, mixtures = np.zeros(1), dict[Laplace | Nuts, Mixture]()
    with one_thread(), torch.no_grad():
        found.__dict__["_conditioned"] = _extended(found.inference, found.gp, known)
        for kind, before in made.items():
            mixtures[kind], densities = _reweighted(before, found, units)
            gained = densities if before is mixture else gained
        found.gp.parameters.set(vector)
    found.__dict__["_mixtures"] = mixtures
    if mixture is None:
        # With a flat mean, the ratio of restricted likelihoods: the density of the new rows, coefficients unknown.
        old, now = ([each.log_likelihood for each in of.settings("update", None)[0]] for of in (fitted, found))
        gained = np.array(now) - np.array(old)
    return found, gained


def _refuse(fitted: Fitted) -> None:
    gp, instead = fitted.gp, "fit to all rows"
    if not isinstance(fitted.inference, Exact):
        kind = kind_of(type(fitted.inference))
        raise InputError(
            Fault("inference", f"rows are appended to the factor of exact inference, and this is {kind}", instead)
        )
    if gp.noise.by_row:
        raise InputError(Fault("noise", "noise of this kind learns something for every row, new ones too", instead))
    if gp.table and gp.table.n > gp.n:
        raise InputError(Fault("", "its rows are a sample of a larger table", instead))


def _rows(fitted: Fitted, x: Any, y: Any, noise_sd: Any) -> tuple[Dataset, Dataset]:
    """Return all rows, with the scales of the fit, and the new ones alone."""
    old, scope = fitted.data, fitted.gp.scope
    if (old.noise_sd is None) != (noise_sd is None):
        has, fix = ("no", "drop noise_sd") if old.noise_sd is None else ("a", "give noise_sd, (m,)")
        raise InputError(Fault("noise_sd", f"the model's rows have {has} known standard deviation", fix))
    targets = checked("y", as_array("y", y), ndim=1)
    inputs = inputs_of(x, old.columns, old.levels)
    for name, levels in old.levels.items():
        if (inputs[:, old.columns.index(name)] >= len(levels)).any():
            raise InputError(Fault("x", f"{name!r} has a level that the model has not seen", "fit to all rows"))
    new = Dataset(x=inputs, y=targets, columns=old.columns, noise_sd=noise_sd)
    if fitted.model.transform is not None:
        fitted.model.transform.check(new.observed, "y", "transform")
    known = None
    if new.noise_sd is not None and old.noise_sd is not None:
        known = np.concatenate([old.noise_sd, new.noise_sd])
    x_scales, y_scales = np.array([scope.x_offset, scope.x_scale]), np.array([[scope.y_offset], [scope.y_scale]])
    scales = TableStatistics(old.n + new.n, x_scales, y_scales)
    rows, observed = np.vstack([old.x, new.x]), np.concatenate([old.observed, new.observed])
    # New rows are the function at points, also where those so far are means along steps.
    step = None if old.step is None else np.vstack([old.step, np.zeros_like(new.x)])
    return Dataset(rows, old.columns, observed, None, known, scales, old.dates, old.levels, step=step), new


def _extended(method: Method, gp: GaussianProcess, known: Conditioned) -> Solved:
    """Return `gp`, over the rows that `known` is conditioned on and more, conditioned by appending to that factor.

    Where rows share their inputs, groups may have changed: the matrix is then factorised anew.
    """
    assert isinstance(method, Exact)
    assert isinstance(known, Solved)
    if gp.distinct is not gp or known.gp.repeats:
        return method.condition(gp)
    n, old = known.gp.n, known.factor
    with torch.no_grad():
        noise = gp.training_noise()[0].numpy()
        cross, own = (matrix(gp.kernel, part, gp.sites[n:]).numpy() for part in (gp.sites[:n], gp.sites[n:]))
    below = solve_triangular(old, cross, lower=True, check_finite=False)
    factor = np.zeros((gp.n, gp.n))
    factor[:n, :n], factor[n:, :n] = old, below.T
    try:
        factor[n:, n:] = np.linalg.cholesky(own + np.diag(noise[n:]) - below.T @ below)
    except np.linalg.LinAlgError:
        raise without_factor(gp, f"the kernel matrix of n={gp.n} points") from None
    return method.condition(gp, factor)


def _reweighted(before: Mixture, found: Fitted, units: np.ndarray) -> tuple[Mixture, np.ndarray]:
    """Return a mixture over all rows, and the log density (S,) of the new ones at each draw, internal units."""
    method, kept, gained = before.method, list[Kept](), list[float]()
    later = Mixture(found.gp, method, before.draws, before.places)
    for s, each in enumerate(before.conditioned("update")):
        after = later.model(s)
        after.parameters.set(before.vectors[s] * units)
        extended = _extended(method, after, each)
        # Where each draw has a power of its own, densities of the new rows' z are taken to those at the one learnt.
        slopes = after.log_jacobian - each.gp.log_jacobian - (found.gp.log_jacobian - before.gp.log_jacobian)
        of_z = 0.0 if before.draws.units is None else slopes
        gained.append(extended.log_likelihood - each.log_likelihood + of_z)
        kept.append(Kept.of(after, extended, len(before.vectors)))
    logs = before.draws.log_weights + np.array(gained)
    logs -= np.logaddexp.reduce(logs)
    draws = before.draws
    sampled = None if draws.sampled is None else draws.sampled * units
    share = effective(logs) / len(logs)
    draws = replace(draws, vectors=draws.vectors * units, log_weights=logs, effective=share, sampled=sampled)
    return replace(later, draws=draws, kept=kept), np.array(gained)


def _surprise(fitted: Fitted, new: Dataset, gained: np.ndarray, learnt_on: int) -> Surprise:
    """Return how surprising the new rows were, whose log density at each of S settings was `gained` (S,)."""
    mixture, k, scale = fitted.mixture(), new.n, fitted.gp.scope.y_scale
    unit, transform = k * math.log(scale), fitted.model.transform
    slopes = 0.0 if transform is None else float(transform.log_slope(new.observed).sum())
    refit = []
    logs = _log_weights(fitted)
    density = float(np.logaddexp.reduce(logs + gained)) - unit
    joint = fitted.joint(new.x)
    noise = _noise(joint, new)
    if mixture is None and (transform is None or not math.isfinite(transform.lowest)):
        # log N(y | μ, C) is −½ χ²_k less what does not depend on y.
        covariance = joint.covariances[0] + np.diag(noise[0])
        most = -0.5 * (np.linalg.slogdet(covariance)[1] + k * math.log(2 * math.pi))
        probability = float(chi2.sf(2 * (most - density), k))
        lower, upper = (most - 0.5 * float(chi2.ppf(level, k)) for level in (0.975, 0.025))
    else:
        simulated, shares = _densities(joint, noise, transform)
        lower, upper = weighted_quantiles(simulated, shares)
        probability = min(float(shares[simulated <= density].sum()), 1.0)
    if mixture is not None:
        share = effective(logs + gained) / effective(logs)
        if share < FEW:
            refit.append(f"{share:.0%} of what the draws of hyperparameters said before is left")
    if probability < UNLIKELY:
        refit.insert(0, "the new rows are not what the model expects")
    if fitted.data.n + k >= GROWN * learnt_on:
        refit.append(f"hyperparameters were learnt on {learnt_on} of {fitted.data.n + k} rows")
    return Surprise(k, density + slopes, lower + slopes, upper + slopes, probability, learnt_on, tuple(refit))


def _noise(joint: Joint, new: Dataset) -> np.ndarray:
    """Return the noise variances of the new rows at each setting, (S, m), their own where they are known."""
    return joint.noise if new.noise_sd is None else np.broadcast_to(new.noise_sd**2, joint.noise.shape)


def _densities(joint: Joint, noise: np.ndarray, one: Transform | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the log densities of SIMULATED sets of new rows, drawn from the mixture, under it, and their shares.

    Densities are those of `one` z.  Sets are of rows inside the domain of y, `inside`.
    """
    rng, (s, k), of = np.random.default_rng(0), joint.means.shape, joint.transform
    roots = [np.linalg.cholesky(joint.covariances[i] + np.diag(noise[i])) for i in range(s)]
    which = rng.choice(s, SIMULATED, p=joint.weights / joint.weights.sum())
    white = rng.standard_normal((SIMULATED, k))
    logs = np.zeros(SIMULATED)
    for i in np.unique(which):
        low = -math.inf if of is None else float(of.each(i).lowest)
        if math.isfinite(low):
            mine = which == i
            white[mine], logs[mine] = inside(joint.means[i], roots[i], low, white[mine])
    rows = np.array([joint.means[i] + roots[i] @ z for i, z in zip(which, white, strict=True)])
    several = of if of is not None and of.is_mixed else None
    y = rows
    if several:  # rounding may put a row at an end of the domain, where densities have no ratio
        low, high = several.domain
        y = np.clip(several.each(which).of(rows), np.nextafter(low, np.inf), np.nextafter(high, -np.inf))
    each = []
    for i, (mean, root) in enumerate(zip(joint.means, roots, strict=True)):
        own = several.each(i) if several else None
        z = solve_triangular(root, ((own.forward(y) if own else rows) - mean).T, lower=True)
        density = -0.5 * ((z**2).sum(axis=0) + k * math.log(2 * math.pi)) - np.log(np.diag(root)).sum()
        each.append(density + (own.log_slope(y) - one.log_slope(y)).sum(axis=1) if own and one else density)
    with np.errstate(divide="ignore"):
        found = np.logaddexp.reduce(np.log(joint.weights)[:, None] + np.array(each), axis=0)
    return np.asarray(found), np.exp(logs - np.logaddexp.reduce(logs))


def inside(mean: np.ndarray, root: np.ndarray, low: float, white: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return white noise (N, k) whose rows z = `mean` + `root` noise are above `low`, and its log weights (N,).

    One row after the other is drawn from its normal given those before, cut off at `low`; the weight is the product of
    the probabilities above it, so that weighted sets are of the normal of all rows, cut off  (Geweke 1991, GHK).
    `white` (N, k) is without the cut.
    """
    found, logs = np.empty_like(white), np.zeros(len(white))
    for j in range(len(mean)):
        end = (low - mean[j] - found[:, :j] @ root[j, :j]) / root[j, j]
        share = np.maximum(ndtr(-white[:, j]) * ndtr(-end), np.finfo(float).tiny)
        found[:, j] = np.maximum(-ndtri(share), end)
        logs += log_ndtr(-end)
    return found, logs
