"""The joint posterior: equal to dense formulas, its marginals to those of predict, its draws to its moments."""

import numpy as np
import pytest

import gp

RNG = np.random.default_rng(2)
X = np.sort(RNG.uniform(0, 6, 25))
Y = np.sin(X) + 0.1 * RNG.normal(size=25)
AT = np.array([-1.0, 0.5, 0.5, 3.0, 3.1, 9.0])
PLUG_IN = {"kind": "plug_in"}
FIXED = {
    "standardize": {"x": False, "y": False},
    "mean": {"kind": "zero"},
    "kernel": {"kind": "rbf", "lengthscale": {"fixed": 1.2}, "outputscale": {"fixed": 1.5}},
    "noise": {"sd": {"fixed": 0.1}},
}


def test_it_is_that_of_the_textbook():
    found = gp.fit(X, Y, model=FIXED).joint(AT)
    points = np.concatenate([X, AT])
    k = 1.5 * np.exp(-0.5 * ((points[:, None] - points) / 1.2) ** 2)
    rows, cross = k[:25, :25] + 0.01 * np.eye(25), k[25:, :25]
    np.testing.assert_allclose(found.mean, cross @ np.linalg.solve(rows, Y), atol=1e-9)
    np.testing.assert_allclose(found.covariance, k[25:, 25:] - cross @ np.linalg.solve(rows, cross.T), atol=1e-9)
    np.testing.assert_allclose(found.noise_variance, 0.01)


@pytest.mark.parametrize("hyperparameters", [PLUG_IN, {"kind": "laplace", "draws": 8}], ids=lambda of: of["kind"])
def test_its_marginals_are_those_of_predict(hyperparameters):
    fitted = gp.fit(X, Y, model={"mean": {"kind": "linear"}})
    marginal, found = (fitted.predict(AT, joint=joint, hyperparameters=hyperparameters) for joint in (False, True))
    np.testing.assert_allclose(found.mean, marginal.mean, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), marginal.sd_f, rtol=1e-6)
    with_noise = np.sqrt(np.diag(found.covariance) + found.noise_variance)
    np.testing.assert_allclose(with_noise, marginal.sd_y, rtol=1e-6)
    np.testing.assert_allclose([found.sd_f, found.sd_y], [marginal.sd_f, marginal.sd_y], rtol=1e-6)
    np.testing.assert_array_equal(fitted.joint(AT, hyperparameters=hyperparameters).covariance, found.covariance)


@pytest.mark.parametrize("transform", [None, "log"])
def test_its_marginals_are_those_of_a_transform_and_of_known_noise(transform):
    sd = np.linspace(0.1, 2, 6)
    fitted = gp.fit(X, np.exp(Y), model={"transform": transform})
    found, marginal = fitted.predict(AT, joint=True), fitted.predict(AT)
    np.testing.assert_allclose([found.sd_f, found.sd_y], [marginal.sd_f, marginal.sd_y], rtol=1e-6)
    if transform:
        with pytest.raises(gp.InputError, match="noise_sd is the standard deviation of y, not of its transform"):
            fitted.predict(AT, sd, joint=True)
    else:
        np.testing.assert_allclose(fitted.predict(AT, sd, joint=True).sd_y, fitted.predict(AT, sd).sd_y, rtol=1e-6)
        assert not np.allclose(fitted.predict(AT, sd).sd_y, marginal.sd_y)


def test_draws_have_its_moments_and_agree_at_equal_inputs():
    found = gp.fit(X, Y).joint(AT)
    draws = found.sample(20_000, seed=3)
    size = np.sqrt(np.diag(found.covariance))
    np.testing.assert_allclose(draws.mean(axis=0), found.mean, atol=5 * size.max() / np.sqrt(20_000))
    np.testing.assert_allclose(
        np.cov(draws.T) / np.outer(size, size), found.covariance / np.outer(size, size), atol=0.1
    )
    np.testing.assert_allclose(draws[:, 1], draws[:, 2], atol=1e-6)
    np.testing.assert_array_equal(draws, found.sample(20_000, seed=3))
    assert np.std(found.sample(2000, seed=3, noise=True)[:, 1] - found.sample(2000, seed=3)[:, 1]) > 0.05


def test_covariances_too_large_for_memory_are_refused(monkeypatch):
    monkeypatch.setattr("gp.asked.joint.available_memory", lambda: 100)
    with pytest.raises(gp.InputError, match="covariances of these need"):
        gp.fit(X, Y).joint(AT)
