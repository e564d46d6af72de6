"""Exact inference whose hyperparameters are learnt on some of the rows."""

import numpy as np
import pytest

import gp
from gp.fitted.fit import fit_dataset
from gp.inference import Inference, exact
from gp.inference.exact import SEED, Exact
from gp.inference.orderings import pairs
from gp.model.model import Model
from gp.spec import InputError, parse
from gp.training import Train

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 6, (400, 2))
Y = 3 * np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.standard_normal(400)
TRAIN = {"restarts": 1}
ROWS = 150


@pytest.fixture(scope="module")
def fitted():
    return gp.fit(X, Y, inference={"kind": "exact", "rows": ROWS}, train=TRAIN)


def test_hyperparameters_are_those_of_the_rows_alone(fitted):
    some = pairs(X / X.std(axis=0), ROWS, SEED)
    # Standardised as all rows are: the same numbers come out in the data's units, to where climbs stop.
    alone = gp.fit(X[some], Y[some], train=TRAIN)
    for name, value in alone.hyperparameters.items():
        assert fitted.hyperparameters[name] == pytest.approx(value, rel=0.02, abs=0.02), name


def test_many_rows_are_not_learnt_on_unasked(monkeypatch):
    monkeypatch.setattr(exact, "MOST", 300)
    said = r"n=400 rows: each of .* takes n³ = 6e\+07 steps: write inference: {kind: exact, rows: 4000}"
    with pytest.raises(InputError, match=said):
        gp.fit(X, Y, train=TRAIN)
    fitted = gp.fit(X, Y, inference={"kind": "exact", "rows": 50}, train={"restarts": 0})
    assert np.isfinite(fitted.log_marginal_likelihood)
    once = gp.log_marginal_likelihood(X, Y)  # one evaluation may be asked of any number
    assert np.isfinite(once)


def test_many_rows_with_noise_of_their_own_are_told_of_what_takes_them(monkeypatch):
    monkeypatch.setattr(exact, "MOST", 300)
    with pytest.raises(InputError, match=r"for every row: write noise of kind gaussian; or, of one input, .*markov\}"):
        gp.fit(X, Y, model={"noise": {"kind": "heteroscedastic"}}, train=TRAIN)


def test_the_posterior_is_the_exact_one_of_all_rows(fitted):
    given = {name: {"fixed": value} for name, value in fitted.hyperparameters.items()}
    model = {
        "kernel": {
            "kind": "matern",
            "ard": True,
            "lengthscale": given["kernel.lengthscale"],
            "outputscale": given["kernel.outputscale"],
        },
        "mean": {"kind": "constant", "value": given["mean.value"]},
        "noise": {"kind": "gaussian", "sd": given["noise.sd"]},
    }
    exact = gp.fit(X, Y, model=model)
    new = RNG.uniform(0, 6, (50, 2))
    ours, theirs = (of.predict(new, hyperparameters={"kind": "plug_in"}) for of in (fitted, exact))
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.sd_y, theirs.sd_y, rtol=1e-7)
    assert fitted.log_marginal_likelihood == pytest.approx(exact.log_marginal_likelihood, rel=1e-9)
    assert len(fitted.leave_one_out) == len(X)


def test_the_certificate_is_of_the_rows_and_says_so(fitted):
    certificate = fitted.certificate
    assert certificate.rows == ROWS
    assert certificate.converged
    assert f"on {ROWS} of the rows" in str(certificate)
    assert certificate.to_dict()["rows"] == ROWS
    assert all(rows == ROWS for rows, _ in fitted.search.ends)
    # Of so many fewer rows the data determine the hyperparameters less.
    low, high = certificate.intervals["noise.sd"]
    at_all = gp.fit(X, Y, train=TRAIN).certificate.intervals["noise.sd"]
    assert high / low > at_all[1] / at_all[0]


def test_the_trace_is_per_datum_of_the_rows():
    kernel = {
        "kind": "rbf",
        "lengthscale": {"start": 1.0, "prior": {"kind": "log_normal", "median": 1.0, "sigma": 0.5}},
    }
    fitted = gp.fit(X, Y, model={"kernel": kernel}, inference={"rows": ROWS}, train=TRAIN)
    some = fitted.inference.learnt_on(fitted.gp)
    value, _ = fitted.inference.evaluate(some, gradient=False)
    log_prior, _ = fitted.gp.parameters.log_prior(fitted.vector)
    end = -(value + log_prior + some.log_jacobian) / ROWS
    assert log_prior != 0
    assert fitted.trace["nats_per_datum"].min() == pytest.approx(end, abs=1e-5)


