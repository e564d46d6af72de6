"""Harmonic inference is exact inference of the same kernels."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal

import gp
from gp.autocorrelation import dependence
from gp.dataset import Dataset
from gp.fitted.fit import fit_dataset
from gp.inference.centred import apart_from_mean, of_rows
from gp.inference.exact import Exact
from gp.inference.harmonic import TAIL, Harmonic
from gp.inference.waves import shortest
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.spec import InputError, parse
from gp.training import Train

TURN = 2 * math.pi
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.uniform(0, TURN, 150), "b": RNG.uniform(0, TURN, 150)})
Y = (1 + np.sin(X["a"]) + np.exp(np.cos(X["b"])) + 0.2 * RNG.normal(size=150)).to_numpy()
PERIOD = {"kind": "periodic", "period_length": {"fixed": TURN}}
ONE = {**PERIOD, "columns": ["a"], "lengthscale": 0.9, "outputscale": 1.7}
OTHER = {**PERIOD, "columns": ["b"], "lengthscale": 1.6, "outputscale": 0.6}
BOTH = {"kind": "sum", "terms": {"first": ONE, "second": OTHER}}
MEANS = [{"kind": "zero"}, {"kind": "constant", "value": 1.2}, {"kind": "linear"}]


def model(kernel=BOTH, mean=MEANS[1], **keys):
    return {"kernel": kernel, "mean": mean, "noise": {"kind": "gaussian", "sd": 0.3}, **keys}


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", [BOTH, ONE])
@pytest.mark.parametrize("standardize", [True, False])
def test_likelihood_and_gradient_are_exact(kernel, mean, standardize):
    written = model(kernel, mean, standardize={"x": standardize, "y": standardize})
    exact, slopes = gp.log_marginal_likelihood(X, Y, model=written, gradient=True)
    value, own = gp.log_marginal_likelihood(X, Y, model=written, inference={"kind": "harmonic"}, gradient=True)
    assert value == pytest.approx(exact, rel=1e-9)
    assert own.keys() == slopes.keys()
    for name, slope in slopes.items():
        assert own[name] == pytest.approx(slope, rel=1e-6, abs=1e-7), name


def test_predictions_and_leave_one_out_are_exact():
    written = model(mean={"kind": "constant", "value": {"fixed": 1.2}})
    exact, own = (gp.fit(X, Y, model=written, inference={"kind": kind}) for kind in ("exact", "harmonic"))
    assert own.log_marginal_likelihood == pytest.approx(exact.log_marginal_likelihood, abs=1e-3)
    # At the same hyperparameters, whichever search ended a thousandth of a nat higher.
    same = {**written, "kernel": _fixed(own)}
    same["noise"] = {"kind": "gaussian", "sd": {"fixed": own.hyperparameters["noise.sd"]}}
    exact, own = (gp.fit(X, Y, model=same, inference={"kind": kind}) for kind in ("exact", "harmonic"))
    new = pd.DataFrame({"a": np.linspace(-1, 8, 9), "b": np.linspace(8, -1, 9)})
    one, two = exact.predict(new), own.predict(new)
    assert two.mean == pytest.approx(one.mean, abs=1e-7)
    assert two.sd_f == pytest.approx(one.sd_f, rel=1e-6)
    assert two.sd_y == pytest.approx(one.sd_y, rel=1e-7)
    assert own.leave_one_out["mean"].to_numpy() == pytest.approx(exact.leave_one_out["mean"].to_numpy(), abs=1e-7)
    assert own.leave_one_out["sd_y"].to_numpy() == pytest.approx(exact.leave_one_out["sd_y"].to_numpy(), rel=1e-7)
    # A term is that of exact inference but for a constant.
    apart = two.components["first"].mean - one.components["first"].mean
    assert np.ptp(apart) < 1e-7


@pytest.mark.parametrize("mean", MEANS[1:])
def test_mean_coefficients_are_integrated_out_as_in_exact_inference(mean):
    made = parse(Model, model(mean=mean), "model").build(Dataset(x=X.to_numpy(), columns=("a", "b"), y=Y))
    vector, told = made.parameters.vector, []
    for kind in (Exact(), Harmonic()):
        made.parameters.set(vector)
        method, places = kind.integrating(made)
        assert len(places) == sum(name.startswith("mean") for name in made.parameters.names)
        value, slopes = method.evaluate(made)
        conditioned = method.condition(made)
        moments, left_out = conditioned.moments(made.x[:9] + 0.3), conditioned.leave_one_out()
        at, root = made.parameters.vector, conditioned.flat.root
        told.append(
            [value, conditioned.log_likelihood, slopes, at, root @ root.T, moments.mean, moments.variance, *left_out]
        )
    for exact, own in zip(*told, strict=True):
        assert own == pytest.approx(exact, rel=1e-8, abs=1e-8)


def test_rows_that_are_means_along_steps_have_the_covariance_of_such_means():
    rng = np.random.default_rng(1)
    step = rng.uniform(-2, 2, size=(40, 2))
    data = Dataset(x=X.to_numpy()[:40], columns=("a", "b"), y=Y[:40], step=step)
    made = parse(Model, model(mean=MEANS[0]), "model").build(data)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    with torch.no_grad():
        inner = made.x[:, None, :] + torch.from_numpy(0.5 * nodes[:, None] * made.scope.step[:, None, :])
        each = made.kernel(inner.reshape(-1, 2)).to_dense().numpy().reshape(40, 12, 40, 12)
        covariance = np.einsum("iajb,a,b->ij", each, weights / 2, weights / 2) + np.diag(made.noise_variance(made.x))
    expected = multivariate_normal(np.zeros(40), covariance).logpdf(made.scope.y)
    # The covariance of means is that of a term's mean over its own steps, as each term reads one column.
    assert Harmonic().evaluate(made)[0] == pytest.approx(expected, rel=1e-9)
    assert Harmonic().evaluate(made.subset(np.arange(20)))[0] != pytest.approx(expected)


def autoregressive(phi, runs, length):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(runs, length))
    noise[:, 0] /= math.sqrt(1 - phi**2)
    for k in range(1, length):
        noise[:, k] += phi * noise[:, k - 1]
    return noise.ravel(), np.repeat(np.arange(float(runs)), length)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_correlated_rows_count_as_fewer(phi):
    """φ^k is the autocorrelation at lag k of an autoregressive process; lags from 13 on are left out."""
    noise, run = autoregressive(phi, 40, 500)
    expected = 1 + 2 * sum((1 - lag / 13) * phi**lag for lag in range(1, 13))
    assert dependence(noise, run) == pytest.approx(expected, rel=0.05)
    assert dependence(noise, None) == 1.0
    assert dependence(noise, np.arange(float(len(noise)))) == 1.0  # each row a run


def test_the_noise_of_runs_widens_the_function_and_not_the_rows():
    noise, run = autoregressive(0.6, 10, 60)
    x = np.random.default_rng(3).uniform(0, TURN, size=(600, 1))
    y = np.sin(x[:, 0]) + noise
    written = {"kernel": {**PERIOD, "lengthscale": {"fixed": 1.0}, "outputscale": {"fixed": 1.0}}}
    written |= {"noise": {"kind": "gaussian", "sd": {"fixed": 1.25}}, "mean": {"kind": "zero"}}
    together, apart = (
        fit_dataset(
            Dataset(x=x, columns=("a",), y=y, run=run if dependent else None),
            model=parse(Model, written, "model"),
            inference=Harmonic(),
            train=parse(Train, {}, "train"),
            seed=0,
        )
        for dependent in (True, False)
    )
    ratio = together.predict(np.linspace(0, 6, 20)).sd_f / apart.predict(np.linspace(0, 6, 20)).sd_f
    most = math.sqrt(600 / together.inference.effective_rows(together.gp))  # where the prior says nothing
    assert (ratio < most).all()
    assert (ratio > 0.9 * most).all()
    assert together.leave_one_out["sd_y"].mean() == pytest.approx(apart.leave_one_out["sd_y"].mean(), rel=0.02)
    assert together.report()["fit"]["effective_rows"] < 300
    assert "effective_rows" not in apart.report()["fit"]


def _fixed(fitted):
    values = fitted.hyperparameters
    return {
        "kind": "sum",
        "terms": {
            name: {
                **PERIOD,
                "columns": [column],
                "lengthscale": {"fixed": values[f"kernel.{name}.lengthscale"]},
                "outputscale": {"fixed": values[f"kernel.{name}.outputscale"]},
            }
            for name, column in (("first", "a"), ("second", "b"))
        },
    }


def test_terms_are_centred():
    fitted = gp.fit(X, Y, model=model(), inference={"kind": "harmonic"})
    circle = np.arange(60) * TURN / 60
    parts = fitted.predict(pd.DataFrame({"a": circle, "b": circle})).components
    for part in parts.values():
        assert part.mean.mean() == pytest.approx(0, abs=1e-9)
    assert np.corrcoef(parts["first"].mean, np.sin(circle))[0, 1] > 0.99


@pytest.mark.parametrize("mean", MEANS)
def test_terms_of_rows_are_those_of_exact_inference(mean):
    data, rows = Dataset(x=X.to_numpy(), columns=("a", "b"), y=Y), np.arange(0, 150, 5)
    built = parse(Model, model(mean=mean), "model").build(data)
    one, other = (
        of_rows(method.integrating(built)[0].condition(built), built, rows) for method in (Harmonic(), Exact())
    )
    apart = apart_from_mean(built, rows)
    for name, (expected, covariance) in other.items():
        np.testing.assert_allclose(apart @ one[name][0], apart @ expected, atol=1e-7)
        np.testing.assert_allclose(apart @ one[name][1] @ apart, apart @ covariance @ apart, atol=1e-7)


def test_features_that_are_too_few_are_refused_with_the_fix():
    written = model({**ONE, "lengthscale": {"fixed": 0.05}})
    with pytest.raises(InputError, match=r"harmonics leave out .* raise inference.harmonics"):
        gp.fit(X, Y, model=written, inference={"kind": "harmonic"})
    value = gp.log_marginal_likelihood(X, Y, model=written, inference={"kind": "harmonic", "harmonics": 200})
    assert value == pytest.approx(gp.log_marginal_likelihood(X, Y, model=written), rel=1e-8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": {"kind": "rbf"}}, "takes a periodic kernel, or a sum of such"),
        ({"kernel": {"kind": "periodic", "columns": ["a"]}}, "needs a known period"),
        ({"kernel": PERIOD}, "over one column each"),
        ({"noise": {"kind": "student_t"}}, "noise of kind gaussian"),
    ],
)
def test_other_models_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        gp.fit(X, Y, model={**model(), **changes}, inference={"kind": "harmonic"})


def test_rows_are_read_once():
    """An evaluation does not see the rows again."""
    data = Dataset(x=X.to_numpy(), columns=("a", "b"), y=Y)
    process, method = parse(Model, model(), "model").build(data), Harmonic()
    first, _ = method.evaluate(process)
    process.__dict__["x"] = process.x[:1]
    assert method.evaluate(process)[0] == first


def test_an_end_where_harmonics_run_out_is_no_optimum_and_predictions_are_those_of_exact_inference():
    rng = np.random.default_rng(3)
    rng.uniform(size=60)
    x = rng.uniform(0, 2 * np.pi, (60, 2))
    y = np.sin(x[:, 0]) + 0.15 * np.sin(x[:, 1]) + 0.5 * rng.standard_normal(60)
    each = {"kind": "periodic", "period_length": {"fixed": 2 * np.pi}}
    kernel = {"kind": "sum", "each": each, "columns": ["x1", "x2"]}
    exact, harmonic = (
        gp.fit(x, y, model={"kernel": kernel}, inference={"kind": kind}, train={"restarts": 0})
        for kind in ("exact", "harmonic")
    )
    end = np.array([0.35, -0.33, -1.556, -2.0, -0.6, 0.0])  # 30 harmonics show no lengthscale (raw) below −1.557
    ((value, _), *_) = optima = harmonic.search.optima
    harmonic = replace(harmonic, search=replace(harmonic.search, optima=(*optima, (value - 1, end))))
    assert [mode.nats for mode in harmonic.modes] == pytest.approx([mode.nats for mode in exact.modes], abs=1e-3)
    means = [fitted.predict(x[:20]).mean for fitted in (exact, harmonic)]
    assert np.abs(means[1] - means[0]).max() < 0.1


@pytest.mark.parametrize("sharp", [2, 80])
def test_a_search_ends_at_the_best_that_its_harmonics_show_and_says_where_there_is_a_better_one(sharp):
    """Without a bound the line search ends at the cliff: 12 harmonics show no lengthscale below 0.66."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, TURN, 50)
    y = np.exp(sharp * (np.cos(x - 2) - 1)) + 0.1 * rng.normal(size=50)

    def fitted(kind, **lengthscale):
        written = {"kernel": {"kind": "periodic", "period_length": {"fixed": TURN}, "lengthscale": lengthscale}}
        return gp.fit(x, y, model=written, inference=kind, train={"restarts": 2})

    least = shortest(12, 0.1 * TAIL)
    own, exact = fitted({"kind": "harmonic", "harmonics": 12}), fitted({"kind": "exact"})
    over = fitted({"kind": "exact"}, lower=least)
    assert own.log_marginal_likelihood == pytest.approx(over.log_marginal_likelihood, abs=0.1)
    assert (exact.hyperparameters["kernel.lengthscale"] < least) == (sharp > 2)
    alarms = [alarm for alarm in own.certificate.of_fit if "at a bound" in alarm or "harmonics" in alarm]
    assert len(alarms) == (sharp > 2)
    for alarm in alarms:
        assert f"kernel.lengthscale ended at {least:.3g}, the shortest that 12 harmonics show, though" in alarm
        assert alarm.endswith("raise inference.harmonics")
        more = fitted({"kind": "harmonic", "harmonics": 60})
        assert more.log_marginal_likelihood == pytest.approx(exact.log_marginal_likelihood, abs=1e-3)
        assert not more.certificate.limits


def test_noise_that_is_lost_beside_the_outputscale_is_refused_as_a_search_expects():
    large = {"kind": "sum", "terms": {"first": {**ONE, "outputscale": 1e20}, "second": {**OTHER, "outputscale": 1e20}}}
    with pytest.raises(NotPositiveDefinite, match=r"not positive definite at noise\.sd=0\.3: raise model\.noise\.sd"):
        gp.log_marginal_likelihood(X, Y, model=model(large), inference={"kind": "harmonic"})
