"""The sentences about a sum's terms, and the shares of the variance beside them."""

import numpy as np
import pytest

import gp
from gp.fitted.shares import shares
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


def test_nothing_is_said_of_a_kernel_that_is_no_sum():
    fitted = gp.fit(X, np.sin(X), model={"kernel": {"kind": "rbf"}}, train={"restarts": 0})
    assert shares(fitted.gp, fitted._conditioned) == {}
    assert "shares" not in fitted.report()
    assert said({"kind": "white"}, {}, share=0.0).endswith("next to nothing of the variance.")
