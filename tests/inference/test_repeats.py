"""Rows that share their inputs: as one row for each group, they say all that they do one by one."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import gp
from gp.dataset import Dataset
from gp.inference.auto import EXACT_ROWS
from gp.inference.exact import Exact
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.inducing.svgp import Svgp
from gp.inference.nearest.vecchia import Vecchia
from gp.model.kernels import Kernel
from gp.model.model import GaussianProcess, Model
from gp.spec import parse
from gp.testing.dense import Dense
from gp.testing.specs import examples
from gp.training import Problem

SAME = 1e-9  # relative to the largest: the same posterior by other matrices
RNG = np.random.default_rng(11)


def _in_groups(sizes):
    """Return rows of two inputs in groups of such sizes, shuffled."""
    rng = np.random.default_rng(sum(sizes))
    x = np.repeat(rng.normal(size=(len(sizes), 2)), sizes, axis=0)
    return x[rng.permutation(len(x))]


INPUTS = {
    "groups of mixed sizes": _in_groups([1, 2, 1, 5, 3, 1, 9, 2, 4, 1]),
    "integers": RNG.integers(0, 4, (40, 2)).astype(float),
    "one-hot": np.eye(2)[RNG.integers(0, 2, 25)],
    "all the same": np.ones((12, 2)),
}
TERMS = {"slow": {"kind": "rbf"}, "white": {"kind": "white"}}
GIVEN = {
    "matern": [{"nu": 0.5}, {"nu": 1.5}, {"nu": 2.5}],
    "cosine": [{"columns": ["a"]}],
    "low_rank": [{"columns": ["a"]}],
    "sum": [{"terms": TERMS}],
    "product": [{"factors": TERMS}],
    "changepoint": [{"before": {"kind": "rbf"}, "after": {"kind": "rbf"}, "column": "a"}],
}
KERNELS = examples(Kernel, GIVEN)
NOISES = {
    "gaussian": {"kind": "gaussian"},
    "known": {"kind": "known"},
}


def _data(x, of_levels=()):
    rng = np.random.default_rng(len(x))
    y = 3 + np.sin(2 * x[:, 0]) + 0.4 * rng.normal(size=len(x))
    x, levels = x.copy(), {}
    for name in of_levels:
        numbers = np.unique(x[:, "ab".index(name)], return_inverse=True)[1]
        x[:, "ab".index(name)] = numbers
        levels[name] = tuple(map(str, range(1 + max(numbers))))
    return Dataset(x=x, columns=("a", "b"), y=y, noise_sd=rng.uniform(0.2, 0.6, len(x)), levels=levels)


def _both(model: dict, x: np.ndarray) -> tuple[GaussianProcess, GaussianProcess]:
    """Return a model that takes groups as one row, and one that takes rows one by one, at the same hyperparameters."""
    kernel = model["kernel"]
    of_levels = kernel.get("columns", ["a", "b"]) if kernel["kind"] in ("categorical", "low_rank") else ()
    grouped, single = (parse(Model, model).build(_data(x, of_levels)) for _ in range(2))
    single.__dict__["distinct"] = single
    assert grouped.distinct.n < single.distinct.n == grouped.n
    for each in (grouped, single):
        start = each.parameters.start
        each.parameters.set(start + 0.2 * np.random.default_rng(0).normal(size=len(start)))
    return grouped, single


def _equal(seen, expected):
    assert seen == pytest.approx(expected, abs=SAME * max(1.0, float(np.abs(expected).max(initial=0.0))))


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_likelihood_posterior_and_leave_one_out_are_those_of_single_rows(kernel, noise):
    grouped, single = _both({"kernel": kernel, "noise": noise}, INPUTS["groups of mixed sizes"])
    _check(grouped, single, Exact().condition(single))


@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_whatever_the_inputs_and_the_mean(x, noise, mean):
    grouped, single = _both({"kernel": {"kind": "rbf"}, "noise": noise, "mean": {"kind": mean}}, x)
    _check(grouped, single, Dense(single))


def _check(grouped, single, judge):
    """Check the model over groups against that over single rows, and its posterior against the `judge`'s."""
    for seen, expected in zip(Exact().evaluate(grouped), Exact().evaluate(single), strict=True):
        _equal(seen, expected)
    one, other = Exact().condition(grouped), Exact().condition(single)
    _equal(one.log_likelihood, judge.log_likelihood)
    points = torch.cat([single.x[:3], single.x[:4] + 0.3])
    expected = judge.moments(points)
    _equal(one.moments(points).mean, expected.mean)
    _equal(one.moments(points).variance, expected.variance)
    _equal(one.training_mean(), other.training_mean())
    for seen, alone in zip(one.leave_one_out(), other.leave_one_out(), strict=True):
        _equal(seen, alone)


