"""What posteriors say of several inputs together: joint, draws and slopes, of every method that has them."""

import pickle

import numpy as np
import pandas as pd
import pytest

import gp
from gp.asked import paths
from gp.export import export

RNG = np.random.default_rng(2)
X = np.sort(RNG.uniform(0, 6, 25))
Y = np.sin(X) + 0.1 * RNG.normal(size=25)
AT = np.array([-1.0, 0.52, 3.0, 3.1, 9.0])
PLUG_IN = {"kind": "plug_in"}
PERIODIC = {"kind": "periodic", "period_length": {"fixed": 6.3}}
# What has cosines, features, their product, and none of its own.
TERMS = {
    "wave": {"kind": "product", "factors": {"decay": {"kind": "rbf"}, "cycle": {"kind": "periodic"}}},
    "line": {"kind": "product", "factors": {"slope": {"kind": "linear"}, "rough": {"kind": "matern"}}},
    "curve": {"kind": "polynomial", "power": 2},
}
FLAT = {
    "model": {"mean": {"kind": "linear"}, "kernel": {"kind": "matern", "nu": 1.5}},
    "hyperparameters": {"kind": "flat_mean"},
}
CASES = {
    "exact": {"model": {"kernel": {"kind": "sum", "terms": TERMS}}},
    "exact, linear mean": {"model": {"mean": {"kind": "linear"}}, "hyperparameters": {"kind": "laplace", "draws": 6}},
    "exact, noise by row": {"model": {"noise": {"kind": "heteroscedastic"}}},
    "sgpr": {"inference": {"kind": "sgpr", "inducing": 8}},
    "svgp": {"inference": {"kind": "svgp", "inducing": 8, "epochs": 5}},
    "markov": {"inference": {"kind": "markov"}, "model": {"kernel": {"kind": "matern", "nu": 1.5}}},
    "sgpr, flat mean": {"inference": {"kind": "sgpr", "inducing": 8}} | FLAT,
    "markov, flat mean": {"inference": {"kind": "markov"}} | FLAT,
    "harmonic": {"inference": {"kind": "harmonic"}, "model": {"kernel": PERIODIC}},
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Return a fitted model, and how its hyperparameters are treated."""
    options = dict(CASES[request.param])
    hyperparameters = options.pop("hyperparameters", PLUG_IN)
    return gp.fit(X, Y, train={"restarts": 0}, **options), {"hyperparameters": hyperparameters}


def test_marginals_of_the_joint_are_those_of_predict(case):
    fitted, treated = case
    found, marginal = fitted.joint(AT, **treated), fitted.predict(AT, **treated)
    np.testing.assert_allclose(found.mean, marginal.mean, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), marginal.sd_f, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("inference", "kernel"),
    [
        ({"kind": "markov"}, {"kind": "matern", "nu": 1.5}),
        ({"kind": "harmonic"}, {"kind": "periodic", "period_length": {"fixed": 6.3}}),
        ({"kind": "sgpr", "inducing": 25}, {"kind": "matern", "nu": 1.5}),  # every row is an inducing input
    ],
    ids=lambda of: of["kind"],
)
def test_the_joint_of_methods_that_are_exact_here_is_that_of_exact_inference(inference, kernel):
    kernel = {**kernel, "lengthscale": {"fixed": 1.2}, "outputscale": {"fixed": 1.1}}
    model = {"mean": {"kind": "zero"}, "kernel": kernel, "noise": {"sd": {"fixed": 0.3}}}
    exact, found = (
        gp.fit(X, Y, model=model, inference=by).predict(AT, joint=True) for by in ({"kind": "exact"}, inference)
    )
    np.testing.assert_allclose(found.covariance, exact.covariance, atol=1e-7)
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-7)


def test_many_rows_in_order_need_no_dense_matrix(monkeypatch, tmp_path):
    n, rng = 40_000, np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 100, n))
    values = {"lengthscale": {"fixed": 2.0}, "outputscale": {"fixed": 1.0}}
    model = {"kernel": {"kind": "matern", "nu": 1.5, **values}, "noise": {"sd": {"fixed": 0.5}}}
    fitted = gp.fit(x, np.sin(x) + 0.5 * rng.normal(size=n), model=model, inference={"kind": "markov"})
    at = np.array([-1.0, 20.0, 20.01, 50.0, 103.0])
    together, marginal = fitted.predict(at, joint=True), fitted.predict(at)
    np.testing.assert_allclose(together.sd_f, marginal.sd_f, rtol=1e-6)
    np.testing.assert_allclose(together.mean, marginal.mean, atol=1e-7)
    correlation = together.covariance[1, 2] / np.prod(together.sd_f[1:3])
    assert 0.9 < correlation < 1  # of neighbours
    monkeypatch.setattr(paths, "COSINES", 16)
    drawn = fitted.sample_paths(3, 0)(at)
    assert (np.abs(drawn - together.mean)[:, 1:4] < 5 * together.sd_f[1:4]).all()
    with pytest.raises(gp.InputError, match=r"factor of all rows, which for n=40000 takes 12 GiB: fit with inference="):
        export(fitted, tmp_path)


def test_slopes_are_those_of_differences(case):
    fitted, treated = case
    step, found = 1e-5, fitted.gradient(AT, **treated)
    ahead, behind = (fitted.predict(AT + shift, **treated) for shift in (step, -step))
    for name in ("mean", "sd_f", "sd_y"):
        expected = (getattr(ahead, name) - getattr(behind, name)) / (2 * step)
        np.testing.assert_allclose(getattr(found, name)[:, 0], expected, atol=1e-6, err_msg=name)


def test_paths_have_the_moments_of_the_joint(case, monkeypatch):
    monkeypatch.setattr(paths, "COSINES", 16)  # moments are the same, however few
    fitted, treated = case
    n, joint = 1000, fitted.joint(AT, **treated)
    drawn = fitted.sample_paths(n, 4, **treated)
    found, size = drawn(AT), np.sqrt(np.diag(joint.covariance))
    np.testing.assert_allclose(found.mean(axis=0), joint.mean, atol=5 * size.max() / np.sqrt(n))
    apart = np.cov(found.T) - joint.covariance
    # The variance of a normal's sample variance is 2/n; few cosines have heavier tails.
    assert (np.abs(apart) / np.outer(size, size)).max() < 8 * np.sqrt(2 / n)
    assert len(drawn) == n


def test_paths_are_functions():
    fitted = gp.fit(pd.DataFrame({"a": X, "b": X**2 % 1}), Y, train={"restarts": 0})
    drawn = fitted.sample_paths(3, 0)
    at = pd.DataFrame({"b": [0.1, 0.2, 0.9], "a": [1.0, 2.0, 3.0]})
    found = drawn(at)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found[:, 1], drawn(at.iloc[[1]])[:, 0])  # wherever else it is evaluated
    np.testing.assert_array_equal(found, pickle.loads(pickle.dumps(drawn))(at))
    np.testing.assert_array_equal(found, fitted.sample_paths(3, 0)(at))
    assert not np.array_equal(found, fitted.sample_paths(3, 1)(at))
    np.testing.assert_allclose(drawn(at + 1e-4), found, atol=0.01)  # they are continuous
    with pytest.raises(gp.InputError, match="columns"):
        drawn(X)


def test_what_is_of_a_transform_comes_back_in_units_of_y_or_says_so():
    fitted = gp.fit(X, np.exp(Y), model={"transform": {"kind": "log"}}, train={"restarts": 0})
    plain = gp.fit(X, Y, train={"restarts": 0})
    np.testing.assert_allclose(fitted.sample_paths(3, 0)(AT), np.exp(plain.sample_paths(3, 0)(AT)), rtol=1e-5)
    with pytest.raises(gp.InputError, match=r"is normal, and that of y, transformed by log, is not: fit to a y that"):
        fitted.to_gpytorch()


def test_what_has_no_draws_says_so(monkeypatch):
    fitted = gp.fit(X, Y, inference={"kind": "vecchia", "neighbours": 5}, train={"restarts": 0})
    for ask in (fitted.joint, fitted.gradient):
        with pytest.raises(gp.InputError, match="vecchia conditions each input on rows of its own"):
            ask(AT)
    white = {"kind": "sum", "terms": {"smooth": {"kind": "rbf"}, "white": {"kind": "white"}}}
    with pytest.raises(gp.InputError, match="kind white has neither"):
        gp.fit(X, Y, model={"kernel": white}, train={"restarts": 0}).sample_paths(1, 0)
    switch = {"kind": "changepoint", "before": {"kind": "rbf"}, "after": {"kind": "constant"}}
    with pytest.raises(gp.InputError, match="kind changepoint has neither"):
        gp.fit(X, Y, model={"kernel": switch}, train={"kind": "adam", "steps": 1}).sample_paths(1, 0)
    monkeypatch.setattr(paths, "FEATURES", 2)
    many = gp.fit(X, Y, model={"kernel": {"kind": "polynomial", "power": 3}}, train={"restarts": 0})
    with pytest.raises(gp.InputError, match="4 features, and a path up to 2"):
        many.sample_paths(1, 0)
