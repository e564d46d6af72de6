"""Forecast: a mixture of normals is what integration over its density says, and a mixture of one is a normal."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gp.forecast import Forecast
from gp.posterior import Posterior
from gp.spec import InputError

RNG = np.random.default_rng(0)
S, M = 5, 12
MEANS, SDS = 2 * RNG.normal(size=(S, M)), RNG.uniform(0.05, 2, size=(S, M))
SHARED, OWN = RNG.dirichlet(np.ones(S))[:, None], RNG.dirichlet(np.ones(S), size=M).T
OBSERVED = MEANS[0] + SDS[0]
MIXTURES = {"one weight a draw": Forecast(MEANS, SDS, SHARED), "a weight for each row": Forecast(MEANS, SDS, OWN)}
mixtures = pytest.mark.parametrize("made", MIXTURES.values(), ids=MIXTURES)


def density(made, row):
    """Return the density of a mixture's row as a function, and ends beyond which there is nothing."""
    weights = np.broadcast_to(made.weights, made.means.shape)[:, row]
    mean, sd = made.means[:, row], made.sds[:, row]
    return lambda t: float(weights @ norm.pdf(t, mean, sd)), (mean - 12 * sd).min(), (mean + 12 * sd).max(), mean


def integral(function, low, high, points):
    return quad(function, low, high, points=[p for p in points if low < p < high], epsabs=1e-10, limit=500)[0]


@mixtures
def test_mean_sd_and_cdf_are_integrals_of_the_density(made):
    for row in range(0, M, 4):
        f, low, high, peaks = density(made, row)
        assert integral(f, low, high, peaks) == pytest.approx(1, abs=1e-8)
        mean = integral(lambda t, f=f: t * f(t), low, high, peaks)
        assert made.mean[row] == pytest.approx(mean, abs=1e-8)
        variance = integral(lambda t, f=f, mean=mean: (t - mean) ** 2 * f(t), low, high, peaks)
        assert made.sd[row] == pytest.approx(np.sqrt(variance), rel=1e-8)
        assert made.log_density(OBSERVED)[row] == pytest.approx(np.log(f(OBSERVED[row])), rel=1e-12)
        assert made.cdf(OBSERVED)[row] == pytest.approx(integral(f, low, OBSERVED[row], peaks), abs=1e-8)


@mixtures
def test_crps_is_the_integral_of_the_squared_distance_of_the_distributions(made):
    for row in range(0, M, 4):
        _, low, high, peaks = density(made, row)
        y, of = OBSERVED[row], made.at([row])
        below = integral(lambda t, of=of: of.cdf(np.array([t]))[0] ** 2, low, y, peaks)
        above = integral(lambda t, of=of: (1 - of.cdf(np.array([t]))[0]) ** 2, y, high, peaks)
        assert made.crps(OBSERVED)[row] == pytest.approx(below + above, abs=1e-7)


@mixtures
def test_quantiles_undo_the_distribution_function(made):
    for p in (1e-6, 0.025, 0.3, 0.5, 0.975, 1 - 1e-9):
        np.testing.assert_allclose(made.cdf(made.quantile(p)), p, rtol=1e-9)
    low, high = made.interval(0.8)
    inside = (low <= OBSERVED) & (high >= OBSERVED)
    np.testing.assert_array_equal(made.outside(OBSERVED, 0.8), ~inside)
    np.testing.assert_allclose(made.normal_score(OBSERVED), norm.ppf(made.cdf(OBSERVED)), rtol=1e-9)


def test_a_mixture_of_equal_normals_is_that_normal():
    one = Forecast.normal(MEANS[0], SDS[0])
    three = Forecast(*(np.tile(values[0], (3, 1)) for values in (MEANS, SDS)), np.full((3, 1), 1 / 3))
    for name in ("log_density", "cdf", "crps", "normal_score"):
        np.testing.assert_allclose(getattr(three, name)(OBSERVED), getattr(one, name)(OBSERVED), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(three.interval(0.95), one.interval(0.95), rtol=1e-11)
    np.testing.assert_allclose([three.mean, three.sd], [one.mean, one.sd], rtol=1e-14)


def test_draws_of_no_weight_or_no_width_do_no_harm():
    far = Forecast(np.array([[0.0], [1e100]]), np.array([[1.0], [1e-9]]), np.array([[1.0], [0.0]]))
    assert far.quantile(0.975) == pytest.approx([norm.ppf(0.975)])
    assert far.log_density(np.zeros(1)) == pytest.approx([norm.logpdf(0)])
    sure = Forecast(np.array([[0.0], [1.0]]), np.zeros((2, 1)), np.full((2, 1), 0.5))
    assert sure.cdf(np.array([0.5])) == pytest.approx([0.5])
    np.testing.assert_allclose(sure.interval(0.5), [[0.0], [1.0]], atol=1e-9)


def test_an_observation_at_an_end_of_an_interval_is_inside():
    one, two = Forecast.normal([0.0], [1.0]), Forecast(np.zeros((2, 1)), np.ones((2, 1)), np.full((2, 1), 0.5))
    _, high = one.interval(0.9)
    assert not one.outside(high, 0.9).any()
    for made in (one, two):
        assert not made.outside(np.zeros(1), 0.0).any()  # of no width


def test_the_tails_of_a_normal_score_keep_their_digits():
    made = Forecast(np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 1), 0.5))
    assert made.normal_score(np.array([-20.0, 20.0])) == pytest.approx([-20.0, 20.0])


def test_rows_are_worked_on_in_blocks(monkeypatch):
    made = MIXTURES["a weight for each row"]
    whole = made.quantile(0.9), made.crps(OBSERVED), made.sd
    monkeypatch.setattr("gp.forecast.BLOCK", S * 5)
    again = Forecast(MEANS, SDS, OWN)
    np.testing.assert_allclose([again.quantile(0.9), again.crps(OBSERVED), again.sd], whole, rtol=1e-11)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"give \(S, m\), \(S, m\) and \(S, 1\)"):
        Forecast(MEANS, SDS[:2], SHARED)


@pytest.mark.parametrize("terms", [(), ("trend", "season")])
def test_a_mixed_posterior_and_left_out_rows_come_back_bit_by_bit(tmp_path, terms):
    f, y = Forecast(MEANS, SDS, SHARED), Forecast(MEANS, SDS + 1, SHARED)
    parts = {name: Forecast(MEANS / 2, SDS / 2, SHARED) for name in terms}
    Posterior(np.arange(M)[:, None] * 1.0, ("x",), f, y, parts).save(tmp_path / "test.csv")
    loaded = Posterior.load(tmp_path / "test.csv")
    moved = (tmp_path / "test.draws.npz").rename(tmp_path / "elsewhere")
    for again in (loaded, Posterior.load(tmp_path / "test.csv", moved)):
        assert list(again.components) == list(terms)
        for seen, saved in zip((again.f, again.y, *again.components.values()), (f, y, *parts.values()), strict=True):
            np.testing.assert_array_equal(seen.means, saved.means)
            np.testing.assert_array_equal(seen.sds, saved.sds)
    assert Posterior.load(tmp_path / "test.csv").f.is_normal  # without the draws, what the table says
    own = MIXTURES["a weight for each row"]
    own.save(tmp_path / "loo.csv", OBSERVED)
    np.testing.assert_array_equal(Forecast.load(tmp_path / "loo.csv").weights, own.weights)
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "loo.csv")["pit"], own.cdf(OBSERVED))
