"""tinygp."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from tinygp import GaussianProcess, kernels, transforms
from tinygp.kernels import quasisep

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve

jax.config.update("jax_enable_x64", True)


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    return _evaluation(problem, _build)


def series(problem: Problem) -> Call:
    """Return the same, by its quasiseparable solver."""
    kind = {"matern32": quasisep.Matern32, "matern52": quasisep.Matern52}[problem.kernel]
    x = jnp.asarray(problem.x[:, 0])

    def build(vector: jax.Array, problem: Problem) -> GaussianProcess:
        kernel = jnp.exp(vector[-2]) * kind(jnp.exp(vector[0]))
        return GaussianProcess(kernel, x, diag=jnp.exp(2 * vector[-1]))

    return _evaluation(problem, build)


def _evaluation(problem: Problem, build: Callable[[jax.Array, Problem], GaussianProcess]) -> Call:
    y, means = jnp.asarray(problem.y), [setting["mean"] for setting in problem.settings]

    def value(vector: jax.Array) -> jax.Array:
        return build(vector, problem).log_probability(y - means[0])

    vectors = [_vector(setting)[:-1] for setting in problem.settings]
    compiled = jax.jit(jax.value_and_grad(value)).lower(vectors[0]).compile()

    def call(i: int) -> dict[str, Any]:
        found, gradient = compiled(vectors[i % len(vectors)])
        return {"value": float(found), "gradient": np.asarray(gradient)}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit: SciPy's L-BFGS-B over a compiled objective, which is compiled before."""
    y = jnp.asarray(problem.y)

    def loss(vector: jax.Array) -> jax.Array:
        return -_build(vector[:-1], problem).log_probability(y - vector[-1])

    start = np.asarray(_vector(problem.settings[0]))
    compiled = jax.jit(jax.value_and_grad(loss)).lower(start).compile()

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(vector)
        return float(value), np.asarray(gradient)

    def call(i: int) -> dict[str, Any]:
        end = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B")
        *lengthscale, outputscale, noise_sd = np.exp(end.x[:-1]).tolist()
        found = {"lengthscale": lengthscale, "outputscale": outputscale, "noise_sd": noise_sd, "mean": float(end.x[-1])}
        return {"evaluations": end.nfev, "hyperparameters": found}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks: it forms their full covariance."""
    gp = jax.jit(lambda vector: _build(vector, problem))(_vector(problem.settings[0])[:-1])
    y, no_noise = jnp.asarray(problem.y), jnp.zeros(1)

    def moments(gp: GaussianProcess, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        conditioned = gp.condition(y, x, diag=no_noise).gp
        return conditioned.loc, jnp.sqrt(conditioned.variance)

    compiled = jax.jit(moments).lower(gp, problem.x_new[:1000]).compile()

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = compiled(gp, x)
        return np.asarray(mean), np.asarray(sd)

    return lambda i: in_blocks(predict, problem.x_new)


def _build(vector: jax.Array, problem: Problem) -> GaussianProcess:
    """Return the process at the logs of lengthscales, outputscale and noise sd."""
    kernel = jnp.exp(vector[-2]) * transforms.Linear(jnp.exp(-vector[:-2]), kernels.ExpSquared())
    return GaussianProcess(kernel, jnp.asarray(problem.x), diag=jnp.exp(2 * vector[-1]))


def _vector(setting: dict[str, Any]) -> jax.Array:
    logs = np.log([*setting["lengthscale"], setting["outputscale"], setting["noise_sd"]])
    return jnp.asarray([*logs, setting["mean"]])


if __name__ == "__main__":
    packages = ("tinygp", "jax", "jaxlib", "equinox", "scipy", "numpy")
    tasks = {"evaluation": evaluation, "fit": fit, "prediction": prediction, "series": series}
    serve(tasks, packages)
