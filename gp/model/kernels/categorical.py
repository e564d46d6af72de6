"""Kernels over levels, the values of categorical inputs: they ask only whether two levels are the same."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch import kernels
from pydantic import Field

from ...parameters.hyperparameters import Positive, Real
from ...parameters.scope import Reads, Scope
from ...parameters.vector import Bounds, Units
from ...spec import Fault, InputError
from .leaf import Leaf, log_constraint

_TRIED = (0.25, 1.0, 4.0, 16.0, 64.0)  # lengthscales: two levels correlate by 0.02, 0.37, 0.78, 0.94, 0.98
_EVEN = 1.4427  # 1/log 2: two levels correlate by ½


def categorical(x1: np.ndarray, x2: np.ndarray, lengthscale: Any) -> np.ndarray:
    return np.exp(-((x1 != x2) / np.broadcast_to(lengthscale, (1, x1.shape[-1]))).sum(-1))


class Categorical(Leaf):
    """exp(−Σ_j [a_j ≠ b_j]/ℓ_j), over categorical inputs j: any two levels of one correlate by ρ = exp(−1/ℓ).

    All pairs of levels are alike (compound symmetry; Roustant et al. 2020, "Group kernels for Gaussian process
    metamodels with categorical inputs", sec. 2).  A level without training rows correlates by ρ with each other one.
    """

    kind: Literal["categorical"] = "categorical"
    formula: ClassVar = staticmethod(categorical)
    reads: ClassVar[Reads] = "levels"
    lengthscale: Positive | None = None
    outputscale: Positive | None = None
    ard: bool = True

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the kernel; its lengthscale has no unit."""
        kernel = Differing(len(active) if self.ard else 1, active_dims=active)
        scope.declare(
            f"{path}.lengthscale",
            self.lengthscale,
            kernel.raw_lengthscale,
            default=_EVEN * (1 if self.ard else len(active)),
            bounds=Bounds(0.03, 1e5),
            labels=scope.labels(active, per_column=self.ard),
            candidates=partial(_tried, kernel.raw_lengthscale.numel()),
        )
        return kernel


def low_rank(x1: np.ndarray, x2: np.ndarray, weights: Any, known: Any) -> np.ndarray:
    u, a, b = weights / np.sqrt(1 + (weights**2).sum(-1, keepdims=True)), x1[..., 0], x2[..., 0]
    is_level = [(numbers[..., None] == known) * 1.0 for numbers in (a, b)]
    first, second = (at @ u + (1 - at.sum(-1, keepdims=True)) * u.mean(0) for at in is_level)
    return np.where(a == b, 1.0, (first * second).sum(-1))


class LowRank(Leaf):
    """u_a·u_b + [a = b] (1 − |u_a|²) over one categorical input: each pair of levels has its own correlation u_a·u_b.

    u_a = w_a/(1 + |w_a|²)^½, and w_a has `rank` learnt weights for each level of the training rows (after Bonilla et
    al. 2008, "Multi-task Gaussian process prediction", eq. 5).  The vector u of any other level is the mean of these:
    it correlates with each known level as these do on average.
    """

    kind: Literal["low_rank"] = "low_rank"
    formula: ClassVar = staticmethod(low_rank)
    reads: ClassVar[Reads] = "levels"
    rank: Annotated[int, Field(ge=1, le=10)] = 1
    weights: Real | None = None
    outputscale: Positive | None = None
    columns: list[str] | None = Field(None, min_length=1, max_length=1)

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the kernel; its weights have no unit, and start where levels correlate by about a half."""
        if len(active) > 1:
            raise InputError(
                Fault(
                    f"{path}.columns", f"reads one categorical input, not {len(active)}", "name one; multiply several"
                )
            )
        levels = scope.levels[scope.columns[active[0]]]
        known = np.unique(scope.x[:, active[0]]).astype(int)
        kernel = Correlated(known.tolist(), self.rank, active_dims=active)
        # Columns of different starts: equal ones would stay equal.
        start = np.cos(np.outer(np.arange(len(known)), np.arange(self.rank)))
        scope.declare(
            f"{path}.weights",
            self.weights,
            kernel.weights,
            default=start.ravel(),
            units=Units(),
            labels=[f"{levels[a]}.{r}" if self.rank > 1 else levels[a] for a in known for r in range(self.rank)],
        )
        return kernel


class Differing(kernels.Kernel):
    """exp(−Σ_j [a_j ≠ b_j]/ℓ_j), with one lengthscale or `size` of them."""

    is_stationary = True

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.register_parameter("raw_lengthscale", torch.nn.Parameter(torch.zeros(1, size)))
        self.register_constraint("raw_lengthscale", log_constraint())

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        rates = (-self.raw_lengthscale[0]).exp().expand(x1.shape[-1])
        differ = x1 != x2 if diag else x1.unsqueeze(-2) != x2.unsqueeze(-3)
        return (-(differ.to(rates) @ rates)).exp()


class Correlated(kernels.Kernel):
    """u_a·u_b + [a = b] (1 − |u_a|²), with weights of the `known` levels, by number."""

    is_stationary = True

    def __init__(self, known: list[int], rank: int, **options: Any) -> None:
        super().__init__(**options)
        self.known = torch.tensor(known, dtype=torch.float64)
        self.weights = torch.nn.Parameter(torch.zeros(len(known), rank))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        if diag:
            return torch.ones(len(x1)) + 0 * self.weights.sum()
        equal = x1 == x2.T
        u1, u2 = self._vectors(x1[:, 0]), self._vectors(x2[:, 0])
        return torch.where(equal, 1.0, u1 @ u2.T)

    def _vectors(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the vector u of each row's level, (m, rank)."""
        u = self.weights / (1 + self.weights.square().sum(-1, keepdim=True)).sqrt()
        is_level = (numbers[:, None] == self.known).to(u)
        return is_level @ u + (1 - is_level.sum(-1, keepdim=True)) * u.mean(0)


def _tried(size: int, scope: Scope) -> np.ndarray:
    return np.tile(np.array(_TRIED)[:, None], (1, size))


Kernels = Categorical | LowRank
