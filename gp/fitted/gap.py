"""The gap to exact: how far an approximate method's predictions are from those of exact inference."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from ..forecast import Forecast
from ..inference.exact import Exact
from ..inference.method import Moments
from ..inference.nearest.scaling import scaled_inputs
from ..matrices.tiles import diagonal, matrix
from ..model.model import GaussianProcess
from ..row_scores import nlpd, squared_error
from .conjugate_gradients import solve
from .fitted import Fitted

DENSE = 2000  # rows, up to which the exact posterior is that of a Cholesky factor
ALL = 50_000  # rows, up to which the exact posterior is that of all: a step then takes about 10 s of one core
SCORED = 500  # rows that are left out and predicted, at most
FEWEST = 32  # of them
WORK = 3.2e10  # scored rows · rows², at most where they are more than FEWEST: the products of one step
PARTS, NEAR = 4, 1000  # neighbourhoods, where rows are more, and how many rows each has
WITHIN = 4  # times as many rows as are scored: these are drawn from so many in a neighbourhood's middle
ACCURACY = 0.05  # of sd_f, to which the exact posterior is found
FAR, WORSE = 0.1, 0.02  # of sd_f, and nats a row, from which a gap is an alarm
PLACES = 4  # decimal places of what is accurate to a few per cent of that


@dataclass(frozen=True)
class Gap:
    """What `scored` rows, left out, are predicted by the method, beside exact inference at the same hyperparameters.

    `nlpd` (nats per row) and `rmse` (y's units) are the method's less the exact ones.  `mean` is the root mean square
    difference of the means in exact sd_f, `sd` that of the logarithms of sd_f.  Both are conditioned on the same
    `rows`: on all others, or where `parts` is more than one on that many neighbourhoods, one after another.  `steps` of
    conjugate gradients found the exact posterior, whose means are off by at most `error` sd_f; None: a Cholesky factor.
    `own` is the method's NLPD, of standardised y.
    """

    rows: int
    scored: int
    nlpd: float
    rmse: float
    mean: float
    sd: float
    own: float
    parts: int = 1
    steps: int | None = None
    error: float | None = None

    @property
    def alarms(self) -> list[str]:
        """Return a line where the method predicts something else than exact inference would."""
        if self.error is not None and self.error > 2 * FAR:
            return [f"the gap to exact is not known: {self.steps} steps leave means uncertain by {self.error:.2g} sd_f"]
        if self.mean <= FAR and self.sd <= FAR and self.nlpd <= WORSE:
            return []
        return [
            f"inference is an approximation that shows: its means are {self.mean:.2g} sd_f from the exact ones, its "
            f"sd_f off by {100 * self.sd:.2g} %, its NLPD {self.nlpd:+.2g} nats a row: raise inference.inducing or "
            "inference.neighbours, or choose another method"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what fit.json says."""
        known = {name: value for name, value in vars(self).items() if name != "own" and value is not None}
        return known | {"alarm": int(bool(self.alarms))}


def gap_to_exact(fitted: Fitted, seed: int) -> Gap | None:
    """Return how far the method's predictions are from exact ones, at the learnt hyperparameters.

    Rows to score are drawn by the seed.  Up to ALL rows, both methods are conditioned on all others; beyond, on
    neighbourhoods that are as dense as the data are, each predicting rows in its middle.  None where the method is
    exact or rows are few.
    """
    n = fitted.gp.n
    if fitted.inference.is_exact or n < 10:
        return None
    rng, found, counts, errors = np.random.default_rng(seed), [], list[int](), list[float]()
    scored = min(n // 5, SCORED, max(FEWEST, int(WORK / n**2)))
    for rows, out in _splits(fitted.gp, scored, rng):
        some, others = fitted.inference.restrict(fitted.gp, rows), fitted.gp.subset(out)
        conditioned = fitted.inference.condition(some)
        own, noise = conditioned.moments(others.x), conditioned.gp.noise_variance(others.x)
        alone = fitted.gp.subset(rows)
        alone = replace(alone, scope=replace(alone.scope, run=None, step=None))  # as harmonic inference restricts
        exact, steps, error = _exact(alone.distinct, others.x, own)
        found.append((own, noise, exact, others))
        if steps is not None and error is not None:
            counts.append(steps)
            errors.append(error)
    parts = [_compare(*part) for part in found]
    means = {name: float(np.mean([part[name] for part in parts])) for name in ("nlpd", "own")}
    squares = {name: math.sqrt(np.mean([part[name] ** 2 for part in parts])) for name in ("mean", "sd", "of", "exact")}
    spread = fitted.gp.scope.y_spread
    rmse = round((squares["of"] - squares["exact"]) / spread, PLACES) * spread * fitted.gp.scope.y_scale
    return Gap(
        rows=len(rows),
        scored=len(out) * len(parts),
        nlpd=round(means["nlpd"], PLACES),
        rmse=rmse,
        mean=round(squares["mean"], PLACES),
        sd=round(squares["sd"], PLACES),
        own=means["own"],
        parts=len(parts),
        steps=max(counts, default=None),
        error=round(max(errors), PLACES) if errors else None,
    )


def with_gap(report: dict[str, Any], gap: Gap | None) -> dict[str, Any]:
    """Return what fit.json says of a fit and its gap, whose alarms are among the others."""
    if gap is None:
        return report
    certificate = report["certificate"] | {"alarms": report["certificate"]["alarms"] + len(gap.alarms)}
    told = {"gap_to_exact": gap.to_dict(), "certificate": certificate, "alarms": [*report["alarms"], *gap.alarms]}
    return report | told


def _splits(gp: GaussianProcess, scored: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows to condition on, and those to score, of each part."""
    if gp.n <= ALL:
        out = np.sort(rng.choice(gp.n, size=scored, replace=False))
        return [(np.delete(np.arange(gp.n), out), out)]
    at = scaled_inputs(gp)
    centres = rng.choice(gp.n, size=PARTS, replace=False)
    near = np.asarray(KDTree(at).query(at[centres], k=np.arange(1, NEAR + 1))[1])
    outs = [np.sort(rng.choice(rows[: WITHIN * scored], size=scored, replace=False)) for rows in near]
    return [(np.setdiff1d(rows, out), out) for rows, out in zip(near, outs, strict=True)]


def _exact(gp: GaussianProcess, x: torch.Tensor, near: Moments) -> tuple[Moments, int | None, float | None]:
    """Return the exact moments at x (t, d), near those given; the steps that took, and the means' error in sd_f."""
    if gp.n <= DENSE:
        return Exact().condition(gp).moments(x), None, None
    with torch.no_grad():
        prior, cross = diagonal(gp.kernel, x).numpy(), matrix(gp.kernel, gp.x, x).numpy()
        offset, residual = gp.mean(x).numpy(), (gp.y - gp.mean(gp.x)).numpy()
    sd = np.sqrt(np.maximum(near.variance, 1e-12 * prior))
    # wᵀ(K + noise)⁻¹w is at most the prior variance, w being a column of `cross`.
    strict = np.concatenate([[ACCURACY * (sd / np.sqrt(prior)).min()], math.sqrt(ACCURACY) * sd])
    solution = solve(gp, np.column_stack([residual, cross]), strict)
    mean = offset + cross.T @ solution.x[:, 0]
    variance = prior - np.einsum("ij,ij->j", cross, solution.x[:, 1:])
    error = float((solution.error[0] * np.sqrt(prior) / sd).max())
    return Moments(mean, np.maximum(variance, 1e-12 * prior)), solution.steps, error


def _compare(own: Moments, new: np.ndarray, exact: Moments, others: GaussianProcess) -> dict[str, float]:
    """Return how far apart both are, and the NLPD and rmse of both, in internal units; the method has `new` noise."""
    noise, y = others.noise_variance(others.x), others.scope.y
    pairs = ((own, new), (exact, noise))
    of, best = (Forecast.normal(each.mean, np.sqrt(each.variance + its)) for each, its in pairs)
    floor = 1e-12 * max(float(noise.max()), float(exact.variance.max()))
    apart = np.log(np.maximum(own.variance, floor) / np.maximum(exact.variance, floor))
    return {
        "nlpd": float((nlpd(y, of) - nlpd(y, best)).mean()),
        "own": float(nlpd(y, of).mean()),
        "mean": math.sqrt(np.mean((own.mean - exact.mean) ** 2 / np.maximum(exact.variance, floor))),
        "sd": math.sqrt(np.mean((0.5 * apart) ** 2)),
        "of": math.sqrt(squared_error(y, of).mean()),
        "exact": math.sqrt(squared_error(y, best).mean()),
    }
