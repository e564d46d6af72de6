"""A model is built and solved once, and everything that is asked of it comes from that."""

import pickle

import numpy as np
import pytest

import gp
from gp.fitted.of_mean import MOST
from gp.fitted.uncertainty import Laplace
from gp.inference import solved
from gp.model.model import Model

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 6, (60, 2))
Y = 3 * np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.standard_normal(60)
DRAWS = Laplace().draws
TRAIN = {"kind": "lbfgs", "restarts": 0}


@pytest.fixture
def factors(monkeypatch):
    """Return the numbers of rows of what exact inference factorises from here on."""
    sizes, plain = [], solved.symmetric
    monkeypatch.setattr(solved, "symmetric", lambda kernel, x, *rest: sizes.append(len(x)) or plain(kernel, x, *rest))
    return sizes


@pytest.fixture
def builds(monkeypatch):
    built, plain = [], Model.build
    monkeypatch.setattr(Model, "build", lambda self, data: built.append(data.n) or plain(self, data))
    return built


PLUG_IN = {"kind": "plug_in"}


def asked(fitted, path):
    """Ask for all that the stage train writes."""
    fitted.save(path)
    return fitted.trace, fitted.report()


def test_a_study_builds_its_model_twice(builds, tmp_path):
    asked(gp.fit(X, Y, train=TRAIN), tmp_path / "model.safetensors")
    gp.load(tmp_path / "model.safetensors").predict(X[:3])
    assert builds == [60, 60]


def test_all_rows_are_factorised_once_where_hyperparameters_are_learnt_on_some(factors, tmp_path):
    fitted = gp.fit(X, Y, inference={"rows": 30}, train=TRAIN)
    factors.clear()
    asked(fitted, tmp_path / "model.safetensors")
    assert factors.count(60) == 1 + DRAWS  # at the optimum, and at each draw of the hyperparameters
    fitted.predict(X[:3])
    fitted.predict(X[:3], hyperparameters=PLUG_IN)
    fitted.leave_out()
    assert factors.count(60) == 1 + DRAWS


def test_predictions_that_plug_in_need_one_factor(factors, tmp_path):
    gp.fit(X, Y, train=TRAIN).save(tmp_path / "model.safetensors")
    factors.clear()
    loaded = gp.load(tmp_path / "model.safetensors")
    loaded.predict(X[:3], hyperparameters=PLUG_IN)
    loaded.leave_out(PLUG_IN)
    assert factors == [60]


def test_what_draws_cost_is_needed_once(factors, tmp_path):
    fitted = gp.fit(X, Y, train=TRAIN)
    factors.clear()
    asked(fitted, tmp_path / "model.safetensors")
    needed = len(factors)
    fitted.predict(X[:3])
    fitted.leave_out()
    assert len(factors) == needed
    # The optimum and its gradient; the value at the centre of the draws, beside it; plain and restricted curvature by
    # differences, a climb between; the draws, and those of the mean's interval; each end of an interval by the
    # likelihood ratio takes some evaluations.
    ends = 2 * len(fitted.vector)
    assert needed <= 3 + 4 * len(fitted.vector) + 2 * len(fitted.vector) + 10 + DRAWS + MOST + 10 * ends


def test_certifying_leaves_the_model_where_it_was():
    fitted = gp.fit(X, Y, train=TRAIN)
    before = fitted.predict(X[:3]).mean
    assert fitted.certificate.converged
    np.testing.assert_array_equal(fitted.predict(X[:3]).mean, before)


@pytest.mark.parametrize("inference", [{}, {"kind": "sgpr", "inducing": 20}, {"kind": "vecchia"}])
def test_the_posterior_mean_at_the_training_rows_is_that_of_its_moments(inference):
    fitted = gp.fit(X, Y, inference=inference, train=TRAIN)
    conditioned = fitted.inference.condition(fitted.gp)
    np.testing.assert_allclose(conditioned.training_mean(), conditioned.moments(fitted.gp.x).mean, atol=1e-9)
    value, _ = fitted.inference.evaluate(fitted.gp, gradient=False)
    assert conditioned.log_likelihood == pytest.approx(value, rel=1e-12)


def test_a_model_is_pickled_after_it_has_predicted():
    fitted = gp.fit(X, Y, model={"kernel": {"kind": "periodic"}}, train=TRAIN)
    posterior = fitted.predict(X[:3])
    assert fitted.certificate
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X[:3]).mean, posterior.mean)
