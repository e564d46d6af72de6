"""Predictions at what was learnt: mean coefficients are integrated out where hyperparameters are not."""

import numpy as np
import pytest

import gp
from gp.dataset import Dataset
from gp.origins import predict_after

RNG = np.random.default_rng(3)
X = np.sort(RNG.uniform(0, 10, 60))
Y = 3 + 0.5 * X + np.sin(X) + 0.2 * RNG.normal(size=60)
FAR = np.array([5.0, 12.0, 40.0])
LINEAR = {"mean": {"kind": "linear"}, "kernel": {"kind": "matern", "nu": 1.5}}
METHODS = {
    "exact": {"kind": "exact"},
    "exact, rows": {"kind": "exact", "rows": 40},
    "markov": {"kind": "markov"},
    "sgpr": {"kind": "sgpr", "inducing": 20},
    "svgp": {"kind": "svgp", "inducing": 20, "epochs": 20},
    "vecchia": {"kind": "vecchia", "neighbours": 10, "inducing": 10},
}
PLUG_IN, FLAT = {"kind": "plug_in"}, {"kind": "flat_mean"}


@pytest.fixture(params=METHODS)
def fitted(request, monkeypatch):
    monkeypatch.setattr("gp.fitted.uncertainty.ROWS", 50)
    return gp.fit(X, Y, model=LINEAR, inference=METHODS[request.param], train={"restarts": 0})


def test_by_default_many_rows_integrate_the_mean_out_and_nothing_else_changes(fitted, tmp_path):
    vector, plain = fitted.gp.parameters.vector, fitted.predict(FAR, hyperparameters=PLUG_IN)
    seen = fitted.predict(FAR)
    assert fitted.treatment()[0].kind == "flat_mean"
    np.testing.assert_array_equal(fitted.gp.parameters.vector, vector)
    assert seen.sd_f[2] > 1.5 * plain.sd_f[2]  # far away, the line is what is unknown
    assert seen.sd_f[0] < 1.1 * plain.sd_f[0]
    np.testing.assert_array_equal(fitted.predict(FAR).sd_f, seen.sd_f)
    np.testing.assert_array_equal(fitted.predict(FAR, hyperparameters=PLUG_IN).mean, plain.mean)
    assert (fitted.leave_out().sds >= fitted.leave_out(PLUG_IN).sds).all()
    assert "mean coefficients integrated out" in fitted.certificate.predictions
    np.testing.assert_array_equal(fitted.predict(FAR).mean, seen.mean)  # the certificate moves the model
    fitted.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(FAR).sd_f, seen.sd_f)


@pytest.mark.parametrize("value", [{"fixed": 3.0}, {"lower": -9.0}, {"prior": {"kind": "normal", "mean": 0, "sd": 9}}])
@pytest.mark.parametrize("name", ["markov", "sgpr"])
def test_without_coefficients_to_integrate_out_it_is_plugging_in(name, value, monkeypatch):
    monkeypatch.setattr("gp.fitted.uncertainty.ROWS", 50)
    model = LINEAR | {"mean": {"kind": "constant", "value": value}}
    known = gp.fit(X, Y, model=model, inference=METHODS[name], train={"restarts": 0})
    assert known.treatment()[0].kind == "plug_in"
    found, expected = (known.predict(FAR, hyperparameters=kind) for kind in (FLAT, PLUG_IN))
    np.testing.assert_array_equal(found.sd_y, expected.sd_y)


def test_with_the_rows_before_an_origin_it_is_a_fit_to_them_at_the_same_hyperparameters(monkeypatch):
    monkeypatch.setattr("gp.fitted.uncertainty.ROWS", 30)
    some = gp.fit(X[:50], Y[:50], model=LINEAR, train={"restarts": 0})
    found = predict_after(some, Dataset(X[50:, None], ("x1",), Y[50:]), FAR[:, None])
    later = some.update(X[50:], Y[50:])
    np.testing.assert_allclose(found.sd_f, later.predict(FAR).sd_f, rtol=1e-9)
    np.testing.assert_allclose(found.mean, later.predict(FAR).mean, rtol=1e-9)
    assert found.sd_f[2] > 1.5 * later.predict(FAR, hyperparameters=PLUG_IN).sd_f[2]


def test_rows_that_are_a_sample_of_a_table_say_nothing_of_the_mean(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"x": np.tile(X, 40), "y": np.tile(Y, 40)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=1000)
    inference = {"kind": "svgp", "inducing": 10, "epochs": 1}
    streamed = gp.fit_parquet(tmp_path / "rows.parquet", x=["x"], y="y", inference=inference, train={"restarts": 0})
    assert streamed.gp.n < 2400
    assert streamed.treatment()[0].kind == "plug_in"
