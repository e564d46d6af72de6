"""Two forecasts of the same rows: what is a difference, and what is noise."""

from types import SimpleNamespace

import numpy as np
import pytest
from repository import forecast, scored

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.row_scores import nlpd
from gp.scores import METRICS, Metric, absolute_error
from review.compare.paired import (
    BETTER,
    TOO_FEW,
    UNJUDGED,
    WITHIN,
    WORSE,
    autocorrelation_time,
    compare,
    compared,
    differences,
    judge,
    mean_and_error,
)
from review.compare.scores import held_out, truth


@pytest.mark.parametrize("name", METRICS)
def test_scores_of_rows_are_those_of_metrics(name):
    base, head = forecast(0.05), forecast(0.2, seed=1)
    found = compare(name, METRICS[name], base, head)
    expected = [METRICS[name](side.observed, side.forecast) for side in (base, head)]
    np.testing.assert_allclose([found.base, found.head], expected, rtol=1e-12)
    assert found.change == pytest.approx(expected[1] - expected[0], rel=1e-9)


def test_a_forecast_farther_off_is_worse_and_the_other_way_round_better():
    near, far = forecast(0.02), forecast(0.3, seed=1)
    assert {item.name: item.verdict for item in differences(near, far)}["nlpd"] == WORSE
    assert {item.name: item.verdict for item in differences(far, near)}["rmse"] == BETTER


def test_forecasts_equally_good_differ_within_noise():
    verdicts = [item.verdict for item in differences(forecast(0.1, seed=1), forecast(0.1, seed=2))]
    assert verdicts == [WITHIN] * len(compared())


def test_coverage_is_better_the_nearer_to_nominal_from_either_side():
    base = forecast(0.1, seed=1)
    wide, narrow = (scored(base.observed, base.forecast.mean, base.forecast.sd * factor) for factor in (4, 0.3))
    metric = METRICS["coverage_95"]
    assert compare("coverage_95", metric, narrow, base).verdict == BETTER
    assert compare("coverage_95", metric, base, narrow).verdict == WORSE
    assert compare("coverage_95", metric, base, wide).change > 0
    assert compare("coverage_95", metric, base, wide).verdict == WORSE


def test_a_metric_says_which_way_is_better():
    near, far = forecast(0.02), forecast(0.3, seed=1)
    verdicts = [
        compare("error", Metric(absolute_error, "error", better=better), near, far).verdict
        for better in ("lower", "higher", 0.02, 0.9, None)
    ]
    assert verdicts == [WORSE, BETTER, WORSE, BETTER, UNJUDGED]


def test_a_maximum_is_shown_and_not_judged():
    found = compare("max_error", METRICS["max_error"], forecast(0.02), forecast(0.3, seed=1))
    assert (found.se, found.verdict) == (None, UNJUDGED)


def test_rounding_of_another_machine_is_no_difference():
    base = forecast(0.1)
    assert {
        d.verdict for d in differences(base, scored(base.observed, base.forecast.mean, base.forecast.sd * (1 + 1e-9)))
    } == {WITHIN}


def test_few_rows_are_not_judged():
    assert {d.verdict for d in differences(forecast(0.02, n=5), forecast(0.5, seed=1, n=5))} == {TOO_FEW}


def test_standard_error_of_independent_rows_is_the_usual_one():
    values = np.random.default_rng(0).normal(size=4000)
    mean, se = mean_and_error(values)
    assert mean == pytest.approx(values.mean())
    assert se == pytest.approx(1 / np.sqrt(4000), rel=0.1)


def test_ten_copies_of_each_row_tell_no_more_than_one():
    once = [forecast(0.1, seed=1, n=400), forecast(0.2, seed=2, n=400)]
    often = [
        scored(*(np.repeat(part, 10) for part in (made.observed, made.forecast.mean, made.forecast.sd)))
        for made in once
    ]
    for single, copied in zip(differences(*once), differences(*often), strict=True):
        assert copied.change == pytest.approx(single.change)
        assert copied.se == pytest.approx(single.se, rel=0.15)


