"""The sentences about a sum's terms, and the shares of the variance beside them."""

from dataclasses import replace

import numpy as np
import pytest

import gp
from gp.fitted.adaptive import over_plateaus, sample
from gp.fitted.convergence import Convergence
from gp.fitted.jumps import Jumps
from gp.fitted.report import _of_terms
from gp.fitted.shares import shares
from gp.model.model import Model
from gp.spec import parse
from gp.structure import sentences, terms

RNG = np.random.default_rng(1)
X = np.linspace(0, 10, 80)
WAVE = {"kind": "periodic", "period_length": {"fixed": 1.0}}


def said(kernel, values, *, dates=(), share=0.25):
    """Return what is said of a sum's one term, without its name and its share."""
    hyperparameters = {f"kernel.it.{name}": value for name, value in values.items()}
    fit = {"shares": {"it": share}, "kernel": {"kind": "sum", "terms": {"it": kernel}}}
    (sentence,) = sentences(fit | {"fit": {"hyperparameters": hyperparameters}}, ["depth"], ["depth"] if dates else [])
    return sentence.removeprefix("it: ").removesuffix("; 25 % of the variance.")


@pytest.mark.parametrize(
    ("kernel", "values", "sentence"),
    [
        ({"kind": "linear"}, {}, "a straight line"),
        ({"kind": "rbf"}, {"lengthscale": 2.344}, "a smooth change over 2.34 units of depth"),
        ({"kind": "matern", "nu": 0.5}, {"lengthscale": 3.0}, "a rough change over 3 units of depth"),
        ({"kind": "polynomial", "power": 2}, {}, "a polynomial of degree 2"),
        (
            {"kind": "product", "factors": {"slope": {"kind": "linear"}, "w": {"kind": "periodic"}}},
            {"w.period_length": 7.0},
            "a pattern that repeats every 7 units of depth whose size changes in proportion to depth",
        ),
        (
            {"kind": "product", "factors": {"p": {"kind": "polynomial", "power": 1}, "w": {"kind": "periodic"}}},
            {"w.period_length": 7.0},
            "a pattern that repeats every 7 units of depth whose size changes along a straight line in depth",
        ),
        (
            {"kind": "changepoint", "before": {"kind": "constant"}, "after": {"kind": "constant"}},
            {"location": 4.5},
            "a step at depth 4.5",
        ),
        (
            {"kind": "changepoint", "before": {"kind": "constant"}, "after": {"kind": "linear"}},
            {"location": 4.5},
            "until depth 4.5 a constant, then a straight line",
        ),
        (
            {"kind": "changepoint", "after": {"kind": "changepoint", "before": {"kind": "linear"}}},
            {"location": 4.5, "after.location": 6.0},
            "a straight line, but only from depth 4.5 until depth 6",
        ),
        (
            {"kind": "changepoint", "after": {"kind": "linear"}},
            {"location": 4.5},
            "a straight line, but only from depth 4.5",
        ),
    ],
)
def test_a_kernel_is_said_in_words(kernel, values, sentence):
    assert said(kernel, values) == sentence


@pytest.mark.parametrize(
    ("years", "words"),
    [(1.0, "every year"), (0.25, "every 3 months"), (7 / 365.25, "every week"), (2 / 365.25, "every 2 days")],
)
def test_a_period_of_dates_has_its_unit(years, words):
    assert said({"kind": "periodic"}, {"period_length": years}, dates=["depth"]).endswith(words)


@pytest.mark.parametrize(("share", "percent"), [(0.0312, "3.1"), (0.996, "100"), (1.234, "123")])
def test_a_share_is_a_plain_number(share, percent):
    fit = {"shares": {"it": share}, "kernel": {"kind": "sum", "terms": {"it": {"kind": "linear"}}}}
    (sentence,) = sentences(fit | {"fit": {"hyperparameters": {}}}, ["depth"])
    assert sentence == f"it: a straight line; {percent} % of the variance."


def test_shares_are_those_of_the_parts_that_made_the_data():
    y = 0.5 * X + np.sin(2 * np.pi * X) + 0.05 * RNG.standard_normal(80)
    model = {"kernel": {"kind": "sum", "terms": {"slope": {"kind": "linear"}, "wave": WAVE}}}
    fitted = gp.fit(X, y, model=model, train={"restarts": 0})
    report = fitted.report()
    assert report["shares"]["slope"] == pytest.approx(np.var(0.5 * X) / np.var(y), abs=0.03)
    assert report["shares"]["wave"] == pytest.approx(0.5 / np.var(y), abs=0.03)
    first, second = sentences(report, ["x"])
    assert first.startswith("slope: a straight line; 8")
    for name, ends in report["share_intervals"].items():
        assert ends["lower"] < report["shares"][name] < ends["upper"]
        assert 0.001 < ends["upper"] - ends["lower"] < 0.05  # little noise
    table = terms(report, ["x"]).set_index("term")
    low, high = table.loc["wave", ["share_lower", "share_upper"]]
    assert f" % of the variance ({100 * low:.2g} to {100 * high:.2g} %)" in second
    assert second.startswith("wave: a pattern that repeats every unit of x; ")
    assert sentences(report, ["a", "b"]) == []


LINE = {"kind": "sum", "terms": {"curve": {"kind": "rbf"}, "line": {"kind": "linear"}}}

