"""Mean coefficients integrated out: what a very wide prior over them gives, by dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gp.dataset import Dataset
from gp.inference import Markov, Sgpr, Svgp, Vecchia
from gp.inference.exact import Exact
from gp.model.model import Model
from gp.spec import parse

RNG = np.random.default_rng(0)
N, WIDE = 60, 1e5
X = RNG.uniform(size=(N, 2))
MEAN = {"kind": "linear"}
TERMS = {"kind": "sum", "terms": {"slow": {"kind": "rbf"}, "fast": {"kind": "matern", "lengthscale": 0.2}}}
ROUGH = {"kind": "sum", "terms": {"slow": {"kind": "matern"}, "fast": {"kind": "matern", "lengthscale": 0.2}}}


def build(mean=MEAN, x=X, kernel=TERMS):
    y = 3 + 2 * x[:, 0] + np.sin(5 * x[:, -1]) + 0.2 * np.random.default_rng(1).normal(size=len(x))
    return parse(Model, {"mean": mean, "kernel": kernel}).build(Dataset(x, ("a", "b")[: x.shape[1]], y))


def of(gp):
    """Return exact inference with the mean's coefficients integrated out, conditioned."""
    method, _ = Exact().integrating(gp)
    return method.condition(gp)


def flat(gp, method):
    """Return what the method's posterior is with the mean's coefficients integrated out, and the model there."""
    prepared = method.prepare(gp, 0)
    return method.condition(prepared).with_flat_mean(), prepared


def dense(gp, x):
    """Return mean and variance at x, left-out means and sds, and the log likelihood, under β ~ N(0, WIDE)."""
    q = 1 + x.shape[1]
    y, prior = gp.scope.y, WIDE * np.eye(q)
    with torch.no_grad():
        own, cross, far = (gp.kernel(*pair).to_dense().numpy() for pair in ((gp.x,), (x, gp.x), (x,)))
        noise = gp.training_noise()[0].numpy()
    rows, new = (np.hstack([np.ones((len(at), 1)), at.numpy()]) for at in (gp.x, x))
    covariance = own + np.diag(np.broadcast_to(noise, len(y))) + rows @ prior @ rows.T
    inverse = np.linalg.inv(covariance)
    cross, diagonal = cross + new @ prior @ rows.T, np.diag(inverse)
    variance = np.diag(far + new @ prior @ new.T - cross @ np.linalg.solve(covariance, cross.T))
    value = -0.5 * (y @ inverse @ y - np.linalg.slogdet(inverse)[1] + len(y) * np.log(2 * np.pi))
    left_out = y - inverse @ y / diagonal, diagonal**-0.5
    return cross @ inverse @ y, variance, left_out, value + 0.5 * q * np.log(2 * np.pi * WIDE)


@pytest.mark.parametrize("x", [X, np.round(3 * X) / 3], ids=["distinct", "repeated"])
def test_predictions_and_likelihood_are_those_of_a_very_wide_prior(x):
    gp = build(x=x)
    assert (gp.distinct.n < N) == (x is not X)
    new = torch.from_numpy(RNG.uniform(-3, 3, size=(7, 2)))
    mean, variance, left_out, value = dense(gp, new)
    solved = of(gp)
    found = solved.moments(new)
    np.testing.assert_allclose([found.mean, found.variance], [mean, variance], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solved.leave_one_out(), left_out, rtol=1e-5, atol=1e-5)
    assert solved.log_likelihood == pytest.approx(value, abs=1e-4)
    assert variance.max() > 1.5 * Exact().condition(gp).moments(new).variance.max()  # far from rows, it is of the mean
    np.testing.assert_allclose(
        sum(term for term, _ in found.terms.values()) + gp.mean(new).detach().numpy(), mean, 1e-4
    )


@pytest.mark.parametrize("kind", ["by tiles", "packed", "markov"])
@pytest.mark.parametrize("x", [X, np.round(3 * X) / 3], ids=["distinct", "repeated"])
def test_the_gradient_is_that_of_the_restricted_likelihood(x, kind, monkeypatch):
    monkeypatch.setattr("gp.matrices.symmetric.FEW", 0 if kind == "by tiles" else 512)
    gp = build(x=x[:, :1], kernel=ROUGH) if kind == "markov" else build(x=x)
    method, places = (Markov() if kind == "markov" else Exact()).integrating(gp)
    named = ["mean.bias", "mean.weights.a", "mean.weights.b"]
    assert [gp.parameters.names[i] for i in places] == named[: 1 + gp.x.shape[1]]
    start = gp.parameters.vector
    _, slope = method.evaluate(gp)
    for i, shift in enumerate(1e-5 * np.eye(len(start))):
        ends = []
        for vector in (start + shift, start - shift):
            gp.parameters.set(vector)
            ends.append(method.evaluate(gp, gradient=False)[0])
        assert slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-5)


def test_the_model_is_left_at_generalised_least_squares():
    gp = build()
    of(gp)
    _, slope = Exact().evaluate(gp)
    names = dict(zip(gp.parameters.names, slope, strict=True))
    assert [names[name] for name in names if name.startswith("mean")] == pytest.approx([0, 0, 0], abs=1e-9)
    assert abs(names["noise.sd"]) > 1  # others are where they were


