"""The noise of new observations, where inducing inputs leave some of the function unexplained."""

import json

import numpy as np
import pytest

import gp
from gp.export import export
from gp.forecast import Forecast
from gp.inference.inducing.new_noise import kept_of_noise
from gp.scores import score

NOISE, FEW = 0.1, {"kind": "sgpr", "inducing": 20, "steps": 40}
MATERN, PLAIN = {"kind": "matern", "nu": 1.5}, {"hyperparameters": {"kind": "plug_in"}}


def rows(n, seed=0):
    """Return inputs, and a function with eleven cycles, which 20 inducing inputs do not resolve, with noise."""
    x = np.random.default_rng(seed).uniform(0, 10, n)
    return x, np.sin(x) + 0.5 * np.sin(7 * x + 1) + NOISE * np.random.default_rng([seed, 1]).standard_normal(n)


@pytest.fixture(scope="module")
def coarse():
    """Return a fit whose noise holds what inducing inputs leave unexplained."""
    return gp.fit(*rows(500), model={"kernel": MATERN}, inference=FEW)


def test_bands_are_not_widened_by_what_is_learnt_as_noise(coarse):
    (x, y), learnt = rows(2000, 1), coarse.hyperparameters["noise.sd"]
    found, new = coarse.predict(x), coarse.certificate.noise_of_new
    assert learnt > 1.8 * NOISE
    assert new == pytest.approx(NOISE, rel=0.25)
    np.testing.assert_allclose(found.sd_y**2, found.sd_f**2 + new**2)
    assert f"noise of sd {new:.3g}" in str(coarse.certificate)
    assert coarse.report()["certificate"]["noise_of_new"] == new
    told, wide = score(y, found.y), score(y, Forecast.normal(found.mean, np.hypot(found.sd_f, learnt)))
    assert told["nlpd"] < wide["nlpd"] - 0.15
    for level in (50, 80, 95):
        assert abs(told[f"coverage_{level}"] - level / 100) < 0.08
        assert told[f"coverage_{level}"] < wide[f"coverage_{level}"]


def test_all_that_predicts_takes_that_noise(coarse, tmp_path):
    x, _ = rows(9, 2)
    found = coarse.predict(x, **PLAIN)
    coarse.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(gp.load(tmp_path / "model.safetensors").predict(x, **PLAIN).sd_y, found.sd_y)
    np.testing.assert_allclose(coarse.joint(x, **PLAIN).sd_y, found.sd_y)
    export(coarse, tmp_path / "out", **PLAIN)
    (setting,) = json.loads((tmp_path / "out/model.json").read_text())["settings"]
    new = setting["noise"]["values"]["variance"] * coarse.gp.scope.y_scale**2
    np.testing.assert_allclose(found.sd_y**2, found.sd_f**2 + new)
    known = coarse.predict(x, noise_sd=np.full(9, 0.3), **PLAIN)
    np.testing.assert_allclose(known.sd_y**2, found.sd_f**2 + 0.3**2)
    ahead, behind = (coarse.predict(x + step, **PLAIN).sd_y for step in (1e-5, -1e-5))
    np.testing.assert_allclose(coarse.gradient(x, **PLAIN).sd_y[:, 0], (ahead - behind) / 2e-5, rtol=1e-3, atol=1e-5)


def test_it_is_as_learnt_where_inducing_inputs_explain_the_function():
    x, _ = rows(200)
    y = np.sin(x) + NOISE * np.random.default_rng(3).standard_normal(200)
    fitted = gp.fit(x, y, model={"kernel": {"kind": "rbf"}}, inference={"kind": "sgpr", "inducing": 30})
    learnt = fitted.hyperparameters["noise.sd"]
    assert (fitted.certificate.noise_of_new or learnt) == pytest.approx(learnt, rel=1e-3)


@pytest.mark.parametrize(("sd", "noise"), [(None, {"sd": {"fixed": 0.2}}), (0.2, {"kind": "known"})])
def test_noise_that_is_stated_is_kept(sd, noise):
    x, y = rows(200)
    known = None if sd is None else np.full(200, sd)
    fitted = gp.fit(x, y, noise_sd=known, model={"kernel": MATERN, "noise": noise}, inference=FEW)
    assert fitted.certificate.noise_of_new is None
    found = fitted.predict(x)
    np.testing.assert_allclose(found.sd_y**2, found.sd_f**2 + 0.2**2)


@pytest.mark.parametrize(("unexplained", "size"), [(0.3, 0.8), (0.05, 0.5), (0.3, 1.4), (0.9, 0.2)])
def test_the_share_kept_has_the_best_density_of_left_out_rows_within_its_bounds(unexplained, size):
    rng, noise = np.random.default_rng(0), 0.5
    rest = rng.uniform(0, 2 * unexplained, 400)
    residual, variance = size * rng.standard_normal(400), noise + rest
    lowest = max(0.01, 1 - 2 * rest.mean() / noise)
    shares = np.linspace(lowest, 1, 20_001)
    left = variance - (1 - shares[:, None]) * noise
    best = shares[np.argmin((np.log(left) + residual**2 / left).mean(axis=1))]
    assert kept_of_noise(residual, variance, rest, noise) == pytest.approx(best, abs=1e-4)
