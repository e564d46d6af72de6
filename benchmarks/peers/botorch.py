"""BoTorch's fit of the same GPyTorch model."""

from typing import Any

import gpytorch
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch import settings
from gpytorch.kernels import PeriodicKernel, ScaleKernel

from benchmarks.peers.gpytorch import PACKAGES, found, place
from benchmarks.peers.protocol import Call, Problem, serve


class Counted(gpytorch.mlls.ExactMarginalLogLikelihood):
    """The marginal likelihood, counting its evaluations."""

    calls = 0

    def forward(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """Return the log marginal likelihood per datum."""
        self.calls += 1
        return super().forward(*arguments, **options)


def fit(problem: Problem) -> Call:
    """Return a whole fit by `fit_gpytorch_mll`."""
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)[:, None]

    def call(i: int) -> dict[str, Any]:
        kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=x.shape[1]))
        # Neither priors nor a transform of the targets: the same marginal likelihood as everyone's.
        likelihood = gpytorch.likelihoods.GaussianLikelihood()
        model = SingleTaskGP(x, y, covar_module=kernel, likelihood=likelihood, outcome_transform=None)
        place(model, problem.settings[0])
        mll = Counted(model.likelihood, model)
        with settings.max_cholesky_size(10**9):
            fit_gpytorch_mll(mll)
        return {"evaluations": mll.calls, "hyperparameters": found(model)}

    return call


def search(problem: Problem) -> Call:
    """Return a search for the hyperparameters of `problem.kernel` by `fit_gpytorch_mll`.

    The smooth kernel and the noise have BoTorch's own priors and starts, y is standardised as BoTorch does it, and x is
    in the unit cube; its default kernel is scaled here, and its periodic kernel has no prior.
    """
    x, y, kinds = torch.from_numpy(problem.x), torch.from_numpy(problem.y)[:, None], problem.kernel.split(" + ")

    def call(i: int) -> dict[str, Any]:
        terms = {}
        if kinds[0] != "periodic":
            base = get_covar_module_with_dim_scaled_prior(x.shape[1], use_rbf_kernel=kinds[0] == "rbf")
            terms["smooth"] = ScaleKernel(base)
        if kinds[-1] == "periodic":
            terms["cycle"] = ScaleKernel(PeriodicKernel(active_dims=[0]))
        model = SingleTaskGP(x, y, covar_module=sum(list(terms.values())[1:], next(iter(terms.values()))))
        with settings.max_cholesky_size(10**9):
            fit_gpytorch_mll(gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model))
        variance = y.var().item()
        hyperparameters: dict[str, Any] = {"noise_sd": (model.likelihood.noise.item() * variance) ** 0.5}
        for name, kernel in terms.items():
            lengthscale = kernel.base_kernel.lengthscale.reshape(-1)
            term = {"outputscale": kernel.outputscale.item() * variance, "lengthscale": lengthscale.tolist()}
            if name == "cycle":  # GPyTorch's lengthscale is the square of the book's
                period = kernel.base_kernel.period_length.item()
                term |= {"lengthscale": lengthscale.sqrt().tolist(), "period_length": period}
            hyperparameters[name] = term
        return {"hyperparameters": hyperparameters}

    return call


if __name__ == "__main__":
    serve({"fit": fit, "search": search}, ("botorch", *PACKAGES))
