"""What every transform of y does: it maps values and densities, and takes forecasts of z = g(y) back to y."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import ndtr

from ..spec import Fault, FiniteFloat, InputError, Spec, kind_of

REACH = 10.0  # sds of a normal over which moments are integrated
TAIL = 1e-8  # probability beyond which a distribution function is taken as 0 or 1
# Probabilities between which a distribution function is integrated piece by piece.
PIECES = (TAIL, 1e-3, 0.05, 0.5, 0.95, 1 - 1e-3, 1 - TAIL)
MANY, FEW = (np.polynomial.legendre.leggauss(n) for n in (64, 16))  # nodes and weights of a piece
TINY = 1e-300


class Base(Spec):
    """A strictly increasing function g from the `domain` of y, an open interval, onto the values of z.

    `formula` is its inverse in NumPy alone, of z and the `numbers` by name, which gp.export writes out, and so is
    `closed_moments`, if there is one: mean and variance of y, of mean and sd of a normal z and the numbers.
    """

    formula: ClassVar[Callable[..., np.ndarray]]
    closed_moments: ClassVar[Callable[..., tuple[np.ndarray, np.ndarray]] | None] = None
    inward: ClassVar[Callable[..., np.ndarray] | None] = (
        None  # z of y and the numbers, where a mixture may have several
    )
    kink: ClassVar[float] = -math.inf  # a z where y is no smooth function of it: integrals have an end there

    @property
    def domain(self) -> tuple[float, float]:
        """Return the open interval of what y can be."""
        return -math.inf, math.inf

    @property
    def lowest(self) -> float:
        """Return the lowest value of z."""
        return -math.inf

    @property
    def is_mixed(self) -> bool:
        """Return whether the parts of a mixture have functions of their own: those here then return (S, m)."""
        return False

    @property
    def reference(self) -> Self:
        """Return one function that stands for all."""
        return self

    def part(self, rows: Any) -> Self:
        """Return the transform of some of m numbers: a slice, indices or a mask."""
        return self

    def each(self, parts: Any) -> Self:
        """Return the transform of some parts of a mixture: that of one is not mixed."""
        return self

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return z = g(y), of the shape of y; at and beyond an end of the domain, what z tends to."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """Return the arguments of `formula` besides z."""
        return self.model_dump(exclude={"kind"})

    def backward(self, z: np.ndarray) -> np.ndarray:
        """Return y = g⁻¹(z), of the shape of z, which is at least the lowest value of z."""
        return type(self).formula(z, **self.numbers())

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return log g′(y), nats: added to a log density of z, it gives that of y."""
        raise NotImplementedError

    def label(self, target: str) -> str:
        """Return what z is, in words: log(passengers)."""
        raise NotImplementedError

    def of(self, z: np.ndarray) -> np.ndarray:
        """Return y at any z: below the lowest value of z, the lowest of y."""
        with np.errstate(over="ignore"):
            return self.backward(np.maximum(z, self.lowest))

    def moments(self, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of y where z is N(mean, sd²), arrays of one shape: by Gauss–Legendre quadrature."""
        if (closed := type(self).closed_moments) is not None:
            return closed(mean, sd, **self.numbers())
        centre, first, second = self.of(mean), np.zeros_like(mean), np.zeros_like(mean)
        for _, share, apart in self._nodes(mean, np.maximum(sd, TINY)):
            first, second = first + share * apart, second + share * apart**2
        return centre + first, np.maximum(second - first**2, 0.0)

    def _nodes(self, mean: np.ndarray, sd: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the nodes u = (z − μ)/σ of a quadrature, shares of probability, and y at z less y at μ.

        First comes all that lies below the lowest value of z, or REACH, as one node of y's lowest value.
        """
        with np.errstate(over="ignore"):
            low, kink = (np.clip((at - mean) / sd, -REACH, REACH) for at in (self.lowest, self.kink))
        centre = self.of(mean)
        yield low, ndtr(low), self.of(mean + sd * low) - centre
        inner = [np.maximum(kink, low)] if math.isfinite(self.kink) else []
        for start, end in pairwise([low, *inner, np.full_like(low, REACH)]):
            half = 0.5 * (end - start)
            for node, weight in zip(*MANY, strict=True):
                u = start + half * (1 + node)
                share = weight * half * np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
                yield u, share, self.of(mean + sd * u) - centre

    def crps(
        self, observed: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray], quantile: Callable[[float], np.ndarray]
    ) -> np.ndarray:
        """Return ∫ (F(t) − 1{t ≥ y})² dt (m,) at y = `observed` (m,), in y's units; `cdf` and `quantile` are of z.

        Gneiting & Raftery 2007, eq. 20, with the opposite sign.  The integral is taken piece by piece over z.
        """
        at = self.forward(observed)
        ends = [np.maximum(quantile(share), self.lowest) for share in PIECES]
        low, high = self.of(ends[0]), self.of(ends[-1])
        score = np.maximum(low - observed, 0) + np.maximum(observed - high, 0)
        for start, end in pairwise(ends):
            cut = np.clip(at, start, end)
            for left, right, above in ((start, cut, 0.0), (cut, end, 1.0)):
                half = 0.5 * (right - left)
                for node, weight in zip(*FEW, strict=True):
                    z = left + half * (1 + node)
                    with np.errstate(over="ignore", invalid="ignore"):  # of an empty piece, which is not taken
                        part = weight * half * np.exp(-self.log_slope(self.of(z))) * (cdf(z) - above) ** 2
                    score = score + np.where(half > 0, part, 0.0)
        return score

    def check(self, y: np.ndarray, what: str, path: str = "model.transform") -> None:
        """Raise InputError where a value of y, which is called `what`, is outside the domain."""
        low, high = self.domain
        outside = np.flatnonzero(~((y > low) & (y < high)))
        if outside.size:
            raise InputError(
                Fault(
                    path,
                    f"{what} is {y[outside[0]]:g} in row {outside[0]} ({outside.size} such rows), and {self.limits}",
                    self.fix(float(y.min())),
                )
            )

    @property
    def limits(self) -> str:
        """Return in words what y must be."""
        low, _ = self.domain
        return f"{kind_of(type(self))} needs values above {low:g}"

    def fix(self, smallest: float) -> str:
        """Return what to do where the smallest y is outside the domain."""
        return f"write an `offset` above {-smallest:g} below transform, or `yeo_johnson`, which takes any y"


class Offset(Base):
    """A function of y + offset, which must be positive."""

    offset: FiniteFloat = 0.0

    @property
    def domain(self) -> tuple[float, float]:
        """Return the open interval of what y can be."""
        return 0.0 - self.offset, math.inf

    def _shifted(self, y: np.ndarray) -> np.ndarray:
        return np.maximum(y + self.offset, 0.0)

    def _argument(self, target: str) -> str:
        return f"{target} {'+' if self.offset > 0 else '−'} {abs(self.offset):g}" if self.offset else target
