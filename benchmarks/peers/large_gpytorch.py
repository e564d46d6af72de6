"""GPyTorch on large tables: SGPR, SVGP and VNNGP, as in its tutorials."""

from collections.abc import Iterator
from typing import Any

import gpytorch
import numpy as np
import torch
from gpytorch import variational

from benchmarks.peers.large import BATCH, clock, scores
from benchmarks.peers.protocol import Call, Problem, serve


class Sgpr(gpytorch.models.ExactGP):
    """The collapsed bound over inducing points (m, d)."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, likelihood: Any, inducing: torch.Tensor) -> None:
        super().__init__(x, y, likelihood)
        self.mean_module = gpytorch.means.ConstantMean()
        base = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=x.shape[1]))
        self.base = base
        self.covar_module = gpytorch.kernels.InducingPointKernel(base, inducing.clone(), likelihood)

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        """Return the prior at x."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


class Variational(gpytorch.models.ApproximateGP):
    """SVGP over inducing points (m, d), or VNNGP, whose inducing points are the training inputs."""

    def __init__(self, inducing: torch.Tensor, neighbours: int | None) -> None:
        m = len(inducing)
        if neighbours is None:
            strategy = variational.VariationalStrategy(
                self, inducing, variational.CholeskyVariationalDistribution(m), learn_inducing_locations=True
            )
        else:
            strategy = variational.NNVariationalStrategy(
                self,
                inducing,
                variational.MeanFieldVariationalDistribution(m),
                k=neighbours,
                training_batch_size=BATCH,
            )
        super().__init__(strategy)
        self.mean_module = gpytorch.means.ConstantMean()
        self.base = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=inducing.shape[1]))

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        """Return the prior at x."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.base(x))


def bound(problem: Problem) -> Call:
    """Return the collapsed bound and its gradient, by the inducing points at the new points too."""
    torch.set_default_dtype(torch.float64)
    x, y, inducing = (torch.from_numpy(part) for part in (problem.x, problem.y, problem.x_new))
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = Sgpr(x, y, likelihood, inducing).train()
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)

    def call(i: int) -> dict[str, Any]:
        _place(model, likelihood, problem.settings[i % len(problem.settings)])
        model.zero_grad()
        value = mll(model(x), y) * len(y)
        value.backward()
        return {"value": value.item()}

    return call


def fit(problem: Problem) -> Call:
    """Return a fit that ends when its CPU seconds are over, and its scores."""
    kind = problem.options["kind"]
    # Minibatches learn well in single precision, as the tutorials do it; the collapsed bound needs double.
    torch.set_default_dtype(torch.float64 if kind == "sgpr" else torch.float32)

    def call(i: int) -> dict[str, Any]:
        torch.manual_seed(0)
        is_over = clock(problem)
        x, y, z = (
            torch.from_numpy(part).to(torch.get_default_dtype()) for part in (problem.x, problem.y, problem.x_new)
        )
        likelihood = gpytorch.likelihoods.GaussianLikelihood()
        if kind == "sgpr":
            model: Any = Sgpr(x, y, likelihood, z)
        else:
            model = Variational(x if kind == "vnngp" else z, problem.options.get("neighbours"))
        _place(model, likelihood, problem.settings[0])
        model.train(), likelihood.train()
        steps = _train(model, likelihood, x, y, kind, is_over)
        model.eval(), likelihood.eval()

        def predict(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with torch.no_grad():
                posterior = likelihood(model(torch.from_numpy(at).to(x.dtype)))
                return posterior.mean.double().numpy(), posterior.variance.double().sqrt().numpy()

        return {"evaluations": steps, "epochs": steps * BATCH / len(y), "scores": scores(problem, predict)}

    return call


def _train(model: Any, likelihood: Any, x: torch.Tensor, y: torch.Tensor, kind: str, is_over: Any) -> int:
    """Train by Adam until the time is over; return how many steps that were."""
    if kind == "sgpr":
        mll: Any = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    else:
        mll = gpytorch.mlls.VariationalELBO(likelihood, model, num_data=len(y))
    parameters = {id(parameter): parameter for part in (model, likelihood) for parameter in part.parameters()}
    optimizer = torch.optim.Adam(parameters.values(), lr=0.1 if kind == "sgpr" else 0.01)
    steps = 0
    for batch in _batches(kind, len(y)):
        if is_over():
            break
        optimizer.zero_grad()
        if kind == "vnngp":
            output = model.variational_strategy(x=None, prior=False)
            batch = model.variational_strategy.current_training_indices
        else:
            output = model(x if batch is None else x[batch])
        loss = -mll(output, y if batch is None else y[batch])
        loss.backward()
        optimizer.step()
        steps += 1
    return steps


def _batches(kind: str, n: int) -> Iterator[torch.Tensor | None]:
    """Yield minibatches for ever; None stands for the strategy's own, or for all rows."""
    while True:
        if kind == "svgp":
            yield from torch.randperm(n).split(BATCH)
        else:
            yield None


def _place(model: Any, likelihood: Any, setting: dict[str, Any]) -> None:
    model.base.base_kernel.lengthscale = torch.tensor(setting["lengthscale"])
    model.base.outputscale = torch.tensor(setting["outputscale"])
    likelihood.noise = torch.tensor(setting["noise_sd"] ** 2)
    model.mean_module.constant.data.fill_(setting["mean"])


if __name__ == "__main__":
    serve({"bound": bound, "fit": fit}, ("gpytorch", "linear_operator", "torch", "numpy"))
