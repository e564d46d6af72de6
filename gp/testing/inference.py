"""`check_inference`: the laws of every inference method at given hyperparameters; fits.py has those of its fits."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from linear_operator import to_dense

from ..dataset import Dataset
from ..inference import Inference
from ..inference.method import Method
from ..model.kernels import Matern, Rbf, Sum
from ..model.model import GaussianProcess, Model, Standardize
from ..spec import parse
from ..training import Problem
from . import fits, models
from .dense import Dense
from .laws import require, require_equal, require_slope
from .specs import as_spec

ROWS = 30
NEAR = 0.01  # standard deviations between two ways to leave a row out by an approximation
LEFT_OUT = (0, 7, 23)  # for these rows, leave-one-out is compared with a fit without the row
TERMS = Sum.model_construct(kind="sum", terms={"smooth": Rbf(), "rough": Matern(nu=1.5)})


def check_inference(
    method: Any,
    *,
    model: Any = None,
    columns: tuple[str, ...] = ("a", "b"),
    exact: bool = True,
    is_bound: bool = False,
    refits: bool = True,
) -> None:
    """Check an inference method (a spec, or what params.yaml would say) on 30 rows, two of which share their inputs.

    If `exact`, the method is exact on so few rows: likelihood, posterior and leave-one-out must equal those of dense
    matrices.  An approximation is judged by itself: leave-one-out must be what it predicts without the row, at the same
    hyperparameters and inducing inputs.  `refits` is False where that cannot be asked, as the method learns numbers
    that depend on all rows, such as q(u).  If `is_bound`, its value is never above the exact likelihood.  Laws of every
    method: the gradient equals
    finite differences, also with scale and mean profiled out; likelihoods are of y in its own units, whatever is
    standardised; variances are positive; the terms of a sum add up; predictions do not depend on how the inputs are
    batched; a fit is repeatable, is the same in other units of y (every number of nats moves by its rows' Jacobian),
    and is the same after saving and loading.  `model` is the model to use, by default with a sum of two kernels.
    Raises AssertionError with the law that failed.
    """
    spec, data = as_spec(Inference, method), models.rows(columns, n=ROWS)
    whole = Model(kernel=TERMS) if model is None else as_model(model)
    name = f"inference {spec.kind}"
    gp = whole.build(data)
    chosen = spec.choices(gp)[0].method
    gp.parameters.set(models.moved(gp, size=0.2))
    gp = chosen.prepare(gp, 0)
    _check_evaluation(name, chosen, gp)
    _check_gradient(name, chosen, gp)
    _check_moments(name, chosen, gp)
    _check_against_dense(name, chosen, gp, exact=exact, is_bound=is_bound)
    if not exact and refits:
        _check_left_out(name, chosen, gp)
    _check_units(name, chosen, whole, data, gp)
    fits.check_fits(name, spec, whole, data, exact=exact)


def as_model(model: Any) -> Model:
    """Return `model` itself if it is a Model, else the mapping parsed."""
    made = model if isinstance(model, Model) else parse(Model, model)
    return made


def at(gp: GaussianProcess) -> torch.Tensor:
    """Return internal inputs to predict at: training inputs, inputs between them, and one far from all."""
    between = 0.5 * (gp.x[:6] + gp.x[6:12])
    return torch.cat([gp.x[:4], between, gp.x[:1] + 50.0])


def _check_evaluation(name: str, method: Method, gp: GaussianProcess) -> None:
    before = gp.parameters.vector
    value, gradient = method.evaluate(gp)
    again, _ = method.evaluate(gp)
    alone, _ = method.evaluate(gp, gradient=False)
    require(math.isfinite(value), f"{name}: the log likelihood is finite (got {value})")
    require(value == again, f"{name}: an evaluation repeats its bits ({value!r}, then {again!r})")
    require_equal(f"{name}: the value is the same without the gradient", alone, value, rtol=1e-12)
    require_equal(f"{name}: an evaluation leaves the hyperparameters where they are", gp.parameters.vector, before)
    law = f"{name}: the gradient has an element for each of the {len(before)} learnt (got {gradient.shape})"
    require(gradient.shape == before.shape, law)


def _check_gradient(name: str, method: Method, gp: GaussianProcess) -> None:
    p = len(gp.parameters.names)
    for profiled in (False, True) if method.profiles else (False,):
        objective = Problem(gp, method, profiled=profiled)
        vector = objective.parameters.vector.copy()
        directions = [*np.eye(len(vector))[:p], *_random(len(vector), p)]
        law = f"{name}: the {'profiled ' if profiled else ''}likelihood's gradient is that of differences"
        require_slope(law, objective, vector, np.array(directions), names=gp.parameters.names)
        objective.parameters.set(vector)
    if method.profiles:
        plain, best = Problem(gp, method), Problem(gp, method, profiled=True)
        vector = plain.parameters.vector.copy()
        value, highest = plain(vector)[0], best(vector)[0]
        law = f"{name}: the profiled likelihood {highest:.9g} is no less than {value:.9g}, at the hyperparameters given"
        require(highest >= value - 1e-9 * abs(value), law)
        settled = best.maximise_profiled(vector)
        require_equal(
            f"{name}: the profiled likelihood is that where the model is moved to",
            plain(settled)[0],
            highest,
            rtol=1e-9,
        )
        plain.parameters.set(vector)


def _random(size: int, p: int) -> Iterator[np.ndarray]:
    """Yield directions along the auxiliary parameters, which come after the p hyperparameters."""
    rng = np.random.default_rng(4)
    for _ in range(4 if size > p else 0):
        direction = rng.normal(size=size) / math.sqrt(size)
        direction[:p] = 0.0
        yield direction


def _check_moments(name: str, method: Method, gp: GaussianProcess) -> None:
    before, x = gp.parameters.vector, at(gp)
    posterior = method.condition(gp)
    moments = posterior.moments(x)
    require_equal(f"{name}: predicting leaves the hyperparameters where they are", gp.parameters.vector, before)
    for what, values in (("mean", moments.mean), ("variance", moments.variance)):
        good = values.shape == (len(x),) and bool(np.isfinite(values).all())
        require(good, f"{name}: the posterior's {what} at {len(x)} inputs is as many finite numbers (got {values!r})")
    require(
        bool((moments.variance >= 0).all()), f"{name}: posterior variances are positive ({moments.variance.min():g})"
    )
    with torch.no_grad():
        excess = float((moments.variance / to_dense(gp.kernel(x, diag=True)).numpy()).max())
    require(excess <= 1 + 1e-6, f"{name}: no posterior variance is above the prior's ({excess:g} times that)")
    law = f"{name}: the terms of a sum are predicted one by one ({list(gp.terms)}, got {list(moments.terms)})"
    require(list(moments.terms) == list(gp.terms), law)
    if moments.terms:
        with torch.no_grad():
            rest = moments.mean - gp.mean(x).numpy() - sum(mean for mean, _ in moments.terms.values())
        # A method may centre its terms: data cannot tell a constant of one term from that of another.
        law = f"{name}: the terms' means and the mean function add up to the posterior mean, but for a constant"
        require_equal(law, rest, np.full(len(x), rest[0]), atol=1e-6 * max(1.0, float(np.abs(moments.mean).max())))
        smallest = min(float(variance.min()) for _, variance in moments.terms.values())
        require(smallest >= 0, f"{name}: the terms' variances are positive ({smallest:g})")
    size = float(np.abs(moments.mean).max()) + float(moments.variance.max())
    one_by_one = [posterior.moments(x[i : i + 1]) for i in range(len(x))]
    law = f"{name}: a prediction is the same alone as among others"
    require_equal(law, [m.mean[0] for m in one_by_one], moments.mean, atol=1e-8 * size)
    require_equal(law, [m.variance[0] for m in one_by_one], moments.variance, atol=1e-8 * size)
    law = f"{name}: a conditioned model has the log likelihood of an evaluation"
    require_equal(law, posterior.log_likelihood, method.evaluate(gp, gradient=False)[0], rtol=1e-9)
    law = f"{name}: the mean at the training rows is the posterior's there"
    there = posterior.moments(gp.x).mean
    require_equal(law, posterior.training_mean(), there, atol=1e-7 * float(np.abs(there).max()))


def _check_against_dense(name: str, method: Method, gp: GaussianProcess, *, exact: bool, is_bound: bool) -> None:
    dense, (value, _) = Dense(gp), method.evaluate(gp, gradient=False)
    conditioned = method.condition(gp)
    mean, sd = conditioned.leave_one_out()
    noise = np.sqrt(conditioned.gp.noise_variance(gp.x))
    good = mean.shape == sd.shape == (gp.n,) and bool(np.isfinite(mean).all() and np.isfinite(sd).all())
    require(good, f"{name}: leave-one-out gives {gp.n} finite means and sds")
    if not gp.noise.by_row:
        lowest = float((sd / noise).min())
        require(
            lowest >= 1 - 1e-9, f"{name}: a left-out target's sd includes its noise (the least is {lowest:g} of it)"
        )
    if is_bound:
        law = f"{name}: it is a bound: {value:.9g} is not above the exact {dense.log_likelihood:.9g}"
        require(value <= dense.log_likelihood + 1e-6 * max(1.0, abs(value)), law)
    if not exact:
        return
    # For each row, jitter changes the likelihood by about jitter / noise variance.
    loose = 1e-8 + 100 * gp.n * method.jitter / float((noise**2).min())
    law = f"{name}: on {gp.n} rows the log likelihood is the exact one"
    require_equal(law, value, dense.log_likelihood, atol=loose * max(1.0, abs(value)))
    seen, expected = conditioned.moments(at(gp)), dense.moments(at(gp))
    size = float(np.abs(expected.mean).max() + expected.variance.max())
    require_equal(
        f"{name}: on {gp.n} rows the posterior mean is the exact one", seen.mean, expected.mean, atol=loose * size
    )
    law = f"{name}: on {gp.n} rows the posterior variance is the exact one"
    require_equal(law, seen.variance, expected.variance, atol=loose * size)
    one_out = [dense.left_out(row) for row in LEFT_OUT]
    rows = list(LEFT_OUT)
    law = f"{name}: leave-one-out is what is predicted without the row"
    require_equal(law, np.array([mean[rows], sd[rows]]).T, one_out, atol=10 * loose * size)


def _check_left_out(name: str, method: Method, gp: GaussianProcess) -> None:
    """Check leave-one-out against the method's own prediction without the row, at the same raw vector.

    Without a row, the spread of inputs differs by little, and with it the distances by which neighbours are chosen.
    """
    conditioned = method.condition(gp)
    means, sds = conditioned.leave_one_out()
    for row in LEFT_OUT:
        rest = method.restrict(gp, np.delete(np.arange(gp.n), row))
        at = gp.x[row : row + 1]
        moments = method.condition(rest).moments(at)
        sd = float(np.sqrt(moments.variance[0] + conditioned.gp.noise_variance(at)[0]))
        law = f"{name}: leave-one-out is what it predicts without the row, in sds of row {row}"
        require_equal(law, [means[row] / sd, sds[row] / sd], [moments.mean[0] / sd, 1.0], atol=NEAR)


def _check_units(name: str, method: Method, model: Model, data: Dataset, gp: GaussianProcess) -> None:
    """Check that the likelihood of y in its own units does not depend on whether y is standardised inside."""
    if gp.noise.by_row:  # a user cannot write parameters that belong to single rows
        return
    value, _ = method.evaluate(gp, gradient=False)
    written = models.write(model, gp)
    for y in (True, False):
        standardize = Standardize(x=model.standardize.x, y=y)
        other = method.prepare(written.model_copy(update={"standardize": standardize}).build(data), 0)
        law = f"{name}: the log likelihood of y in its own units is the same where y is standardised: {y}"
        seen = method.evaluate(other, gradient=False)[0] + other.log_jacobian
        require_equal(law, seen, value + gp.log_jacobian, atol=1e-6 * max(1.0, abs(value)))
