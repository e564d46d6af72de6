"""The gap to exact inference, by a factor and by conjugate gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import gp
from gp.fitted import conjugate_gradients
from gp.fitted import gap as gaps
from gp.fitted.gap import Gap, gap_to_exact, with_gap
from gp.inference.exact import Exact

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (400, 1))
Y = 10 * np.sin(12 * X[:, 0]) + RNG.normal(size=400)


def test_an_exact_method_has_none():
    fitted = gp.fit(X, Y, train={"restarts": 0})
    assert gap_to_exact(fitted, 0) is None
    report = {"alarms": []}
    assert with_gap(report, None) is report


def test_harmonic_inference_is_exact_there_too():
    kernel = {"kind": "periodic", "period_length": {"fixed": 2.0}}
    gap = gap_to_exact(gp.fit(X, Y, model={"kernel": kernel}, inference={"kind": "harmonic"}), 0)
    assert gap.rows == 320
    assert gap.scored == 80
    assert gap.nlpd == gap.rmse == gap.mean == gap.sd == 0.0  # what rounding errors make of zero is not said
    assert not gap.alarms


def _with_exact_hyperparameters(inference):
    """Return a fit by `inference`, moved to the hyperparameters of the exact one."""
    fitted = gp.fit(X, Y, inference=inference, train={"restarts": 0})
    exact = gp.fit(X, Y, train={"restarts": 0})
    vector = fitted.vector.copy()
    vector[: len(exact.vector)] = exact.vector
    return gp.Fitted(fitted.data, fitted.model, fitted.inference, fitted.train, vector, None)


@pytest.fixture(scope="module")
def coarse():
    """Return a fit by five inducing inputs, which are far too few."""
    return _with_exact_hyperparameters({"kind": "sgpr", "inducing": 5, "steps": 1})


def test_too_few_inducing_inputs_show_and_raise_an_alarm(coarse):
    gap = gap_to_exact(coarse, 0)
    assert gap.nlpd > 0.1
    assert gap.rmse > 0.1
    assert gap.mean > 1
    assert "raise inference.inducing" in gap.alarms[0]
    said = with_gap({"alarms": ["one"], "certificate": {"alarms": 1}}, gap)
    assert said["certificate"]["alarms"] == len(said["alarms"]) == 2
    assert said["gap_to_exact"]["mean"] == gap.mean


@pytest.mark.parametrize(
    ("changes", "alarmed"),
    [
        ({}, False),
        ({"mean": 0.15}, True),
        ({"sd": 0.15}, True),
        ({"nlpd": 0.03}, True),
        ({"error": 0.15}, False),
        ({"error": 0.25}, True),
    ],
)
def test_each_difference_that_shows_alarms_alone(changes, alarmed):
    close = Gap(rows=80, scored=20, nlpd=0.01, rmse=0.1, mean=0.05, sd=0.05, own=1.0)
    assert bool(replace(close, **changes).alarms) == alarmed


def test_it_is_that_of_the_moments_in_the_units_of_y(coarse):
    gap, fitted = gap_to_exact(coarse, 0), coarse.gp
    out = np.sort(np.random.default_rng(0).choice(400, size=gap.scored, replace=False))
    rows, x = np.delete(np.arange(400), out), fitted.x[torch.from_numpy(out)]
    own = coarse.inference.condition(coarse.inference.restrict(fitted, rows)).moments(x)
    exact = Exact().condition(fitted.subset(rows)).moments(x)
    apart = np.log(own.variance / exact.variance) / 2
    assert gap.sd == pytest.approx(np.sqrt(np.mean(apart**2)), abs=1e-4)
    rmse = [np.sqrt(np.mean((moments.mean - fitted.scope.y[out]) ** 2)) for moments in (own, exact)]
    assert gap.rmse == pytest.approx((rmse[0] - rmse[1]) * fitted.scope.y_scale, abs=1e-4 * fitted.scope.y_scale)


def test_conjugate_gradients_find_the_same_gap_as_a_factor(coarse, monkeypatch):
    by_factor = gap_to_exact(coarse, 0)
    monkeypatch.setattr(gaps, "DENSE", 0)
    monkeypatch.setattr(conjugate_gradients, "INDUCING", 3)  # or one step would do
    monkeypatch.setattr(conjugate_gradients, "NEIGHBOURS", 2)
    monkeypatch.setattr(conjugate_gradients, "TILE", 100)
    by_steps = gap_to_exact(coarse, 0)
    assert by_factor.steps is None
    assert 1 < by_steps.steps < 50
    assert by_steps.error < gaps.ACCURACY
    assert by_steps.mean == pytest.approx(by_factor.mean, rel=0.01)
    assert by_steps.sd == pytest.approx(by_factor.sd, rel=0.02)
    assert by_steps.nlpd == pytest.approx(by_factor.nlpd, abs=0.002)


def test_an_exact_posterior_that_was_not_found_is_said(coarse, monkeypatch):
    monkeypatch.setattr(gaps, "DENSE", 0)
    monkeypatch.setattr(conjugate_gradients, "INDUCING", 3)
    monkeypatch.setattr(conjugate_gradients, "NEIGHBOURS", 2)
    monkeypatch.setattr(conjugate_gradients, "STEPS", 1)
    assert "is not known: 1 steps" in gap_to_exact(coarse, 0).alarms[0]


def test_many_rows_are_judged_in_neighbourhoods(coarse, monkeypatch):
    monkeypatch.setattr(gaps, "ALL", 300)
    monkeypatch.setattr(gaps, "NEAR", 150)
    gap = gap_to_exact(coarse, 0)
    assert gap.parts == gaps.PARTS
    assert gap.rows + gap.scored // gaps.PARTS == 150
    assert gap.mean > 1
    assert gap.alarms


def test_solutions_are_those_of_the_dense_matrix():
    model, right = gp.fit(X[:80], Y[:80], train={"restarts": 0}).gp, RNG.normal(size=(80, 3))
    found = conjugate_gradients.solve(model, right, np.full(3, 1e-9))
    lower = np.tril(Exact().condition(model).factor)
    np.testing.assert_allclose(lower @ (lower.T @ found.x), right, atol=1e-6)
