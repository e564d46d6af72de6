"""NoiseModel: what inference asks of any noise model."""

import numpy as np
import torch


class NoiseModel(torch.nn.Module):
    """Independent noise; to inference always a variance for each training row, learnt or not.

    A model that is not Gaussian with a variance of its own bounds the likelihood from below by that of Gaussian noise,
    log N(y | m, K + diag(variance)) + excess, over auxiliary parameters, one or more a row (`by_row`).
    """

    by_row = False  # whether it has parameters for each training row, so that no subset of rows can stand for all
    one_level = False  # whether every row's variance is exp(2 log_sd)
    scalable = True  # whether parameters of amplitude scale all of it, as others scale the kernel

    @property
    def log_sd(self) -> torch.Tensor | None:
        """Return the learnt log standard deviation (1,) that scales the noise of all rows, if there is one."""
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the variance of a new observation's noise at internal inputs x (m, d), shape (m,)."""
        raise NotImplementedError

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the noise variance (n,) of the training rows x (n, d), and the bound's excess, a number, or None.

        `noise_sd` (n,) are the rows' own standard deviations in internal units, where they are known.
        """
        return self(x), None

    def slopes(self, variance: np.ndarray) -> dict[torch.Tensor, np.ndarray] | None:
        """Return ∂variance/∂θ (n, size) of the training rows for each raw parameter θ, given their variance (n,).

        None where there is no closed form: autograd then takes gradients, and no average information is at hand.
        """
        return None
