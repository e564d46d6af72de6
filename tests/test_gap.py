"""The gap to exact inference, on rows few enough for both."""

import numpy as np

import gp
from gp.fitted.gap import gap_to_exact

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (400, 1))
Y = 10 * np.sin(12 * X[:, 0]) + RNG.normal(size=400)


def test_an_exact_method_has_none():
    assert gap_to_exact(gp.fit(X, Y, train={"restarts": 0}), 0) == {}


def test_harmonic_inference_is_exact_there_too():
    kernel = {"kind": "periodic", "period_length": {"fixed": 2.0}}
    gap = gap_to_exact(gp.fit(X, Y, model={"kernel": kernel}, inference={"kind": "harmonic"}), 0)
    assert gap["rows"] == 320
    assert gap["scored"] == 80
    assert gap["nlpd"] == gap["rmse"] == 0.0  # what rounding errors make of zero is not said


def test_too_few_inducing_inputs_show():
    fitted = gp.fit(X, Y, inference={"kind": "svgp", "inducing": 5, "epochs": 5}, train={"restarts": 0})
    # The exact model's hyperparameters, under which five inducing inputs are far too few.
    exact = gp.fit(X, Y, train={"restarts": 0})
    vector = fitted.vector.copy()
    vector[: len(exact.vector)] = exact.vector
    gap = gap_to_exact(gp.Fitted(fitted.data, fitted.model, fitted.inference, fitted.train, vector, None), 0)
    assert gap["nlpd"] > 0.1
    assert gap["rmse"] > 0.1
