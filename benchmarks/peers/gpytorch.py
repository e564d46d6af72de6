"""GPyTorch: its Cholesky forced, or its defaults (`options["defaults"]`)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import gpytorch
import numpy as np
import torch
from gpytorch import settings
from scipy.optimize import minimize

from benchmarks.peers.protocol import Call, Problem, in_blocks, serve

torch.set_default_dtype(torch.float64)
PACKAGES = ("gpytorch", "linear_operator", "torch", "scipy", "numpy")


class Regression(gpytorch.models.ExactGP):
    """A constant mean and a scaled ARD-RBF, as in the library's tutorials."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, likelihood: gpytorch.likelihoods.GaussianLikelihood) -> None:
        super().__init__(x, y, likelihood)
        self.mean_module = gpytorch.means.ConstantMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=x.shape[1]))

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        """Return the prior at x."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    model, objective = _build(problem)
    logs = [
        lambda: model.covar_module.base_kernel.lengthscale.log(),
        lambda: model.covar_module.outputscale.log(),
        lambda: 0.5 * model.likelihood.noise.log(),
    ]
    raw = [model.covar_module.base_kernel.raw_lengthscale, model.covar_module.raw_outputscale, _raw_noise(model)]
    states = []
    for setting in problem.settings:
        place(model, setting)
        slopes = [torch.autograd.grad(log().sum(), tensor)[0] for log, tensor in zip(logs, raw, strict=True)]
        states.append(([tensor.detach().clone() for tensor in raw], slopes))

    def call(i: int) -> dict[str, Any]:
        values, slopes = states[i % len(states)]
        for tensor, value in zip(raw, values, strict=True):
            tensor.data.copy_(value)
            tensor.grad = None
        value = objective()
        value.backward()
        parts = [(tensor.grad / slope).reshape(-1).numpy() for tensor, slope in zip(raw, slopes, strict=True)]
        return {"value": value.item(), "gradient": np.concatenate(parts)}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit: SciPy's L-BFGS-B over the raw parameters, or the tutorial's Adam."""

    def call(i: int) -> dict[str, Any]:
        model, objective = _build(problem)
        place(model, problem.settings[0])
        train = _adam if problem.options.get("defaults") else _lbfgs
        return {"evaluations": train(model, objective), "hyperparameters": found(model)}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points, by blocks."""
    model, _ = _build(problem)
    place(model, problem.settings[0])
    model.eval()
    model.likelihood.eval()
    # What is not to be measured is kept by the model: the factor of the training covariance.

    def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad(), _mode(problem):
            posterior = model(torch.from_numpy(x))
            return posterior.mean.numpy(), posterior.variance.sqrt().numpy()

    predict(problem.x_new[:10])
    return lambda i: in_blocks(predict, problem.x_new)


def place(model: gpytorch.models.ExactGP, setting: dict[str, Any]) -> None:
    """Put a setting's hyperparameters into the model."""
    model.covar_module.base_kernel.lengthscale = torch.tensor(setting["lengthscale"])
    model.covar_module.outputscale = torch.tensor(setting["outputscale"])
    model.likelihood.noise = torch.tensor(setting["noise_sd"] ** 2)
    model.mean_module.constant.data.fill_(setting["mean"])


def found(model: gpytorch.models.ExactGP) -> dict[str, Any]:
    """Return the model's hyperparameters as a setting."""
    return {
        "lengthscale": model.covar_module.base_kernel.lengthscale.reshape(-1).tolist(),
        "outputscale": model.covar_module.outputscale.item(),
        "noise_sd": model.likelihood.noise.item() ** 0.5,
        "mean": model.mean_module.constant.item(),
    }


def _build(problem: Problem) -> tuple[Regression, Callable[[], torch.Tensor]]:
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = Regression(x, y, likelihood).train()
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)

    def objective() -> torch.Tensor:
        with _mode(problem):
            return mll(model(x), y) * len(y)

    return model, objective


def _mode(problem: Problem) -> AbstractContextManager:
    if problem.options.get("defaults"):
        return nullcontext()
    stack = ExitStack()
    stack.enter_context(settings.max_cholesky_size(10**9))
    stack.enter_context(settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False))
    return stack


def _raw_noise(model: Regression) -> torch.Tensor:
    return model.likelihood.noise_covar.raw_noise


def _adam(model: Regression, objective: Callable[[], torch.Tensor]) -> int:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (-objective() / len(model.train_targets)).backward()
        optimizer.step()
    return 100


def _lbfgs(model: Regression, objective: Callable[[], torch.Tensor]) -> int:
    parameters = list(model.parameters())

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(vector.copy()), parameters)
        model.zero_grad()
        value = -objective()
        value.backward()
        return value.item(), torch.cat([parameter.grad.reshape(-1) for parameter in parameters]).numpy()

    start = torch.nn.utils.parameters_to_vector(parameters).detach().numpy()
    end = minimize(loss, start, jac=True, method="L-BFGS-B")
    torch.nn.utils.vector_to_parameters(torch.from_numpy(end.x), parameters)
    return end.nfev


if __name__ == "__main__":
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, PACKAGES)
