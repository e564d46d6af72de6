"""This library."""

from typing import Any

import numpy as np
from scipy.optimize import minimize

import gp
from benchmarks.peers.protocol import Call, Problem, serve
from gp.dataset import Dataset, default_columns
from gp.inference.exact import Exact
from gp.inference.markov.markov import Markov
from gp.inference.method import Method
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.spec import parse


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    return _evaluation(problem, Exact())


def series(problem: Problem) -> Call:
    """Return the same, by a state space."""
    return _evaluation(problem, Markov())


def _evaluation(problem: Problem, inference: Method) -> Call:
    models = [_model(problem, setting) for setting in problem.settings]
    data = _data(problem)
    gaussian_process = models[0].build(data)
    vectors = [model.build(data).parameters.start for model in models]

    def call(i: int) -> dict[str, Any]:
        gaussian_process.parameters.set(vectors[i % len(vectors)])
        value, gradient = inference.evaluate(gaussian_process)
        return {"value": value, "gradient": gradient}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit as `gp.fit` does it, from starts of its own."""

    def call(i: int) -> dict[str, Any]:
        fitted = gp.fit(
            problem.x, problem.y, model={"kernel": {"kind": "rbf", "ard": True}}, train=problem.options.get("train")
        )
        found = fitted.hyperparameters
        return {
            "hyperparameters": {
                "lengthscale": list(np.atleast_1d(found["kernel.lengthscale"])),
                "outputscale": found["kernel.outputscale"],
                "noise_sd": found["noise.sd"],
                "mean": found["mean.value"],
            },
            "evaluations": fitted.search.evaluations,
        }

    return call


def reference(problem: Problem) -> Call:
    """Return the best log marginal likelihood of many seeded starts: L-BFGS-B on all rows from each."""
    model = parse(Model, {"kernel": {"kind": "rbf", "ard": True}})
    built = model.build(_data(problem))
    inference, parameters = Exact(), built.parameters
    rng = np.random.default_rng(0)

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        parameters.set(vector)
        try:
            value, gradient = inference.evaluate(built)
        except NotPositiveDefinite:
            return 1e10, np.zeros_like(vector)
        return -value, -gradient

    def call(i: int) -> dict[str, float]:
        scatter = rng.normal(size=(problem.options["restarts"], len(parameters.start)))
        scatter[0] = 0.0
        ends = [
            minimize(loss, parameters.start + step, jac=True, method="L-BFGS-B", bounds=parameters.bounds).fun
            for step in scatter
        ]
        return {"value": built.log_jacobian - min(ends), "reached": int(np.sum(np.array(ends) < min(ends) + 0.1))}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points."""
    fitted = gp.fit(problem.x, problem.y, model=_spec(problem, problem.settings[0], fixed=True))
    fitted.predict(problem.x_new[:10])  # the factor is kept

    def call(i: int) -> dict[str, np.ndarray]:
        posterior = fitted.predict(problem.x_new)
        return {"mean": posterior.mean, "sd": posterior.sd_f}

    return call


def _data(problem: Problem) -> Dataset:
    return Dataset(x=problem.x, y=problem.y, columns=default_columns(problem.x.shape[1]))


def _model(problem: Problem, setting: dict[str, Any]) -> Model:
    return parse(Model, _spec(problem, setting, fixed=False))


def _spec(problem: Problem, setting: dict[str, Any], fixed: bool) -> dict[str, Any]:
    """Return the model at a setting, in the data's units; its hyperparameters are free to move, or `fixed`."""

    def at(value: Any) -> Any:
        return {"fixed": value} if fixed else value

    scales = {"ard": True, "lengthscale": at(list(setting["lengthscale"])), "outputscale": at(setting["outputscale"])}
    kernels = {
        "rbf": {"kind": "rbf", **scales},
        "matern32": {"kind": "matern", "nu": 1.5, **scales},
        "matern52": {"kind": "matern", "nu": 2.5, **scales},
        "rbf+periodic": {
            "kind": "sum",
            "terms": {"a": {"kind": "rbf", **scales}, "b": {"kind": "periodic", "ard": True}},
        },
    }
    return {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "constant", "value": {"fixed": setting["mean"]}},
        "kernel": kernels[problem.kernel],
        "noise": {"sd": at(setting["noise_sd"])},
    }


if __name__ == "__main__":
    tasks = {"evaluation": evaluation, "fit": fit, "reference": reference, "prediction": prediction, "series": series}
    serve(tasks, ("torch", "gpytorch", "scipy", "numpy"))
