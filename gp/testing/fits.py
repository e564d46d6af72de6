"""The laws of an inference method's fits: repeatable, equal in other units and after loading, reported right."""

from typing import Any

import numpy as np

from ..dataset import Dataset
from ..fitted.fit import fit_dataset
from ..fitted.fitted import Fitted
from ..fitted.report import ends
from ..fitted.uncertainty import PlugIn
from ..model.choice import KernelSearch
from ..model.kernels import Matern, Rbf
from ..model.model import Model
from ..parallel import run_in_line
from ..spec import InputError
from ..training import Lbfgs
from . import models
from .dense import Dense
from .laws import require, require_equal

FACTOR = 1024.0  # a power of two, so that FACTOR · y is, standardised, equal to y to the last bit
TRAIN = Lbfgs(restarts=0)
PLUG_IN = PlugIn()  # so that a law can be about one setting of the hyperparameters
REPORTED = ("condition_number", "noise_share", "signal", "gradient_norm", "shortfall", "evaluations", "converged")


def check_fits(name: str, spec: Any, model: Model, data: Dataset, *, exact: bool) -> None:
    """Check a method's fits; `spec` is the method, and the model must standardise y."""
    fitted, again = _fit(data, model, spec), _fit(data, model, spec)
    require(
        np.array_equal(fitted.vector, again.vector), f"{name}: a fit with the same seed is the same to the last bit"
    )
    _check_predictions(name, fitted)
    report = fitted.report()
    _check_reports(name, fitted, report, exact=exact)
    models.check_file(name, fitted)
    scaled = _fit(models.scaled(data, y=FACTOR), model, spec)
    _check_units(name, fitted, scaled, report)
    _check_ranking(name, spec, model, data)


def _fit(data: Dataset, model: Model, spec: Any) -> Fitted:
    return fit_dataset(data, model=model, inference=spec, train=TRAIN, seed=0)


def _check_predictions(name: str, fitted: Fitted) -> None:
    x = np.concatenate([fitted.data.x[:5], fitted.data.x[5:10] + 0.3])
    posterior = fitted.predict(x)
    order = np.random.default_rng(0).permutation(len(x))
    other = fitted.predict(x[order])
    for part in ("mean", "sd_f", "sd_y"):
        values = getattr(posterior, part)
        law = f"{name}: {part} does not depend on the order of the rows predicted"
        require_equal(law, getattr(other, part), values[order], atol=1e-8 * float(np.abs(values).max()))
    (conditioned,), _ = fitted.settings("predict", PLUG_IN)
    noise = conditioned.gp.noise_variance(fitted.gp.inputs(x)) * fitted.gp.scope.y_scale**2
    law = f"{name}: sd_y² is sd_f² of the function and the noise's variance"
    known = fitted.predict(x, hyperparameters=PLUG_IN)
    require_equal(law, known.sd_y**2, known.sd_f**2 + noise, rtol=1e-8)


def _check_reports(name: str, fitted: Fitted, report: dict[str, Any], *, exact: bool) -> None:
    """Check that every reported number of nats belongs to the rows that it names."""
    n = fitted.search.rows if fitted.search and fitted.search.rows else fitted.data.n
    on_rows = fitted.inference.learnt_on(fitted.gp)
    value, _ = fitted.inference.evaluate(on_rows, gradient=False)
    learnt = value + on_rows.log_jacobian
    require(on_rows.n == n, f"{name}: hyperparameters are learnt on {on_rows.n} rows, and the search says {n}")
    reported = [end["nats"] for end in report["ends"] if end["rows"] == n]
    if reported:
        law = f"{name}: the best of the ends reported on {n} rows is the log likelihood of these rows"
        require_equal(law, max(reported), learnt, atol=0.5)
    best = float(fitted.trace["nats_per_datum"].min())
    if fitted.gp.auxiliary:  # the last step in auxiliary parameters need not be in the trace
        law = f"{name}: no loss per datum of the trace ({best:g}) is below −1/{n} of the log likelihood {learnt:g}"
        require(-n * best <= learnt + 0.5, law)
    else:
        law = f"{name}: the lowest loss per datum of the trace is −1/{n} of the log likelihood of {n} rows"
        require_equal(law, -n * best, learnt, atol=0.5)
    law = f"{name}: the log likelihood reported is that of the fitted model"
    require_equal(law, report["fit"]["log_marginal_likelihood"], fitted.log_marginal_likelihood)
    if exact:
        law = f"{name}: the log likelihood reported is log p(y | x) of y in its own units, by dense matrices"
        expected = Dense(fitted.gp).log_likelihood - fitted.data.n * float(np.log(fitted.gp.scope.y_scale))
        require_equal(law, fitted.log_marginal_likelihood, expected, atol=1e-3 * max(1.0, abs(expected)))
    table = fitted.leave_one_out
    require(bool((table["sd_y"] > 0).all()), f"{name}: left-out standard deviations are positive")
    inside = bool(((table["pit"] >= 0) & (table["pit"] <= 1)).all())
    require(inside, f"{name}: a left-out row's probability integral transform is a probability")


