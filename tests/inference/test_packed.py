"""Packed kernels: the tiles' values and derivatives once more, and tiles where a kernel has no packed form."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from gpytorch import kernels

from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.matrices import symmetric
from gp.matrices.algebra import CLOSED_FORMS
from gp.matrices.packed_forms import PACKED
from gp.model.model import Model
from gp.spec import parse
from gp.training import Problem

VALUE = 1e-12  # relative
GRADIENT = 3e-12  # relative to its largest element
CURVATURE = 1e-9  # likewise; of a steep kernel's repeated inputs, tiles take differences
BY_DIFFERENCES = 1e-5  # likewise; of a kernel without a closed form, tiles take forward differences throughout

RNG = np.random.default_rng(3)
X = RNG.uniform(0, 3, (60, 3))
X[-1] = X[0]  # rows may repeat
DATA = Dataset(x=X, columns=("a", "b", "c"), y=np.sin(3 * X[:, 0]) + X[:, 1] + 0.3 * RNG.normal(size=60))

NUMBERS = np.column_stack([X[:, :2], RNG.integers(0, 4, 60)])
OF_LEVELS = replace(DATA, x=NUMBERS, levels={"c": ("p", "q", "r", "s")})

LEAVES = {
    **{f"matern {nu}": {"kind": "matern", "nu": nu} for nu in (0.5, 1.5, 2.5)},
    **{kind: {"kind": kind} for kind in ("rbf", "rational_quadratic", "periodic")},
}
KERNELS = {
    **LEAVES,
    **{f"{name} ard": {**spec, "ard": True} for name, spec in LEAVES.items()},
    "a column": {"kind": "rbf", "columns": ["c"]},
    "columns": {"kind": "matern", "columns": ["c", "a"], "ard": True},
    "constant": {"kind": "sum", "terms": {"a": {"kind": "constant"}, "b": {"kind": "rbf"}}},
    "levels": {
        "kind": "product",
        "factors": {"a": {"kind": "rbf", "columns": ["a"]}, "b": {"kind": "categorical", "columns": ["c"]}},
    },
    "lines": {
        "kind": "sum",
        "terms": {"a": {"kind": "linear"}, "b": {"kind": "linear", "ard": True}, "c": {"kind": "rbf"}},
    },
    "a polynomial": {"kind": "sum", "terms": {"a": {"kind": "polynomial", "power": 3}, "b": {"kind": "rbf"}}},
    "a change point": {
        "kind": "changepoint",
        "column": "b",
        "before": {"kind": "matern", "columns": ["c"]},
        "after": {"kind": "sum", "terms": {"a": {"kind": "rbf", "ard": True}, "b": {"kind": "constant"}}},
    },
    "a fixed period": {"kind": "periodic", "columns": ["a"], "period_length": {"fixed": 1.0}},
    "a product in a sum": {
        "kind": "sum",
        "terms": {
            "a": {
                "kind": "product",
                "factors": {"a": {"kind": "rbf", "columns": ["b"]}, "b": {"kind": "periodic", "columns": ["a"]}},
            },
            "b": {"kind": "rational_quadratic", "ard": True},
        },
    },
    "a sum in a product": {
        "kind": "product",
        "factors": {
            "a": {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "constant"}}},
            "b": {"kind": "matern"},
        },
    },
}


def problem(kernel, **model):
    data = OF_LEVELS if "categorical" in str(kernel) else DATA
    return Problem(parse(Model, {"kernel": kernel, **model}).build(data), Exact(), profiled=True)


def start(objective):
    return objective.parameters.start + 0.2 * np.random.default_rng(0).normal(size=len(objective.parameters.start))


def test_what_has_a_closed_form_is_packed_and_all_of_these_are_tried_here():
    assert set(CLOSED_FORMS) < set(PACKED)
    tried = {type(part) for spec in KERNELS.values() for part in problem(spec).gp.kernel.modules()}
    assert set(PACKED) - {kernels.ScaleKernel} <= tried  # built ones are of its subclass


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_packed_it_is_the_same(kernel, monkeypatch):
    objective = problem(kernel)
    value, gradient, information = objective.informed(start(objective))
    assert objective.gp.workspace["packed"]
    monkeypatch.setattr(symmetric, "FEW", 0)
    tiled, by_tiles, curvature = problem(kernel).informed(start(objective))
    assert value == pytest.approx(tiled, rel=VALUE)
    np.testing.assert_allclose(gradient, by_tiles, rtol=0, atol=GRADIENT * abs(by_tiles).max())
    has_forms = all(type(part) in CLOSED_FORMS for part in objective.gp.kernel.modules() if type(part) in PACKED)
    within = CURVATURE if has_forms else BY_DIFFERENCES
    np.testing.assert_allclose(information, curvature, rtol=0, atol=within * abs(curvature).max())


@pytest.mark.parametrize("noise", ["heteroscedastic", "student_t"])
def test_noise_by_autograd_goes_with_it(noise, monkeypatch):
    objective = problem({"kind": "rbf"}, noise={"kind": noise})
    value, gradient = objective(start(objective))
    monkeypatch.setattr(symmetric, "FEW", 0)
    tiled, by_tiles = problem({"kind": "rbf"}, noise={"kind": noise})(start(objective))
    assert value == pytest.approx(tiled, rel=VALUE)
    np.testing.assert_allclose(gradient, by_tiles, rtol=0, atol=1e-9 * abs(by_tiles).max())


def test_a_kernel_without_a_packed_form_goes_by_tiles():
    objective = problem({"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "spectral_mixture"}}})
    objective(objective.parameters.start)
    assert objective.gp.workspace["packed"] is None


def test_what_is_compiled_crosses_processes():
    objective = problem(KERNELS["a product in a sum"])
    vector = start(objective)
    objective(vector)
    _, compiled = objective.gp.workspace["packed"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(compiled)).value(vector), compiled.value(vector))
