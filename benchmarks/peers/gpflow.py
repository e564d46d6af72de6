"""GPflow."""

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gpflow
import numpy as np
import tensorflow as tf

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    model = _build(problem, learn_mean=False)
    parameters = [model.kernel.lengthscales, model.kernel.variance, model.likelihood.variance]
    variables = [parameter.unconstrained_variable for parameter in parameters]
    states = []
    for setting in problem.settings:
        _place(model, setting)
        with tf.GradientTape(persistent=True) as tape:
            logs = [tf.reduce_sum(tf.math.log(parameter)) for parameter in parameters]
        slopes = [tape.gradient(log, variable).numpy() for log, variable in zip(logs, variables, strict=True)]
        states.append(([variable.numpy() for variable in variables], slopes))

    @tf.function
    def value_and_gradient() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            value = model.log_marginal_likelihood()
        return value, tape.gradient(value, variables)

    compiled = value_and_gradient.get_concrete_function()

    def call(i: int) -> dict[str, Any]:
        values, slopes = states[i % len(states)]
        for variable, at in zip(variables, values, strict=True):
            variable.assign(at)
        value, gradients = compiled()
        parts = [np.atleast_1d(one.numpy() / slope) for one, slope in zip(gradients, slopes, strict=True)]
        parts[-1] = 2 * parts[-1]
        return {"value": float(value), "gradient": np.concatenate(parts)}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit by its SciPy optimiser, compiling included."""

    def call(i: int) -> dict[str, Any]:
        model = _build(problem, learn_mean=True)
        _place(model, problem.settings[0])
        run = gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables, compile=True)
        found = {
            "lengthscale": np.atleast_1d(model.kernel.lengthscales.numpy()).tolist(),
            "outputscale": float(model.kernel.variance.numpy()),
            "noise_sd": float(model.likelihood.variance.numpy()) ** 0.5,
            "mean": float(np.squeeze(model.mean_function.c.numpy())),
        }
        return {"evaluations": int(run.nfev), "hyperparameters": found}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks of its cached, compiled posterior."""
    model = _build(problem, learn_mean=False)
    _place(model, problem.settings[0])
    posterior = model.posterior()
    compiled = tf.function(posterior.predict_f, reduce_retracing=True)
    compiled.get_concrete_function(tf.TensorSpec((None, problem.x.shape[1]), tf.float64))

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = compiled(tf.constant(x))
        return mean.numpy()[:, 0], np.sqrt(variance.numpy()[:, 0])

    return lambda i: in_blocks(predict, problem.x_new)


def _build(problem: Problem, learn_mean: bool) -> gpflow.models.GPR:
    kernel = gpflow.kernels.SquaredExponential(lengthscales=np.ones(problem.x.shape[1]))
    mean = gpflow.functions.Constant(problem.settings[0]["mean"]) if learn_mean else None
    return gpflow.models.GPR((problem.x, problem.y[:, None]), kernel, mean_function=mean)


def _place(model: gpflow.models.GPR, setting: dict[str, Any]) -> None:
    model.kernel.lengthscales.assign(setting["lengthscale"])
    model.kernel.variance.assign(setting["outputscale"])
    model.likelihood.variance.assign(setting["noise_sd"] ** 2)


if __name__ == "__main__":
    packages = ("gpflow", "tensorflow", "tensorflow-probability", "scipy", "numpy")
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, packages)
