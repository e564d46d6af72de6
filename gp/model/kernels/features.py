"""Kernels without a lengthscale: lines, polynomials, a constant, and white noise as part of the function."""

import math
from itertools import combinations_with_replacement
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gpytorch import kernels
from pydantic import Field

from ...parameters.hyperparameters import Positive
from ...parameters.scope import Reads, Scope
from ...parameters.vector import Bounds, Softplus, Units
from .leaf import Leaf, Scale, declare_amplitude, log_constraint, scale


def linear(x1: np.ndarray, x2: np.ndarray, variance: Any) -> np.ndarray:
    return (x1 * variance * x2).sum(-1)


def linear_features(x: np.ndarray, variance: Any) -> np.ndarray:
    """Return x √v."""
    return x * np.sqrt(variance)


class Linear(Leaf):
    """v x·x': straight lines through the origin (through the mean of the inputs if the model standardizes x)."""

    kind: Literal["linear"] = "linear"
    formula: ClassVar = staticmethod(linear)
    features: ClassVar = staticmethod(linear_features)
    amplitude: ClassVar[str] = "variance"
    variance: Positive | None = None
    ard: bool = False

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return a kernel of unit variance, in internal units."""
        return InnerProduct(1 if not self.ard else len(active), active_dims=active)

    def unit(self, scope: Scope, path: str) -> float:
        """Return x²."""
        return float(scope.unit(0, 2, scope.active(self.columns, path))[0])

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base`, and declare its variance, in y²/x²."""
        size = scope.x_spread(active) ** 2 + scope.x[:, active].mean(axis=0) ** 2
        start = share * scope.y_spread**2 / (size if self.ard else size.sum())
        scope.declare(
            f"{path}.variance",
            self.variance,
            base.raw_variance,
            default=start,
            bounds=Bounds(1e-10 * float(np.min(start)), 1e8 * float(np.max(start))),
            units=Units(scope.unit(2, -2, active, per_column=self.ard)),
            labels=scope.labels(active, per_column=self.ard),
            amplitude=1,
        )
        return base


def polynomial(x1: np.ndarray, x2: np.ndarray, offset: Any, power: int) -> np.ndarray:
    return ((x1 * x2).sum(-1) + offset) ** power


def polynomial_features(x: np.ndarray, offset: Any, power: int) -> np.ndarray:
    """Return the monomials of degree `power` of (x, √c), each times the root of its multinomial coefficient."""
    x = np.column_stack([x, np.broadcast_to(np.sqrt(offset), (len(x), 1))])
    chosen = list(combinations_with_replacement(range(x.shape[1]), power))
    repeats = [math.prod(math.factorial(which.count(j)) for j in set(which)) for which in chosen]
    roots = np.sqrt([math.factorial(power) / count for count in repeats])
    return np.column_stack([x[:, which].prod(axis=1) for which in chosen]) * roots


class Polynomial(Leaf):
    """s (x·x' + c)^power  (R&W 2006 sec. 4.2.2): polynomials of degree `power`."""

    kind: Literal["polynomial"] = "polynomial"
    formula: ClassVar = staticmethod(polynomial)
    features: ClassVar = staticmethod(polynomial_features)
    power: Annotated[int, Field(ge=1, le=10)] = 2
    offset: Positive | None = None
    outputscale: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's PolynomialKernel."""
        kernel = kernels.PolynomialKernel(power=self.power, active_dims=active, offset_constraint=log_constraint())
        size = float((scope.x[:, active] ** 2).sum(axis=1).mean()) or 1.0
        scope.declare(
            f"{path}.offset",
            self.offset,
            kernel.raw_offset,
            default=size,
            bounds=Bounds(1e-6 * size, 1e6 * size),
            units=Units(scope.unit(0, 2, active)),
        )
        return kernel

    def unit(self, scope: Scope, path: str) -> float:
        """Return x^(2 power)."""
        return float(scope.unit(0, 2 * self.power, scope.active(self.columns, path))[0])

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times an outputscale, in y²/x^(2 power)."""
        return scale(base, self.outputscale, scope, f"{path}.outputscale", share, per=self.unit(scope, path))


def constant(x1: np.ndarray, x2: np.ndarray, constant: Any) -> np.ndarray:
    return np.broadcast_to(constant, np.broadcast_shapes(x1.shape, x2.shape)[:-1])


def constant_features(x: np.ndarray, constant: Any) -> np.ndarray:
    """Return √c."""
    return np.broadcast_to(np.sqrt(constant), (len(x), 1))


class Constant(Leaf):
    """c: one unknown constant, the same at all inputs."""

    kind: Literal["constant"] = "constant"
    formula: ClassVar = staticmethod(constant)
    features: ClassVar = staticmethod(constant_features)
    amplitude: ClassVar[str] = "constant"
    reads: ClassVar[Reads] = "none"
    constant: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return gpytorch's ConstantKernel with constant 1."""
        kernel = kernels.ConstantKernel(constant_constraint=log_constraint())
        kernel.raw_constant.requires_grad_(False).zero_()
        return kernel

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base`, and declare its constant, in y²."""
        base.raw_constant.requires_grad_(True)
        start = share * (scope.y_spread**2 + float(scope.y.mean()) ** 2)
        declare_amplitude(scope, f"{path}.constant", self.constant, base.raw_constant, start)
        return base


def white(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    return (x1 == x2).all(-1) * 1.0


class White(Leaf):
    """sd² if x equals x' exactly, else 0: independent for different inputs, equal for repeats of one input."""

    kind: Literal["white"] = "white"
    formula: ClassVar = staticmethod(white)
    amplitude: ClassVar[str] = "sd"
    reads: ClassVar[Reads] = "any"
    sd: Positive | None = None

    def base(self, scope: Scope, path: str, active: list[int]) -> kernels.Kernel:
        """Return the kernel of unit amplitude."""
        return Equal(active_dims=active)

    def scaled(self, base: kernels.Kernel, scope: Scope, path: str, share: float, active: list[int]) -> kernels.Kernel:
        """Return `base` times sd², sd in y's units."""
        scale = Scale(base, outputscale_constraint=log_constraint(power=2))
        scope.declare(
            f"{path}.sd",
            self.sd,
            scale.raw_outputscale,
            default=0.1 * scope.y_spread,
            bounds=Bounds(1e-6 * scope.y_spread, 1e3 * scope.y_spread),
            units=Units(scope.y_scale),
            amplitude=0.5,
            form=Softplus(power=2),
        )
        return scale


class InnerProduct(kernels.Kernel):
    """v x·x' as a dense matrix (gpytorch's LinearKernel is lazy, and its sums refuse blocks that are not square)."""

    has_lengthscale = False

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.register_parameter("raw_variance", torch.nn.Parameter(torch.zeros(1, size)))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        scaled = x1 * self.raw_variance.exp()
        return (scaled * x2).sum(-1) if diag else scaled @ x2.transpose(-1, -2)


class Equal(kernels.Kernel):
    """1 if the inputs are equal, else 0."""

    is_stationary = True

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: Any) -> torch.Tensor:
        if diag:
            return (x1 == x2).all(-1).to(x1)
        return (x1.unsqueeze(-2) == x2.unsqueeze(-3)).all(-1).to(x1)


Kernels = Linear | Polynomial | Constant | White
