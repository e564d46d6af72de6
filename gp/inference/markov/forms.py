"""Kernels as blocks of a state space; `FORMS` is their registry.

To add one, write a function kernel → blocks, and add its line there.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from gpytorch import kernels
from gpytorch.kernels import Kernel

from ...matrices.cholesky import NotPositiveDefinite
from ...model.kernels.features import Equal, InnerProduct
from ...spec import Fault, InputError
from ..waves import fourier_series
from .space import Blocks, Factor

MOST = 100  # harmonics of a periodic kernel
TAIL = 1e-13  # share of a periodic kernel's variance, below which a harmonic is left out
LEFT = 1e-10  # largest share of it that may be beyond MOST harmonics


def _holding(variances: torch.Tensor, powers: np.ndarray | None = None) -> Blocks:
    """Return blocks of one state that stays, (count,)."""
    return Blocks((), variances, np.zeros(len(variances), dtype=int) if powers is None else powers)


# Matérn p + 1/2 with states f, f'/λ, …: A(u) = e^{−u} Σ_k u^k (E + I)^k/k!, u = λ · step.
_COMPANIONS = {
    0.5: np.array([[-1.0]]),
    1.5: np.array([[0.0, 1.0], [-1.0, -2.0]]),
    2.5: np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, -3.0, -3.0]]),
}
_VARIANCES = {
    0.5: np.eye(1),
    1.5: np.eye(2),
    2.5: np.array([[1.0, 0.0, -1 / 3], [0.0, 1 / 3, 0.0], [-1 / 3, 0.0, 1.0]]),
}


def _matern(kernel: kernels.MaternKernel) -> list[Blocks]:
    companion = _COMPANIONS[kernel.nu]
    size = len(companion)
    powers = [np.linalg.matrix_power(companion + np.eye(size), k) / math.factorial(k) for k in range(size)]

    def matrices(rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
        u = np.multiply.outer(rates, steps)
        decay, found = np.exp(-u), np.empty((len(rates), size, size, len(steps)))
        for i in range(size):
            for j in range(size):
                value = np.full_like(u, powers[-1][i, j])
                for power in powers[-2::-1]:  # Horner's scheme
                    value *= u
                    value += power[i, j]
                found[:, i, j] = decay * value
        return found

    rate = math.sqrt(2 * kernel.nu) / kernel.lengthscale.reshape(())
    decay = Factor(matrices, _VARIANCES[kernel.nu], rate, np.ones(1), companion)
    return [Blocks((decay,), torch.ones(1), np.zeros(1, dtype=int))]


def _turns(frequency: torch.Tensor, times: np.ndarray, variances: torch.Tensor) -> Blocks:
    """Return cosines at multiples `times` (count,) of the angular frequency."""

    def matrices(rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
        angle = np.multiply.outer(rates, steps)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)

    turn = Factor(matrices, np.eye(2), frequency, times, np.array([[0.0, 1.0], [-1.0, 0.0]]))
    return Blocks((turn,), variances, np.zeros(len(times), dtype=int))


def _periodic(kernel: kernels.PeriodicKernel) -> list[Blocks]:
    series, left = fourier_series(kernel, MOST)
    if left > LEFT:
        raise NotPositiveDefinite(
            Fault(
                "",
                f"{MOST} harmonics leave out {left:.1e} of a periodic kernel's variance at lengthscale "
                f"{math.exp(kernel.raw_lengthscale.item()):.3g}",
                "raise that lengthscale's `lower`, or write inference: {kind: exact}",
            )
        )
    needed = int((series.detach().numpy() > TAIL).sum())
    turns = _turns(2 * math.pi / kernel.period_length.reshape(()), np.arange(1.0, needed), series[1:needed])
    return [_holding(series[:1]), turns]


def _cosine(kernel: kernels.CosineKernel) -> list[Blocks]:
    # gpytorch's period is half of the book's.
    return [_turns(math.pi / kernel.period_length.reshape(()), np.ones(1), torch.ones(1))]


def _constant(kernel: kernels.ConstantKernel) -> list[Blocks]:
    return [_holding(kernel.constant.reshape(1))]


def _inner_product(kernel: InnerProduct) -> list[Blocks]:
    return [_holding(kernel.raw_variance.exp().reshape(1), np.ones(1, dtype=int))]


def _polynomial(kernel: kernels.PolynomialKernel) -> list[Blocks]:
    degree = int(kernel.power)
    powers = np.arange(degree + 1)
    binomials = torch.tensor([float(math.comb(degree, k)) for k in powers])
    return [_holding(binomials * kernel.offset.reshape(()) ** torch.from_numpy(degree - powers), powers)]


def _equal(kernel: Equal) -> list[Blocks]:
    def matrices(rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
        return (steps == 0).astype(float)[None, None, None]

    return [Blocks((Factor(matrices, np.eye(1)),), torch.ones(1), np.zeros(1, dtype=int))]


def _scaled(kernel: kernels.ScaleKernel) -> list[Blocks]:
    return [replace(one, variances=one.variances * kernel.outputscale) for one in blocks_of(kernel.base_kernel)]


def _sum(kernel: kernels.AdditiveKernel) -> list[Blocks]:
    return [one for term in kernel.kernels for one in blocks_of(term)]


def _product(kernel: kernels.ProductKernel) -> list[Blocks]:
    factors = [blocks_of(factor) for factor in kernel.kernels]
    return reduce(lambda left, right: [a * b for a in left for b in right], factors)


FORMS: dict[type[Kernel], Callable[[Kernel], list[Blocks]]] = {
    kernels.MaternKernel: _matern,
    kernels.PeriodicKernel: _periodic,
    kernels.CosineKernel: _cosine,
    kernels.ConstantKernel: _constant,
    kernels.PolynomialKernel: _polynomial,
    InnerProduct: _inner_product,
    Equal: _equal,
    kernels.ScaleKernel: _scaled,
    kernels.AdditiveKernel: _sum,
    kernels.ProductKernel: _product,
}


def blocks_of(kernel: Kernel) -> list[Blocks]:
    """Return the kernel's blocks at its hyperparameters.  Raises InputError where it has no state space."""
    form = next((form for kind, form in FORMS.items() if isinstance(kernel, kind)), None)
    if form is None:
        raise InputError(_no_form(kernel, "inference"))
    return form(kernel)


def column_of(kernel: Kernel, where: str = "inference") -> int:
    """Return the one input column that the kernel reads.  Raises InputError, at `where`, if it has no state space."""
    columns = set[int]()
    for part in kernel.modules():
        if isinstance(part, Kernel) and not isinstance(part, tuple(FORMS)):
            raise InputError(_no_form(part, where))
        active = getattr(part, "active_dims", None)
        columns |= set() if active is None or isinstance(part, kernels.ConstantKernel) else set(active.tolist())
    if len(columns) > 1:
        raise InputError(
            Fault(
                where,
                f"markov inference takes a kernel of one input (got {len(columns)})",
                "write inference: {kind: auto}, or name one column in the kernel's `columns`",
            )
        )
    return columns.pop() if columns else 0


def _no_form(kernel: Kernel, where: str) -> Fault:
    name = type(kernel).__name__.removesuffix("Kernel").strip("_").lower()
    return Fault(
        where,
        "markov inference takes matern, periodic, cosine, linear, polynomial, constant and white kernels, and sums and "
        f"products of these (got {name})",
        "write inference: {kind: auto}, or take a matern kernel of nu 2.5",
    )
