"""Titsias' collapsed bound, against a dense formula, finite differences and the exact GP."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import gp
from gp.dataset import Dataset, default_columns
from gp.fitted.gap import gap_to_exact
from gp.inference.exact import Exact
from gp.inference.inducing import bound as variational
from gp.inference.inducing import sgpr
from gp.inference.inducing.sgpr import Sgpr
from gp.model.model import Model
from gp.spec import InputError, parse

RNG = np.random.default_rng(0)
N = 90
X = RNG.uniform(0, 4, size=(N, 2))
SD = RNG.uniform(0.05, 0.3, size=N)
Y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + SD * RNG.standard_normal(N)

MODELS = {
    "rbf": {"kernel": {"kind": "rbf", "ard": True}},
    "matern": {"kernel": {"kind": "matern", "nu": 1.5}, "mean": {"kind": "linear"}},
    "periodic": {"kernel": {"kind": "periodic"}},
    "rational": {"kernel": {"kind": "rational_quadratic", "ard": True}, "mean": {"kind": "zero"}},
    "sum": {"kernel": {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "linear"}}}},
    "known": {"kernel": {"kind": "rbf"}, "noise": {"kind": "known"}},
}


def build(model, rows=slice(None)):
    data = Dataset(x=X[rows], y=Y[rows], noise_sd=SD[rows], columns=default_columns(2))
    return parse(Model, MODELS[model]).build(data)


def collapsed(gaussian_process):
    """Return Titsias' (2009) eq. 9 by n×n matrices: log N(y | m, Q + Λ) − ½ Σ (k_ii − q_ii)/λ_i."""
    g = gaussian_process
    with torch.no_grad():
        z, x = g.auxiliary["inducing_inputs"], g.x
        inside = g.kernel(z, z).to_dense().numpy()
        inside += variational.JITTER * np.diagonal(inside).mean() * np.eye(len(z))
        cross, prior = g.kernel(z, x).to_dense().numpy(), g.kernel(x, x).to_dense().diagonal().numpy()
        noise, residual = g.training_noise()[0].numpy(), (g.y - g.mean(x)).numpy()
    low_rank = cross.T @ np.linalg.solve(inside, cross)
    covariance = low_rank + np.diag(noise)
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign == 1
    density = -0.5 * (residual @ np.linalg.solve(covariance, residual) + log_determinant + g.n * np.log(2 * np.pi))
    return density - 0.5 * float(((prior - np.diagonal(low_rank)) / noise).sum())


