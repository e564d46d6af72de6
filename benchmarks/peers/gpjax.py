"""GPJax."""

from typing import Any

import gpjax
import jax
import jax.numpy as jnp
import numpy as np
from gpjax.parameters import val

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve

jax.config.update("jax_enable_x64", True)


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    data = _data(problem)

    def value(vector: jax.Array) -> jax.Array:
        *_, outputscale, noise_sd = jnp.exp(vector)
        setting = {"lengthscale": jnp.exp(vector[:-2]), "outputscale": outputscale, "noise_sd": noise_sd, "mean": 0.0}
        return gpjax.objectives.conjugate_mll(_build(setting), data)

    vectors = [_vector(setting) for setting in problem.settings]
    compiled = jax.jit(jax.value_and_grad(value)).lower(vectors[0]).compile()

    def call(i: int) -> dict[str, Any]:
        found, gradient = compiled(vectors[i % len(vectors)])
        return {"value": float(found), "gradient": np.asarray(gradient)}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit by its `fit_scipy`, compiling included."""
    data = _data(problem)

    def call(i: int) -> dict[str, Any]:
        evaluations = 0

        def count() -> None:
            nonlocal evaluations
            evaluations += 1

        def loss(model: Any, batch: gpjax.Dataset) -> jax.Array:
            jax.debug.callback(count)
            return -gpjax.objectives.conjugate_mll(model, batch)

        start = _build(problem.settings[0])
        model, _ = gpjax.fit_scipy(model=start, objective=loss, train_data=data, verbose=False)
        jax.effects_barrier()
        return {"evaluations": evaluations, "hyperparameters": _found(model)}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks, marginal variances only."""
    posterior = _build(problem.settings[0]).condition(_data(problem))

    def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = posterior(x, covariance="diagonal")
        return found.mean, jnp.sqrt(found.variance)

    compiled = jax.jit(moments).lower(problem.x_new[:1000]).compile()

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = compiled(x)
        return np.asarray(mean), np.asarray(sd)

    return lambda i: in_blocks(predict, problem.x_new)


def _data(problem: Problem) -> gpjax.Dataset:
    return gpjax.Dataset(X=jnp.asarray(problem.x), y=jnp.asarray(problem.y)[:, None])


def _build(setting: dict[str, Any]) -> Any:
    kernel = gpjax.kernels.RBF(lengthscale=jnp.asarray(setting["lengthscale"]), variance=setting["outputscale"])
    mean = gpjax.mean_functions.Constant(setting["mean"])
    prior = gpjax.gps.Prior(mean_function=mean, kernel=kernel, jitter=0.0)
    return prior * gpjax.likelihoods.Gaussian(obs_stddev=setting["noise_sd"])


def _found(model: Any) -> dict[str, Any]:
    return {
        "lengthscale": np.atleast_1d(val(model.prior.kernel.lengthscale)).tolist(),
        "outputscale": float(val(model.prior.kernel.variance)),
        "noise_sd": float(val(model.likelihood.obs_stddev)),
        "mean": float(np.squeeze(val(model.prior.mean_function.constant))),
    }


def _vector(setting: dict[str, Any]) -> jax.Array:
    return jnp.log(jnp.asarray([*setting["lengthscale"], setting["outputscale"], setting["noise_sd"]]))


if __name__ == "__main__":
    packages = ("gpjax", "jax", "jaxlib", "equinox", "scipy", "numpy")
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, packages)