def _check_units(name: str, fitted: Fitted, scaled: Fitted, one: dict[str, Any]) -> None:
    """Check that y in other units gives the same fit, with each number of nats moved by its rows' Jacobian."""
    log_factor = float(np.log(FACTOR))
    law = f"{name}: the fit of y times {FACTOR:g} is the same fit"
    require_equal(law, scaled.vector, fitted.vector, rtol=1e-9, atol=1e-9)
    law = f"{name}: the log likelihood of y times c is less by n log c"
    expected = fitted.log_marginal_likelihood - fitted.data.n * log_factor
    require_equal(law, scaled.log_marginal_likelihood, expected, atol=1e-6)
    for end, end_scaled in zip(one["ends"], ends(scaled), strict=True):
        law = f"{name}: what a start ended at, on {end['rows']} rows, is less by as many times log c for y times c"
        require_equal(law, end_scaled["nats"], end["nats"] - end["rows"] * log_factor, atol=1e-6)
    law = f"{name}: the trace's loss per datum is more by log c for y times c"
    require_equal(law, scaled.trace["nats_per_datum"], fitted.trace["nats_per_datum"] + log_factor, atol=1e-6)
    # Of the other fit only what is compared: a whole report also draws how far terms can stand for one another.
    certificate = one["certificate"] | one["diagnostics"]
    certificate_scaled = scaled.certificate.to_dict() | scaled.certificate.diagnostics()
    for key in (key for key in REPORTED if key in certificate):
        law = f"{name}: the certificate's {key} does not depend on the unit of y"
        require_equal(law, certificate_scaled[key], certificate[key], rtol=1e-6, atol=1e-6)
    at = fitted.data.x[:6] + 0.2
    here, there = fitted.predict(at), scaled.predict(at)
    for part in ("mean", "sd_f", "sd_y"):
        law = f"{name}: the predicted {part} has the unit of y"
        require_equal(law, getattr(there, part), FACTOR * getattr(here, part), rtol=1e-8)
    for part in ("mean", "sd_y"):
        law = f"{name}: the left-out {part} has the unit of y"
        require_equal(law, scaled.leave_one_out[part], FACTOR * fitted.leave_one_out[part], rtol=1e-8)


def _check_ranking(name: str, spec: Any, model: Model, data: Dataset) -> None:
    """Check that kernels are ranked in y's own units, on the rows that hyperparameters are fitted to."""
    search = KernelSearch(kernels={"rbf": Rbf(), "matern": Matern()}, score="log_marginal_likelihood")
    chosen = Model.model_construct(**{**dict(model), "search": search, "kernel": Rbf()})
    try:
        fitted, scaled = (
            # One kernel after another, because starting processes would take seconds.
            run_in_line(_fit, models.scaled(data, y=factor), chosen, spec)
            for factor in (1.0, FACTOR)
        )
    except InputError:
        return  # a method may accept only one kind of kernel
    n = fitted.search.rows if fitted.search and fitted.search.rows else data.n
    for kernel in search.kernels:
        one, other = (fit.ranking.loc[kernel] for fit in (fitted, scaled))
        law = f"{name}: the log likelihood that a kernel is ranked by, of {n} rows, is less by {n} log c for y times c"
        expected = one["log_marginal_likelihood"] - n * np.log(FACTOR)
        require_equal(law, other["log_marginal_likelihood"], expected, atol=1e-6)
        law = f"{name}: the leave-one-out NLPD that a kernel is ranked by is more by log c for y times c"
        require_equal(law, other["loo_nlpd"], one["loo_nlpd"] + np.log(FACTOR), atol=1e-6)
