"""Optimizers: Adam is gpytorch's own loop; L-BFGS finds the best of its starts, and says where each ended."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import gpytorch
import numpy as np
import pytest
import torch

import gp
from gp.data import Data
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.spec import InputError, kinds, parse
from gp.training import Lbfgs, Train
from gp.training.newton import (
    Optimum,
    _leads_to,
    _Point,
    _updated,
    at_active_bound,
    climb,
    fine_curvature,
    measure_curvature,
    newton_gain,
    newton_step,
)
from gp.yaml import read_yaml

SAME = 1e-8  # two programs, 100 steps each
SHORT = 1e-3  # nats that a search may leave to gain

SINE = read_yaml(Path(__file__).parent.parent / "params.yaml")["studies"]["sine"]
TIME = np.linspace(0, 10, 60)
WAVE = np.sin(TIME) + 0.1 * np.random.default_rng(1).normal(size=60)
RBF = {"kernel": {"kind": "rbf"}}


# Adam.


class PostsModel(gpytorch.models.ExactGP):
    """The model of the blog post, as gpytorch's tutorial has it."""

    def __init__(self, x, y, likelihood):
        super().__init__(x, y, likelihood)
        self.mean_module = gpytorch.means.ConstantMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def train_as_the_post(x, y, x_new, *, steps, learning_rate):
    """Return the loss (nats per datum) before each step, and mean, sd_f and sd_y at x_new after the last."""
    x, y, x_new = (torch.from_numpy(np.array(values)) for values in (x, y, x_new))
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = PostsModel(x, y, likelihood)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = -mll(model(x), y)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    model.eval()
    with torch.no_grad():
        posterior = model(x_new)
        sd_y = likelihood(posterior).stddev
    return np.array(losses), posterior.mean.numpy(), posterior.stddev.numpy(), sd_y.numpy()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.optim compiles things when imported
@pytest.mark.parametrize("bound", [{"lower": 20}, {"upper": 1e-3}, {"lower": 20, "upper": 21}])
def test_adam_starts_inside_a_bound_that_leaves_out_the_default_start(bound):
    model = {"kernel": {"kind": "rbf", "lengthscale": bound}}
    fitted = gp.fit(np.arange(9.0), np.sin(np.arange(9)), model=model, train={"kind": "adam", "steps": 2})
    assert bound.get("lower", 0) < fitted.hyperparameters["kernel.lengthscale"] < bound.get("upper", np.inf)


def test_study_sine_is_the_posts_own_loop_step_by_step():
    train, test = parse(Data, SINE["data"]).sample(SINE["seed"])
    assert test.n == 1000
    fitted = gp.fit(train.x, train.y, model=SINE["model"], inference=SINE["inference"], train=SINE["train"])
    settings = {key: SINE["train"][key] for key in ("steps", "learning_rate")}
    losses, mean, sd_f, sd_y = train_as_the_post(train.x, train.y, test.x, **settings)
    np.testing.assert_allclose(fitted.trace["nats_per_datum"], losses, rtol=0, atol=SAME)
    posterior = fitted.predict(test.x)
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=SAME)
    np.testing.assert_allclose(posterior.sd_f, sd_f, rtol=0, atol=SAME)
    np.testing.assert_allclose(posterior.sd_y, sd_y, rtol=0, atol=SAME)


def test_adam_with_one_step_stays_a_learning_rate_from_its_start():
    model = {"standardize": {"x": False, "y": False}, **RBF, "mean": {"value": 1.0}}
    fitted = gp.fit(TIME, WAVE, model=model, train={"kind": "adam", "steps": 1, "learning_rate": 0.05})
    # Adam's first step is the learning rate along the gradient's sign, whatever its size.
    assert abs(fitted.hyperparameters["mean.value"] - 1.0) == pytest.approx(0.05, rel=1e-6)
    assert len(fitted.trace) == 1


def test_adam_comes_to_the_optimum_of_lbfgs():
    patient = gp.fit(TIME, WAVE, model=RBF, train={"kind": "adam", "steps": 600})
    quick = gp.fit(TIME, WAVE, model=RBF)
    assert patient.log_marginal_likelihood == pytest.approx(quick.log_marginal_likelihood, abs=0.01)


def test_adam_keeps_the_noise_above_gpytorchs_floor():
    fitted = gp.fit(TIME, np.sin(TIME), model=RBF, train={"kind": "adam", "steps": 300})
    assert fitted.hyperparameters["noise.sd"] >= 0.01 * np.std(np.sin(TIME)) * (1 - SAME)


