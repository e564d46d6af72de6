"""What an evaluation of harmonic inference is made of: sums over rows, the solved model, its mean's coefficients."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Flat:
    """Mean coefficients β (q,) that are integrated out: a root of their posterior covariance, L⁻¹D^½ΦᵀH/σ² (p, q), and
    rootᵀHᵀK⁻¹r (q,).  `tensors` are the model's that hold them.
    """

    tensors: tuple[torch.Tensor, ...]
    root: torch.Tensor
    projected: torch.Tensor
    explained: torch.Tensor

    @property
    def log_likelihood(self) -> torch.Tensor:
        """Return what integrating adds to the log likelihood, nats."""
        value: torch.Tensor = 0.5 * (self.explained @ self.explained) + self.root.diagonal().log().sum()
        return value + 0.5 * len(self.root) * math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Sums:
    """ΦᵀΦ, Φᵀy, ΦᵀH, Hᵀy, HᵀH and yᵀy of Fourier features Φ (n, p) and the mean's columns H (n, q).

    `coefficients` are the mean's, in the order of its columns; `dependence` is ρ.
    """

    gram: torch.Tensor
    moment: torch.Tensor
    crossed: torch.Tensor
    by_target: torch.Tensor
    squared: torch.Tensor
    square: float
    coefficients: list[torch.Tensor]
    dependence: float

    def at(self, kept: np.ndarray) -> "Sums":
        """Return the sums of some of the features, indices; the dependence is that with all of them."""
        return replace(self, gram=self.gram[np.ix_(kept, kept)], moment=self.moment[kept], crossed=self.crossed[kept])


@dataclass(frozen=True, eq=False)
class Solved:
    """ρσ², D^½ (p,), the factor L of I + D^½ΦᵀΦD^½/ρσ², L⁻¹D^½Φᵀr/ρσ² (p,), and rᵀr, r = y − m, of n rows."""

    noise: torch.Tensor
    root: torch.Tensor
    factor: torch.Tensor
    projected: torch.Tensor
    square: torch.Tensor
    n: int
    dependence: float

    @property
    def log_likelihood(self) -> torch.Tensor:
        """Return log N(r | 0, ΦDΦᵀ + σ²I) in nats, by the determinant lemma; with ρ, of the likelihood's power 1/ρ."""
        fit = self.square / self.noise - self.projected @ self.projected
        log_determinant = 2 * self.factor.diagonal().log().sum()
        constant = self.n / self.dependence * (2 * math.pi * self.noise / self.dependence).log()
        value: torch.Tensor = -0.5 * (fit + log_determinant + constant)
        return value
