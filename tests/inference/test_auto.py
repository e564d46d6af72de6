"""Inference of kind auto: which method it takes, what of the data decides, and what it says of that."""

import numpy as np
import pytest

import gp
from gp.fitted import fit as fitting
from gp.inference import auto
from gp.inference.auto import (
    EXACT_ROWS,
    FACTOR_ROWS,
    FEW_INPUTS,
    FEWEST,
    MARKOV_ROWS,
    MORE_INPUTS,
    MOST,
    SGPR_ROWS,
    USUAL,
    Auto,
    count_inducing,
)
from gp.inference.exact import Exact
from gp.model.model import Model
from gp.spec import parse

RNG = np.random.default_rng(0)
ONE = {"restarts": 0}


def _choices(n, d, **model):
    """Return the choices for n rows of d inputs, of which a survey at given hyperparameters sees some."""
    x = np.random.default_rng(n).uniform(size=(n, d))
    columns = tuple(f"x{k}" for k in range(d))
    data = gp.Dataset(x=x, y=x[:, 0], noise_sd=np.ones(n), columns=columns)
    return Auto().choices(parse(Model, model).build(data))


@pytest.mark.parametrize(
    ("n", "d", "noise", "kind", "why"),
    [
        (100, 2, "gaussian", "exact", r"n=100 is at most 5000"),
        (EXACT_ROWS, 9, "known", "exact", r"at most"),
        (MARKOV_ROWS, 1, "gaussian", "exact", r"n=1000 is at most 5000"),
        (MARKOV_ROWS + 1, 1, "known", "markov", r"one input, and the kernel has a state space of 3 states: exact in"),
        (EXACT_ROWS + 1, FEW_INPUTS, "gaussian", "vecchia", r"n=5001 is more than 5000; with"),
        (EXACT_ROWS + 1, FEW_INPUTS + 1, "gaussian", "exact", r"the posterior is of all, as up to 20000"),
        (FACTOR_ROWS + 1, FEW_INPUTS + 1, "gaussian", "vecchia", r"beside nearest neighbours"),
        (FACTOR_ROWS + 1, MORE_INPUTS + 1, "gaussian", "sgpr", r"21 inputs, more than 20"),
        (SGPR_ROWS + 1, FEW_INPUTS + 1, "gaussian", "svgp", r"n=200001 is more than 5000, and than 200000"),
        (EXACT_ROWS + 1, 1, "student_t", "exact", r"student_t learns something for each row"),
        (EXACT_ROWS + 1, 1, "heteroscedastic", "exact", r"heteroscedastic learns something for each row"),
    ],
)
def test_the_method_suits_the_data(n, d, noise, kind, why):
    method, said = _choices(n, d, noise={"kind": noise})[0]
    assert method.kind == kind
    assert why in said


def test_noise_that_changes_of_means_along_steps_is_left_to_exact_inference():
    x = np.arange(EXACT_ROWS + 1.0)
    data = gp.Dataset(x=x[:, None], y=np.sin(x), columns=("t",), step=np.ones((len(x), 1)))
    written = {"noise": {"kind": "heteroscedastic", "kernel": {"kind": "matern"}}}
    model = parse(Model, written).build(data)
    (choice,) = Auto().choices(model)
    choice.method.check_model(model)
    assert choice.method == Exact()


def test_hyperparameters_of_more_rows_than_exact_takes_are_learnt_on_some():
    assert _choices(EXACT_ROWS + 1, FEW_INPUTS + 1)[0].method.rows == EXACT_ROWS
    assert _choices(EXACT_ROWS, FEW_INPUTS + 1)[0].method.rows is None


def test_where_memory_is_short_an_approximation_is_taken(monkeypatch):
    monkeypatch.setattr("gp.inference.exact.available_memory", lambda: 10**6)
    for d, kind in ((2, "vecchia"), (MORE_INPUTS + 1, "sgpr")):
        method, why = _choices(2000, d)[0]
        assert method.kind == kind
        assert "more memory than there is" in why


def _kernel(lengthscale):
    return {"kind": "rbf", "lengthscale": lengthscale, "outputscale": 1.0}


