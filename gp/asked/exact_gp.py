"""A fitted model as gpytorch's ExactGP in the data's units, which BoTorch's acquisition functions take as it is."""

from copy import deepcopy
from typing import Any

import gpytorch
import torch
from gpytorch.constraints import Positive
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood, Likelihood

from ..inference.method import Method
from ..inference.refusals import refuse_steps
from ..model.kernels.categorical import Correlated
from ..model.kernels.changepoint import Switch
from ..model.model import GaussianProcess
from ..spec import Fault, InputError, kind_of

ONE_MATRIX = (Switch, Correlated)  # kernels that compute one matrix at a time


class DataUnits(gpytorch.models.ExactGP):
    """The model at its fitted hyperparameters over its own rows; inputs and targets are in the data's units.

    `model(x)` is the posterior of the function at x (…, m, d), `model.likelihood(model(x))` that of new observations.
    All linear algebra is by Cholesky factors, however many rows there are.  `posterior` is BoTorch's.
    """

    num_outputs = 1
    batch_shape = torch.Size([])

    def __init__(self, gp: GaussianProcess, x: torch.Tensor, y: torch.Tensor, likelihood: Likelihood) -> None:
        super().__init__(x, y, likelihood)
        scope = gp.scope
        self.mean_module, self.covar_module = deepcopy(gp.mean), deepcopy(gp.kernel)
        self.register_buffer("x_offset", torch.as_tensor(scope.x_offset).clone())
        self.register_buffer("x_scale", torch.as_tensor(scope.x_scale).clone())
        self.y_offset, self.y_scale = scope.y_offset, scope.y_scale

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        """Return the prior at x (…, m, d)."""
        if x.dim() > 2 and any(isinstance(part, ONE_MATRIX) for part in self.covar_module.modules()):
            fix = "give x (m, d); BoTorch's acquisition functions take other kernels"
            raise InputError(Fault("kernel", "of kind changepoint or low_rank has no matrices for batches of x", fix))
        internal = (x - self.x_offset) / self.x_scale
        mean = self.mean_module(internal.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])
        covariance = self.covar_module(internal) * self.y_scale**2
        return gpytorch.distributions.MultivariateNormal(mean * self.y_scale + self.y_offset, covariance)

    def __call__(self, *inputs: torch.Tensor, **options: Any) -> gpytorch.distributions.MultivariateNormal:
        """Return the posterior at x (…, m, d); while it trains, the prior at its rows."""
        exact = gpytorch.settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False)
        with exact, gpytorch.settings.max_cholesky_size(2**31 - 1):
            found: gpytorch.distributions.MultivariateNormal = super().__call__(*inputs, **options)
            if not self.training:
                _ = found.mean, found.lazy_covariance_matrix.diagonal(dim1=-1, dim2=-2)  # now, under these settings
        return found

    def posterior(
        self,
        X: torch.Tensor,
        output_indices: Any = None,
        observation_noise: bool | torch.Tensor = False,
        posterior_transform: Any = None,
    ) -> Any:
        """Return BoTorch's posterior at X (…, m, d), with noise of new observations where it is asked for."""
        from botorch.posteriors.gpytorch import GPyTorchPosterior  # noqa: PLC0415  (this project does not need it)

        self.eval()
        found = self(X)
        if observation_noise is not False:
            given = {} if observation_noise is True else {"noise": observation_noise.squeeze(-1)}
            found = self.likelihood(found, **given)
        posterior = GPyTorchPosterior(found)
        return posterior if posterior_transform is None else posterior_transform(posterior)


def exact_gp(gp: GaussianProcess, method: Method) -> tuple[DataUnits, Likelihood]:
    """Return the model as an ExactGP in the data's units, in evaluation mode, and its likelihood.

    Raises InputError where inference is not exact, the noise neither gaussian nor known, or y transformed.
    """
    scope = gp.scope
    if gp.spec.transform is not None:
        why = f"an ExactGP's posterior is normal, and that of y, transformed by {gp.spec.transform.kind}, is not"
        fix = "fit to a y that you transformed yourself, without model.transform: that is the model of gpytorch"
        raise InputError(Fault("model.transform", why, fix))
    if not method.is_exact or gp.spec.noise.by_row:
        what = "the noise" if method.is_exact else f"inference of kind {kind_of(type(method))}"
        raise InputError(
            Fault(
                "",
                f"gpytorch's ExactGP has exact inference with gaussian or known noise, and {what} is not that",
                "fit with inference={'kind': 'exact'}, model={'noise': {'kind': 'gaussian'}}",
            )
        )
    refuse_steps(gp, "gpytorch's ExactGP")
    x = torch.as_tensor(scope.x * scope.x_scale + scope.x_offset)
    y = torch.as_tensor(scope.y * scope.y_scale + scope.y_offset)
    with torch.no_grad(), gpytorch.settings.min_fixed_noise(double_value=0.0):
        variance = gp.training_noise()[0].detach() * scope.y_scale**2
        if gp.noise.reads_noise_sd:
            likelihood: Likelihood = FixedNoiseGaussianLikelihood(noise=variance)
        else:
            likelihood = GaussianLikelihood(noise_constraint=Positive())
            likelihood.noise = variance[:1]
    model = DataUnits(gp, x, y, likelihood)
    return model.eval(), likelihood.eval()
