"""GPflow on large tables: SGPR and SVGP."""

import contextlib
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # its Adam has `minimize`, as the tutorial wants

import gpflow
import numpy as np
import tensorflow as tf

from benchmarks.peers.large import BATCH, clock, scores
from benchmarks.peers.protocol import Call, Problem, serve


class _Over(Exception):
    """The time is over."""


def bound(problem: Problem) -> Call:
    """Return the collapsed bound and its gradient, by the inducing points at the new points too."""
    model = _sgpr(problem)
    variables = model.trainable_variables

    @tf.function
    def value_and_gradient() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            value = model.elbo()
        return value, tape.gradient(value, variables)

    compiled = value_and_gradient.get_concrete_function()

    def call(i: int) -> dict[str, Any]:
        _place(model, problem.settings[i % len(problem.settings)])
        value, _ = compiled()
        return {"value": float(value)}

    return call


def fit(problem: Problem) -> Call:
    """Return a fit that ends when its CPU seconds are over, and its scores: compiling included."""

    def call(i: int) -> dict[str, Any]:
        is_over = clock(problem)
        train = _fit_sgpr if problem.options["kind"] == "sgpr" else _fit_svgp
        model, steps = train(problem, is_over)

        def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, variance = model.predict_y(x)
            return mean.numpy()[:, 0], np.sqrt(variance.numpy()[:, 0])

        return {"evaluations": steps, "scores": scores(problem, predict)}

    return call


def _fit_sgpr(problem: Problem, is_over: Any) -> tuple[Any, int]:
    model, steps = _sgpr(problem), 0

    def look(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if is_over():
            raise _Over

    with contextlib.suppress(_Over):
        gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables, step_callback=look)
    return model, steps


def _fit_svgp(problem: Problem, is_over: Any) -> tuple[Any, int]:
    """Natural gradients for q(u) and Adam for all else, as in its tutorial."""
    kernel = gpflow.kernels.SquaredExponential(lengthscales=np.ones(problem.x.shape[1]))
    inducing = problem.x_new.copy()
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), inducing, num_data=len(problem.y))
    _place(model, problem.settings[0])
    gpflow.set_trainable(model.q_mu, False)
    gpflow.set_trainable(model.q_sqrt, False)
    rows = tf.data.Dataset.from_tensor_slices((problem.x, problem.y[:, None]))
    batches = iter(rows.repeat().shuffle(len(problem.y), seed=0).batch(BATCH))
    loss = model.training_loss_closure(batches, compile=True)
    natural = gpflow.optimizers.NaturalGradient(gamma=0.1)
    adam = tf.keras.optimizers.Adam(0.01)
    steps = 0
    while not is_over():
        natural.minimize(loss, [(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, model.trainable_variables)
        steps += 1
    return model, steps


def _sgpr(problem: Problem) -> gpflow.models.SGPR:
    kernel = gpflow.kernels.SquaredExponential(lengthscales=np.ones(problem.x.shape[1]))
    model = gpflow.models.SGPR((problem.x, problem.y[:, None]), kernel, inducing_variable=problem.x_new.copy())
    _place(model, problem.settings[0])
    return model


def _place(model: Any, setting: dict[str, Any]) -> None:
    model.kernel.lengthscales.assign(setting["lengthscale"])
    model.kernel.variance.assign(setting["outputscale"])
    model.likelihood.variance.assign(setting["noise_sd"] ** 2)


if __name__ == "__main__":
    serve({"bound": bound, "fit": fit}, ("gpflow", "tensorflow", "scipy", "numpy"))
