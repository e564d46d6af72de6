"""BoTorch's fit of the same GPyTorch model."""

from typing import Any

import gpytorch
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch import settings

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


if __name__ == "__main__":
    serve({"fit": fit}, ("botorch", *PACKAGES))