def test_adam_refuses_to_start_below_the_floor():
    with pytest.raises(InputError, match=r"^noise.sd: adam cannot start at \[.*\], on or beyond a bound"):
        gp.fit(TIME, WAVE, model=RBF | {"noise": {"sd": 1e-3}}, train={"kind": "adam", "steps": 2})


# L-BFGS and its restarts.

# Few rows of a wave: explained as a signal, or as noise about a flat line.
AMBIGUOUS = np.random.default_rng(5).uniform(0, 10, 15)
VALUES = np.sin(3 * AMBIGUOUS) + 0.4 * np.random.default_rng(6).normal(size=15)


def restarted(restarts, seed=0, x=AMBIGUOUS, y=VALUES):
    return gp.fit(x, y, model=RBF, train={"kind": "lbfgs", "restarts": restarts}, seed=seed)


def test_each_starts_end_is_told_and_the_best_is_kept():
    fitted = restarted(6)
    ends = fitted.report()["ends"]
    assert len(ends) == fitted.certificate.starts > 1
    assert {end["rows"] for end in ends} == {fitted.data.n}
    # The best is brought from within SHORT of its optimum to the optimum itself.
    assert max(end["nats"] for end in ends) == pytest.approx(fitted.log_marginal_likelihood, abs=SHORT)
    assert (
        max(end["nats"] for end in ends) - min(end["nats"] for end in ends) > 0.1
    )  # or the data are not ambiguous, and this tests nothing


def test_few_rows_are_searched_alike_whatever_the_seed():
    first, other = restarted(4), restarted(4, seed=1)
    assert first.report()["ends"] == other.report()["ends"]
    np.testing.assert_array_equal(first.vector, other.vector)


def test_more_restarts_begin_with_the_same_and_are_never_worse():
    fits = [restarted(restarts) for restarts in range(1, 6)]
    ends = [fitted.report()["ends"] for fitted in fits]
    for fewer, more in itertools.pairwise(ends):
        assert more[: len(fewer)] == fewer
    heights = [fitted.log_marginal_likelihood for fitted in fits]
    assert all(more >= fewer - SAME for fewer, more in itertools.pairwise(heights))


def test_an_lbfgs_start_at_the_optimum_stays_there():
    first = gp.fit(TIME, WAVE, model=RBF)
    at = first.hyperparameters
    kernel = {"kind": "rbf", "lengthscale": at["kernel.lengthscale"], "outputscale": at["kernel.outputscale"]}
    model = {"kernel": kernel, "noise": {"sd": at["noise.sd"]}, "mean": {"value": at["mean.value"]}}
    again = gp.fit(TIME, WAVE, model=model, train={"kind": "lbfgs", "restarts": 0})
    assert again.log_marginal_likelihood == pytest.approx(first.log_marginal_likelihood, abs=SHORT)


def test_no_neighbour_of_the_end_is_better():
    fitted = gp.fit(TIME, WAVE, model=RBF)
    problem_value = fitted.log_marginal_likelihood
    made = parse(Model, RBF).build(fitted.data)
    for i in range(len(fitted.vector)):
        for step in (-0.05, 0.05):
            made.parameters.set(fitted.vector + step * np.eye(len(fitted.vector))[i])
            value, _ = fitted.inference.evaluate(made, gradient=False)
            assert value + made.log_jacobian <= problem_value + SHORT


