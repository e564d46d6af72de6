"""gp.sensitivity: how much the posterior mean changes with each input, where that is known by hand."""

import numpy as np
import pandas as pd
import pytest

import gp
from gp.sensitivity import sensitivities

RNG = np.random.default_rng(0)
LINE = {"kernel": {"kind": "linear", "ard": True}, "noise": {"sd": {"fixed": 0.01}}}


def fitted(x, y, **model):
    return gp.fit(x, y, model=LINE | model, train={"kind": "lbfgs", "restarts": 0})


@pytest.fixture(scope="module")
def plane():
    x = pd.DataFrame({"a": RNG.uniform(0, 10, 40), "b": RNG.normal(size=40), "2": RNG.integers(2, size=40) * 5.0})
    return x, (3 * x["a"] - 2 * x["b"] + 0.4 * x["2"]).to_numpy()


def test_of_a_plane_it_is_the_slope_times_the_sd_of_the_input(plane):
    x, y = plane
    found = sensitivities(fitted(x, y))
    assert list(found["input"]) == ["a", "b", "2"]
    expected = [3 * x["a"].std(ddof=0), 2 * x["b"].std(ddof=0), 0.4 * x["2"].std(ddof=0)]
    np.testing.assert_allclose(found["sensitivity"], expected, rtol=1e-3)
    assert (found["lower"] <= found["sensitivity"] * (1 + 1e-12)).all()
    assert (found["sensitivity"] <= found["upper"] * (1 + 1e-12)).all()


def test_it_is_in_y_s_own_units_where_y_was_transformed(plane):
    x, y = plane
    small = 0.03 * y
    model = fitted(x, np.exp(small), transform={"kind": "log"})
    rows = np.exp(small) if model.data.n <= 50 else None
    found = sensitivities(model, {"kind": "plug_in"})
    np.testing.assert_allclose(found["sensitivity"][0], 0.09 * x["a"].std(ddof=0) * rows.mean(), rtol=0.01)
    np.testing.assert_array_equal(found["lower"], found["upper"])


def test_of_levels_it_is_the_change_to_another_and_of_a_constant_nothing():
    level = np.tile(["low", "mid", "high"], 14)
    x = pd.DataFrame({"level": level, "same": np.full(42, 7.0), "b": RNG.normal(size=42)})
    y = np.select([level == "low", level == "mid"], [0.0, 1.0], 4.0) + 0.01 * RNG.normal(size=42)
    kernel = {"kind": "categorical", "columns": ["level"]}
    found = sensitivities(fitted(x, y, kernel=kernel))
    np.testing.assert_allclose(found["sensitivity"], [(1 + 4 + 3) / 3, 0, 0], atol=0.03)
