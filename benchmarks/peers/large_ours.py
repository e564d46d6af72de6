"""This library on large tables."""

from typing import Any

import numpy as np
import torch

import gp
from benchmarks.peers.large import scores
from benchmarks.peers.protocol import Call, Problem, serve
from gp.dataset import Dataset, default_columns
from gp.inference import Inference
from gp.model.model import Model
from gp.spec import parse


def bound(problem: Problem) -> Call:
    """Return the objective and its gradient, inducing inputs at the new points where the method has any."""
    data = Dataset(x=problem.x, y=problem.y, columns=default_columns(problem.x.shape[1]))
    method = parse(Inference, dict(problem.options["inference"]))
    models = [parse(Model, _at(setting)).build(data) for setting in problem.settings]
    vectors = [model.parameters.start for model in models]
    built = method.prepare(models[0], None)
    n_hyperparameters = len(vectors[0])
    if built.auxiliary:
        built.auxiliary["inducing_inputs"].data.copy_(torch.from_numpy(problem.x_new))
    rest = built.parameters.vector[n_hyperparameters:]
    vectors = [np.concatenate([vector, rest]) for vector in vectors]
    if not built.auxiliary:
        method.evaluate(built)  # neighbours are kept

    def call(i: int) -> dict[str, Any]:
        built.parameters.set(vectors[i % len(vectors)])
        value, gradient = method.evaluate(built)
        return {"value": value, "gradient": gradient[:n_hyperparameters]}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit as `gp.fit` does it, from starts of its own, and its scores."""

    def call(i: int) -> dict[str, Any]:
        model = {"kernel": {"kind": "rbf", "ard": True}}
        fitted = gp.fit(problem.x, problem.y, model=model, inference=dict(problem.options["inference"]))

        def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            posterior = fitted.predict(x)
            return posterior.mean, posterior.sd_y

        return {"scores": scores(problem, predict)}

    return call


def _at(setting: dict[str, Any]) -> dict[str, Any]:
    return {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "constant", "value": {"fixed": setting["mean"]}},
        "kernel": {
            "kind": "rbf",
            "ard": True,
            "lengthscale": list(setting["lengthscale"]),
            "outputscale": setting["outputscale"],
        },
        "noise": {"sd": setting["noise_sd"]},
    }


if __name__ == "__main__":
    serve({"bound": bound, "fit": fit}, ("torch", "gpytorch", "scipy", "numpy"))