@pytest.mark.slow
def test_many_rows_end_where_a_search_on_all_rows_does():
    """Starts run on a subset where there are many rows: the end must be an optimum of all of them nonetheless."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 30, 1100)
    y = np.sin(x) + 0.3 * rng.normal(size=1100)
    fitted = gp.fit(x, y, model=RBF, train={"kind": "lbfgs", "restarts": 0})
    assert fitted.certificate.converged
    assert fitted.certificate.shortfall < SHORT
    assert fitted.hyperparameters["noise.sd"] == pytest.approx(0.3, rel=0.1)


# A candidate may lie where the matrix has no factor: duplicate rows, hardly any noise.
FEEBLE = {
    **RBF,
    "mean": {"kind": "zero"},
    "noise": {"sd": {"start": 1e-7, "lower": 1e-9, "upper": 10.0}},
}


@pytest.mark.parametrize("train", [{"kind": "lbfgs", "restarts": 0}, {"kind": "adam", "steps": 3}])
def test_a_start_without_a_factor_is_the_users_to_correct(train):
    x, y = np.concatenate([TIME, TIME + 1e-9]), np.repeat(WAVE, 2)  # nearly the same inputs: the same would be one row
    mean = {"value": 0.0}
    fixed = {"sd": {"fixed": 1e-12}}
    with pytest.raises(InputError, match=r"of n=120 points is not positive definite at noise.sd=.*: raise model.noise"):
        gp.fit(x, y, model={**RBF, "mean": mean, "noise": fixed}, train=train)


def test_a_candidate_without_a_factor_costs_that_candidate_alone():
    x, y = np.repeat(TIME, 2), np.repeat(np.sin(TIME), 2)
    fitted = gp.fit(x, y, model=FEEBLE, train={"kind": "lbfgs", "restarts": 6})
    assert np.isfinite(fitted.log_marginal_likelihood)
    assert np.isfinite(fitted.predict(TIME).mean).all()


REFUSED = {
    "adam's key for lbfgs": ({"kind": "lbfgs", "steps": 100}, r"^train.steps: unknown key"),
    "no restarts at all": ({"kind": "lbfgs", "restarts": -1}, r"^train.restarts: must be at least 0 \(got -1\)$"),
    "no learning rate": ({"kind": "adam", "learning_rate": 0.0}, r"^train.learning_rate: must be greater than 0"),
    "an unknown kind": ({"kind": "sgd"}, r"^train.kind: 'sgd' is no kind known here \(known: adam, lbfgs"),
}


@pytest.mark.parametrize(("train", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_train_section_is_refused(train, message):
    with pytest.raises(InputError, match=message):
        gp.fit(TIME, WAVE, train=train)


@pytest.mark.parametrize("kind", kinds(Train))
def test_every_optimizer_improves_on_its_start_and_traces_how(kind):
    fitted = gp.fit(TIME, WAVE, model=RBF, train={"kind": kind})
    start = gp.log_marginal_likelihood(TIME, WAVE, model=RBF)
    assert fitted.log_marginal_likelihood > start
    trace = fitted.trace
    assert trace["evaluation"].tolist() == list(range(1, len(trace) + 1))
    assert np.isfinite(trace["nats_per_datum"]).all()
    assert trace["nats_per_datum"].min() < -start / 60


def test_adams_trace_begins_at_the_start():
    trace = gp.fit(TIME, WAVE, model=RBF, train={"kind": "adam", "steps": 2}).trace["nats_per_datum"]
    assert trace.iloc[0] == pytest.approx(-gp.log_marginal_likelihood(TIME, WAVE, model=RBF) / 60, abs=SAME)


def test_without_noise_the_end_is_still_an_optimum():
    """The noise then ends at the bound of the search, where scale cannot move freely."""
    fitted = gp.fit(TIME, np.sin(TIME), model=RBF | {"noise": {"sd": {"start": 0.1, "lower": 1e-3}}})
    wider = gp.fit(TIME, np.sin(TIME), model=RBF | {"noise": {"sd": {"fixed": 1e-3}}})
    assert fitted.hyperparameters["noise.sd"] == pytest.approx(1e-3, rel=1e-6)
    assert fitted.log_marginal_likelihood == pytest.approx(wider.log_marginal_likelihood, abs=0.01)
    assert fitted.certificate.converged
    default = gp.fit(TIME, np.sin(TIME), model=RBF)
    assert default.certificate.shortfall < 0.05
    assert default.log_marginal_likelihood > fitted.log_marginal_likelihood


def test_adam_takes_a_level_far_below_zero():
    model = {**RBF, "standardize": {"x": False, "y": False}}
    fitted = gp.fit(TIME, WAVE - 5000, model=model, train={"kind": "adam", "steps": 5})
    assert fitted.hyperparameters["mean.value"] == pytest.approx(-5000, rel=1e-3)


@dataclass(eq=False)
class TwoHills:
    """−3 (θ² − 1)², with its own curvature where that is positive: optima at −1 and 1."""

    n: int = 1

    def informed(self, vector):
        (x,) = vector
        return -3 * (x**2 - 1) ** 2, np.array([-12 * x * (x**2 - 1)]), np.array([[max(12 * (3 * x**2 - 1), 1.0)]])


@pytest.mark.parametrize(("start", "evaluations"), [(0.8, 2), (1.15, 1), (0.3, 4)])
def test_a_climb_stops_on_its_way_to_a_known_optimum(start, evaluations):
    hill = climb(TwoHills(), np.array([1.1]), None, [(-4, 4)], tolerance=1e-6)
    again = climb(TwoHills(), np.array([start]), None, [(-4, 4)], tolerance=1e-6, known=[hill])
    assert again.value == hill.value
    assert len(again.values) <= evaluations


@pytest.mark.parametrize("start", [-0.9, -0.6, -1.2, -0.2, -0.05])
def test_a_climb_does_not_stop_on_its_way_to_another_optimum(start):
    """Though that one is as high."""
    hill = climb(TwoHills(), np.array([1.1]), None, [(-4, 4)], tolerance=1e-6)
    other = climb(TwoHills(), np.array([start]), None, [(-4, 4)], tolerance=1e-6, known=[hill])
    assert other.vector == pytest.approx([-1.0], abs=1e-3)


# Steps.


@dataclass
class Valley:
    """−√(1 + (10x)²) about 1.1: from afar Newton's step is far too long."""

    n: int = 1

    def __call__(self, vector):
        (x,) = vector - 1.1
        root = np.sqrt(1 + 100 * x**2)
        return -root, np.array([-100 * x / root])


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_climb_is_at_the_best_point_that_it_has_seen(steps):
    found = climb(Valley(), np.array([0.2]), np.eye(1), [(-9, 9)], tolerance=1e-9, max_steps=steps)
    assert found.value == max(found.values)