@pytest.mark.parametrize("model", MODELS)
def test_the_bound_is_that_of_the_dense_formula(model):
    method = Sgpr(inducing=12)
    g = method.prepare(build(model), 0)
    value, _ = method.evaluate(g, gradient=False)
    assert value == pytest.approx(collapsed(g), rel=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_the_gradient_is_that_of_finite_differences(model):
    method = Sgpr(inducing=8)
    g = method.prepare(build(model), 0)
    vector = g.parameters.vector + 0.01 * np.random.default_rng(1).standard_normal(len(g.parameters.vector))
    g.parameters.set(vector)
    _, gradient = method.evaluate(g)
    expected, step = np.empty_like(vector), 1e-5
    for i in range(len(vector)):
        sides = []
        for sign in (1, -1):
            g.parameters.set(vector + sign * step * (np.arange(len(vector)) == i))
            sides.append(method.evaluate(g, gradient=False)[0])
        expected[i] = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(gradient, expected, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("model", ["rbf", "matern", "known"])
def test_with_an_inducing_input_at_every_row_it_is_the_exact_gp(model):
    method = Sgpr(inducing=N)
    g = method.prepare(build(model), 0)
    exact = Exact().evaluate(build(model), gradient=False)[0]
    assert method.evaluate(g, gradient=False)[0] == pytest.approx(exact, rel=1e-5)  # but for the jitter
    at = g.inputs(np.array([[1.0, 1.0], [3.0, 3.0]]))
    ours, theirs = method.condition(g).moments(at), Exact().condition(build(model)).moments(at)
    np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-5)
    np.testing.assert_allclose(ours.variance, theirs.variance, atol=1e-5)
    for ours, theirs in zip(
        method.condition(g).leave_one_out(), Exact().condition(build(model)).leave_one_out(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_bound_is_below_the_exact_likelihood_and_rises_with_inducing_inputs():
    exact = Exact().evaluate(build("rbf"), gradient=False)[0]
    z = X[np.random.default_rng(2).permutation(N)]
    bounds = []
    for m in (3, 6, 12, 24):
        method = Sgpr(inducing=m)
        g = method.prepare(build("rbf"), 0)
        g.auxiliary["inducing_inputs"].data.copy_(g.inputs(z[:m]))  # nested, so each set holds the one before
        bounds.append(method.evaluate(g, gradient=False)[0])
    assert bounds == sorted(bounds)
    assert bounds[-1] < exact + 1e-6


def test_blocks_of_any_size_give_the_same(monkeypatch):
    method = Sgpr(inducing=10)
    g = method.prepare(build("rbf"), 0)
    whole = method.evaluate(g)
    monkeypatch.setattr("gp.inference.inducing.sgpr.BLOCK", 7)
    parts = method.evaluate(g)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-9 * np.abs(whole[1]).max())


@pytest.fixture(scope="module")
def fitted():
    """Enough rows that steps on a part of them come before those on all."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 6, size=(1200, 1))
    y = np.sin(2 * x[:, 0]) + 0.2 * rng.standard_normal(1200)
    return x, y, gp.fit(x, y, model=MODELS["rbf"], inference={"kind": "sgpr", "inducing": 20})


def test_training_ends_when_steps_gain_next_to_nothing_and_says_where_it_ended_before():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 6, size=(200, 2))
    y = np.sin(2 * x[:, 0]) * np.cos(x[:, 1]) + 0.1 * rng.normal(size=200)
    asked = {"model": MODELS["rbf"], "train": {"restarts": 0}}
    short, whole = (gp.fit(x, y, inference={"kind": "sgpr", "inducing": 12, "steps": k}, **asked) for k in (4, 500))
    assert short.search.gaining == pytest.approx(max(short.search.values) - short.search.values[0])
    assert not short.certificate.converged
    assert any("raise inference.steps" in alarm for alarm in short.certificate.alarms)
    assert whole.search.gaining is None
    assert whole.log_marginal_likelihood > short.log_marginal_likelihood + 10
    # Twice as many steps again would gain little.
    again = Sgpr(inducing=12)._climb(replace(whole.gp, workspace={}))[1]
    assert max(again) - max(whole.search.values) < 2


@pytest.mark.slow
def test_a_fit_comes_close_to_the_exact_one_and_says_how_close(fitted):
    x, y, sparse = fitted
    exact = gp.fit(x, y, model=MODELS["rbf"])
    assert exact.log_marginal_likelihood - 2 < sparse.log_marginal_likelihood < exact.log_marginal_likelihood + 1e-3
    at = np.linspace(0, 6, 50)
    np.testing.assert_allclose(sparse.predict(at).mean, exact.predict(at).mean, atol=0.02)
    assert sparse.hyperparameters["noise.sd"] == pytest.approx(exact.hyperparameters["noise.sd"], rel=0.01)
    gap = gap_to_exact(sparse, 0)
    assert abs(gap.nlpd) < 0.05


@pytest.mark.slow
def test_a_fit_is_the_same_twice_and_after_it_was_saved(fitted, tmp_path):
    x, y, once = fitted
    again = gp.fit(x, y, model=MODELS["rbf"], inference={"kind": "sgpr", "inducing": 20})
    assert np.array_equal(once.vector, again.vector)
    once.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    at = np.linspace(0, 6, 9)
    assert np.array_equal(loaded.predict(at).mean, once.predict(at).mean)
    assert loaded.log_marginal_likelihood == pytest.approx(max(once.search.values) + once.gp.log_jacobian, rel=1e-12)


def test_noise_with_something_for_each_row_is_refused():
    with pytest.raises(InputError, match=r"noise\.kind: sgpr takes noise of kind gaussian or known"):
        gp.fit(X, Y, model={"noise": {"kind": "student_t"}}, inference={"kind": "sgpr"})


@pytest.mark.parametrize(("given", "message"), [({"inducing": 0}, r"inference\.inducing"), ({"m": 3}, r"inference\.m")])
def test_what_is_wrong_with_the_spec_is_named(given, message):
    with pytest.raises(InputError, match=message):
        gp.fit(X, Y, inference={"kind": "sgpr", **given})


@pytest.mark.parametrize("settings", [{"kind": "sgpr", "steps": 30}, {"kind": "svgp", "epochs": 100}])
def test_rows_without_noise_that_few_inducing_inputs_cannot_explain_are_fitted(settings):
    rng = np.random.default_rng(0)
    x, new = rng.uniform(size=(3000, 2)), rng.uniform(size=(500, 2))
    y, f = (np.sin(20 * part[:, 0]) * np.cos(15 * part[:, 1]) for part in (x, new))
    fitted = gp.fit(x, y, inference=settings | {"inducing": 60}, train={"restarts": 0})
    posterior = fitted.predict(new)
    assert np.sqrt(np.mean((posterior.mean - f) ** 2)) < 0.3 * y.std()
    assert np.mean(((posterior.mean - f) / posterior.sd_y) ** 2) < 3


PRIOR = {"kind": "log_normal", "median": 0.2, "sigma": 0.3}


def test_a_climb_is_of_the_bound_and_the_prior_and_ends_at_the_best_it_has_seen(monkeypatch):
    kernel = {"kind": "rbf", "lengthscale": {"start": 1.0, "prior": PRIOR}}
    gaussian_process = parse(Model, {"kernel": kernel}).build(Dataset(x=X, y=Y, columns=default_columns(2)))
    method = Sgpr(inducing=6)
    process = method.prepare(gaussian_process, 0)
    start = process.parameters.vector
    better, seen = start + 0.1, {}

    def wander(loss, vector, **_):
        for at in (vector, better, vector - 1.0):
            seen[at.tobytes()] = loss(at)

    monkeypatch.setattr(sgpr, "minimize", wander)
    vector, values, _ = method._climb(process)

    def objective(at):
        process.parameters.set(at)
        value, gradient = method.evaluate(process)
        prior, slope = process.parameters.log_prior(at)
        assert prior != 0
        return value + prior, gradient + slope

    best = max((start, better, start - 1.0), key=lambda at: objective(at)[0])
    assert best is not start - 1.0
    assert np.array_equal(vector, best)
    assert values == pytest.approx([objective(at)[0] for at in (start, better, start - 1.0)])
    for at in (start, better):
        np.testing.assert_allclose(seen[at.tobytes()][1], -objective(at)[1] / N, rtol=1e-9, atol=1e-12)
