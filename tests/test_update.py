"""New rows without a refit: what follows is that of conditioning on all rows at the same hyperparameters."""

from dataclasses import replace

import numpy as np
import pytest

import gp
from gp.asked.update import inside
from gp.fitted.mixture import Mixture

RNG = np.random.default_rng(7)
X = np.sort(RNG.uniform(0, 6, 30))
Y = 20 + 5 * np.sin(X) + 0.5 * RNG.normal(size=30)
NEW_X, NEW_Y = np.array([2.2, 4.4, 6.5]), 20 + 5 * np.sin([2.2, 4.4, 6.5]) + np.array([0.5, -0.3, 0.1])
AT = np.array([-1.0, 2.3, 6.6, 9.0])
PLUG_IN = {"kind": "plug_in"}
CLOSE = {"rtol": 1e-10, "atol": 1e-10 * Y.std()}


def same(found, expected):
    """Assert that two posteriors are the same."""
    for name in ("mean", "sd_f", "sd_y"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **CLOSE, err_msg=name)


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_it_is_conditioning_on_all_rows(mean):
    fitted = gp.fit(X, Y, model={"mean": {"kind": mean}}, train={"restarts": 0})
    later = fitted.update(NEW_X, NEW_Y)
    anew = replace(later, built=None)  # without the factor that was appended to
    same(later.predict(AT, hyperparameters=PLUG_IN), anew.predict(AT, hyperparameters=PLUG_IN))
    assert later.gp.parameters.by_name() == pytest.approx(fitted.gp.parameters.by_name())
    (mixture,) = later._mixtures.values()
    again = Mixture.of(anew.gp, anew.inference, mixture.draws)
    found = later.predict(AT)
    np.testing.assert_allclose(found.y.means, again.forecasts(anew.gp.inputs(AT[:, None]), None).y.means, **CLOSE)
    np.testing.assert_allclose(found.y.sds, again.forecasts(anew.gp.inputs(AT[:, None]), None).y.sds, **CLOSE)
    assert later.log_marginal_likelihood == pytest.approx(anew.log_marginal_likelihood, abs=1e-9)
    assert "n=33 is at most 1000" in later.certificate.predictions
    assert len(later.leave_one_out) == 33


def test_with_more_rows_mean_coefficients_stay_integrated_out(monkeypatch):
    monkeypatch.setattr("gp.fitted.uncertainty.ROWS", 20)
    fitted = gp.fit(X, Y, model={"mean": {"kind": "linear"}}, train={"restarts": 0})
    later, joint = fitted.update(NEW_X, NEW_Y), fitted.joint(NEW_X)
    assert later.treatment()[0].kind == "flat_mean"
    same(later.predict(AT), replace(later, built=None).predict(AT))
    apart, whole = NEW_Y - joint.mean, joint.covariance + np.diag(joint.noise_variance)
    density = -0.5 * (apart @ np.linalg.solve(whole, apart) + np.linalg.slogdet(2 * np.pi * whole)[1])
    assert later.surprise.log_density == pytest.approx(density, abs=1e-7)
    assert fitted.joint(NEW_X, hyperparameters=PLUG_IN).covariance[2, 2] < 0.95 * joint.covariance[2, 2]


def test_weights_of_draws_follow_what_they_predicted():
    fitted = gp.fit(X, Y, train={"restarts": 0})
    later = fitted.update(NEW_X, NEW_Y)
    (before,), (after,) = fitted._mixtures.values(), later._mixtures.values()
    joint = fitted.joint(NEW_X)
    logs = []
    for mean, covariance, noise in zip(joint.means, joint.covariances, joint.noise, strict=True):
        apart, whole = NEW_Y - mean, covariance + np.diag(noise)
        logs.append(-0.5 * (apart @ np.linalg.solve(whole, apart) + np.linalg.slogdet(2 * np.pi * whole)[1]))
    expected = before.draws.log_weights + logs
    np.testing.assert_allclose(after.draws.log_weights, expected - np.logaddexp.reduce(expected), atol=1e-7)
    assert later.surprise.log_density == pytest.approx(np.logaddexp.reduce(expected), abs=1e-7)


