"""Average information: a dense judge in NumPy, what it is at the truth, and that a search by it ends at the optimum."""

import numpy as np
import pytest
import torch

import gp
from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.inference.profile import profile_of
from gp.model.model import Model
from gp.spec import parse
from gp.training import Problem
from gp.training.newton import climb, measure_curvature, refine

CLOSE = 1e-5  # relative to the largest element; the judge takes differences of matrices
RNG = np.random.default_rng(3)
X = RNG.uniform(0, 3, (150, 2))
DATA = Dataset(x=X, columns=("a", "b"), y=np.sin(3 * X[:, 0]) + 5 * X[:, 1] + 40 + 0.3 * RNG.normal(size=150))

MODELS = {
    "rbf": {"kernel": {"kind": "rbf", "ard": True}},
    "a kernel by autograd": {"kernel": {"kind": "polynomial"}},
    "a sum": {
        "kernel": {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "linear"}, "c": {"kind": "white"}}}
    },
    "a linear mean": {"mean": {"kind": "linear"}, "kernel": {"kind": "matern"}},
    "a fixed mean": {"mean": {"value": {"fixed": 40.0}}, "kernel": {"kind": "rbf"}},
    "a fixed noise": {"noise": {"sd": {"fixed": 0.3}}, "kernel": {"kind": "rbf"}},
    "a bounded mean": {"mean": {"value": {"start": 40.0, "lower": 30.0, "upper": 41.0}}, "kernel": {"kind": "rbf"}},
    "a bounded scale": {"kernel": {"kind": "rbf", "outputscale": {"start": 1.0, "lower": 0.01, "upper": 100.0}}},
}


def problem(model, data=DATA):
    return Problem(parse(Model, model).build(data), Exact(), profiled=True)


def start(objective):
    return objective.parameters.start + 0.3 * np.random.default_rng(0).normal(size=len(objective.parameters.start))


def covariance(gp, vector):
    gp.parameters.set(vector)
    with torch.no_grad():
        return gp.kernel(gp.x).to_dense().numpy() + np.diag(gp.training_noise()[0].numpy())


def mean(gp, vector):
    gp.parameters.set(vector)
    with torch.no_grad():
        return gp.mean(gp.x).numpy().copy()


def judged(gp, vector):
    """Return the average information of the likelihood of the whole vector, nothing profiled, by dense matrices."""
    inverse, p = np.linalg.inv(covariance(gp, vector)), len(vector)
    alpha = inverse @ (gp.y.numpy() - mean(gp, vector))
    steps = 1e-5 * np.eye(p)
    moves = [(covariance(gp, vector + s) - covariance(gp, vector - s)) @ alpha / 2e-5 for s in steps]
    levels = [(mean(gp, vector + s) - mean(gp, vector - s)) / 2e-5 for s in steps]
    information = np.empty((p, p))
    for i in range(p):
        for j in range(p):
            ends = moves[i] @ inverse @ moves[j], moves[i] @ inverse @ levels[j], levels[i] @ inverse @ moves[j]
            information[i, j] = 0.5 * sum(ends) + levels[i] @ inverse @ levels[j]
    return information


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_value_and_gradient_are_those_of_a_plain_evaluation(model):
    objective = problem(model)
    at = start(objective)
    value, gradient, _ = objective.informed(at)
    assert value == objective(at)[0]
    np.testing.assert_array_equal(gradient, objective(at)[1])


