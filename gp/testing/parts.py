"""`check_mean` and `check_noise`: the laws of mean functions and of noise models."""

from typing import Any

import numpy as np
import torch

from ..dataset import Dataset
from ..inference.exact import Exact
from ..inference.profile import profile_of
from ..model.means import Mean
from ..model.model import GaussianProcess
from ..model.noise import Noise
from ..training.objective import Problem
from ..training.rows import Settled
from . import models
from .dense import check_likelihood
from .laws import require, require_equal
from .models import SETTINGS, model_of
from .specs import as_spec, without_values

EXACT = 1e-10  # relative to the largest element, for the same arithmetic in another order
LARGE = 3.0  # amplitudes are multiplied by this factor


def check_mean(mean: Any, *, columns: tuple[str, ...] = ("a", "b")) -> None:
    """Check a mean function (a spec, or what params.yaml would say) over inputs of these names.

    The laws: it is a function of single rows; it is linear in the coefficients that it declares linear; the
    likelihood's gradient equals finite differences, also with its coefficients profiled out; coefficients have units,
    and shift with y if y is not standardised; a saved mean is the same when loaded.  Raises AssertionError with the law
    that failed.
    """
    spec = as_spec(Mean, mean)
    data, name = models.rows(columns), f"mean {spec.kind}"
    for standardize in SETTINGS:
        gp = model_of("mean", spec, standardize).build(data)
        for vector in models.moves(gp):
            gp.parameters.set(vector)
            _check_rowwise(name, gp)
            _check_linear(name, gp)
            check_likelihood(name, gp, vector)
        models.check_gradient(name, gp)
        models.check_profile(name, gp)
    models.check_units(name, "mean", spec, data)
    models.check_written_back(name, "mean", spec, data)
    models.check_saved(name, "mean", Mean, spec, data)


def _check_rowwise(name: str, gp: GaussianProcess) -> None:
    with torch.no_grad():
        values = gp.mean(gp.x).numpy()
        order = torch.arange(gp.n - 1, 3, -1)
        some = gp.mean(gp.x[order]).numpy()
    require(
        values.shape == (gp.n,), f"{name}: the mean of {gp.n} rows has shape {values.shape}, and should have ({gp.n},)"
    )
    size = max(1.0, float(np.abs(values).max()))
    require_equal(f"{name}: each row's mean is its own", some, values[order.numpy()], atol=EXACT * size)


def _check_linear(name: str, gp: GaussianProcess) -> None:
    """Check that the mean is Σ columns · coefficients for those in `columns`, which training solves in closed form."""
    with torch.no_grad():
        designs = [(tensor, design.clone()) for tensor, design in gp.mean.columns(gp.x)]  # type: ignore[operator]
        for tensor, design in designs:
            before, kept = gp.mean(gp.x).numpy().copy(), tensor.clone()
            change = torch.from_numpy(np.random.default_rng(0).normal(size=tensor.shape))
            tensor += change
            after = gp.mean(gp.x).numpy().copy()
            tensor.copy_(kept)
            expected = before + (design @ change.reshape(-1)).numpy()
            law = f"{name}: the mean moves with its coefficients as the design matrix of `columns` says"
            require_equal(law, after, expected, atol=EXACT * max(1.0, float(np.abs(expected).max())))


def check_noise(noise: Any, *, columns: tuple[str, ...] = ("a", "b")) -> None:
    """Check a noise model (a spec, or what params.yaml would say) over inputs of these names.

    The laws: variances are positive and finite, and each depends on its own row only; `by_row` and `scalable` are true;
    amplitudes scale the variances, and do not change the excess of its bound; the likelihood's gradient equals finite
    differences; parameters of each row come to where the bound is largest; hyperparameters have units; a
    saved noise model is the same when loaded.  Raises AssertionError with the law that failed.
    """
    spec = as_spec(Noise, noise)
    data, name = models.rows(columns), f"noise {spec.kind}"
    for standardize in SETTINGS:
        gp = model_of("noise", spec, standardize).build(data)
        require(
            spec.by_row == gp.noise.by_row,
            f"{name}: the spec says by_row = {spec.by_row}, and what it builds {gp.noise.by_row}",
        )
        for vector in models.moves(gp):
            gp.parameters.set(vector)
            _check_variances(name, gp)
            _check_scale(name, gp, vector)
            check_likelihood(name, gp, vector)
            _check_rows(name, gp, vector)
        models.check_gradient(name, gp)
        models.check_profile(name, gp)
    models.check_units(name, "noise", spec, data)
    if not gp.noise.by_row:  # a user cannot write parameters that belong to single rows
        models.check_written_back(name, "noise", spec, data)
    _check_known_scale(name, spec, data)
    models.check_saved(name, "noise", Noise, spec, data)


