"""Inference of kind auto: which method it takes, and what it says of that."""

import numpy as np
import pytest

import gp
from gp.inference import auto
from gp.inference.auto import EXACT_ROWS, FACTOR_ROWS, FEW_INPUTS, MORE_INPUTS, SGPR_ROWS, Auto
from gp.model.model import Model
from gp.spec import parse

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("n", "d", "noise", "kind", "why"),
    [
        (100, 2, "gaussian", "exact", r"n=100 is at most 5000"),
        (EXACT_ROWS, 9, "known", "exact", r"at most"),
        (
            EXACT_ROWS + 1,
            FEW_INPUTS,
            "gaussian",
            "vecchia",
            r"n=5001 is more than 5000; nearest neighbours suit 4 inputs",
        ),
        (
            EXACT_ROWS + 1,
            FEW_INPUTS + 1,
            "gaussian",
            "exact",
            r"on which hyperparameters are learnt; the posterior is of all, as up to 20000",
        ),
        (FACTOR_ROWS + 1, FEW_INPUTS + 1, "gaussian", "vecchia", r"5 inputs, as up to 20, nearest neighbours mostly"),
        (FACTOR_ROWS + 1, MORE_INPUTS + 1, "gaussian", "sgpr", r"21 inputs, more than 20"),
        (SGPR_ROWS + 1, FEW_INPUTS + 1, "gaussian", "svgp", r"n=200001 is more than 5000, and than 200000"),
        (10**6, 1, "known", "vecchia", r"1 inputs"),
        (EXACT_ROWS + 1, 1, "student_t", "exact", r"student_t learns something for each row"),
        (EXACT_ROWS + 1, 1, "heteroscedastic", "exact", r"heteroscedastic learns something for each row"),
    ],
)
def test_the_method_suits_the_data(n, d, noise, kind, why):
    method, said = Auto().resolve(n, d, parse(Model, {"noise": {"kind": noise}}))
    assert method.kind == kind
    assert why in said


def test_hyperparameters_of_more_rows_than_exact_takes_are_learnt_on_some():
    method, _ = Auto().resolve(FACTOR_ROWS, FEW_INPUTS + 1, Model())
    assert method.rows == EXACT_ROWS
    assert Auto().resolve(EXACT_ROWS, FEW_INPUTS + 1, Model())[0].rows is None


def test_where_memory_is_short_an_approximation_is_taken(monkeypatch):
    monkeypatch.setattr("gp.inference.exact.available_memory", lambda: 10**6)
    method, why = Auto().resolve(2000, 2, Model())
    assert method.kind == "vecchia"
    assert "more memory than there is" in why
    method, why = Auto().resolve(FACTOR_ROWS, MORE_INPUTS + 1, Model())
    assert method.kind == "sgpr"
    assert "more memory than there is" in why


def test_a_fit_is_that_of_the_method_taken_and_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(auto, "EXACT_ROWS", 30)
    x = RNG.uniform(0, 6, size=(60, 2))
    y = np.sin(x[:, 0]) + 0.1 * RNG.standard_normal(60)
    taken = gp.fit(x, y, inference={"kind": "auto"})
    named = gp.fit(x, y, inference={"kind": "vecchia"})
    assert taken.inference.kind == "vecchia"
    assert "nearest neighbours suit 2 inputs" in taken.why
    assert taken.log_marginal_likelihood == named.log_marginal_likelihood
    taken.save(tmp_path / "model.safetensors")
    assert gp.load(tmp_path / "model.safetensors").inference.kind == "vecchia"


def test_noise_models_say_the_same_of_themselves_before_and_after_they_are_built():
    x = RNG.uniform(size=(5, 1))
    for kind in ("gaussian", "known", "heteroscedastic", "student_t"):
        model = parse(Model, {"noise": {"kind": kind}})
        data = gp.Dataset(x=x, y=x[:, 0], noise_sd=np.ones(5), columns=("x",))
        assert model.build(data).noise.by_row == model.noise.by_row
