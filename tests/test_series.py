"""Forecasts from rolling origins, the simple methods beside them, and the days of the calendar."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

import gp
from gp.calendar import dates_of, decimal_year, ticks
from gp.data import Data
from gp.dataset import Dataset
from gp.forecast import Forecast
from gp.origins import forecast_after, predict_origins
from gp.series import (
    History,
    Plan,
    Rolling,
    Steps,
    drift,
    future,
    naive,
    row_scores,
    season_of,
    seasonal_naive,
    summary,
)
from gp.spec import InputError, parse
from stages import evaluate, predict, synthesize, train
from stages.table import forecasts

MONTHS = np.array([decimal_year(day.date()) for day in pd.date_range("2001-03-01", periods=40, freq="MS")])
FAST = {"kind": "lbfgs", "restarts": 0}
MODEL = {"transform": "log", "kernel": {"kind": "rbf"}}
RNG = np.random.default_rng(3)


def history(y, season=1, at=None):
    """Return a history at successive steps, or at the given ones."""
    return History(np.arange(len(y)) if at is None else np.array(at), np.array(y, dtype=float), season)


def test_the_days_of_decimal_years_are_the_days_they_came_from():
    days = pd.date_range("1899-12-30", "1904-03-02").append(pd.date_range("1999-12-01", "2001-01-02"))
    years = np.array([decimal_year(day.date()) for day in days])
    assert dates_of(years) == [day.date().isoformat() for day in days]


@pytest.mark.parametrize(
    ("name", "rule", "season"),
    [("month", "MS", 12), ("quarter", "QS", 4), ("week", "7D", 52), ("day", "D", 7), ("year", "YS", 1)],
)
def test_equal_steps_of_dates_are_known_by_name_also_with_gaps(name, rule, season):
    days = pd.date_range("1998-01-01", periods=60, freq=rule)
    x = np.array([decimal_year(day.date()) for day in days])
    steps = Steps.of(x)
    assert (steps.name, steps.missing, season_of(steps, is_date=True)) == (name, 0, season)
    assert steps.at.tolist() == list(range(60))
    some = np.setdiff1d(np.arange(60), [3, 4, 30])
    assert Steps.of(x[some]).at.tolist() == some.tolist()
    assert Steps.of(x[some]).missing == 3
    ahead = pd.date_range(days[-1], periods=4, freq=rule)[1:]
    assert dates_of(future(x[some], 3, is_date=True)) == [day.date().isoformat() for day in ahead]


def test_times_at_no_equal_steps_are_refused():
    x = np.array([0.0, 1.0, 1.4, 3.0, 4.0])
    assert Steps.of(x) is None
    assert Steps.of(np.array([1.0, 1.0, 2.0, 3.0])) is None
    assert Steps.of(np.full(4, 2.0)) is None
    with pytest.raises(InputError, match=r"predict\.horizon: the times are at no equal steps.*data\.new"):
        future(x, 2, is_date=False)
    assert future(np.array([0.0, 0.5, 1.0]), 2, is_date=False).tolist() == [1.5, 2.0]


def test_simple_forecasts_are_those_of_the_book_by_hand():
    past = history([1.0, 3.0, 2.0, 4.0], season=2)
    ahead = np.array([4, 5, 6])
    assert naive(past, ahead).mean.tolist() == [4, 4, 4]
    np.testing.assert_allclose(naive(past, ahead).sd, np.sqrt(3.0 * np.array([1, 2, 3])))  # changes 2, −1, 2
    assert seasonal_naive(past, ahead).mean.tolist() == [2, 4, 2]
    np.testing.assert_allclose(seasonal_naive(past, ahead).sd, np.sqrt([1, 1, 2]))  # changes 1, 1
    assert drift(past, ahead).mean.tolist() == [5, 6, 7]
    np.testing.assert_allclose(drift(past, ahead).sd, np.sqrt(2.0 * np.array([1 + 1 / 3, 2 + 4 / 3, 6])))
    assert past.scale == 1.0


def test_a_missing_step_takes_no_part():
    past = history([1.0, 3.0, 4.0], season=2, at=[0, 1, 3])  # step 2 is missing
    assert past.changes(1).tolist() == [2]
    assert past.changes(2).tolist() == [1]
    assert seasonal_naive(past, np.array([4, 5])).mean.tolist() == [1, 4]  # that of step 0, two seasons before


def test_scores_are_by_hand():
    made = row_scores(np.array([2.0, -1.0]), Forecast.normal([1.0, 1.0], [1.0, 0.1]), np.array([4.0, 0.5]))
    assert made["mase"].tolist() == [0.25, 4.0]
    np.testing.assert_allclose(made["smape"], [200 / 3, 200.0])
    assert made["coverage_95"].tolist() == [1.0, 0.0]


def test_origins_are_each_a_step_after_the_one_before():
    rolling = Rolling.of(5, origins=3, horizon=3, step=1)
    assert rolling.origin.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rolling.rows.tolist() == [0, 1, 2, 1, 2, 3, 2, 3, 4]
    assert rolling.ahead.tolist() == [1, 2, 3] * 3


@pytest.fixture(scope="module")
def series():
    """Return training rows and held-out rows, not in order of time, the plan over them, and a model."""
    y = np.exp(0.02 * np.arange(40) + 0.1 * RNG.standard_normal(40))
    rows = [
        Dataset(x=MONTHS[part, None], y=y[part], columns=("month",)) for part in (slice(34), [39, 34, 36, 35, 37, 38])
    ]
    names = {"forecast": {"origins": 4, "horizon": 3, "step": 1, "along": "month"}, "dates": ["month"]}
    fitted = gp.fit(pd.DataFrame({"month": MONTHS[:34]}), y[:34], model=MODEL, train=FAST)
    return *rows, Plan.of(names, rows[1]), fitted


def test_a_forecast_from_an_origin_is_that_of_a_model_over_the_rows_before(series):
    train, _test, plan, fitted = series
    forecast = predict_origins(fitted, plan.test, plan.rolling, {"kind": "plug_in"})
    known = fitted.hyperparameters
    held = {
        "transform": "log",
        "mean": {"kind": "constant", "value": {"fixed": known["mean.value"]}},
        "kernel": {"kind": "rbf"} | {n: {"fixed": known[f"kernel.{n}"]} for n in ("lengthscale", "outputscale")},
        "noise": {"kind": "gaussian", "sd": {"fixed": known["noise.sd"]}},
    }
    x, y = np.append(train.x[:, 0], plan.test.x[:2, 0]), np.append(train.observed, plan.test.observed[:2])
    again = gp.fit(x, y, model=held, train=FAST).predict(plan.test.x[2:5]).y
    third = forecast.at(plan.rolling.origin == 2)
    np.testing.assert_allclose(third.means, again.means, rtol=1e-8)
    np.testing.assert_allclose(third.sds, again.sds, rtol=1e-8)


def test_scores_by_horizon_are_beside_those_of_simple_methods(series):
    train, _, plan, fitted = series
    forecast = predict_origins(fitted, plan.test, plan.rolling)
    season, scores = plan.score(train, forecast)
    assert season == 12
    assert set(scores) == {"model", "naive", "seasonal_naive", "drift"}
    expected = np.abs(plan.observed - forecast.quantile(0.5))
    scale = [
        np.abs(plan_y[12:] - plan_y[:-12]).mean() for plan_y in (np.append(train.y, plan.test.y[:k]) for k in range(4))
    ]
    np.testing.assert_allclose(scores["model"]["mase"], expected / np.repeat(scale, 3), rtol=1e-12)
    table = plan.by_horizon(scores)
    assert table["ahead"].tolist() == [1, 2, 3] * 4
    told = summary(scores)
    assert told["mase"] == pytest.approx(table["mase"][table["method"] == "model"].mean())
    assert told["naive"]["crps"] == pytest.approx(scores["naive"]["crps"].mean())


def test_a_forecast_of_the_next_steps_knows_all_rows_and_names_their_days(series):
    _, test, plan, fitted = series
    table = forecast_after(fitted, test, 3, None, ["month"])
    assert table["month (day)"].tolist() == ["2004-07-01", "2004-08-01", "2004-09-01"]
    assert (table["q2.5"] < table["q50"]).all()
    assert (table["q50"] < table["mean"]).all()  # log-normal
    alone = forecast_after(fitted, None, 6, None, [])
    assert next(iter(alone)) == "month"
    np.testing.assert_allclose(alone["month"], plan.test.x[:, 0], atol=0.01)


def test_what_cannot_be_forecast_is_refused(series):
    train, test, plan, _ = series
    model = {"kernel": {"kind": "rbf"}, "noise": {"kind": "student_t"}}
    by_row = gp.fit(train.x, train.observed, model=model, train=FAST)
    with pytest.raises(InputError, match=r"rows cannot be added to it: write inference of kind exact or markov"):
        predict_origins(by_row, plan.test, plan.rolling)
    with pytest.raises(InputError, match=r"2 inputs, so that those of the next steps are not known"):
        forecast_after(gp.fit(np.column_stack([train.x, train.x**2]), train.observed, train=FAST), test, 2, None, [])
    gaps = Dataset(x=train.x**3, y=train.y, columns=("month",))
    with pytest.raises(InputError, match=r"data\.holdout: the times are at no equal steps"):
        plan.score(gaps, Forecast.normal(np.ones(12), np.ones(12)))


def test_a_table_holds_out_the_rows_of_all_origins():
    keys = {"kind": "table", "path": "data/raw/airline.csv", "x": "month", "y": "passengers"}
    source = parse(Data, keys | {"holdout": {"origins": 3, "horizon": 4, "step": 2}})
    train, test = source.sample(0)
    assert test.n == 4 + 2 * 2
    assert train.dates == ("month",)
    assert source.forecast == {"origins": 3, "horizon": 4, "step": 2, "along": "month"}
    with pytest.raises(InputError, match=r"holdout.along 'other' is no input"):
        parse(Data, keys | {"holdout": {"origins": 3, "horizon": 4, "along": "other"}})
    assert (ROOT / "data/raw/airline.csv").exists()


def test_ticks_of_dates_are_years_months_or_days():
    assert list(ticks(1949.2, 1961.0).values()) == ["1950", "1952", "1954", "1956", "1958", "1960"]
    assert list(ticks(2001.1, 2001.9).values()) == ["2001-03", "2001-05", "2001-07", "2001-09", "2001-11"]
    assert list(ticks(2001.10, 2001.11).values()) == ["2001-02-07", "2001-02-08"]


def test_the_stages_write_and_score_forecasts_from_rolling_origins(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    shutil.copy(ROOT / "data/raw/airline.csv", tmp_path / "data/raw/airline.csv")
    monkeypatch.setattr(train, "checkpoints", lambda *_: nullcontext())  # they hash a whole project
    monkeypatch.chdir(tmp_path)
    written = {
        "seed": 0,
        "data": {"kind": "table", "path": "data/raw/airline.csv", "x": "month", "y": "passengers"}
        | {"holdout": {"origins": 3, "horizon": 4}},
        "model": {"transform": "log", "kernel": {"kind": "sum", "terms": {"line": {"kind": "linear"}, "rest": {}}}},
        "inference": {},
        "train": {"restarts": 0},
        "predict": {"horizon": 2, "hyperparameters": {"kind": "plug_in"}},
    }
    for stage in (synthesize, train, predict, evaluate):
        name = stage.__name__.removeprefix("stages.")
        out = tmp_path / "data/mine" / name
        out.mkdir(parents=True)
        keys = {key: value for key, value in written.items() if key in stage.Params.model_fields}
        stage.main("mine", parse(stage.Params, keys), out)
    metrics, check = (json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in ("metrics", "check"))
    forecast = metrics["forecast"]
    assert (forecast["n"], forecast["season"]) == (12, 12)
    assert 0 < forecast["mase"] < forecast["naive"]["mase"]
    assert [sentence.partition(":")[0] for sentence in check["structure"]] == ["line", "rest"]
    table = pd.read_csv(out / "horizons.csv")
    assert len(table) == 4 * 4
    assert forecast["crps"] == pytest.approx(table["crps"][table["method"] == "model"].mean(), rel=1e-4)
    told = forecasts({"mine": metrics, "other": {}})
    assert told.loc[("mine", "naive"), "MASE ↓"] == forecast["naive"]["mase"]
    assert told.index.tolist()[0] == ("mine", "forecasts from rolling origins")
    assert told.iloc[0].tolist() == [forecast[name] for name in ("mase", "smape", "crps", "coverage_95")]
    ahead = pd.read_csv(out.parent / "predict/forecast.csv")
    assert ahead["month (day)"].tolist() == ["1961-01-01", "1961-02-01"]
