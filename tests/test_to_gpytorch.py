"""The model as gpytorch's: the same posterior, and what BoTorch asks of a model."""

import gpytorch
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.optim import optimize_acqf

import gp

RNG = np.random.default_rng(11)
X = RNG.uniform(0, 10, (30, 2)) * [1.0, 50.0]
Y = 50 + 10 * np.sin(X[:, 0]) + 0.01 * X[:, 1] + 0.5 * RNG.normal(size=30)
AT = RNG.uniform(0, 10, (7, 2)) * [1.0, 50.0]
FACTORS = {"slope": {"kind": "linear"}, "cycle": {"kind": "periodic"}}
TERMS = {"a": {"kind": "rbf", "columns": ["x1"]}, "b": {"kind": "product", "factors": FACTORS}, "c": {"kind": "white"}}
CASES = {
    "default": {},
    "terms, linear mean": {"model": {"kernel": {"kind": "sum", "terms": TERMS}, "mean": {"kind": "linear"}}},
    "no scaling": {"model": {"standardize": {"x": False, "y": False}, "kernel": {"kind": "rational_quadratic"}}},
    "known noise": {"model": {"noise": {"kind": "known"}}, "noise_sd": np.linspace(1e-4, 1, 30)},
    "markov": {"model": {"kernel": {"kind": "matern", "columns": ["x1"]}}, "inference": {"kind": "markov"}},
}


@pytest.mark.parametrize("name", CASES)
def test_its_posterior_is_ours(name):
    fitted = gp.fit(X, Y, train={"kind": "adam", "steps": 3}, **CASES[name])
    model, likelihood = fitted.to_gpytorch()
    assert isinstance(model, gpytorch.models.ExactGP)
    expected, known = fitted.predict(AT, hyperparameters={"kind": "plug_in"}), "noise_sd" in CASES[name]
    with torch.no_grad():
        found = model(torch.as_tensor(AT))
        noisy = likelihood(
            found, **({"noise": torch.full((7,), fitted.gp.noise_variance(fitted.gp.x)[0])} if known else {})
        )
    close = {"rtol": 1e-8, "atol": 1e-8 * Y.std()}
    np.testing.assert_allclose(found.mean, expected.mean, **close)
    np.testing.assert_allclose(found.variance.sqrt(), expected.sd_f, **close)
    covariance = fitted.joint(AT, hyperparameters={"kind": "plug_in"}).covariance
    np.testing.assert_allclose(found.covariance_matrix, covariance, rtol=1e-8, atol=1e-8 * Y.var())
    if not known:
        np.testing.assert_allclose(noisy.variance.sqrt(), expected.sd_y, **close)


def test_its_likelihood_is_ours():
    fitted = gp.fit(X, Y, train={"kind": "adam", "steps": 3})
    model, likelihood = fitted.to_gpytorch()
    model.train()
    value = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(model(*model.train_inputs), model.train_targets)
    assert value.item() * 30 == pytest.approx(fitted.log_marginal_likelihood, abs=1e-8)


def test_botorch_finds_the_highest_point_in_five_steps():
    def asked(x):
        return -((x[:, 0] - 0.7) ** 2) - (x[:, 1] - 0.2) ** 2

    x = np.random.default_rng(0).uniform(size=(5, 2))
    y, box = asked(x), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    smooth = {"kernel": {"kind": "rbf"}, "noise": {"sd": {"fixed": 0.01}}}
    for _ in range(5):
        model, _ = gp.fit(x, y, model=smooth, train={"restarts": 0}).to_gpytorch()
        better = LogExpectedImprovement(model, best_f=float(y.max()))
        torch.manual_seed(0)
        best, _ = optimize_acqf(better, box, q=1, num_restarts=2, raw_samples=16)
        x = np.vstack([x, best.numpy()])
        y = asked(x)
    assert y.max() > -1e-3 > y[:5].max()
    pair, _ = optimize_acqf(
        qLogExpectedImprovement(model, best_f=float(y.max())), box, 2, num_restarts=1, raw_samples=4
    )
    assert pair.shape == (2, 2)
    assert model.posterior(box, observation_noise=True).variance.min() > model.posterior(box).variance.min()


def test_batches_of_a_change_point_are_refused():
    switch = {"kind": "changepoint", "before": {"kind": "rbf"}, "after": {"kind": "matern"}, "column": "x2"}
    fitted = gp.fit(X, Y, model={"kernel": switch}, train={"kind": "adam", "steps": 1})
    model, _ = fitted.to_gpytorch()
    with torch.no_grad():
        found = model(torch.as_tensor(AT)).mean
    np.testing.assert_allclose(found, fitted.predict(AT, hyperparameters={"kind": "plug_in"}).mean, rtol=1e-8)
    with pytest.raises(gp.InputError, match="no matrices for batches"):
        model.posterior(torch.as_tensor(AT)[:, None])


def test_what_is_no_exact_gp_is_refused():
    with pytest.raises(gp.InputError, match="inference of kind sgpr is not that"):
        gp.fit(X, Y, inference={"kind": "sgpr", "inducing": 4}, train={"kind": "adam", "steps": 1}).to_gpytorch()
    with pytest.raises(gp.InputError, match="the noise is not that"):
        gp.fit(X, Y, model={"noise": {"kind": "student_t"}}, train={"kind": "adam", "steps": 1}).to_gpytorch()
