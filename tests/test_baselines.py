"""Baselines of trees: honest about rows they have learnt from, the same each time, bounded in what they learn."""

import numpy as np
import pytest

from gp import baselines
from gp.baselines import BASELINES, baselines_of, by_fold
from gp.dataset import Dataset
from gp.row_scores import nlpd

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (240, 2))
STEPS = Dataset(X, ("a", "b"), y=np.floor(3 * X[:, 0]) * (X[:, 1] > 0.5) + 0.05 * RNG.standard_normal(240))
NOISE = Dataset(X, ("a", "b"), y=RNG.standard_normal(240))
TREES = ["forest", "boosting"]


@pytest.mark.parametrize("name", TREES)
def test_trees_find_steps_that_a_line_does_not(name):
    at = RNG.uniform(0, 1, (200, 2))
    truth = np.floor(3 * at[:, 0]) * (at[:, 1] > 0.5)
    errors = {kind: np.abs(BASELINES[kind](STEPS).predict(at).mean - truth).mean() for kind in (name, "linear")}
    assert errors[name] < 0.3 * errors["linear"]
    twice = [BASELINES[name](STEPS).leave_one_out() for _ in range(2)]
    assert (twice[0].mean == twice[1].mean).all()
    assert (twice[0].sd == twice[1].sd).all()


@pytest.mark.parametrize("name", TREES)
def test_trees_do_not_claim_to_know_noise_that_they_have_learnt_by_heart(name):
    left_out = BASELINES[name](NOISE).leave_one_out()
    assert np.corrcoef(left_out.mean, NOISE.observed)[0, 1] < 0.2
    assert left_out.sd.min() > 0.95 * NOISE.observed.std()
    # Scores of rows each left out are those of new rows, but for chance.
    new, y = RNG.uniform(0, 1, (1000, 2)), RNG.standard_normal(1000)
    held_out = nlpd(y, BASELINES[name](NOISE).predict(new)).mean()
    assert nlpd(NOISE.observed, left_out).mean() == pytest.approx(held_out, abs=0.15)


def test_folds_are_predicted_by_trees_of_the_others():
    folds = np.arange(240) % 3
    found = by_fold(BASELINES["forest"], STEPS, folds)
    alone = BASELINES["forest"](STEPS.at(folds != 1)).predict(X[folds == 1])
    assert (found.mean[folds == 1] == alone.mean).all()


def test_of_many_rows_trees_learn_some_and_predict_all(monkeypatch):
    monkeypatch.setattr(baselines, "MOST", 100)
    forest = BASELINES["forest"](STEPS)
    assert len(forest.rows) == 100
    left_out = forest.leave_one_out()
    assert left_out.n == 240
    assert (left_out.mean[forest.rows] == forest.unseen).all()


def test_few_rows_are_compared_with_a_line_alone():
    assert list(baselines_of(STEPS.at(np.arange(59)))) == ["linear"]
    assert list(baselines_of(STEPS.at(np.arange(60)))) == ["linear", "forest", "boosting"]


def test_trees_read_levels():
    levels = Dataset(
        np.column_stack([X[:, 0], np.arange(240) % 3]),
        ("a", "species"),
        y=(np.arange(240) % 3 == 1) * 5.0 + 0.1 * X[:, 0],
        levels={"species": ("x", "y", "z")},
    )
    found = BASELINES["boosting"](levels).predict(np.array([[0.5, 0], [0.5, 1], [0.5, 2]]))
    assert found.mean == pytest.approx([0, 5, 0], abs=0.2)
