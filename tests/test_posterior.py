"""Posterior: what it refuses, and that a file gives it back bit by bit."""

import numpy as np
import pandas as pd
import pytest

from gp.forecast import Forecast
from gp.posterior import Posterior
from gp.spec import InputError

RNG = np.random.default_rng(0)


def posterior(m=40, d=2, components=()):
    """Return a posterior of numbers with all their digits: large, tiny and negative ones."""

    def values():
        return RNG.normal(size=m) * 10.0 ** RNG.integers(-300, 300, size=m)

    return Posterior.normal(
        x=RNG.normal(size=(m, d)) / 3,
        columns=tuple(f"input {j} [m]" for j in range(d)),
        mean=values(),
        sd_f=np.abs(values()),
        sd_y=np.abs(values()),
        components={name: (values(), np.abs(values())) for name in components},
    )


@pytest.mark.parametrize("d", [1, 2, 10])
@pytest.mark.parametrize("components", [(), ("trend",), ("trend", "season.decay", "short", "mean")])
def test_a_posterior_comes_back_from_its_file_bit_by_bit(tmp_path, d, components):
    saved = posterior(d=d, components=components)
    saved.save(tmp_path / "grid.csv")
    loaded = Posterior.load(tmp_path / "grid.csv")
    assert loaded.columns == saved.columns
    for name in ("x", "mean", "sd_f", "sd_y"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name), strict=True)
    assert list(loaded.components) == list(components)
    for name in components:
        np.testing.assert_array_equal(loaded.components[name].mean, saved.components[name].mean)
        np.testing.assert_array_equal(loaded.components[name].sd, saved.components[name].sd)


def test_a_loaded_posterior_saves_the_same_bytes(tmp_path):
    posterior(components=("trend",)).save(tmp_path / "once.csv")
    Posterior.load(tmp_path / "once.csv").save(tmp_path / "twice.csv")
    assert (tmp_path / "once.csv").read_bytes() == (tmp_path / "twice.csv").read_bytes()


def test_the_file_has_inputs_then_moments_then_components(tmp_path):
    posterior(m=1, d=2, components=("trend",)).save(tmp_path / "test.csv")
    header = (tmp_path / "test.csv").read_text().splitlines()[0]
    assert header == "input 0 [m],input 1 [m],mean,sd_f,sd_y,component.trend.mean,component.trend.sd_f"


def test_a_band_is_of_the_mixture_s_quantiles_and_the_rest_comes_back(tmp_path):
    """Of draws that differ, ±1.96 sd is no 95 % interval; dvc plots has the file alone."""
    draws = Forecast(np.array([[0.0], [0.0]]), np.array([[1.0], [9.0]]), np.array([[0.97], [0.03]]))
    Posterior(np.zeros((1, 1)), ("q2.5",), draws, draws, {"trend": draws}).save(tmp_path / "grid.csv", band=True)
    table = pd.read_csv(tmp_path / "grid.csv")
    assert list(table.columns[:6]) == ["x.q2.5", "mean", "sd_f", "sd_y", "q2.5", "q97.5"]
    low, high = table[["q2.5", "q97.5"]].to_numpy()[0]
    assert draws.cdf(np.array([high])) - draws.cdf(np.array([low])) == pytest.approx(0.95, abs=1e-9)
    assert (high - low) / (2 * 1.96 * table["sd_y"][0]) < 0.7
    loaded = Posterior.load(tmp_path / "grid.csv")
    assert loaded.columns == ("q2.5",)
    assert list(loaded.components) == ["trend"]


@pytest.mark.parametrize("name", ["mean", "sd_f", "sd_y"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_posterior_that_is_not_finite_is_refused(name, bad):
    arrays = {"mean": np.zeros(3), "sd_f": np.ones(3), "sd_y": np.ones(3)}
    arrays[name] = np.array([1.0, bad, 1.0])
    with pytest.raises(ArithmeticError, match=f"the posterior's {name} is not finite"):
        Posterior.normal(np.zeros((3, 1)), ("x",), **arrays)


@pytest.mark.parametrize("name", ["mean", "sd_f", "sd_y"])
def test_an_array_of_the_wrong_length_is_refused(name):
    arrays = {"mean": np.zeros(3), "sd_f": np.ones(3), "sd_y": np.ones(3), name: np.ones(2)}
    with pytest.raises(InputError, match=r"mean and sd have shapes .* give two arrays \(m,\) of one length"):
        Posterior.normal(np.zeros((3, 1)), ("x",), **arrays)


@pytest.mark.parametrize("name", ["sd_f", "sd_y"])
def test_a_negative_standard_deviation_is_refused(name):
    arrays = {"mean": np.zeros(3), "sd_f": np.ones(3), "sd_y": np.ones(3), name: np.array([1.0, 1.0, -1e-9])}
    with pytest.raises(ArithmeticError, match=f"the posterior's {name} is negative in row 2"):
        Posterior.normal(np.zeros((3, 1)), ("x",), **arrays)