def test_where_all_is_fixed_nothing_was_learnt_on_rows():
    model = {
        "kernel": {"kind": "rbf", "lengthscale": {"fixed": 1.0}, "outputscale": {"fixed": 4.0}},
        "mean": {"kind": "zero"},
        "noise": {"sd": {"fixed": 0.3}},
    }
    fitted = gp.fit(X, Y, model=model, inference={"rows": ROWS})
    assert fitted.certificate.rows is None
    assert "rows" not in fitted.certificate.to_dict()


def test_the_condition_number_is_that_of_all_rows(fitted):
    factor = np.tril(fitted.inference.condition(fitted.gp).factor)
    assert fitted.certificate.condition_number == pytest.approx(np.linalg.cond(factor @ factor.T), rel=0.5)


def test_it_is_the_same_after_loading(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    assert loaded.inference == fitted.inference
    assert loaded.certificate.rows == ROWS
    assert loaded.certificate.intervals == fitted.certificate.intervals
    assert loaded.report()["inference"] == {"kind": "exact", "rows": ROWS}


def test_no_more_rows_than_that_change_nothing():
    plain, told = (gp.fit(X[:ROWS], Y[:ROWS], inference=spec, train=TRAIN) for spec in ({}, {"rows": ROWS}))
    np.testing.assert_array_equal(plain.vector, told.vector)
    assert told.certificate.rows is None
    assert "rows" not in told.certificate.to_dict()


def test_kernels_are_ranked_on_the_rows():
    kernels = {"rbf": {"kind": "rbf", "ard": True}, "rough": {"kind": "matern", "nu": 0.5, "ard": True}}
    found = gp.fit(X, Y, model={"search": {"kernels": kernels}}, inference={"rows": ROWS}, train=TRAIN)
    some = pairs(X / X.std(axis=0), ROWS, SEED)
    alone = gp.fit(X[some], Y[some], model={"kernel": kernels["rbf"]}, train=TRAIN)
    assert found.ranking.index[0] == "rbf"
    assert found.ranking["log_marginal_likelihood"]["rbf"] == pytest.approx(alone.log_marginal_likelihood, abs=0.5)


def test_noise_that_learns_something_for_every_row_is_refused():
    with pytest.raises(InputError, match=r"inference\.rows: .* rows is 150 of n=400: remove inference.rows"):
        gp.fit(X, Y, model={"noise": {"kind": "student_t"}}, inference={"rows": ROWS})


def test_adam_learns_on_the_rows_too():
    fitted = gp.fit(X, Y, inference={"rows": ROWS}, train={"kind": "adam", "steps": 5})
    assert len(fitted.trace) == 5
    assert fitted.certificate.adam_gap > 0


def test_rows_are_at_least_twenty():
    with pytest.raises(InputError, match=r"inference\.rows: must be .*20.*got 19"):
        parse(Inference, {"kind": "exact", "rows": 19}, "inference")


def test_the_stage_does_the_same():
    data = gp.Dataset(x=X, y=Y, columns=("a", "b"))
    specs = {"model": Model(), "inference": Exact(rows=ROWS), "train": parse(Train, TRAIN)}
    staged = fit_dataset(data, **specs, seed=0)
    assert staged.report()["certificate"]["rows"] == ROWS


def test_rows_that_repeat_tell_the_noise():
    # Of a tenth of such rows, drawn one by one, about one in twenty would have its like among them.
    x = np.repeat(RNG.uniform(0, 100, (500, 1)), 2, axis=0)
    y = np.sin(40 * x[:, 0]) + 0.5 * RNG.standard_normal(1000)
    model = {"kernel": {"kind": "matern", "lengthscale": {"fixed": 0.02}}}
    fitted = gp.fit(x, y, model=model, inference={"rows": 100}, train=TRAIN)
    assert fitted.hyperparameters["noise.sd"] == pytest.approx(0.5, rel=0.3)
