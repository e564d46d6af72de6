"""Distances between neighbours: inputs by the kernel's lengthscales, with ratios rounded to powers of two."""

import numpy as np
from gpytorch import kernels
from gpytorch.kernels import Kernel

from ...model.model import GaussianProcess
from ...parameters.scope import spread
from ...parameters.vector import Learnt

LEAST = -10  # log₂ of how little a column may count beside the one that counts most


def scaled_inputs(gp: GaussianProcess) -> np.ndarray:
    """Return the training inputs (n, d) as distances between neighbours are measured."""
    return np.asarray(gp.scope.x / units(gp))


def units(gp: GaussianProcess) -> np.ndarray:
    """Return each column's unit of distance between neighbours, (d,)."""
    return spread(gp.scope.x) / np.exp2(scales(gp))


def scales(gp: GaussianProcess) -> tuple[int, ...]:
    """Return log₂ of how much each column's spread counts, beside the one that counts most, rounded."""
    d, lengthscales = gp.x.shape[1], {id(p.tensor): p for p in gp.parameters.all if p.is_distance}
    rates = _inverse_lengthscales(gp.kernel, lengthscales, np.arange(d), d)
    moves = np.where(rates > 0, rates * spread(gp.scope.x), 1.0)
    return tuple(np.maximum(np.round(np.log2(moves / moves.max())), LEAST).astype(int).tolist())


def _inverse_lengthscales(kernel: Kernel, lengthscales: dict[int, Learnt], columns: np.ndarray, d: int) -> np.ndarray:
    """Return one over the kernel's shortest lengthscale in each column, (d,); 0 where it has none.

    `lengthscales` are those that kernels declared as distances (`is_distance`), by the identity of their tensors:
    a kernel of any class tells its own.  `columns` are those that the kernel is given; lengthscales of a product's
    factors are joined as one RBF's would be.
    """
    if isinstance(kernel, kernels.ScaleKernel):
        return _inverse_lengthscales(kernel.base_kernel, lengthscales, columns, d)
    own = columns if kernel.active_dims is None else columns[kernel.active_dims.numpy()]
    if isinstance(kernel, kernels.AdditiveKernel):
        return np.max([_inverse_lengthscales(part, lengthscales, own, d) for part in kernel.kernels], axis=0)
    if isinstance(kernel, kernels.ProductKernel):
        return np.linalg.norm([_inverse_lengthscales(part, lengthscales, own, d) for part in kernel.kernels], axis=0)
    rates = np.zeros(d)
    for tensor in kernel.parameters():
        if id(tensor) in lengthscales:
            rates[own] = np.maximum(rates[own], np.exp(-lengthscales[id(tensor)].raw_values()))
    return rates