def test_columns_that_depend_on_others_are_counted_once():
    twice = np.column_stack([X[:, 0], X[:, 0]])
    one, two = (of(build({"kind": "linear"}, x, {"kind": "rbf", "columns": ["a"]})) for x in (X, twice))
    assert one.flat.root.shape == (3, 3)
    assert two.flat.root.shape == (3, 2)
    new = torch.full((2, 2), 2.0)
    assert np.isfinite(two.moments(new).variance).all()


@pytest.mark.parametrize("bias", [{"fixed": 0}, {"lower": -1}, {"prior": {"kind": "normal", "mean": 0, "sd": 1}}])
def test_what_is_fixed_bounded_or_has_a_prior_is_not_integrated_out(bias):
    gp = build({"kind": "constant", "value": bias})
    method, places = Exact().integrating(gp)
    assert not len(places)
    assert method == Exact()


def test_a_method_without_a_form_for_it_draws_no_covariance_around_it():
    assert not len(Vecchia().integrating(build())[1])


def test_methods_that_are_exact_integrate_out_alike():
    gp, new = build(x=X[:, :1], kernel=ROUGH), torch.linspace(-1, 2, 5)[:, None]
    found = [method.integrating(gp)[0].condition(gp) for method in (Exact(), Markov())]
    seen = [(one.log_likelihood, *one.leave_one_out(), one.moments(new).variance) for one in found]
    for exact, other in zip(*seen, strict=True):
        np.testing.assert_allclose(other, exact, rtol=1e-7)


# --- the covariance as learnt, by every method ------------------------------------------------------------------------

ALL = {  # that are exact on so few rows, but for jitter
    "exact": Exact(),
    "markov": Markov(),
    "sgpr": Sgpr(inducing=N),
    "svgp": Svgp(inducing=N),
    "vecchia": Vecchia(neighbours=N - 1, inducing=10),
    "vecchia, neighbours alone": Vecchia(neighbours=N - 1, inducing=0),
}
FEW = {  # that are not
    "sgpr": Sgpr(inducing=12),
    "vecchia": Vecchia(neighbours=6, inducing=8),
    "vecchia, neighbours alone": Vecchia(neighbours=8, inducing=0),
}


@pytest.mark.parametrize("repeated", [False, True], ids=["distinct", "repeated"])
@pytest.mark.parametrize("name", ALL)
def test_a_plain_posterior_gains_what_a_very_wide_prior_over_the_mean_gives(name, repeated):
    x = X[:, :1] if name == "markov" else X
    x = np.round(x * 20 / (1 + x.shape[1])) if repeated else x
    gp, new = build(x=x, kernel=ROUGH), torch.from_numpy(RNG.uniform(-3, 3, size=(7, x.shape[1])))
    mean, variance, left_out, value = dense(gp, new)
    before = ALL[name].condition(ALL[name].prepare(gp, 0)).moments(new)
    found, at = flat(gp, ALL[name])
    seen, exact = found.moments(new), of(build(x=x, kernel=ROUGH)).moments(new)
    np.testing.assert_allclose([seen.mean, seen.variance], [mean, variance], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.leave_one_out(), left_out, rtol=1e-5, atol=1e-5)
    assert found.log_likelihood == pytest.approx(value, abs=1e-4)
    assert variance.max() > 1.2 * before.variance.max()
    for term, (term_mean, term_variance) in exact.terms.items():
        np.testing.assert_allclose(seen.terms[term][0], term_mean, atol=1e-5)
        np.testing.assert_allclose(seen.terms[term][1], term_variance, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.training_mean(), found.moments(build(x=x).x).mean, atol=1e-6)
    assert len(at.parameters.vector) >= len(gp.parameters.vector)


@pytest.mark.parametrize("name", FEW)
def test_of_an_approximation_targets_moved_by_the_mean_function_move_the_mean_alone(name):
    gp, new = build(kernel=ROUGH), torch.from_numpy(RNG.uniform(-3, 3, size=(7, 2)))
    one, _ = flat(gp, FEW[name])
    first = one.moments(new)
    y = gp.scope.y + 5 - 2 * gp.scope.x[:, 0]
    two, _ = flat(replace(build(kernel=ROUGH), scope=replace(gp.scope, y=y)), FEW[name])
    second = two.moments(new)
    np.testing.assert_allclose(second.mean, first.mean + 5 - 2 * new[:, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(second.variance, first.variance, rtol=1e-9)


@pytest.mark.parametrize("name", FEW)
def test_of_an_approximation_rows_are_left_out_with_their_share_of_the_mean(name):
    x = X.copy()
    x[0] = 4.0  # which the slopes lean on
    gp, method = build(x=x, kernel=ROUGH), FEW[name]
    found, prepared = flat(gp, method)
    means, sds = found.leave_one_out()
    plain = method.condition(prepared).leave_one_out()[1]
    assert sds[0] > 1.1 * plain[0]
    for row in (0, 11, 30):
        rest = method.restrict(prepared, np.delete(np.arange(N), row))
        moments, at = method.condition(rest).with_flat_mean(), prepared.x[row : row + 1]
        moments = moments.moments(at)
        sd = np.sqrt(moments.variance + found.gp.noise_variance(at))
        np.testing.assert_allclose([means[row] / sd[0], sds[row] / sd[0]], [moments.mean[0] / sd[0], 1.0], atol=0.02)