@pytest.mark.parametrize("name", ["a bounded mean", "a fixed mean", "a fixed noise", "rbf"])
def test_it_is_that_of_dense_matrices(name):
    """Where scale and mean are profiled, as a Schur complement of them."""
    objective = problem(MODELS[name])
    at = objective.maximise_profiled(start(objective))
    _, _, information = objective.informed(at)
    profile, dense = profile_of(objective.gp), judged(objective.gp, at)
    if profile.amplitude.any():
        along = dense @ profile.amplitude
        dense = dense - np.outer(along, along) / (profile.amplitude @ along)
    for j in profile.positions:  # P in place of K⁻¹
        dense[:, j] = dense[j] = 0.0
    if len(profile.positions):
        inverse = np.linalg.inv(covariance(objective.gp, at))
        alpha = inverse @ (objective.gp.y.numpy() - mean(objective.gp, at))
        shifts = [
            (covariance(objective.gp, at + s) - covariance(objective.gp, at - s)) @ alpha / 2e-5
            for s in 1e-5 * np.eye(len(at))
        ]
        cross = profile.design.T @ inverse @ np.array(shifts).T
        dense -= 0.5 * cross.T @ np.linalg.solve(profile.design.T @ inverse @ profile.design, cross)
    np.testing.assert_allclose(information, dense, rtol=0, atol=CLOSE * np.abs(dense).max())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_it_has_no_negative_direction(model):
    objective = problem(model)
    curvature = np.linalg.eigvalsh(objective.informed(start(objective))[2])
    assert curvature.min() > -1e-9 * curvature.max()


def test_over_many_draws_of_the_model_it_is_the_curvature():
    """Both have the same mean, the Fisher information, at the hyperparameters that data were drawn with."""
    model = {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "zero"},
        "kernel": {"kind": "rbf", "lengthscale": 0.4, "outputscale": {"fixed": 1.0}},
        "noise": {"sd": {"start": 0.3, "lower": 0.1, "upper": 1.0}},
    }
    x, draws = np.linspace(0, 3, 60)[:, None], np.random.default_rng(0)
    blank = parse(Model, model).build(Dataset(x=x, columns=("x",), y=draws.normal(size=60)))
    factor = np.linalg.cholesky(covariance(blank, blank.parameters.start))
    both = []
    for _ in range(100):
        objective = problem(model, Dataset(x=x, columns=("x",), y=factor @ draws.normal(size=60)))
        at = objective.parameters.start
        both.append((objective.informed(at)[2], measure_curvature(objective, at, central=False)))
    average, observed = (np.mean(sides, axis=0) for sides in zip(*both, strict=True))
    error = 4 * np.std([a - b for a, b in both], axis=0) / 10
    assert (np.abs(average - observed) < error).all()


@pytest.mark.parametrize("noise", ["heteroscedastic", "student_t"])
def test_noise_that_bounds_the_likelihood_has_none(noise):
    assert not problem({"noise": {"kind": noise}}).is_informed


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_climb_ends_where_no_newton_step_gains(model):
    objective = problem(model)
    optimum = climb(objective, start(objective), None, objective.parameters.bounds, tolerance=1e-3)
    end = refine(objective, optimum.vector, None, objective.parameters.bounds)
    gradient = objective(end.vector)[1]
    determined = np.diagonal(measure_curvature(objective, end.vector)) > 0.1
    inside = [
        low + 1e-6 < v < high - 1e-6 for v, (low, high) in zip(end.vector, objective.parameters.bounds, strict=True)
    ]
    assert end.value >= optimum.value - 1e-9
    assert np.abs(gradient[determined & inside]).max(initial=0.0) < 1e-4
    assert len(optimum.values) < 30


def test_a_lengthscale_that_ran_off_comes_back():
    """At e^11 its gradient has all but vanished, and with it what a step in log ℓ would gain."""
    rng = np.random.default_rng(7)
    x = rng.random((200, 2))
    data = Dataset(x=x, columns=("a", "b"), y=np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=200))
    objective = problem(MODELS["rbf"], data)
    bounds = objective.parameters.bounds
    best = climb(objective, objective.parameters.start, None, bounds, tolerance=1e-3)
    away = best.vector.copy()
    away[objective.parameters.names.index("kernel.lengthscale.b")] = 11.0
    back = climb(objective, away, None, bounds, tolerance=1e-3)
    assert back.value == pytest.approx(best.value, abs=2e-3)


def test_ends_of_different_starts_agree_to_six_digits():
    fits = [gp.fit(DATA.x, DATA.y, model=MODELS["rbf"], seed=seed) for seed in (0, 1)]
    np.testing.assert_allclose(fits[0].vector, fits[1].vector, rtol=1e-6)
