"""GPy."""

from typing import Any

import GPy
import numpy as np

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    model = _build(problem, problem.settings[0], mean=False)
    vectors = []
    for setting in problem.settings:
        _place(model, setting)
        vectors.append(model.optimizer_array.copy())

    def call(i: int) -> dict[str, Any]:
        model.optimizer_array = vectors[i % len(vectors)]  # evaluates both
        values = np.concatenate(
            [model.kern.lengthscale.values, model.kern.variance.values, model.likelihood.variance.values]
        )
        slopes = [model.kern.lengthscale.gradient, model.kern.variance.gradient, model.likelihood.variance.gradient]
        gradient = np.concatenate(slopes) * values
        gradient[-1] *= 2
        return {"value": float(model.log_likelihood()), "gradient": gradient}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit by its L-BFGS-B."""

    def call(i: int) -> dict[str, Any]:
        model = _build(problem, problem.settings[0], mean=True)
        run = model.optimize("lbfgsb", max_iters=1000)
        found = {
            "lengthscale": model.kern.lengthscale.values.tolist(),
            "outputscale": float(model.kern.variance.values[0]),
            "noise_sd": float(model.likelihood.variance.values[0]) ** 0.5,
            "mean": float(model.mean_function.C.values[0]),
        }
        return {"evaluations": int(run.funct_eval), "hyperparameters": found}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks."""
    model = _build(problem, problem.settings[0], mean=False)

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = model.predict_noiseless(x)
        return mean[:, 0], np.sqrt(variance[:, 0])

    return lambda i: in_blocks(predict, problem.x_new)


def _build(problem: Problem, setting: dict[str, Any], mean: bool) -> GPy.models.GPRegression:
    d = problem.x.shape[1]
    level = GPy.mappings.Constant(d, 1, setting["mean"]) if mean else None
    kernel = GPy.kern.RBF(d, ARD=True)
    model = GPy.models.GPRegression(problem.x, problem.y[:, None], kernel, mean_function=level)
    _place(model, setting)
    return model


def _place(model: GPy.models.GPRegression, setting: dict[str, Any]) -> None:
    model.kern.lengthscale = setting["lengthscale"]
    model.kern.variance = setting["outputscale"]
    model.likelihood.variance = setting["noise_sd"] ** 2


if __name__ == "__main__":
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, ("GPy", "paramz", "scipy", "numpy"))
