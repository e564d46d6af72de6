"""Transforms of y: a model is of z = g(y), and predictions come back in y's own units.  `Transform` is the registry.

To add one, write a class here with a `kind`, `forward`, `log_slope`, `label` and a `formula`, which is the inverse in
NumPy alone, and add it to `Transform`.
Where z has a lowest value, the probability that a normal has below it counts as probability of y's lowest value.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, model_validator
from scipy.special import log_expit, logit

from ..spec import Fault, FiniteFloat, InputError, OneOf
from .base import Base, Offset
from .powers import POWERS, BoxCox, YeoJohnson, is_learnt, mixed, power_of

__all__ = ["POWERS", "BoxCox", "Log", "Logit", "Sqrt", "Transform", "YeoJohnson", "is_learnt", "mixed", "power_of"]


def from_log(z: np.ndarray, offset: float) -> np.ndarray:
    """Return exp(z) − offset."""
    return np.asarray(np.exp(z) - offset)


def log_normal(mean: np.ndarray, sd: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(μ + σ²/2) − offset and (exp(σ²) − 1) exp(2μ + σ²): mean and variance of a log-normal number."""
    with np.errstate(over="ignore"):
        level = np.exp(mean + 0.5 * sd**2)
        return np.asarray(level - offset), np.asarray(np.expm1(sd**2) * level**2)


def from_sqrt(z: np.ndarray, offset: float) -> np.ndarray:
    """Return z² − offset."""
    return np.asarray(z**2 - offset)


def from_logit(z: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Return lower + (upper − lower)/(1 + exp(−z))."""
    with np.errstate(over="ignore"):
        return np.asarray(lower + (upper - lower) / (1 + np.exp(-z)))


class Log(Offset):
    """z = log(y + offset)."""

    kind: Literal["log"] = "log"
    formula: ClassVar = staticmethod(from_log)
    closed_moments: ClassVar = staticmethod(log_normal)

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return log(y + offset)."""
        with np.errstate(divide="ignore"):
            return np.log(self._shifted(y))

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return −log(y + offset)."""
        return -self.forward(y)

    def label(self, target: str) -> str:
        """Return log(target)."""
        return f"log({self._argument(target)})"


class Sqrt(Offset):
    """z = √(y + offset)."""

    kind: Literal["sqrt"] = "sqrt"
    formula: ClassVar = staticmethod(from_sqrt)

    @property
    def lowest(self) -> float:
        """Return 0."""
        return 0.0

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return √(y + offset)."""
        return np.sqrt(self._shifted(y))

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return −log 2√(y + offset)."""
        with np.errstate(divide="ignore"):
            return -np.log(2 * self.forward(y))

    def label(self, target: str) -> str:
        """Return √target."""
        return f"√({self._argument(target)})"


class Logit(Base):
    """z = log((y − lower)/(upper − y)), for y between two bounds."""

    kind: Literal["logit"] = "logit"
    formula: ClassVar = staticmethod(from_logit)
    lower: FiniteFloat = 0.0
    upper: FiniteFloat = 1.0

    @model_validator(mode="after")
    def _is_an_interval(self) -> "Logit":
        if self.lower >= self.upper:
            raise InputError(Fault("", f"lower must be less than upper (got {self.lower:g} and {self.upper:g})"))
        return self

    @property
    def domain(self) -> tuple[float, float]:
        """Return the bounds."""
        return self.lower, self.upper

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return log((y − lower)/(upper − y))."""
        return np.asarray(logit(np.clip((y - self.lower) / (self.upper - self.lower), 0, 1)))

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return log (upper − lower)/((y − lower)(upper − y))."""
        z = self.forward(y)
        return np.asarray(-log_expit(z) - log_expit(-z) - math.log(self.upper - self.lower))

    def label(self, target: str) -> str:
        """Return logit(target)."""
        return f"logit({target})"

    @property
    def limits(self) -> str:
        """Return in words what y must be."""
        return f"logit needs values between {self.lower:g} and {self.upper:g}"

    def fix(self, smallest: float) -> str:
        """Return what to do where a y is outside the bounds."""
        return "write `lower` and `upper` below transform, beyond all values that y can have"


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Transform = Annotated[Log | Sqrt | BoxCox | YeoJohnson | Logit, OneOf(), BeforeValidator(_from_name)]
