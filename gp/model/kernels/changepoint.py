"""A change point: one kernel before some value of an input, another one after it; or nothing on one side."""

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from gpytorch import kernels
from linear_operator import to_dense
from pydantic import model_validator

from ...parameters.hyperparameters import Positive, Real
from ...parameters.scope import Scope
from ...parameters.vector import Bounds, Units
from ...spec import Fault, InputError, Spec

if TYPE_CHECKING:
    from .composite import Kernel

PLACES = np.linspace(0.1, 0.9, 9)  # quantiles of the input at which a search begins
WIDTH = 0.02  # of the input's range: the width at which it begins


class Changepoint(Spec):
    """σ(x) k_after(x, x′) σ(x′) + (1 − σ(x)) k_before(x, x′) (1 − σ(x′)), σ(x) = 1/(1 + exp(−(x − location)/width)).

    The sigmoid runs along `column`, which only a table of one input need not name.  Lloyd et al. 2014, sec. 2.  A side
    without a kernel is zero; of two change points, one within the other, such sides make a window.
    """

    kind: Literal["changepoint"] = "changepoint"
    before: "Kernel | None" = None
    after: "Kernel | None" = None
    location: Real | None = None
    width: Positive | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _has_a_side(self) -> "Changepoint":
        if self.before is None and self.after is None:
            raise InputError(Fault("", "has a kernel neither before nor after", "write one: `after: {kind: rbf}`"))
        return self

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return the gpytorch kernel; `share` is its starting share of y's variance, on either side."""
        if self.column is None and len(scope.columns) > 1:
            fix = f"write `column: {scope.columns[0]}`, or another"
            raise InputError(Fault(f"{path}.column", f"of {len(scope.columns)} inputs none is named", fix))
        (j,) = scope.active([self.column or scope.columns[0]], path)
        before, after = (
            part.build(scope, f"{path}.{name}", share=share) if part else None
            for name, part in (("before", self.before), ("after", self.after))
        )
        switch, x = Switch(before, after, j), scope.x[:, j]
        low, high = float(x.min()), float(x.max())
        extent = high - low or 1.0
        scope.declare(
            f"{path}.location",
            self.location,
            switch.raw_location,
            default=0.5 * (low + high),
            bounds=Bounds(low, high if high > low else low + extent),
            units=Units(scope.x_scale[j], offset=float(scope.x_offset[j]), reference=extent),
            candidates=partial(_places, j),
        )
        scope.declare(
            f"{path}.width",
            self.width,
            switch.raw_width,
            default=WIDTH * extent,
            bounds=Bounds(1e-3 * extent, 1e2 * extent),
            units=Units(scope.x_scale[j]),
        )
        return switch

    def unit(self, scope: Scope, path: str) -> float:
        """Return 1: the amplitudes of the two kernels carry the units."""
        return 1.0


def _places(j: int, scope: Scope) -> np.ndarray:
    """Return where along column j a change point is looked for first, (k, 1), in internal units."""
    return np.quantile(scope.x[:, j], PLACES)[:, None]


class Switch(kernels.Kernel):
    """The change point from kernel `before` to kernel `after` along column j; raw_width is the width's log."""

    def __init__(self, before: kernels.Kernel | None, after: kernels.Kernel | None, j: int) -> None:
        super().__init__()
        self.before, self.after, self.j = before, after, j
        self.raw_location, self.raw_width = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **options: object) -> torch.Tensor:
        """Return the covariance (n1, n2), or with `diag` that of each row of x1 with the same row of x2."""
        first, second = (torch.sigmoid((x[:, self.j] - self.raw_location) / self.raw_width.exp()) for x in (x1, x2))
        sides = ((self.before, 1 - first, 1 - second), (self.after, first, second))
        parts = [
            (one if diag else one[:, None]) * _value(kernel, x1, x2, diag) * two
            for kernel, one, two in sides
            if kernel is not None
        ]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _value(kernel: kernels.Kernel, x1: torch.Tensor, x2: torch.Tensor, diag: bool) -> torch.Tensor:
    """Return the covariance by the kernel over its own columns."""
    columns = kernel.active_dims
    chosen = (x1, x2) if columns is None else (x1.index_select(-1, columns), x2.index_select(-1, columns))
    return to_dense(kernel.forward(*chosen, diag=diag))