def _variances(gp: GaussianProcess) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the noise variances of new observations and of the training rows (n,), and the excess (0: none)."""
    with torch.no_grad():
        variance, excess = gp.training_noise()
        return gp.noise(gp.x).numpy().copy(), variance.numpy().copy(), 0.0 if excess is None else float(excess)


def _check_variances(name: str, gp: GaussianProcess) -> None:
    new, own, excess = _variances(gp)
    for what, values in (("a new observation", new), ("the training rows", own)):
        require(
            values.shape == (gp.n,),
            f"{name}: the variance of {what} has shape {values.shape}, and should have ({gp.n},)",
        )
        good = bool(np.isfinite(values).all() and (values > 0).all())
        require(good, f"{name}: the variance of {what} is positive and finite (the smallest is {values.min():g})")
    require(bool(np.isfinite(excess)), f"{name}: the bound's excess is finite (got {excess})")
    with torch.no_grad():
        order = torch.arange(gp.n - 1, 3, -1)
        some = gp.noise(gp.x[order]).numpy()
        require_equal(f"{name}: each row's variance is its own", some, new[order.numpy()], rtol=EXACT)
        if not gp.noise.by_row:
            law = f"{name}: noise that learns nothing by row has no excess, and says the same of some rows as of all"
            require_equal(law, excess, 0.0)
            some_rows = gp.subset(order.numpy())
            require_equal(law, some_rows.training_noise()[0].numpy(), own[order.numpy()], rtol=EXACT)


def _check_rows(name: str, gp: GaussianProcess, vector: np.ndarray) -> None:
    if gp.noise.by_row:
        problem = Problem(gp, Exact())
        settled = Settled(problem, vector)
        _, gradient = problem(settled.full(vector[: settled.p]))
        law = f"{name}: where the rows settle, the bound has no gradient by the parameters of the rows"
        require_equal(law, np.abs(gradient[settled.p :]).max(), 0.0, atol=1e-6)


def _check_scale(name: str, gp: GaussianProcess, vector: np.ndarray) -> None:
    amplitude = profile_of(gp).amplitude
    declared = [p.name for p in gp.parameters.free if p.name.startswith("noise.") and p.amplitude]
    if not gp.noise.scalable:
        require(not declared, f"{name}: it is not scalable, yet {declared} have an amplitude")
        return
    new, own, excess = _variances(gp)
    gp.parameters.set(vector + np.log(LARGE) * amplitude)
    new_after, own_after, excess_after = _variances(gp)
    gp.parameters.set(vector)
    if amplitude.any():
        law = f"{name}: moving every hyperparameter as its `amplitude` says multiplies variances by {LARGE:g}"
        require_equal(law, new_after, LARGE * new, rtol=1e-9)
        require_equal(law, own_after, LARGE * own, rtol=1e-9)
        law = f"{name}: moving every hyperparameter as its `amplitude` says leaves the bound's excess"
        require_equal(law, excess_after, excess, atol=1e-9 * max(1.0, abs(excess)))


def _check_known_scale(name: str, spec: Any, data: Dataset) -> None:
    """Check that the noise, in data units, scales with the unit of y."""
    for standardize in SETTINGS:
        model = model_of("noise", without_values(spec), standardize)
        here, there = (model.build(d) for d in (data, models.scaled(data, y=1024.0)))
        seen, expected = (_variances(gp)[1] * gp.scope.y_scale**2 for gp in (there, here))
        require_equal(f"{name}: the noise has the unit of y", seen, 1024.0**2 * expected, rtol=1e-9)
