"""What a model of a transform of y tells others: slopes, new rows, the predictor, BoTorch, all in y's own units."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import gp
from gp.transforms import base

RNG = np.random.default_rng(3)
X = np.sort(RNG.uniform(0, 6, 25))
Y = 2 * np.exp(np.sin(X) + 0.15 * RNG.normal(size=25))
AT = np.array([-1.0, 0.52, 3.0, 3.1, 9.0])
PLUG_IN = {"kind": "plug_in"}
MIXED = {"kind": "laplace", "draws": 6}
CASES = {
    "log": {"kind": "log", "offset": 0.5},
    "sqrt": {"kind": "sqrt"},
    "box_cox": {"kind": "box_cox"},
    "box_cox of power 1.5": {"kind": "box_cox", "power": 1.5, "offset": 1.0},
    "yeo_johnson": {"kind": "yeo_johnson", "power": 0.3},
    "logit": {"kind": "logit", "lower": 0.0, "upper": 12.0},
}


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    """Return a model of transformed y."""
    return gp.fit(X, Y, model={"transform": CASES[request.param]}, train={"restarts": 0})


@pytest.mark.parametrize("hyperparameters", [PLUG_IN, MIXED], ids=lambda of: of["kind"])
def test_slopes_are_those_of_differences(fitted, hyperparameters, monkeypatch):
    monkeypatch.setattr(base, "MANY", np.polynomial.legendre.leggauss(512))  # differences magnify errors of moments
    step, found = 1e-4, fitted.gradient(AT, hyperparameters=hyperparameters)
    at = [fitted.predict(AT + k * step, hyperparameters=hyperparameters) for k in (-2, -1, 1, 2)]
    for name in ("mean", "sd_f", "sd_y"):
        values = [getattr(each, name) for each in at]
        expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        np.testing.assert_allclose(getattr(found, name)[:, 0], expected, atol=1e-6 * Y.std(), err_msg=name)


def test_new_rows_are_those_of_conditioning_on_all(fitted, tmp_path):
    new_x, new_y = np.array([2.2, 4.4, 6.5]), np.array([4.5, 0.8, 2.5])
    later = fitted.update(new_x, new_y)
    anew = replace(later, built=None)  # without the factor that was appended to
    found, expected = (each.predict(AT, hyperparameters=PLUG_IN) for each in (later, anew))
    for name in ("mean", "sd_f", "sd_y"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, err_msg=name)
    joint, each = fitted.joint(new_x), []
    for s, (mean, covariance, noise) in enumerate(zip(joint.means, joint.covariances, joint.noise, strict=True)):
        transform = joint.transform.each(s)
        normal = multivariate_normal(mean, covariance + np.diag(noise))
        each.append(normal.logpdf(transform.forward(new_y)) + transform.log_slope(new_y).sum())
    density = np.logaddexp.reduce(np.log(joint.weights) + each)
    assert later.surprise.log_density == pytest.approx(density, abs=1e-7)
    assert later.surprise.lower < density < later.surprise.upper
    later.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(loaded.predict(AT).mean, later.predict(AT).mean, rtol=1e-10)


def test_new_rows_that_are_odd_or_impossible_say_so():
    fitted = gp.fit(X, Y, model={"transform": "log"}, train={"restarts": 0})
    odd = fitted.update([2.2], [0.1]).surprise
    assert odd.probability < 0.01
    assert str(odd).startswith("1 new row: ")
    with pytest.raises(gp.InputError, match=r"y is -1 in row 1 .*log needs values above 0"):
        fitted.update([2.2, 3.3], [1.0, -1.0])


def test_slopes_and_new_rows_with_levels():
    table = pd.DataFrame({"x": X, "site": np.array(["a", "b"])[np.arange(25) % 2]})
    fitted = gp.fit(table, Y, model={"transform": "log"}, train={"restarts": 0})
    slopes = fitted.gradient(table.iloc[:3])
    assert np.isfinite(slopes.mean[:, 0]).all()
    assert np.isnan(slopes.mean[:, 1]).all()
    assert fitted.update(table.iloc[:2], Y[:2]).data.n == 27
