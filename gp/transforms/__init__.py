"""Transforms of y: a model is of z = g(y), and predictions come back in y's own units.  `Transform` is the registry.

To add one, write a class here with a `kind`, `forward`, `log_slope`, `label` and a `formula`, which is the inverse in
NumPy alone, and add it to `Transform`.
Where z has a lowest value, the probability that a normal has below it counts as probability of y's lowest value.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from scipy.special import log_expit, logit

from ..spec import Fault, FiniteFloat, InputError, OneOf
from .base import Base

POWERS = (0.0, 2.0)  # of a Box–Cox or Yeo–Johnson transform, between which forecasts of y have a mean
Power = Annotated[float, Field(ge=POWERS[0], le=POWERS[1], allow_inf_nan=False)]


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


def from_box_cox(z: np.ndarray, offset: float, power: float) -> np.ndarray:
    """Return (1 + λz)^(1/λ) − offset, with λ = `power`."""
    with np.errstate(divide="ignore"):
        log = np.log1p(np.maximum(power * z, -1.0)) / power if power > 1e-8 else z
        return np.asarray(np.exp(log) - offset)


def from_yeo_johnson(z: np.ndarray, power: float) -> np.ndarray:
    """Return the inverse of Yeo & Johnson's function with λ = `power`."""
    size, powers = np.abs(z), np.where(z >= 0, power, 2 - power)
    small = powers < 1e-8
    with np.errstate(over="ignore"):
        log = np.where(small, size, np.log1p(powers * size) / np.where(small, 1.0, powers))
        return np.asarray(np.sign(z) * np.expm1(log))


def from_logit(z: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Return lower + (upper − lower)/(1 + exp(−z))."""
    with np.errstate(over="ignore"):
        return np.asarray(lower + (upper - lower) / (1 + np.exp(-z)))


class _Offset(Base):
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


class Log(_Offset):
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


class Sqrt(_Offset):
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


class BoxCox(_Offset):
    """z = ((y + offset)^λ − 1)/λ, the logarithm at λ = 0  (Box & Cox 1964, eq. 1); `power` is λ, learnt if not given.

    A negative λ is refused: forecasts of y then have no finite mean.
    """

    kind: Literal["box_cox"] = "box_cox"
    formula: ClassVar = staticmethod(from_box_cox)
    power: Power | None = None

    @property
    def lowest(self) -> float:
        """Return −1/λ."""
        return -1 / self._power if self._power else -math.inf

    @property
    def _power(self) -> float:
        return 1.0 if self.power is None else self.power

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return ((y + offset)^λ − 1)/λ."""
        with np.errstate(divide="ignore"):
            return _box_cox(np.log(self._shifted(y)), self._power)

    def numbers(self) -> dict[str, Any]:
        """Return offset and power."""
        return {"offset": self.offset, "power": self._power}

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return (λ − 1) log(y + offset)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (self._power - 1) * np.log(self._shifted(y))
        return np.where(np.isnan(slope), 0.0, slope)  # 0 · −∞

    def label(self, target: str) -> str:
        """Return Box–Cox(target)."""
        return f"Box–Cox({self._argument(target)}, λ = {self._power:.3g})"


class YeoJohnson(Base):
    """Box–Cox of y + 1 with λ for y ≥ 0, and of 1 − y with 2 − λ, negative, for y < 0  (Yeo & Johnson 2000, eq. 2.1).

    `power` is λ, learnt if not given.  It acts on y in its own units: y should vary by more than one or two.
    """

    kind: Literal["yeo_johnson"] = "yeo_johnson"
    formula: ClassVar = staticmethod(from_yeo_johnson)
    kink: ClassVar[float] = 0.0
    power: Power | None = None

    @property
    def _power(self) -> float:
        return 1.0 if self.power is None else self.power

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return Yeo & Johnson's function of y."""
        size = np.log1p(np.abs(y))
        return np.where(y >= 0, _box_cox(size, self._power), -_box_cox(size, 2 - self._power))

    def numbers(self) -> dict[str, Any]:
        """Return the power."""
        return {"power": self._power}

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return (λ − 1) sign(y) log(|y| + 1)."""
        return (self._power - 1) * np.sign(y) * np.log1p(np.abs(y))

    def label(self, target: str) -> str:
        """Return Yeo–Johnson(target)."""
        return f"Yeo–Johnson({target}, λ = {self._power:.3g})"


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


def _box_cox(log: np.ndarray, power: float) -> np.ndarray:
    """Return (exp(power · log) − 1)/power, and `log` at a power of zero."""
    with np.errstate(over="ignore"):
        return np.expm1(power * log) / power if power > 1e-8 else log


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Transform = Annotated[Log | Sqrt | BoxCox | YeoJohnson | Logit, OneOf(), BeforeValidator(_from_name)]


def is_learnt(transform: Base | None) -> bool:
    """Return whether the transform has a power that is to be learnt."""
    return isinstance(transform, BoxCox | YeoJohnson) and transform.power is None


def power_of(transform: Base | None) -> dict[str, float]:
    """Return the transform's power by name, {} if it has none."""
    if isinstance(transform, BoxCox | YeoJohnson) and transform.power is not None:
        return {"transform.power": transform.power}
    return {}
