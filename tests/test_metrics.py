"""Scores: by hand, by another way to compute them, and what holds for all of them."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gp.dataset import Dataset
from gp.forecast import Forecast
from gp.posterior import Posterior
from gp.scores import (
    LEVELS,
    METRICS,
    Metric,
    calibration,
    circle_scores,
    evaluate,
    headings,
    relative_metrics,
    score,
    study_scores,
    trivial_forecast,
)
from gp.spec import InputError

RELATIVE = relative_metrics()
EXACT = 1e-12
BY_QUADRATURE = 1e-8

TRAIN = Dataset(x=[[0.0], [1.0], [2.0]], columns=("x",), y=[1.0, 2.0, 6.0])


def forecast(seed=0, m=50):
    """Return what was observed and `m` forecasts that are as good as they say."""
    rng = np.random.default_rng(seed)
    mean, sd = rng.normal(size=m), rng.uniform(0.5, 2, size=m)
    return mean + sd * rng.normal(size=m), Forecast.normal(mean, sd)


def at(x, mean, sd_f, sd_y):
    return Posterior.normal(np.asarray(x), ("x",), mean, sd_f, sd_y)


def by_name(name, observed, mean, sd):
    observed, mean, sd = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (observed, mean, sd))
    return METRICS[name](observed, Forecast.normal(mean, sd))


@pytest.mark.parametrize("name", [name for name in METRICS if name.startswith("coverage")])
def test_coverage_is_a_fraction_that_comes_near_its_level(name):
    level = int(name.removeprefix("coverage_")) / 100
    observed, made = forecast(m=20_000)
    four_standard_errors = 4 * math.sqrt(level * (1 - level) / 20_000)
    assert METRICS[name](observed, made) == pytest.approx(level, abs=four_standard_errors)
    assert METRICS[name](made.mean, made) == 1
    assert METRICS[name](made.mean + 100 * made.sd, made) == 0


def test_a_heading_has_title_unit_and_direction():
    shown = headings("ppm")
    assert [name for name in shown if name != "msll"] == list(METRICS)
    assert list(shown).index("msll") == list(shown).index("nlpd") + 1
    assert [shown[name] for name in ("rmse", "nlpd", "msll", "coverage_95", "width_95")] == [
        *("RMSE [ppm] ↓", "NLPD [nats per row] ↓", "MSLL [nats per row] ↓"),
        *("inside 95 % intervals → 0.95", "width of 95 % intervals [ppm]"),
    ]
    assert {"rmse", "nlpd", "msll", "crps", "coverage_95"} <= set(headings("ppm", detail=False))
    assert "mae" not in headings("ppm", detail=False)
    assert headings()["rmse"] == "RMSE ↓"
    assert Metric(METRICS["nlpd"].row_score, "density", better="higher").heading("density", "ppm") == "density ↑"


def test_a_perfect_sharp_forecast_has_no_error_and_a_density_above_one():
    scores = score([3.0], Forecast.normal([3.0], [0.01]))
    assert scores["rmse"] == scores["mae"] == 0
    assert scores["nlpd"] == pytest.approx(-3.686231652783, abs=1e-11)  # −log(39.894…)
    assert scores["crps"] == pytest.approx(0.01 * (2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)), rel=EXACT)
    assert scores["interval_score_95"] == scores["width_95"] == pytest.approx(0.0391992796908, rel=1e-11)


def test_errors_by_hand():
    assert by_name("rmse", [1, 2, 3], [1, 4, 2], [1, 1, 1]) == pytest.approx(math.sqrt(5 / 3), rel=EXACT)
    assert by_name("mae", [1, 2, 4], [1, 3, 9], [1, 1, 1]) == pytest.approx(2, rel=EXACT)
    assert by_name("max_error", [1, 2, 4], [1, 3, 9], [1, 1, 1]) == 5


def test_nlpd_is_the_mean_negative_log_density():
    observed, made = forecast()
    expected = -np.mean(norm.logpdf(observed, made.mean, made.sd))
    assert METRICS["nlpd"](observed, made) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize(("observed", "mean", "sd"), [(0.3, 0.0, 1.0), (5.0, 4.0, 0.2), (-2.0, 1.0, 3.0)])
def test_crps_is_the_integral_of_the_squared_distance_of_the_distributions(observed, mean, sd):
    ends = mean - 12 * sd, mean + 12 * sd
    below, _ = quad(lambda t: norm.cdf(t, mean, sd) ** 2, ends[0], observed, epsabs=BY_QUADRATURE / 10)
    above, _ = quad(lambda t: norm.sf(t, mean, sd) ** 2, observed, ends[1], epsabs=BY_QUADRATURE / 10)
    assert by_name("crps", observed, mean, sd) == pytest.approx(below + above, abs=BY_QUADRATURE)


def test_the_interval_score_fines_what_lies_outside_by_two_over_alpha():
    half = norm.ppf(0.975)
    assert by_name("interval_score_95", 0.5, 0, 1) == pytest.approx(2 * half, rel=EXACT)
    assert by_name("interval_score_95", half + 0.3, 0, 1) == pytest.approx(2 * half + 0.3 * 40, rel=1e-10)
    assert by_name("interval_score_95", -half - 0.3, 0, 1) == pytest.approx(2 * half + 0.3 * 40, rel=1e-10)


def test_score_has_every_metric_and_relative_scores_only_beside_a_trivial_forecast():
    assert list(score(*forecast())) == list(METRICS)
    assert list(score(*forecast(), trivial=(0.0, 1.0))) == [*METRICS, *RELATIVE]


@pytest.mark.parametrize("name", RELATIVE)
def test_a_relative_score_is_the_metric_minus_that_of_the_trivial_forecast(name):
    observed, made = forecast()
    metric = METRICS[RELATIVE[name]]
    expected = metric(observed, made) - metric(observed, Forecast.normal(np.full(50, 0.4), np.full(50, 1.7)))
    assert score(observed, made, trivial=(0.4, 1.7))[name] == pytest.approx(expected, rel=EXACT)


def test_the_trivial_forecast_is_the_mean_and_the_population_sd():
    mean, sd = trivial_forecast(TRAIN)
    assert (mean, sd) == pytest.approx((3.0, math.sqrt(14 / 3)), rel=EXACT)


def test_a_study_scores_observations_with_sd_y_beside_the_trivial_forecast():
    test = Dataset(x=[[0.5], [1.5]], columns=("x",), y=[1.5, 4.0])
    blocks = study_scores(at(test.x, [1.0, 4.0], [0.1, 0.1], [0.5, 2.0]), TRAIN, test)
    assert list(blocks) == ["test", "trivial"]
    assert list(blocks["test"]) == list(blocks["trivial"]) == ["n", *METRICS, *RELATIVE]
    assert blocks["test"]["n"] == 2
    assert blocks["test"]["nlpd"] == pytest.approx(-(norm.logpdf(1.5, 1, 0.5) + norm.logpdf(4, 4, 2)) / 2, rel=EXACT)
    assert blocks["trivial"]["rmse"] == pytest.approx(math.sqrt((1.5**2 + 1) / 2), rel=EXACT)
    assert blocks["trivial"]["msll"] == 0
    assert blocks["test"]["msll"] == pytest.approx(blocks["test"]["nlpd"] - blocks["trivial"]["nlpd"], rel=EXACT)


def test_a_study_scores_the_truth_with_sd_f_inside_and_outside_the_training_range():
    test = Dataset(x=[[-1.0], [0.0], [2.0], [3.0], [4.0]], columns=("x",), f=[1.0, 1.0, 1.0, 1.0, 1.0])
    posterior = at(test.x, [3.0, 1.0, 1.5, 3.0, 3.0], [0.1, 0.2, 0.2, 0.1, 0.1], [9.0] * 5)
    blocks = study_scores(posterior, TRAIN, test)
    assert list(blocks) == ["truth"]
    assert list(blocks["truth"]["inside"]) == ["n", *METRICS]
    assert (blocks["truth"]["inside"]["n"], blocks["truth"]["outside"]["n"]) == (2, 3)
    assert blocks["truth"]["outside"]["rmse"] == pytest.approx(2, rel=EXACT)
    assert blocks["truth"]["inside"]["coverage_95"] == 0.5  # 1.5 ± 1.96 · 0.2 misses 1; with sd_y it would not


def test_inside_is_the_box_of_the_training_inputs_column_by_column():
    train = Dataset(x=[[0.0, 0.0], [1.0, 10.0]], columns=("a", "b"), y=[0.0, 1.0])
    test = Dataset(x=[[0.5, 5.0], [0.5, 11.0], [2.0, 5.0], [1.0, 10.0]], columns=("a", "b"), f=np.zeros(4))
    posterior = Posterior.normal(test.x, ("a", "b"), np.zeros(4), np.ones(4), np.ones(4))
    truth = study_scores(posterior, train, test)["truth"]
    assert (truth["inside"]["n"], truth["outside"]["n"]) == (2, 2)


def test_over_angles_the_mean_and_the_shape_are_scored_apart():
    x = (np.arange(8) + 0.5)[:, None] * np.pi / 4
    shape = np.sin(x[:, 0])
    test = Dataset(x=x, columns=("x",), f=5 + shape)
    found = circle_scores(at(x, 5.25 + 1.1 * shape, np.ones(8), np.ones(8)), test)
    assert found["mean_error"] == pytest.approx(0.25, abs=1e-12)
    assert found["centred_rmse"] == pytest.approx(0.1 * np.sqrt(0.5), rel=1e-9)
    assert found["centred_max_error"] == pytest.approx(0.1 * np.abs(shape).max(), rel=1e-9)
    assert circle_scores(at(x, shape, np.ones(8), np.ones(8)), Dataset(x=x, columns=("x",), y=shape)) == {}


@pytest.mark.parametrize(("x", "present"), [([[0.5]], ["inside"]), ([[9.0]], ["outside"])])
def test_a_side_of_the_training_range_without_rows_is_absent(x, present):
    test = Dataset(x=x, columns=("x",), f=[1.0])
    assert list(study_scores(at(test.x, [1.0], [1.0], [1.0]), TRAIN, test)["truth"]) == present


class Constant:
    """A fitted model that predicts 2 ± 0.5 everywhere."""

    data = TRAIN

    def predict(self, x, noise_sd=None, hyperparameters=None):
        return at(x, np.full(len(x), 2.0), np.full(len(x), 0.1), np.full(len(x), 0.5))


def test_evaluate_scores_new_observations_as_a_study_scores_its_held_out_rows():
    test = Dataset(x=[[0.5], [1.5]], columns=("x",), y=[1.5, 4.0])
    expected = study_scores(Constant().predict(test.x), TRAIN, test)["test"]
    assert {"n": 2, **evaluate(Constant(), test.x, test.y)} == expected


def test_nothing_is_scored_where_neither_y_nor_f_is_known():
    test = Dataset(x=[[0.5]], columns=("x",))
    assert study_scores(at(test.x, [1.0], [1.0], [1.0]), TRAIN, test) == {}


def test_a_study_has_plain_numbers_in_every_block():
    test = Dataset(x=[[0.5], [7.0]], columns=("x",), y=[1.5, 4.0], f=[1.4, 4.1])
    blocks = study_scores(at(test.x, [1.0, 4.0], [0.5, 0.5], [0.5, 2.0]), TRAIN, test)
    flat = [*blocks["test"].values(), *blocks["trivial"].values()]
    flat += [value for side in blocks["truth"].values() for value in side.values()]
    assert {type(value) for value in flat} == {int, float}


def test_a_study_with_a_posterior_at_other_inputs_is_refused():
    test = Dataset(x=[[0.5], [1.5]], columns=("x",), y=[1.5, 4.0])
    with pytest.raises(InputError, match=r"2 inputs are not the 2 rows of the test data: predict at those"):
        study_scores(at([[0.5], [1.6]], [1.0, 4.0], [0.1, 0.1], [0.5, 2.0]), TRAIN, test)


def test_targets_that_do_not_vary_are_refused():
    test = Dataset(x=[[0.5]], columns=("x",), y=[1.5])
    constant = Dataset(x=[[0.0], [1.0]], columns=("x",), y=[7.0, 7.0])
    with pytest.raises(InputError, match=r"all 2 training targets are 7: .* give a y that varies"):
        study_scores(at(test.x, [1.0], [0.1], [0.5]), constant, test)


def test_a_training_set_without_targets_is_refused():
    with pytest.raises(InputError, match="no y: give the observed targets"):
        trivial_forecast(Dataset(x=[[0.0]], columns=("x",)))


def test_an_sd_of_zero_is_refused_by_its_row():
    with pytest.raises(ArithmeticError, match=r"sd is 0 in row 1, so it has no density: raise the noise"):
        score([1.0, 2.0], Forecast.normal([1.0, 2.0], [0.1, 0.0]))


def test_a_score_that_overflows_is_refused_by_its_name():
    with pytest.raises(ArithmeticError, match=r"nlpd of 1 points is inf \(the smallest sd is 1e-200\)"):
        score([1.0], Forecast.normal([0.0], [1e-200]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_observation_that_is_not_finite_is_refused(bad):
    with pytest.raises(ArithmeticError, match=r"observed is (nan|inf) in row 0"):
        score([bad], Forecast.normal([0.0], [1.0]))


def test_arrays_of_different_length_are_refused_instead_of_broadcast():
    with pytest.raises(InputError, match=r"\(2,\) is observed of 1 forecasts: give one number for each"):
        score([1.0, 2.0], Forecast.normal([1.0], [1.0]))


def test_a_calibration_table_has_the_observed_coverage_of_every_level():
    observed, made = forecast(m=20_000)
    table = calibration(observed, made)
    assert list(table.columns) == ["nominal", "observed"]
    assert tuple(table["nominal"]) == LEVELS
    assert pytest.approx([*np.linspace(0.05, 0.95, 19), 0.99]) == LEVELS
    assert table["observed"].is_monotonic_increasing
    assert np.abs(table["observed"] - table["nominal"]).max() < 4 * math.sqrt(0.25 / 20_000)
    assert table["observed"][9] == METRICS["coverage_50"](observed, made)