CURVE = {"kind": "rbf", "lengthscale": {"fixed": 1.5}, "outputscale": {"fixed": 0.5}}
KNOWN = {
    "kernel": {"kind": "sum", "terms": {"curve": CURVE, "line": {"kind": "linear", "variance": {"fixed": 1e-6}}}},
    "noise": {"sd": {"fixed": 0.05}},
}


def explained(fitted):
    found = shares(fitted.gp, fitted._conditioned, _of_terms(fitted))
    return found["shares"], found["share_intervals"]


def test_terms_that_nothing_tells_apart_have_like_intervals():
    x = np.linspace(0, 10, 30)
    y = np.sin(x) + 0.2 * np.random.default_rng(1).standard_normal(30)
    model = {"kernel": {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "rbf"}}}}
    fitted = gp.fit(x, y, model=model, train={"restarts": 0})
    for ends in explained(fitted)[1].values():
        assert ends["lower"] < 0.02
        assert ends["upper"] > 0.9
    assert fitted.gp.parameters.vector == pytest.approx(fitted.vector)
    assert _of_terms(fitted) is not fitted.mixture()
    by_chains = replace(
        fitted.mixture(), draws=replace(fitted.mixture().draws, chains=Convergence(2, 9, 1.0, 9, 9, 0, 9))
    )
    assert over_plateaus(by_chains, fitted.gp, fitted.inference, fitted.modes) is by_chains
    changing = parse(Model, {"kernel": model["kernel"], "noise": {"kind": "heteroscedastic"}})
    by_row = replace(fitted.mixture(), gp=replace(fitted.gp, spec=changing))
    assert over_plateaus(by_row, fitted.gp, fitted.inference, fitted.modes) is by_row


def test_draws_of_two_thin_arms_are_as_by_quadrature():
    """Two logs of which a sum is known, each N(0, 3²) before."""

    def log_density(of):
        return -0.5 * ((np.exp(of[0]) + np.exp(of[1]) - 1) / 0.05) ** 2 - 0.5 * (of[0] ** 2 + of[1] ** 2) / 9

    grid = np.linspace(-14, 1.5, 1500)
    density = np.exp(log_density(np.meshgrid(grid, grid, indexing="ij"))).sum(axis=1)
    draws, logs = sample(log_density, Jumps.at(np.full((1, 2), np.log(0.5)), 2.0 * np.eye(2)[None]))
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    for below in (-6, -3, -1, -0.1):
        share = density[grid < below].sum() / density.sum()
        assert weights @ (draws < below) == pytest.approx([share, share], abs=0.08)


@pytest.mark.parametrize("kernel", ["rbf", "matern"])
def test_a_share_is_within_its_interval_where_rows_tell_little(kernel):
    y = 3 * np.random.default_rng(3).standard_normal(60)
    curve = CURVE | {"kind": kernel, "lengthscale": {"fixed": 0.1}}
    model = {"kernel": {"kind": "sum", "terms": LINE["terms"] | {"curve": curve}}, "noise": {"sd": {"fixed": 3.0}}}
    fitted = gp.fit(X[:60], y, model=model, train={"restarts": 0})
    found, intervals = explained(fitted)
    for name, ends in intervals.items():
        assert ends["lower"] <= found[name] <= ends["upper"]
    of_mean = shares(fitted.gp, fitted._conditioned, None)["shares"]["curve"]
    assert of_mean < intervals["curve"]["lower"]  # what rows tell of it is less than what it is


def test_a_line_beside_a_linear_mean_is_the_means():
    x = np.linspace(0, 10, 40)
    y = np.sin(x) + x + 0.3 * np.random.default_rng(0).standard_normal(40)
    model = {"kernel": LINE, "mean": {"kind": "linear"}}
    found, intervals = explained(gp.fit(x, y, model=model, train={"restarts": 0}))
    without = np.var(y - np.polyval(np.polyfit(x, y, 1), x)) / np.var(y)
    assert found["line"] == intervals["line"]["upper"] == 0.0
    assert 0.5 * without < found["curve"] < without
    assert intervals["curve"]["upper"] < 1.3 * without


def test_shares_of_rows_that_are_means_along_steps_are_of_such_means():
    x = np.linspace(0, 10, 40)
    y = np.sin(x) * np.sin(1.25) / 1.25 + 0.05 * np.random.default_rng(0).standard_normal(40)
    fitted = gp.fit(x, y, step=np.full(40, 2.5), model=KNOWN, train={"restarts": 0})
    for found in (explained(fitted)[0], shares(fitted.gp, fitted._conditioned, None)["shares"]):
        assert sum(found.values()) == pytest.approx(1 - 0.05**2 / np.var(y), abs=0.03)


def test_a_method_without_a_covariance_of_rows_gives_no_interval():
    fitted = gp.fit(X[:20], np.sin(X[:20]), model=KNOWN, inference={"kind": "vecchia"}, train={"restarts": 0})
    found = shares(fitted.gp, fitted._conditioned, fitted.mixture({"kind": "laplace"}))
    assert found["shares"]["curve"] > 0.5
    assert "share_intervals" not in found


def test_nothing_is_said_of_a_kernel_that_is_no_sum():
    fitted = gp.fit(X, np.sin(X), model={"kernel": {"kind": "rbf"}}, train={"restarts": 0})
    assert shares(fitted.gp, fitted._conditioned, None) == {}
    assert "shares" not in fitted.report()
    assert said({"kind": "white"}, {}, share=0.0).endswith("next to nothing of the variance.")
