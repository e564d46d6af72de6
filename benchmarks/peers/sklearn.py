"""scikit-learn."""

from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, WhiteKernel

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
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, ("scikit-learn", "scipy", "numpy"))