PROFILED = {
    "scale and level": {"kernel": {"kind": "rbf"}},
    "a linear mean": {"mean": {"kind": "linear"}, "kernel": {"kind": "matern", "ard": True}},
    "a scale at its bound": {"noise": {"sd": {"start": 1.0, "lower": 0.99}}, "kernel": {"kind": "rbf"}},
    "known noise": {"noise": {"kind": "known"}, "kernel": {"kind": "rbf"}},
    "a fixed noise": {"noise": {"sd": {"fixed": 0.3}}, "kernel": {"kind": "rbf"}},
}


@pytest.mark.parametrize("model", PROFILED.values(), ids=PROFILED)
def test_scale_and_mean_are_profiled_over_all_rows_and_so_is_the_average_information(model):
    problems = [Problem(each, Exact(), profiled=True) for each in _both(model, INPUTS["groups of mixed sizes"])]
    start = problems[0].parameters.start
    seen, expected = (problem.informed(start) for problem in problems)
    for one, other in zip(seen, expected, strict=True):
        _equal(one, other)
    _equal(problems[0].maximise_profiled(start), problems[1].maximise_profiled(start))


def test_a_scale_that_stopped_at_a_bound_takes_the_scatter_along():
    pair = _both({"mean": {"kind": "zero"}, "kernel": {"kind": "rbf"}}, INPUTS["integers"])
    problems = [Problem(each, Exact(), profiled=True) for each in pair]
    vector = problems[0].parameters.start
    # Far too much noise, beside a function that can be no smaller.
    vector[problems[0].parameters.names.index("noise.sd")] += 5
    smallest = problems[0].parameters.names.index("kernel.outputscale")
    vector[smallest] = problems[0].parameters.bounds[smallest][0]
    seen, expected = (problem.informed(vector) for problem in problems)
    assert problems[0].maximise_profiled(vector)[smallest] == vector[smallest]
    for one, other in zip(seen, expected, strict=True):
        _equal(one, other)


@pytest.mark.parametrize("profiled", [True, False])
def test_levels_of_noise_are_those_of_all_rows(profiled):
    problems = [
        Problem(each, Exact(), profiled=profiled)
        for each in _both({"kernel": {"kind": "rbf"}}, INPUTS["groups of mixed sizes"])
    ]
    at, names = problems[0].parameters.start, problems[0].parameters.names
    levels = np.log([[0.03], [0.3], [1.0]])
    seen, expected = (each.at_levels(at, np.array([names.index("noise.sd")]), levels) for each in problems)
    _equal(seen, expected)


def test_columns_that_the_model_does_not_read_tell_no_rows_apart():
    x = np.column_stack([RNG.integers(0, 3, 30), RNG.normal(size=30)])
    grouped, single = _both({"kernel": {"kind": "rbf", "columns": ["a"]}}, x)
    assert grouped.distinct.n == 3
    _check(grouped, single, Dense(single))
    read = parse(Model, {"kernel": {"kind": "rbf", "columns": ["a"]}, "mean": {"kind": "linear"}}).build(_data(x))
    assert read.distinct is read


@pytest.mark.parametrize("noise", ["heteroscedastic", "student_t"])
def test_noise_that_learns_something_for_each_row_is_left_as_it_is(noise):
    built = parse(Model, {"noise": {"kind": noise}}).build(_data(INPUTS["integers"]))
    assert built.distinct is built


def test_few_repeats_are_left_as_they_are():
    x = RNG.normal(size=(40, 2))
    x[:3] = x[3]
    built = Model().build(_data(x))
    assert built.distinct is built


