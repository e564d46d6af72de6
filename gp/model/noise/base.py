"""NoiseModel: the interface of all noise models to inference."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch


def noise_level(x: np.ndarray, variance: float) -> np.ndarray:
    return np.full(len(x), variance)


class NoiseModel(torch.nn.Module):
    """Independent noise; inference sees it as one variance for each training row.

    If the noise is not Gaussian with given variances, the model bounds the log likelihood from below by that of
    Gaussian noise, log N(y | m, K + diag(variance)) + excess, which depends on auxiliary parameters, one or more for
    each row (`by_row`).
    """

    by_row = False  # whether each training row has parameters of its own; a subset of rows then cannot represent all
    reads_noise_sd = False  # whether it takes the rows' own standard deviations, where the data give them
    one_level = False  # whether every row's variance is exp(2 log_sd), and it has `of_new`
    held = False  # whether draws of hyperparameters may hold the parameters of each row: measured, not implied
    # `forward` in NumPy alone, of x (m, d) and what `numbers` returns (gp.predictor); here of one level for all x.
    formula: ClassVar[Callable[..., np.ndarray] | None] = staticmethod(noise_level)
    scalable = True  # whether its declared amplitudes scale all variances, so that scale can be profiled out

    @property
    def log_sd(self) -> torch.Tensor | None:
        """Return the parameter log sd (1,) that scales the noise of all rows, if there is one."""
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the noise variance (m,) of new observations at internal inputs x (m, d)."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """Return the arguments of `formula` besides x, in internal units."""
        with torch.no_grad():
            return {"variance": self(torch.zeros(1, 1)).item()}

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the noise variance (n,) of the training rows x (n, d), and the excess of the bound (None: no bound).

        `noise_sd` (n,) are the known standard deviations of the rows in internal units, if any.
        """
        return self(x), None

    def left_out(self, x: torch.Tensor) -> torch.Tensor:
        """Return the noise variance (n,) of each of the training rows x (n, d), that row's target not being known."""
        return self(x)

    def without(self, row: int) -> "NoiseModel":
        """Return the noise of the other rows: at these hyperparameters, with parameters of their own for each.

        Their parameters start near what the bound asks for.  Only where noise has such parameters.
        """
        raise NotImplementedError

    def of_new(self, kept: float) -> "NoiseModel":
        """Return the same noise, of whose variance new observations have the share `kept`.  Only where `one_level`."""
        raise NotImplementedError

    def weights(self, n: int, noise_sd: torch.Tensor | None) -> np.ndarray | None:
        """Return the precision of each row's noise, (n,), but for a factor that rows of equal inputs share.

        Rows that share their inputs are then taken as one (gp.model.repeats).  None where that is not exact.
        """
        return None

    def stationary(self, variance: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the raw parameters of the rows, (n,), logs, that the bound asks for at their `variance` (n,).

        `slope` (n,) is ∂ log N(y | m, K + diag(variance)) / ∂ log variance.  Only where noise has such parameters.  If
        they are those that the variance comes from, the bound is stationary.
        """
        raise NotImplementedError

    def newton(self, slope: np.ndarray, curvature: np.ndarray, damping: float = 0.0) -> np.ndarray:
        """Return the raw parameters of the rows, (n,), after a Newton step towards where the bound is stationary.

        `slope` (n,) and `curvature` (n, n) are first and second derivatives of log N by the logs of their variances.
        The step of a large `damping` is short, and uphill  (Levenberg 1944).
        """
        raise NotImplementedError

    def slopes(self, variance: np.ndarray) -> dict[torch.Tensor, np.ndarray] | None:
        """Return ∂variance/∂θ (n, size) of the training rows for each raw parameter θ, given their variance (n,).

        None without a closed form: gradients are then taken by autograd, and there is no average information matrix.
        """
        return None
