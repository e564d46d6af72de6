"""Covariances between inducing inputs and rows, and the way back from them to hyperparameters and inducing inputs."""

from collections.abc import Iterator

import numpy as np
import torch
from gpytorch.kernels import Kernel

from gp.matrices.algebra import closed_form

Seed = tuple[torch.Tensor, torch.Tensor]  # a tensor within autograd's graph, and ∂L/∂ it


class Covariance:
    """k(Z, x), `value` (m, b), of inducing inputs z (m, d) and rows x (b, d); k(Z, Z) where x is left out.

    Where grad is enabled, it can be taken back once, to hyperparameters and z.
    """

    def __init__(self, kernel: Kernel, z: torch.Tensor, x: torch.Tensor | None = None) -> None:
        # As blocks of one matrix, whose kernels then know their way back to the inputs on both sides.
        both = z if x is None else torch.cat([z, x])
        self._blocks = closed_form(kernel, both, both)
        first = slice(0, len(z))
        value, self._derivative = self._blocks.block(first, first if x is None else slice(len(z), len(both)))
        self.value = torch.from_numpy(value)

    def seeds(self, weight: torch.Tensor) -> Iterator[Seed]:
        """Yield tensors with ∂L/∂ them, given the weight ∂L/∂value (symmetric, of k(Z, Z))."""
        self._derivative.pull(np.ascontiguousarray(weight.numpy()), 1.0)
        return ((tensor, torch.from_numpy(seed)) for tensor, seed in self._blocks.gradients())


def backward(seeds: Iterator[Seed] | list[Seed]) -> None:
    """Take gradients back through what learns."""
    learnt = [torch.dot(tensor.reshape(-1), seed.reshape(-1)) for tensor, seed in seeds if tensor.requires_grad]
    if learnt:
        # One number: torch checks the shapes of gradients that it is given with sympy, whose import takes 0.3 s.
        torch.stack(learnt).sum().backward()
