"""Mean coefficients integrated out: what a very wide prior over them gives, by dense matrices."""

import numpy as np
import pytest
import torch

from gp.dataset import Dataset
from gp.inference import Markov
from gp.inference.exact import Exact
from gp.model.model import Model
from gp.spec import parse

RNG = np.random.default_rng(0)
N, WIDE = 60, 1e5
X = RNG.uniform(size=(N, 2))
MEAN = {"kind": "linear"}
TERMS = {"kind": "sum", "terms": {"slow": {"kind": "rbf"}, "fast": {"kind": "matern", "lengthscale": 0.2}}}


def build(mean=MEAN, x=X, kernel=TERMS):
    y = 3 + 2 * x[:, 0] + np.sin(5 * x[:, 1]) + 0.2 * np.random.default_rng(1).normal(size=len(x))
    return parse(Model, {"mean": mean, "kernel": kernel}).build(Dataset(x, ("a", "b"), y))


def of(gp):
    """Return exact inference with the mean's coefficients integrated out, conditioned."""
    method, _ = Exact().integrating(gp)
    return method.condition(gp)


def dense(gp, x):
    """Return mean and variance at x, left-out means and sds, and the log likelihood, under β ~ N(0, WIDE)."""
    y, prior = gp.scope.y, WIDE * np.eye(3)
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
    return cross @ inverse @ y, variance, left_out, value + 1.5 * np.log(2 * np.pi * WIDE)


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


@pytest.mark.parametrize("few", [0, 512], ids=["by tiles", "packed"])
@pytest.mark.parametrize("x", [X, np.round(3 * X) / 3], ids=["distinct", "repeated"])
def test_the_gradient_is_that_of_the_restricted_likelihood(x, few, monkeypatch):
    monkeypatch.setattr("gp.matrices.symmetric.FEW", few)
    gp = build(x=x)
    method, places = Exact().integrating(gp)
    assert [gp.parameters.names[i] for i in places] == ["mean.bias", "mean.weights.a", "mean.weights.b"]
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


def test_a_method_without_a_form_for_it_integrates_nothing_out():
    assert not len(Markov().integrating(build())[1])