def test_autocorrelation_time_is_that_of_an_autoregression():
    rng, rho, n = np.random.default_rng(0), 0.8, 5000
    values = rng.normal(size=(40, n))  # 40 series, as the estimate of one scatters by about a tenth
    assert np.mean([autocorrelation_time(series) for series in values]) == pytest.approx(1, rel=0.1)
    for i in range(1, n):
        values[:, i] += rho * values[:, i - 1]
    assert np.mean([autocorrelation_time(series) for series in values]) == pytest.approx((1 + rho) / (1 - rho), rel=0.1)
    assert autocorrelation_time(np.ones(5)) == 1


def test_a_model_that_suits_some_inputs_better_is_better_though_not_everywhere():
    rng = np.random.default_rng(0)
    sd = np.repeat([0.1, 1.0], 60)  # the noise grows half way
    observed, mean = sd * rng.normal(size=120), np.zeros(120)
    one_level, both_levels = (scored(observed, mean, level) for level in (np.full(120, 0.7), sd))
    found = {item.name: item for item in differences(one_level, both_levels)}["nlpd"]
    assert found.verdict == BETTER
    rows = [nlpd(made.observed, made.forecast) for made in (one_level, both_levels)]
    difference = rows[1] - rows[0]
    assert found.se == pytest.approx(difference.std(ddof=1) / np.sqrt(120), rel=0.2)


def test_standard_error_is_what_repeated_draws_scatter_by():
    """Judged by many draws of the same rows: errors that go together in stretches of about nine rows."""
    changes, errors = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        error = np.convolve(rng.normal(size=408), np.full(9, 1 / 3), mode="valid")
        made = (scored(error, np.full(400, shift), np.ones(400)) for shift in (0.0, 0.3))
        found = {item.name: item for item in differences(*made)}["nlpd"]
        changes.append(found.change)
        errors.append(found.se)
    assert np.mean(errors) == pytest.approx(np.std(changes), rel=0.15)


def test_a_standard_error_is_that_of_the_mean_of_a_sample():
    assert mean_and_error(np.array([1.0, 2.0, 6.0])) == pytest.approx((3.0, np.sqrt(7.0 / 3)))  # variance 14/2
    assert mean_and_error(np.array([1.0, 2.0, 6.0]), tau=4.0)[1] == pytest.approx(2 * np.sqrt(7.0 / 3))


@pytest.mark.parametrize(
    ("change", "se", "n", "verdict"),
    [
        (0.19, 0.1, 8, WITHIN),
        (0.21, 0.1, 8, WORSE),
        (-0.21, 0.1, 8, BETTER),
        (0.21, 0.1, 7, TOO_FEW),
        (2e-6, 0.0, 8, WITHIN),  # of a mean score of 3
        (4e-6, 0.0, 8, WORSE),
    ],
)
def test_a_difference_is_judged_by_its_error_its_size_and_the_rows(change, se, n, verdict):
    assert judge(change, se, np.full(n, -3.0)) == verdict


def test_rows_of_one_input_are_sorted_and_the_true_function_is_forecast_with_sd_f():
    x, mean = np.array([[2.0], [0.0], [9.0], [1.0]]), np.array([2.0, 0.0, 9.0, 1.0])
    posterior = Posterior.normal(x, ("x",), mean, np.full(4, 0.1), np.full(4, 0.5))
    train = Dataset(x=[[0.0], [3.0]], columns=("x",), y=[0.0, 1.0])
    test = Dataset(x=x, columns=("x",), y=mean + 10, f=mean + 20)
    study = SimpleNamespace(test=test, train=train, prediction=posterior)
    found = held_out(study)
    assert found.x[:, 0].tolist() == found.scored.forecast.mean.tolist() == [0, 1, 2, 9]
    assert found.scored.observed.tolist() == [10, 11, 12, 19]
    assert found.scored.forecast.sd.tolist() == [0.5] * 4
    for inside, places in ((True, [0, 1, 2]), (False, [9])):
        rows = truth(inside=inside)(study)
        assert rows.x[:, 0].tolist() == places
        assert rows.scored.observed.tolist() == [place + 20 for place in places]
        assert rows.scored.forecast.sd.tolist() == [0.1] * len(places)
