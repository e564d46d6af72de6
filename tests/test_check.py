"""The check of predictions: each finding provoked alone, silence on data from the model; linear baselines."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

import gp
from gp.autocorrelation import Order, is_ordered
from gp.baselines import Linear, by_fold
from gp.check import CHECKS, Judged, check, structure
from gp.dataset import Dataset
from gp.far_means import far_means, summary
from gp.forecast import Forecast
from gp.transforms import Log, Sqrt
from stages.evaluate import _ahead


def kernel(one, two, lengthscale):
    r = np.sqrt(5 * (((one[:, None] - two[None]) / lengthscale) ** 2).sum(axis=-1))
    return (1 + r + r**2 / 3) * np.exp(-r)  # Matérn 5/2


def judged(x, y, mean, sd, **changes):
    """Return rows with normal forecasts, as if each was left out."""
    x = np.asarray(x, dtype=float).reshape(len(y), -1)
    data = Dataset(x=x, y=y, columns=("time", "other")[: x.shape[1]])
    forecast = Forecast.normal(np.broadcast_to(mean, len(y)), np.broadcast_to(sd, len(y)))
    linear = {"linear": Linear(data).leave_one_out()}
    return Judged("left-out", x, data.observed, forecast, np.zeros(len(y)), data, forecast, linear, **changes)


def from_the_model(seed, n, d, lengthscale, noise_sd, out):
    """Return rows drawn from a GP, with its exact predictions: held-out at random, at the end, or left out."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 1, (n, d)), axis=0) if d == 1 else rng.uniform(0, 1, (n, d))
    covariance = kernel(x, x, lengthscale) + noise_sd**2 * np.eye(n)
    y = np.linalg.cholesky(covariance) @ rng.standard_normal(n)
    test = {"": np.zeros(n, bool), "random": rng.permutation(n) < n // 5, "last": np.arange(n) >= n - n // 5}[out]
    precision = np.linalg.inv(covariance[np.ix_(~test, ~test)])
    variance = 1 / precision.diagonal()
    alpha = precision @ y[~test]
    rows = replace(judged(x[~test], y[~test], y[~test] - alpha * variance, np.sqrt(variance)))
    if not out:
        return rows
    cross = kernel(x[test], x[~test], lengthscale)
    of_f = np.maximum(1 - np.einsum("ij,jk,ik->i", cross, precision, cross), 0)
    forecast, shared = Forecast.normal(cross @ alpha, np.sqrt(of_f + noise_sd**2)), of_f / (of_f + noise_sd**2)
    linear = {"linear": Linear(rows.train).predict(x[test])}
    seen = {"x": x[test], "observed": y[test], "forecast": forecast, "shared": shared, "baselines": linear}
    return replace(rows, rows="held-out", **seen)


@pytest.mark.parametrize(
    "kind",
    [
        (100, 1, 0.1, 0.3, ""),
        (80, 2, 0.5, 0.1, ""),
        (120, 1, 3.0, 0.5, ""),
        (150, 1, 0.1, 0.1, "random"),
        (150, 1, 0.3, 0.2, "last"),
    ],
)
def test_data_from_the_model_itself_raise_a_finding_in_two_of_a_hundred_at_most(kind):
    found = [check(from_the_model(seed, *kind))[1] for seed in range(100)]
    assert sum(map(bool, found)) <= 2, [sentences for sentences in found if sentences]


RNG = np.random.default_rng(3)
T, Z = np.linspace(0, 10, 200), RNG.standard_normal(200)
Z = Z / np.abs(Z).max() * 2.9  # no outlier
OUTLIERS = np.where(np.arange(200) % 70 == 5, 6.0, Z)
IN_STEPS = RNG.choice([-1, 1], 200) * RNG.permutation(np.repeat([0.3, 1.0, 1.8, 2.2], [100, 84, 12, 4]))
SINE = np.sin(T)  # whose linear part is small
SHUFFLED = RNG.permutation(T)


def of_log_y(wide):
    """Return rows whose log is forecast by two normals, one of next to no weight, `wide` sd."""
    rows, parts = judged(T, np.exp(SINE + 0.1 * Z), 1.0, 1.0), np.broadcast_to(SINE, (2, 200))
    sds = np.broadcast_to([[0.1], [wide]], (2, 200))
    forecast = Forecast(parts, sds, np.array([[0.99], [0.01]]), Log())
    return replace(rows, forecast=forecast, left_out=forecast)


PROVOKED = {
    "too narrow": (
        ("calibration", judged(T, SINE + 0.1 * Z, SINE, 0.068)),
        "inside their 50 / 80 / 95 % bands: these are too narrow: write `noise: {kind: heteroscedastic}` below model",
    ),
    "too wide": (
        ("calibration", judged(T, SINE + 0.1 * Z, SINE, 0.3)),
        "97 / 100 / 100 % of the left-out rows are inside their 50 / 80 / 95 % bands: these are too wide for most "
        "rows: write `noise: {kind: student_t}`",
    ),
    "too wide at 80 % alone": (
        ("calibration", judged(T, SINE + 0.1 * IN_STEPS, SINE, 0.1)),
        "50 / 92 / 98 % of the left-out rows are inside their 50 / 80 / 95 % bands: these are too wide for most rows",
    ),
    "too wide, of the function": (
        ("calibration", replace(judged(T, SINE + 0.1 * Z, SINE, 0.3), shared=np.full(200, 0.99))),
        "these are too wide for most rows: they are the function's, hardly noise: try a smoother kernel, as `nu: 2.5`",
    ),
    "outliers": (
        ("tails", judged(T, SINE + 0.1 * OUTLIERS, SINE, 0.1)),
        "3 of 200 left-out rows are beyond 4 sd (0.01 expected), one at 6.0 sd: there are outliers: write `noise: ",
    ),
    "drifting": (
        (
            "tails",
            replace(
                judged(T, SINE + 0.1 * Z, SINE, 0.1),
                rows="held-out",
                x=T[:, None] + 10,
                observed=SINE + 0.1 * Z + 0.06 * T,
                shared=np.full(200, 0.95),
            ),
        ),
        "beside rows like them: forecasts drift away, which no noise mends: try a `sum` with a `linear` or",
    ),
    "a shape": (
        ("structure", judged(SHUFFLED, np.sin(SHUFFLED) + 0.5 * Z, 0.2 * np.sin(SHUFFLED), 0.75)),
        " forecasts on average: the kernel misses a shape: try a smaller lengthscale's start, another kernel",
    ),
    "drift": (
        ("order", judged(SHUFFLED, np.sin(SHUFFLED) + 0.1 * (np.sin(3 * T) + 0.7 * Z), np.sin(SHUFFLED), 0.1)),
        "so that time or order matters: name the date or the row's number as an input in `data.x`",
    ),
    "below zero": (
        ("support", judged(T, np.abs(0.5 * Z), 0.4, 0.3)),
        "y is never below 0, and forecasts expect 18.2 of 200 rows there: bands are no use near 0: write",
    ),
    "a comb": (
        ("between", judged(T, SINE + 0.1 * Z, SINE, 0.1, hyperparameters={"kernel.lengthscale": 0.04})),
        "kernel.lengthscale is 0.04, below the smallest gap between values of time, 0.0503: nothing is known",
    ),
    "worse than a line": (
        ("linear", judged(T, T + 0.5 * Z, T + 0.8 * RNG.standard_normal(200), 0.94)),
        "a linear model predicts the left-out rows better, by",
    ),
    "means far away": (
        ("average", of_log_y(8.0)),
        "the mean is outside its 95 % interval in 200 of 200 left-out rows, once 2.03e+12 beside a median of 2.57: ",
    ),
}


@pytest.mark.parametrize("kind", PROVOKED)
def test_each_finding_is_one_sentence_with_the_remedy_by_its_key(kind):
    (name, rows), said = PROVOKED[kind]
    values, sentences = check(rows)
    assert [key for key in CHECKS if values[key]] == [name]
    assert values["findings"] == len(sentences) == 1
    assert said in sentences[0]


@pytest.mark.parametrize("kind", ["exact", "markov", "harmonic", "vecchia", "sgpr", "svgp", "auto"])
@pytest.mark.parametrize("found", PROVOKED)
def test_a_remedy_works_with_the_inference_that_the_study_has(kind, found):
    (_, rows), _ = PROVOKED[found]
    if kind != "auto":  # which fit.json does not name, but what it chose
        rows = replace(rows, inference={"kind": kind, "rows": 20} if kind == "exact" else {"kind": kind})
    written = re.findall(r"`(?:noise: )?({kind: .*?}|\w+: {.*?})`", check(rows)[1][0])
    keys = [yaml.safe_load(text) for text in written]
    assert keys or kind in ("auto", "exact", "vecchia", "sgpr", "svgp") or found in ("below zero", "means far away")
    assert found not in ("too narrow", "too wide", "outliers") or any("kind" in key for key in keys)
    noises = [key for key in keys if "kind" in key] or [{"kind": "gaussian"}]
    others = {name: value for key in keys if "kind" not in key for name, value in key.items()}
    kernel = {"kind": "periodic", "period_length": {"fixed": 1}} if kind == "harmonic" else {"kind": "matern"}
    kernel |= {"lengthscale": others["lengthscale"]} if "lengthscale" in others else {}
    inference = others.get("inference", {"kind": kind})
    x = T[:30] if found != "drift" else np.column_stack([T[:30], np.arange(30)])
    for noise in noises:
        model = {"kernel": kernel, "noise": noise, "mean": others.get("mean", {"kind": "constant"})}
        its = {"kind": kind} if kind == "markov" and "kernel" in noise else inference
        assert np.isfinite(gp.log_marginal_likelihood(x, np.sin(T[:30]), model=model, inference=its))


def test_noise_that_learns_something_of_each_row_is_tried_on_some_where_rows_are_many():
    t = np.arange(4000) * 0.01
    many = judged(t, np.sin(t) + 0.1 * np.tile(OUTLIERS, 20), np.sin(t), 0.1)
    for inference, written in ({"kind": "exact"}, ""), ({"kind": "markov"}, ", with `inference: {kind: exact}`"):
        sentences = check(replace(many, inference=inference))[1]
        said = (
            f"{{kind: student_t}}` below model{written}: hours of 4000 rows, so try it on a table of some 2000 of them"
        )
        assert any(said in sentence for sentence in sentences)


def test_markov_is_left_for_outliers_alone():
    (_, rows), _ = PROVOKED["too narrow"]
    (sentence,) = check(replace(rows, inference={"kind": "markov"}))[1]
    changing = "`noise: {kind: heteroscedastic, kernel: {kind: matern}}` below model if the noise changes, "
    assert (
        f"{changing}`{{kind: student_t}}` if a few rows are far (that one, with `inference: {{kind: exact}}`"
        in sentence
    )


def test_the_lengthscale_of_a_periodic_kernel_has_no_unit_and_is_not_compared_with_gaps():
    known = {"kernel.cycle.lengthscale": 0.01, "kernel.cycle.period_length": 1.0, "kernel.a.lengthscale.time": 1.0}
    assert check(judged(T, SINE + 0.1 * Z, SINE, 0.1, hyperparameters=known))[1] == []


def test_means_inside_their_intervals_are_no_finding_and_tables_of_the_future_are_looked_at(tmp_path):
    assert check(of_log_y(1.0))[1] == []
    few = judged(T[:10], T[:10], T[:10], 0.1)
    table = summary(of_log_y(8.0).forecast)
    for name, before, rows in (("new.csv", "predicted.", "new rows"), ("forecast.csv", "", "forecasts")):
        pd.DataFrame(table).add_prefix(before).assign(note="x").to_csv(tmp_path / name, index=False)
        (said,) = check(replace(few, ahead=_ahead(tmp_path)))[1]
        assert f"200 of 200 {rows}" in said
    for wide, transform, is_far in ((5.0, Log(), True), (3.9, Log(), False), (5.0, Sqrt(), False)):
        one = Forecast(np.ones((1, 5)), np.full((1, 5), wide), np.ones((1, 1)), transform)
        assert bool(far_means({"rows": summary(one)})) == is_far
    assert summary(few.forecast) == {}


def test_few_rows_are_not_judged():
    assert check(judged(T[:19], T[:19], 100.0, 0.1)) == ({"findings": 0, "average": 0}, [])


@pytest.mark.parametrize(("n", "d"), [(40, 2), (12, 2), (30, 29)])
def test_linear_left_out_rows_are_those_of_fits_without_them(n, d):
    x = RNG.standard_normal((n, d)) * 10 + 3
    data = Dataset(x=x, y=x[:, 0] + RNG.standard_normal(n), columns=tuple(f"x{j}" for j in range(d)))
    left_out = Linear(data).leave_one_out()
    if n == 40:  # no penalty: the formula is exact
        alone = by_fold(Linear, data, np.arange(n))
        assert left_out.mean == pytest.approx(alone.mean, abs=1e-6)
        assert left_out.sd == pytest.approx(alone.sd, rel=1e-6)
    error = np.sqrt(np.mean((data.observed - left_out.mean) ** 2))
    assert error < 2.0 if n > d + 5 else error < 1.2 * data.observed.std()


def test_linear_forecasts_are_those_of_least_squares():
    x = RNG.standard_normal((50, 2))
    data = Dataset(x=x, y=x @ [1.0, -2.0] + 0.3 * RNG.standard_normal(50), columns=("a", "b"))
    at = RNG.standard_normal((5, 2))
    design, ahead = (np.column_stack([np.ones(len(rows)), rows]) for rows in (x, at))
    coefficients, squares, *_ = np.linalg.lstsq(design, data.observed)
    variance = squares[0] / 47 * (1 + np.einsum("ij,jk,ik->i", ahead, np.linalg.inv(design.T @ design), ahead))
    forecast = Linear(data).predict(at)
    assert forecast.mean == pytest.approx(ahead @ coefficients, rel=1e-6)
    assert forecast.sd == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_the_check_names_the_level_that_is_missed():
    species = np.resize([0.0, 1.0], 200)
    rows = judged(species, species, 0.0, 0.5)
    levels = replace(rows.train, levels={"time": ("Adelie", "Gentoo")})
    said = structure(replace(rows, train=levels), 0.01).sentence
    assert said is not None
    assert said.startswith("where time is Gentoo, rows are 2.0 sd above")


def slow(share, n=400, seed=0):
    """Return noise of sd 1, of whose variance a share is an autoregression that forgets in some thirty rows."""
    white, drawn = np.random.default_rng(seed).normal(size=(2, n))
    for k in range(1, n):
        drawn[k] = 0.97 * drawn[k - 1] + math.sqrt(1 - 0.97**2) * drawn[k]
    return math.sqrt(1 - share) * white + math.sqrt(share) * drawn


def test_of_independent_residuals_few_seem_to_follow_each_other():
    for n in (30, 100, 400):
        drawn = np.random.default_rng(n).normal(size=(400, n))
        found = [Order.of(z - z.mean()) for z in drawn]
        assert sum(order.matters(0.01) for order in found) <= 8
        assert sum(order.matters(0.5) for order in found) >= 4
        assert np.mean([order.effective / n for order in found]) > 0.75


def test_residuals_that_follow_each_other_a_little_for_long_are_found():
    z = slow(0.2)
    found = Order.of(z - z.mean())
    assert found.follows < 0.25  # too little by itself
    assert found.matters(0.001)
    assert found.effective < 400 / 2
    rows = judged(np.arange(400.0), z, 0.0, 1.0)
    metrics, findings = check(rows)
    assert metrics["effective_rows"] == pytest.approx(found.effective)
    said = next(finding for finding in findings if "so that time or order matters" in finding)
    assert f"400 rows count as {found.effective:.0f}" in said
    assert said.endswith("as a term `{kind: matern, nu: 0.5}` of a `sum`")


def test_the_order_of_rows_is_that_of_an_input_or_unknown():
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert not is_ordered(x)
    assert not is_ordered(np.zeros((5, 1)))
    assert is_ordered(np.column_stack([x, -np.arange(50)]))


@pytest.mark.parametrize(("inference", "remedy"), [("harmonic", ""), ("exact", "write `inference: {kind: harmonic}`")])
def test_recordings_are_told_of_inference_that_allows_for_their_order(inference, remedy):
    rows = judged(SHUFFLED, np.sin(SHUFFLED) + 0.1 * (np.sin(3 * T) + 0.7 * Z), np.sin(SHUFFLED), 0.1)
    recorded = replace(rows.train, run=np.zeros(rows.train.n))
    metrics, findings = check(replace(rows, train=recorded, inference={"kind": inference}))
    assert metrics["order"] == bool(remedy)
    assert any(remedy in str(finding) for finding in findings) if remedy else not findings
