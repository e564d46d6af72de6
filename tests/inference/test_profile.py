"""Scale and mean coefficients in closed form: the gradient is that of the maximum, and the maximum is one."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.inference.profile import profile_of
from gp.matrices.symmetric import KEPT
from gp.model.model import Model
from gp.spec import parse
from gp.training import Problem

CLOSE = 1e-5  # of a gradient by finite differences of a likelihood of hundreds of nats
RNG = np.random.default_rng(3)
X = RNG.uniform(0, 3, (60, 2))
DATA = Dataset(x=X, columns=("a", "b"), y=np.sin(3 * X[:, 0]) + 5 * X[:, 1] + 40 + 0.3 * RNG.normal(size=60))

PRIOR = {"kind": "log_normal", "median": 1.0, "sigma": 1.0}
MODELS = {
    "a product with a sum": {
        "kernel": {
            "kind": "product",
            "factors": {
                "a": {"kind": "rbf"},
                "b": {"kind": "sum", "terms": {"c": {"kind": "rbf"}, "d": {"kind": "white"}}},
            },
        }
    },
    "rbf": {"kernel": {"kind": "rbf"}},
    "a kernel by autograd": {"kernel": {"kind": "polynomial"}},
    "a sum": {
        "kernel": {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "linear"}, "c": {"kind": "white"}}}
    },
    "a linear mean": {"mean": {"kind": "linear"}, "kernel": {"kind": "rbf", "ard": True}},
    "a fixed mean": {"mean": {"value": {"fixed": 40.0}}, "kernel": {"kind": "rbf"}},
    "a fixed noise": {"noise": {"sd": {"fixed": 0.3}}, "kernel": {"kind": "rbf"}},
    "a bounded mean": {"mean": {"value": {"start": 40.0, "lower": 30.0, "upper": 41.0}}, "kernel": {"kind": "rbf"}},
    "raw units": {"standardize": {"x": False, "y": False}, "mean": {"kind": "linear"}, "kernel": {"kind": "matern"}},
}


def problem(model, data=DATA, profiled=True):
    return Problem(parse(Model, model).build(data), Exact(), profiled=profiled)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_gradient_is_that_of_the_profiled_likelihood(model):
    objective = problem(model)
    at = objective.parameters.start + 0.3 * np.random.default_rng(0).normal(size=len(objective.parameters.start))
    numeric = approx_fprime(at, lambda vector: objective(vector)[0], 1e-6)
    gradient = objective(at)[1]
    assert gradient == pytest.approx(numeric, abs=CLOSE * max(1.0, float(np.abs(numeric).max())))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_where_the_model_is_moved_to_scale_and_mean_are_optimal(model):
    objective, plain = problem(model), problem(model, profiled=False)
    value, _ = objective(objective.parameters.start)
    moved = objective.maximise_profiled(objective.parameters.start)
    profile = profile_of(objective.gp)
    assert plain(moved)[0] == pytest.approx(value, rel=1e-10)
    directions = [profile.amplitude, *np.eye(len(moved))[profile.positions]]
    for direction in directions:
        assert abs(plain(moved)[1] @ direction) < 1e-6


def test_a_scale_stopped_at_a_bound_moves_with_it():
    model = {"mean": {"kind": "zero"}, "kernel": {"kind": "rbf"}}
    tiny = Dataset(x=DATA.x, columns=DATA.columns, y=np.zeros(60))  # no residual: the scale goes to its lower bound
    objective = problem(model, tiny)
    at = objective.parameters.start + np.array([0.1, 0.2, -0.3])
    numeric = approx_fprime(at, lambda vector: objective(vector)[0], 1e-6)
    assert objective(at)[1] == pytest.approx(numeric, abs=CLOSE * 60)


def test_rows_too_many_to_keep_tiles_of_have_the_same_gradient():
    n = KEPT + 1
    x = RNG.uniform(0, 3, (n, 1))
    data = Dataset(x=x, columns=("a",), y=np.sin(x[:, 0]) + RNG.normal(size=n))
    objective = problem(MODELS["a kernel by autograd"], data)
    at = objective.parameters.start
    step = 1e-4 * np.eye(len(at))
    numeric = [(objective(at + s)[0] - objective(at - s)[0]) / 2e-4 for s in step]
    assert objective(at)[1] == pytest.approx(numeric, abs=1e-4)


def test_profiling_finds_the_optimum_of_all_hyperparameters_together():
    plain = problem(MODELS["rbf"], profiled=False)

    def loss(vector):
        value, gradient = plain(vector)
        return -value, -gradient

    start, bounds = plain.parameters.start, plain.parameters.bounds
    together = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-8})
    profiled = problem(MODELS["rbf"])
    apart = minimize(lambda v: tuple(-part for part in profiled(v)), start, jac=True, method="L-BFGS-B", bounds=bounds)
    assert apart.fun == pytest.approx(together.fun, abs=1e-4)
    assert apart.nfev < together.nfev


@pytest.mark.parametrize("written", [{"start": 1.0, "upper": 2.0}, {"start": 1.0, "prior": PRIOR}, {"fixed": 1.0}])
def test_a_scale_that_the_user_bounds_or_knows_something_of_is_not_profiled(written):
    assert profile_of(problem(MODELS["rbf"]).gp).amplitude.any()
    assert not profile_of(problem({"kernel": {"kind": "rbf", "outputscale": written}}).gp).amplitude.any()


def test_the_scale_keeps_to_the_limits_of_a_search_at_each_of_many_vectors():
    objective = problem(MODELS["rbf"])
    profile, start = profile_of(objective.gp), objective.parameters.start
    vectors, quadratics = start + 0.1 * np.arange(4)[:, None], np.array([1e-60, 1.0, 60.0, 1e60])
    one_by_one = [profile.log_scale(*each, 60)[0] for each in zip(vectors, quadratics.tolist(), strict=True)]
    many = profile.log_scales(vectors, quadratics, 60)
    assert many == pytest.approx(one_by_one)
    moved = vectors + many[:, None] * profile.amplitude
    assert (moved >= profile.bounds[:, 0] - 1e-9).all()
    assert (moved <= profile.bounds[:, 1] + 1e-9).all()
