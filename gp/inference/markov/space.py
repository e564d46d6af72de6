"""Kernels of one input as state spaces: k(t, t') is the covariance of hᵀs(t), s being a Markov process.

Between two inputs a step apart, the state s (m,) goes on as s(t + step) = A(step) s(t) + noise, and its variance before
any row is seen is P∞.  A sum of kernels lines their states up, a product takes the Kronecker product of them (Solin &
Särkkä 2014, "Explicit link between periodic covariance functions and state space models", sec. 3.4).  So a state space
is a line of independent *blocks*, each a product of

- decays: Matérn of order 1/2, 3/2, 5/2, in units λ = √(2ν)/ℓ  (Hartikainen & Särkkä 2010, "Kalman filtering and
  smoothing solutions to temporal Gaussian process regression models", sec. 3);
- turns: cos(ωt), a point on a circle; a periodic kernel is a sum of these, with the coefficients of its Fourier series;
- what is new at each input (white noise), and what stays (a constant; polynomials, seen through the features x^k).

Every block's function is its first component, times its feature.  A(step) = exp(step · Σ_j rate_j E_j) with matrices
E_j that commute, so ∂A/∂rate_j = step · E_j A.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Factor:
    """A factor of `count` blocks: matrices A (count or 1, s, s, k) of steps (k,), and P∞ (s, s) of unit variance.

    Where it has a `rate`, block b moves at the rate times its multiple `times` (count,), and E (s, s) generates A.
    """

    matrices: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of rates (count,) and steps (k,)
    variance: np.ndarray
    rate: torch.Tensor | None = None
    times: np.ndarray | None = None
    generator: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Return s."""
        return len(self.variance)

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Return A of the steps (k,), (count or 1, s, s, k)."""
        rates = np.ones(1) if self.rate is None or self.times is None else self.rate.item() * self.times
        return self.matrices(rates, steps)


@dataclass(frozen=True, eq=False)
class Blocks:
    """`count` blocks of the same factors, with `variances` (count,), a tensor, and features x^`powers` (count,)."""

    factors: tuple[Factor, ...]
    variances: torch.Tensor
    powers: np.ndarray

    @property
    def count(self) -> int:
        """Return how many blocks there are."""
        return len(self.powers)

    @property
    def size(self) -> int:
        """Return the number of states of one block."""
        return math.prod(factor.size for factor in self.factors)

    @property
    def variance(self) -> np.ndarray:
        """Return P∞ of a block of unit variance, (s, s)."""
        return reduce(np.kron, (factor.variance for factor in self.factors), np.ones((1, 1)))

    def at(self, steps: np.ndarray) -> np.ndarray | None:
        """Return A of the steps (k,), (count or 1, s, s, k); None where it is 1."""
        moving = [factor.at(steps) for factor in self.factors]
        return reduce(_kron, moving) if moving else None

    def slopes(self, by_step: np.ndarray) -> Iterator[tuple[torch.Tensor, float]]:
        """Yield each rate, and the derivative by it.

        `by_step` (count, s, s) is Σ step · Ā Aᵀ over the rows, Ā being the derivative by the elements of A.
        """
        sizes = [factor.size for factor in self.factors]
        for j, factor in enumerate(self.factors):
            if factor.rate is not None and factor.generator is not None and factor.times is not None:
                before, after = np.eye(math.prod(sizes[:j])), np.eye(math.prod(sizes[j + 1 :]))
                whole = np.kron(np.kron(before, factor.generator), after)
                yield factor.rate, float(np.einsum("bij,ij,b->", by_step, whole, factor.times))

    def __mul__(self, other: "Blocks") -> "Blocks":
        """Return the blocks of the product of two kernels: each of these with each of the others."""
        own = [_repeated(factor, np.repeat(np.arange(self.count), other.count)) for factor in self.factors]
        others = [_repeated(factor, np.tile(np.arange(other.count), self.count)) for factor in other.factors]
        variances = (self.variances[:, None] * other.variances).reshape(-1)
        return Blocks((*own, *others), variances, np.add.outer(self.powers, other.powers).reshape(-1))


def _repeated(factor: Factor, index: np.ndarray) -> Factor:
    return factor if factor.times is None else replace(factor, times=factor.times[index])


def _kron(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product = a[:, :, None, :, None] * b[:, None, :, None, :]
    count, i, k, *_, steps = product.shape
    return product.reshape(count, i * k, i * k, steps)


class Space:
    """The state space of a kernel of one input at its hyperparameters: m states in blocks."""

    def __init__(self, blocks: list[Blocks]) -> None:
        self.blocks = blocks
        self._shapes = [(one.count, one.size) for one in blocks]
        self.starts = np.cumsum([0, *(count * size for count, size in self._shapes)]).tolist()
        self.size = self.starts[-1]
        # The first state of each block, which is what is seen of it.
        self.seen = np.concatenate(
            [start + one.size * np.arange(one.count) for start, one in zip(self.starts, blocks, strict=False)]
        )
        self._powers = np.concatenate([one.powers for one in blocks])
        self.turning = sum(one.count * one.size**2 for one in blocks)  # elements of A
        self.variance = np.zeros((self.size, self.size))
        for start, one in zip(self.starts, blocks, strict=False):
            for b, variance in enumerate(one.variances.detach().numpy()):
                own = slice(start + b * one.size, start + (b + 1) * one.size)
                self.variance[own, own] = variance * one.variance

    def features(self, x: np.ndarray) -> np.ndarray | None:
        """Return each block's feature at inputs x (k,), (blocks, k); None where all are 1."""
        return x ** self._powers[:, None] if self._powers.any() else None

    def at(self, steps: np.ndarray) -> list[np.ndarray | None]:
        """Return A of the steps (k,), for each kind of block (count or 1, s, s, k); None where it is 1."""
        return [one.at(steps) for one in self.blocks]

    def turn(self, matrices: list[np.ndarray | None], states: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Return A · states (m, w, k) for A of k steps, or with `back` Aᵀ · states."""
        form, of_one = ("bjic,bjwc->biwc", "jic,jwc->iwc") if back else ("bijc,bjwc->biwc", "ijc,jwc->iwc")
        if len(self.blocks) == 1 and matrices[0] is not None and self._shapes[0][0] == 1:
            return np.einsum(of_one, matrices[0][0], states)
        turned = np.empty_like(states)
        for (count, size), matrix, start, stop in zip(
            self._shapes, matrices, self.starts, self.starts[1:], strict=False
        ):
            if matrix is None:
                turned[start:stop] = states[start:stop]
            elif count == 1:
                np.einsum(of_one, matrix[0], states[start:stop], out=turned[start:stop])
            else:
                if len(matrix) < count:
                    matrix = np.broadcast_to(matrix, (count, *matrix.shape[1:]))
                parts = states[start:stop].reshape(count, size, *states.shape[1:])
                turned[start:stop] = np.einsum(form, matrix, parts).reshape(stop - start, *states.shape[1:])
        return turned

    def own(self, matrix: np.ndarray) -> list[np.ndarray]:
        """Return what of a matrix (m, m, …) is on the diagonal blocks, for each kind of block (count, s, s, …)."""
        found = []
        for one, start in zip(self.blocks, self.starts, strict=False):
            at = start + one.size * np.arange(one.count)[:, None] + np.arange(one.size)
            found.append(matrix[at[:, :, None], at[:, None, :]])
        return found

    def pull(self, by_variance: list[np.ndarray], by_step: list[np.ndarray]) -> torch.Tensor:
        """Return a scalar whose derivatives by the kernel's parameters are those of the likelihood.

        `by_variance` and `by_step` (count, s, s) for each kind of block: derivatives by P∞'s elements, and those of
        `Blocks.slopes`.
        """
        total = torch.zeros(())
        for one, variance, step in zip(self.blocks, by_variance, by_step, strict=True):
            total = total + torch.dot(one.variances, torch.from_numpy(np.einsum("bij,ij->b", variance, one.variance)))
            for rate, slope in one.slopes(step):
                total = total + rate * slope
        return total
