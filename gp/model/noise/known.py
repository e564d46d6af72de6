"""Noise whose standard deviation is known, row by row."""

from typing import ClassVar, Literal

import numpy as np
import torch

from ...parameters.scope import Scope
from ...spec import Fault, InputError, Spec
from .base import NoiseModel


class KnownNoise(NoiseModel):
    """Independent N(0, sd_i²) with known sd_i; a new observation without a known sd gets their mean square."""

    scalable = False
    reads_noise_sd = True

    def __init__(self, mean_square: float) -> None:
        super().__init__()
        self.mean_square = mean_square

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of the training rows' sds, for each row of x (m, d), shape (m,)."""
        return torch.full((len(x),), self.mean_square)

    def of_rows(self, x: torch.Tensor, noise_sd: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        """Return the known variances (n,)."""
        if noise_sd is None:
            raise TypeError("known noise is built only where noise_sd is given")
        return noise_sd**2, None

    def weights(self, n: int, noise_sd: torch.Tensor | None) -> np.ndarray:
        """Return 1/sd² (n,)."""
        return 1 / self.of_rows(torch.zeros(n), noise_sd)[0].numpy()

    def slopes(self, variance: np.ndarray) -> dict[torch.Tensor, np.ndarray]:
        """Return nothing: there are no parameters."""
        return {}


class Known(Spec):
    """Each row's standard deviation is given with the data (a table's `noise_sd`, `gp.fit(…, noise_sd=…)`)."""

    kind: Literal["known"] = "known"
    by_row: ClassVar[bool] = False  # the same as in its NoiseModel

    def build(self, scope: Scope, path: str) -> KnownNoise:
        """Return the module; it declares no hyperparameter."""
        if scope.noise_sd is None:
            raise InputError(
                Fault(
                    path,
                    "the data name no standard deviation of each row",
                    "name its column, `data.noise_sd`, or learn it: {kind: gaussian}",
                )
            )
        return KnownNoise(float((scope.noise_sd**2).mean()))