def test_some_groups_are_those_of_their_rows():
    grouped, _ = _both({"kernel": {"kind": "rbf"}}, INPUTS["groups of mixed sizes"])
    groups = np.array([1, 3, 4, 6])
    rows = np.flatnonzero(np.isin(grouped.distinct.repeats.group, groups))
    few = grouped.distinct.subset(groups)
    assert few.total == len(rows)
    _equal(Exact().evaluate(few)[0], Exact().evaluate(grouped.subset(rows))[0])


def test_learning_on_some_rows_takes_all_rows_of_as_many_inputs():
    x = np.repeat(np.linspace(0, 1, 60), 3)[:, None]
    y = np.sin(6 * x[:, 0]) + 0.1 * RNG.normal(size=len(x))
    fitted = gp.fit(x, y, inference={"kind": "exact", "rows": 40})
    assert fitted.search.rows == fitted.certificate.rows == 120
    assert len(fitted.leave_one_out) == 180


def _ten_inputs(n=20_000):
    """Return n rows at ten inputs, and the posterior of their means at hyperparameters near the truth."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 10, n) / 9
    return x, np.sin(5 * x) + 3.0 * rng.normal(size=n)


def test_auto_is_exact_for_many_rows_at_few_inputs():
    x, y = _ten_inputs()
    assert len(x) > EXACT_ROWS
    fitted = gp.fit(x, y, model={"kernel": {"kind": "rbf"}}, inference={"kind": "auto"})
    assert fitted.inference.kind == "exact"
    assert "those with the same inputs are one" in fitted.why
    grid = np.unique(x)
    assert np.sqrt(np.mean((fitted.predict(grid).mean - np.sin(5 * grid)) ** 2)) < 0.06
    assert fitted.trace.nats_per_datum.iloc[-1] == pytest.approx(-fitted.log_marginal_likelihood / len(x), rel=1e-4)


def test_neighbours_are_distinct_inputs():
    x = np.repeat(np.linspace(0, 1, 12), 50)[:, None]
    built = parse(Model, {"kernel": {"kind": "rbf"}}).build(
        Dataset(x=x, columns=("x",), y=np.sin(5 * x[:, 0]) + RNG.normal(size=len(x)))
    )
    near, exact = Vecchia(neighbours=15), Exact()
    for seen, expected in zip(near.evaluate(built), exact.evaluate(built), strict=True):
        _equal(seen, expected)
    one, other = near.condition(built), exact.condition(built)
    points = torch.linspace(-2, 2, 9)[:, None]
    _equal(one.moments(points).mean, other.moments(points).mean)
    _equal(one.training_mean(), other.training_mean())
    for seen, expected in zip(one.leave_one_out(), other.leave_one_out(), strict=True):
        _equal(seen, expected)


def test_few_neighbours_see_all_rows_of_theirs():
    x = np.repeat(np.linspace(0, 1, 30), 10)[:, None]
    built = parse(Model, {"kernel": {"kind": "matern", "nu": 0.5}}).build(
        Dataset(x=x, columns=("x",), y=np.sin(5 * x[:, 0]) + RNG.normal(size=len(x)))
    )
    value, gradient = Vecchia(neighbours=5).evaluate(built)
    steps = 1e-5 * np.eye(len(gradient))
    vector = built.parameters.vector
    slopes = []
    for step in steps:
        ends = []
        for sign in (1, -1):
            built.parameters.set(vector + sign * step)
            ends.append(Vecchia(neighbours=5).evaluate(built)[0])
        slopes.append((ends[0] - ends[1]) / 2e-5)
    assert gradient == pytest.approx(slopes, abs=1e-5 * np.abs(gradient).max())
    built.parameters.set(vector)
    assert value == pytest.approx(Exact().evaluate(built)[0], abs=1.0)


@pytest.mark.parametrize("method", [Sgpr(inducing=30), Svgp(inducing=30)])
def test_inducing_inputs_are_distinct(method):
    x = np.repeat(np.linspace(0, 1, 20), 10)[:, None]
    built = Model().build(Dataset(x=x, columns=("x",), y=np.sin(5 * x[:, 0]) + RNG.normal(size=len(x))))
    z = np.sort(method.prepare(built, 0).auxiliary["inducing_inputs"].detach().numpy()[:, 0])
    assert len(z) == 20
    assert all(after - before > 1e-3 for before, after in pairwise(z))