@pytest.mark.parametrize("hyperparameters", [None, PLUG_IN], ids=["mixture", "plug-in"])
def test_it_says_how_surprising_rows_are(hyperparameters, monkeypatch):
    fitted = gp.fit(X, Y, train={"restarts": 0})
    if hyperparameters:
        monkeypatch.setattr(type(fitted), "mixture", lambda self, hyperparameters=None: None)
    usual, odd = fitted.update(NEW_X, NEW_Y).surprise, fitted.update(NEW_X, NEW_Y + np.array([0, 9, 0])).surprise
    assert usual.lower < usual.log_density < usual.upper
    assert usual.refit == ()
    assert odd.probability < 0.01
    assert odd.log_density < odd.lower
    assert "not what the model expects" in str(odd)
    both = fitted.update(X + 0.01, Y)
    assert any("learnt on 30 of 60 rows" in reason for reason in both.surprise.refit)
    assert both.update([3.3], [21.0]).surprise.learnt_on == 30


def test_rows_can_come_one_at_a_time_and_be_saved(tmp_path):
    fitted = gp.fit(X, Y, train={"restarts": 0})
    one = fitted
    for x, y in zip(NEW_X, NEW_Y, strict=True):
        one = one.update([x], [y])
    together = fitted.update(NEW_X, NEW_Y)
    same(one.predict(AT), together.predict(AT))
    together.save(tmp_path / "model.safetensors")
    same(gp.load(tmp_path / "model.safetensors").predict(AT), together.predict(AT))


def test_rows_that_repeat_and_known_noise():
    rows, targets = np.repeat(X, 2), np.repeat(Y, 2) + 0.1 * RNG.normal(size=60)
    fitted = gp.fit(rows, targets, train={"restarts": 0})
    later = fitted.update(X[:2], Y[:2])
    same(
        later.predict(AT),
        replace(later, built=None, draws={k: m.draws for k, m in later._mixtures.items()}).predict(AT),
    )
    known = gp.fit(X, Y, noise_sd=np.full(30, 0.5), model={"noise": {"kind": "known"}}, train={"restarts": 0})
    later = known.update(NEW_X, NEW_Y, noise_sd=[0.1, 0.2, 3.0])
    assert later.predict([6.5], hyperparameters=PLUG_IN).sd_f > later.predict([2.2], hyperparameters=PLUG_IN).sd_f
    with pytest.raises(gp.InputError, match="give noise_sd"):
        known.update(NEW_X, NEW_Y)


def test_what_cannot_be_appended_to_says_so():
    with pytest.raises(gp.InputError, match="this is sgpr"):
        gp.fit(X, Y, inference={"kind": "sgpr", "inducing": 5}, train={"restarts": 0}).update(NEW_X, NEW_Y)
    fitted = gp.fit(X, Y, train={"restarts": 0})
    with pytest.raises(gp.InputError, match="drop noise_sd"):
        fitted.update(NEW_X, NEW_Y, noise_sd=[1, 1, 1])
    with pytest.raises(gp.InputError, match="x has 3 rows but y has 2"):
        fitted.update(NEW_X, NEW_Y[:2])


def test_simulated_rows_above_an_end_are_those_of_all_that_are():
    mean, root = np.array([0.3, -0.2]), np.linalg.cholesky([[1.0, 0.6], [0.6, 0.8]])
    white = np.random.default_rng(0).standard_normal((20_000, 2))
    every = mean + white @ root.T
    above = every[(every > -0.1).all(axis=1)]
    found, logs = inside(mean, root, -0.1, white)
    rows, weights = mean + found @ root.T, np.exp(logs)
    assert rows.min() > -0.1 - 1e-12
    assert weights.mean() == pytest.approx(len(above) / len(every), abs=0.01)
    np.testing.assert_allclose(weights @ rows / weights.sum(), above.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(rows.T, aweights=weights), np.cov(above.T), atol=0.02)
