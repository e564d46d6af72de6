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


def search(problem: Problem) -> Call:
    """Return a search for the hyperparameters of `problem.kernel` by `optimize_restarts`, ten starts at random."""
    d, kinds = problem.x.shape[1], problem.kernel.split(" + ")
    parts = {}
    if kinds[0] != "periodic":
        parts["smooth"] = {"rbf": GPy.kern.RBF, "matern": GPy.kern.Matern52}[kinds[0]](d, ARD=True)
    if kinds[-1] == "periodic":
        parts["cycle"] = GPy.kern.StdPeriodic(1, active_dims=[0])

    def call(i: int) -> dict[str, Any]:
        np.random.seed(0)  # noqa: NPY002  what it draws its starts by
        copies = {name: part.copy() for name, part in parts.items()}
        kernel = copies["smooth"] + copies["cycle"] if len(copies) == 2 else next(iter(copies.values()))
        model = GPy.models.GPRegression(problem.x, problem.y[:, None], kernel, normalizer=True)
        model.optimize_restarts(num_restarts=10, robust=True, verbose=False)
        variance = float(np.var(problem.y))
        hyperparameters: dict[str, Any] = {"noise_sd": float(model.likelihood.variance.values[0] * variance) ** 0.5}
        for name, part in zip(copies, kernel.parts if len(copies) == 2 else [kernel], strict=True):
            term = {"outputscale": float(part.variance.values[0]) * variance}
            if name == "cycle":  # exp(−½ sin²/l²), ours exp(−2 sin²/ℓ²)
                term |= {"lengthscale": [2 * float(part.lengthscale.values[0])]}
                term |= {"period_length": float(part.period.values[0])}
            else:
                term |= {"lengthscale": part.lengthscale.values.tolist()}
            hyperparameters[name] = term
        return {"hyperparameters": hyperparameters}

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
    tasks = {"evaluation": evaluation, "fit": fit, "prediction": prediction, "search": search}
    serve(tasks, ("GPy", "paramz", "scipy", "numpy"))
