"""Covariances between inducing inputs and rows, and their pullback to hyperparameters and inducing inputs."""

from collections.abc import Iterator

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ...matrices.algebra import closed_form

Cotangent = tuple[torch.Tensor, torch.Tensor]  # a tensor in autograd's graph and its cotangent ∂L/∂tensor


class Covariance:
    """k(Z, x), `value` (m, b), of inducing inputs z (m, d) and rows x (b, d); k(Z, Z) without x.

    If grad is enabled, it has one pullback, to hyperparameters and z.
    """

    def __init__(self, kernel: Kernel, z: torch.Tensor, x: torch.Tensor | None = None) -> None:
        # Blocks of one matrix over both sets of inputs, because its pullback gives gradients for both.
        both = z if x is None else torch.cat([z, x])
        self._blocks = closed_form(kernel, both, both)
        first = slice(0, len(z))
        value, self._derivative = self._blocks.block(first, first if x is None else slice(len(z), len(both)))
        self.value = torch.from_numpy(value)

    def cotangents(self, weight: torch.Tensor) -> Iterator[Cotangent]:
        """Yield (tensor, cotangent ∂L/∂tensor), given the cotangent ∂L/∂value (symmetric for k(Z, Z))."""
        self._derivative.pull(np.ascontiguousarray(weight.numpy()), 1.0)
        return ((tensor, torch.from_numpy(cotangent)) for tensor, cotangent in self._blocks.gradients())


def backward(cotangents: Iterator[Cotangent] | list[Cotangent]) -> None:
    """Run one backward pass from these cotangents, through tensors that require gradients."""
    learnt = [
        torch.dot(tensor.reshape(-1), cotangent.reshape(-1)) for tensor, cotangent in cotangents if tensor.requires_grad
    ]
    if learnt:
        # A scalar, because torch checks the shapes of given gradients with sympy, whose import takes 0.3 s.
        torch.stack(learnt).sum().backward()
