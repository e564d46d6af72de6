"""scikit-learn."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, Kernel, Matern, WhiteKernel

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    thetas = [_kernel(setting).theta for setting in problem.settings]
    model = GaussianProcessRegressor(_kernel(problem.settings[0]), alpha=0.0, optimizer=None)
    model.fit(problem.x, problem.y)

    def call(i: int) -> dict[str, Any]:
        value, slope = model.log_marginal_likelihood(thetas[i % len(thetas)], eval_gradient=True, clone_kernel=False)
        # By log outputscale, log lengthscales, log noise variance.
        return {"value": value, "gradient": np.concatenate([slope[1:-1], slope[:1], 2 * slope[-1:]])}

    return call


class Counted(GaussianProcessRegressor):
    """The regressor, counting its evaluations."""

    calls = 0

    def log_marginal_likelihood(self, *arguments: Any, **options: Any) -> Any:
        """Return the log marginal likelihood, and its gradient if asked."""
        self.calls += 1
        return super().log_marginal_likelihood(*arguments, **options)


def fit(problem: Problem) -> Call:
    """Return a whole fit; the mean is y's average."""
    mean = float(problem.y.mean())

    def call(i: int) -> dict[str, Any]:
        model = Counted(_kernel(problem.settings[0]), alpha=0.0).fit(problem.x, problem.y - mean)
        scaled, white = model.kernel_.k1, model.kernel_.k2
        hyperparameters = {
            "lengthscale": np.atleast_1d(scaled.k2.length_scale).tolist(),
            "outputscale": float(scaled.k1.constant_value),
            "noise_sd": float(np.sqrt(white.noise_level)),
            "mean": mean,
        }
        return {"evaluations": model.calls, "hyperparameters": hyperparameters}

    return call


def search(problem: Problem) -> Call:
    """Return a search for the hyperparameters of `problem.kernel` by nine restarts within its own bounds."""
    d = problem.x.shape[1]
    if d > 1 and "+" in problem.kernel:
        raise ValueError("a kernel cannot read one of several columns")
    base = Matern(np.ones(d), nu=2.5) if problem.kernel == "matern" else RBF(np.ones(d))
    terms = {"smooth": ConstantKernel() * base, "cycle": ConstantKernel() * ExpSineSquared()}
    if problem.kernel == "rbf + periodic":
        kernel = terms["smooth"] + terms["cycle"]
    else:
        terms = {name: terms[name] for name in ["cycle" if problem.kernel == "periodic" else "smooth"]}
        (kernel,) = terms.values()

    def call(i: int) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = GaussianProcessRegressor(
                kernel + WhiteKernel(), alpha=0.0, n_restarts_optimizer=9, normalize_y=True, random_state=0
            ).fit(problem.x, problem.y)
        learnt, variance = model.kernel_.k1, float(np.var(problem.y))
        hyperparameters: dict[str, Any] = {"noise_sd": float(np.sqrt(model.kernel_.k2.noise_level * variance))}
        for name, part in zip(terms, [learnt.k1, learnt.k2] if len(terms) == 2 else [learnt], strict=True):
            lengthscale = np.atleast_1d(part.k2.length_scale).tolist()
            term = {"outputscale": float(part.k1.constant_value) * variance, "lengthscale": lengthscale}
            # Its periodic kernel is the book's, exp(−2 sin²/ℓ²), as ours.
            period = {"period_length": float(part.k2.periodicity)} if name == "cycle" else {}
            hyperparameters[name] = term | period
        return {"hyperparameters": hyperparameters}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks."""
    setting = problem.settings[0]
    model = GaussianProcessRegressor(_kernel(setting).k1, alpha=setting["noise_sd"] ** 2, optimizer=None)
    model.fit(problem.x, problem.y - setting["mean"])

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = model.predict(x, return_std=True)
        return mean + setting["mean"], sd

    return lambda i: in_blocks(predict, problem.x_new)


def _kernel(setting: dict[str, Any]) -> Kernel:
    scaled = ConstantKernel(setting["outputscale"]) * RBF(np.array(setting["lengthscale"]))
    return scaled + WhiteKernel(setting["noise_sd"] ** 2)


if __name__ == "__main__":
    serve(
        {"evaluation": evaluation, "fit": fit, "prediction": prediction, "search": search},
        ("scikit-learn", "scipy", "numpy"),
    )