# The slow factor has no state space: markov would be taken.
FACTORS = {"slow": {"kind": "rbf", "lengthscale": 100.0}, "rough": {"kind": "matern", "nu": 0.5, "lengthscale": 0.1}}
ROUGH = {"kind": "product", "outputscale": 1.0, "factors": FACTORS}


def test_a_kernel_of_many_states_is_left_to_others_where_rows_are_few_or_very_many():
    years = {"kind": "periodic", "lengthscale": 1.0, "period_length": 0.1}
    kernel = {"kind": "product", "factors": {"years": years, "drift": {"kind": "matern"}}}
    assert _choices(2000, 1, kernel=kernel)[0].method.kind == "exact"
    assert _choices(5000, 1, kernel=kernel)[0].method.kind == "markov"
    assert _choices(50_000, 1, kernel=kernel)[0].method.kind == "vecchia"


@pytest.mark.parametrize(
    ("kernel", "noise", "inducing"),
    [(_kernel(0.3), 0.5, FEWEST), (_kernel(0.003), 0.5, MOST), (ROUGH, 0.05, USUAL)],
    ids=["smooth", "shorter", "rough"],
)
def test_inducing_inputs_are_as_many_as_the_function_needs(kernel, noise, inducing):
    written = {"standardize": {"x": False, "y": False}, "kernel": kernel, "noise": {"sd": noise}}
    first, second = _choices(EXACT_ROWS + 1, 1, **written)
    assert first.method.inducing == inducing
    assert second.method.inducing == MOST
    assert second.method.neighbours > first.method.neighbours


def test_as_many_inducing_inputs_as_counted_explain_the_function():
    x, kernel = np.sort(RNG.uniform(size=(400, 1)), axis=0), _kernel(0.05)
    written = {"standardize": {"x": False, "y": False}, "kernel": kernel, "noise": {"sd": 0.3}}
    model = parse(Model, written).build(gp.Dataset(x=x, y=x[:, 0], columns=("x",)))
    count = count_inducing(model)
    # No m numbers explain more than the m largest eigenvalues.
    values = np.linalg.eigvalsh(np.exp(-0.5 * ((x - x.T) / 0.05) ** 2))[::-1]
    left = (values.sum() - np.cumsum(values)) / 400
    fewest = 1 + int(np.argmax(left <= auto.EXPLAINED * 0.09))
    assert fewest <= count <= 1.5 * fewest


@pytest.fixture
def few(monkeypatch):
    """Return sixty rows, more than `auto` takes exactly."""
    monkeypatch.setattr(auto, "EXACT_ROWS", 30)
    x = RNG.uniform(0, 6, size=(60, 2))
    return x, np.sin(x[:, 0]) + 0.1 * RNG.standard_normal(60)


def test_a_fit_is_that_of_the_method_taken_and_says_why(few, tmp_path):
    taken = gp.fit(*few, inference={"kind": "auto"}, train=ONE)
    named = gp.fit(*few, inference=taken.inference, train=ONE)
    assert taken.inference.kind == "vecchia"
    assert "beside nearest neighbours" in taken.why
    assert taken.gap.nlpd < fitting.WORSE
    assert taken.log_marginal_likelihood == named.log_marginal_likelihood
    taken.save(tmp_path / "model.safetensors")
    assert gp.load(tmp_path / "model.safetensors").inference.kind == "vecchia"


def test_where_the_gap_of_the_first_method_is_large_the_next_is_tried(few, monkeypatch):
    monkeypatch.setattr(fitting, "WORSE", -1.0)  # no method is that good
    taken = gp.fit(*few, inference={"kind": "auto"}, train=ONE)
    assert "; of 2 tried, the gaps to exact are" in taken.why
    gaps = [gp.fit(*few, inference=choice.method, train=ONE) for choice in Auto().choices(taken.gp)]
    assert taken.gap.own == min(fitting.gap_to_exact(fitted, 0).own for fitted in gaps)


def test_noise_models_say_the_same_of_themselves_before_and_after_they_are_built():
    x = RNG.uniform(size=(5, 1))
    for kind in ("gaussian", "known", "heteroscedastic", "student_t"):
        model = parse(Model, {"noise": {"kind": kind}})
        data = gp.Dataset(x=x, y=x[:, 0], noise_sd=np.ones(5), columns=("x",))
        assert model.build(data).noise.by_row == model.noise.by_row