def test_a_climb_stays_within_its_bounds():
    for bounds in ((-9.0, 0.7), (1.3, 9.0)):
        found = climb(Valley(), np.array([0.9]), np.eye(1), [bounds], tolerance=1e-9)
        assert found.vector == pytest.approx([np.clip(1.1, *bounds)])


def test_a_newton_step_is_uphill_and_no_longer_than_the_radius_along_any_direction():
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    gradient, curvature = turned @ [8.0, 1.0, 0.1], turned @ np.diag([2.0, -4.0, 5.0]) @ turned.T
    assert turned.T @ newton_step(gradient, curvature, 2.0) == pytest.approx([2.0, 0.25, 0.02])
    assert newton_gain(np.array([0.3]), np.array([[2.0]])) == pytest.approx(0.3**2 / 4)  # of g x − x²


def test_curvature_is_that_of_the_objective_by_differences_of_gradients():
    root = np.random.default_rng(0).normal(size=(3, 3))
    curvature = root @ root.T
    at = np.array([0.1, -0.2, 0.3])

    def objective(x):
        return -0.5 * x @ curvature @ x + (x**4).sum(), -curvature @ x + 4 * x**3

    for measured in (fine_curvature(objective, at, np.full(len(at), 0.05)), measure_curvature(objective, at)):
        np.testing.assert_allclose(measured, curvature - np.diag(12 * at**2), atol=1e-4)


@pytest.mark.parametrize("central", [True, False])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_curvature_at_an_edge_is_that_of_the_side_that_has_a_factor(side, central):
    curvature = np.array([[3.0, 1.0], [1.0, 2.0]])

    def objective(vector):
        if side * vector[0] > 1e-9:
            raise NotPositiveDefinite("beyond the edge")
        return -0.5 * float(vector @ curvature @ vector), -curvature @ vector

    found = measure_curvature(objective, np.zeros(2), central=central)
    np.testing.assert_allclose(found, curvature, rtol=1e-6)


def test_a_step_that_was_taken_tells_the_curvature_along_it():
    rng = np.random.default_rng(0)
    step, fall = rng.normal(size=3), rng.normal(size=3)
    fall *= np.sign(step @ fall)
    np.testing.assert_allclose(_updated(np.diag([1.0, 2.0, 3.0]), step, fall) @ step, fall)


def test_an_element_is_held_at_a_bound_where_its_gradient_points_outwards():
    vector, bounds = np.array([0.0, 0.0, 1.0, 1.0, 0.5]), [(0.0, 1.0)] * 5
    held = at_active_bound(vector, np.array([-1.0, 1.0, 1.0, -1.0, 1.0]), bounds)
    assert held.tolist() == [True, False, True, False, False]


def test_where_no_climb_comes_to_an_end_the_fit_is_refused(monkeypatch):
    monkeypatch.setattr(Lbfgs, "_start", lambda *_, **__: [])
    with pytest.raises(InputError, match="every climb came to hyperparameters at which nothing can be computed"):
        gp.fit(TIME[:9], WAVE[:9])


@pytest.mark.parametrize(("lands", "gain", "known"), [(1.4, 0.1, True), (1.6, 0.1, False), (1.1, 0.9, False)])
def test_a_step_leads_to_an_optimum_that_it_lands_at_and_that_is_as_high_as_it_promises(lands, gain, known):
    """The optimum is that of −½ (x − 1)² and 0.7 above; the way there, from 1.5, is downhill at first."""
    optimum = Optimum(np.ones(1), 0.7, (), np.eye(1), 1)
    here = _Point(np.array([1.5]), 0.0, np.ones(1), np.eye(1))
    assert _leads_to(optimum, here, np.array([lands - 1.5]), gain) == known
