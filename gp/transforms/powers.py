"""Transforms of y with a power λ, Box & Cox's and Yeo & Johnson's, which can be learnt, and mixtures over it."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from .base import Base, Offset

POWERS = (0.0, 2.0)  # of a Box–Cox or Yeo–Johnson transform, between which forecasts of y have a mean
Power = Annotated[float, Field(ge=POWERS[0], le=POWERS[1], allow_inf_nan=False)]


def from_box_cox(z: np.ndarray, offset: float, power: Any) -> np.ndarray:
    """Return (1 + λz)^(1/λ) − offset, with λ = `power`."""
    small = np.asarray(power) < 1e-8
    with np.errstate(divide="ignore"):
        log = np.where(small, z, np.log1p(np.maximum(power * z, -1.0)) / np.where(small, 1.0, power))
        return np.asarray(np.exp(log) - offset)


def from_yeo_johnson(z: np.ndarray, power: Any) -> np.ndarray:
    """Return the inverse of Yeo & Johnson's function with λ = `power`."""
    size, powers = np.abs(z), np.where(z >= 0, power, 2 - power)
    small = powers < 1e-8
    with np.errstate(over="ignore"):
        log = np.where(small, size, np.log1p(powers * size) / np.where(small, 1.0, powers))
        return np.asarray(np.sign(z) * np.expm1(log))


def to_box_cox(y: np.ndarray, offset: float, power: Any) -> np.ndarray:
    """Return ((y + offset)^λ − 1)/λ, with λ = `power`, and the logarithm at λ = 0."""
    small = np.asarray(power) < 1e-8
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log = np.log(np.maximum(y + offset, 0.0))
        return np.where(small, log, np.expm1(power * log) / np.where(small, 1.0, power))


def to_yeo_johnson(y: np.ndarray, power: Any) -> np.ndarray:
    """Return Yeo & Johnson's function of y with λ = `power`."""
    log, powers = np.log1p(np.abs(y)), np.where(y >= 0, power, 2 - power)
    small = powers < 1e-8
    with np.errstate(over="ignore"):
        return np.asarray(np.sign(y) * np.where(small, log, np.expm1(powers * log) / np.where(small, 1.0, powers)))


class Powered(Base):
    """A function with a `power` λ, learnt if not given.  `learnt` is written by training: λ is then known roughly.

    A mixture over λ has the transform with an array of powers, (S, 1) or (S, m); its functions then return (S, m).
    """

    power: Power | None = None
    learnt: bool = False

    @property
    def _power(self) -> Any:
        return 1.0 if self.power is None else self.power

    @property
    def is_mixed(self) -> bool:
        """Return whether there are powers for each part."""
        return isinstance(self.power, np.ndarray)

    @property
    def reference(self) -> Self:
        """Return the transform with the middle one of several powers."""
        return self.model_copy(update={"power": float(np.median(self._power))})

    def likely(self, y: np.ndarray) -> tuple[float, float]:
        """Return the powers between which a mixture's are, where y (n,) was learnt from."""
        return POWERS

    def part(self, rows: Any) -> Self:
        """Return the transform of some of m numbers: a slice, indices or a mask."""
        varies = self.is_mixed and self._power.shape[1] > 1
        return self.model_copy(update={"power": self._power[:, rows]}) if varies else self

    def each(self, parts: Any) -> Self:
        """Return the transform of some parts of a mixture: that of one is not mixed."""
        if not self.is_mixed:
            return self
        powers = self._power[parts]
        return self.model_copy(update={"power": float(powers[0]) if np.shape(powers) == (1,) else powers})


class BoxCox(Offset, Powered):
    """z = ((y + offset)^λ − 1)/λ, the logarithm at λ = 0  (Box & Cox 1964, eq. 1); `power` is λ, learnt if not given.

    A negative λ is refused: forecasts of y then have no finite mean.
    """

    kind: Literal["box_cox"] = "box_cox"
    formula: ClassVar = staticmethod(from_box_cox)
    inward: ClassVar = staticmethod(to_box_cox)

    @property
    def lowest(self) -> Any:
        """Return −1/λ."""
        with np.errstate(divide="ignore"):
            return -1 / np.maximum(self._power, 0.0)

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return ((y + offset)^λ − 1)/λ."""
        return to_box_cox(y, **self.numbers())

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
        return f"Box–Cox({self._argument(target)}, λ = {self.reference.power:.3g})"


class YeoJohnson(Powered):
    """Box–Cox of y + 1 with λ for y ≥ 0, and of 1 − y with 2 − λ, negative, for y < 0  (Yeo & Johnson 2000, eq. 2.1).

    `power` is λ, learnt if not given.  It acts on y in its own units: y should vary by more than one or two.
    """

    kind: Literal["yeo_johnson"] = "yeo_johnson"
    formula: ClassVar = staticmethod(from_yeo_johnson)
    inward: ClassVar = staticmethod(to_yeo_johnson)
    kink: ClassVar[float] = 0.0

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return Yeo & Johnson's function of y."""
        return to_yeo_johnson(y, self._power)

    def numbers(self) -> dict[str, Any]:
        """Return the power."""
        return {"power": self._power}

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return (λ − 1) sign(y) log(|y| + 1)."""
        return (self._power - 1) * np.sign(y) * np.log1p(np.abs(y))

    def likely(self, y: np.ndarray) -> tuple[float, float]:
        """Return POWERS, but none that makes y exponential in z beyond zero, where no row was, unless it was learnt."""
        low = POWERS[0] if y.min() > 0 else min(self._power, 0.5)
        return low, POWERS[1] if y.max() < 0 else max(self._power, 1.5)

    def label(self, target: str) -> str:
        """Return Yeo–Johnson(target)."""
        return f"Yeo–Johnson({target}, λ = {self.reference.power:.3g})"


def is_learnt(transform: Base | None) -> bool:
    """Return whether the transform has a power that is to be learnt."""
    return isinstance(transform, BoxCox | YeoJohnson) and transform.power is None


def power_of(transform: Base | None) -> dict[str, float]:
    """Return the transform's power by name, {} if it has none."""
    if isinstance(transform, BoxCox | YeoJohnson) and transform.power is not None:
        return {"transform.power": transform.power}
    return {}


def mixed(each: Sequence[Any]) -> Any:
    """Return the transform of a mixture whose S parts have the transforms `each`, which differ in power at most."""
    first, powers = each[0], [getattr(transform, "power", None) for transform in each]
    return first if len(set(powers)) == 1 else first.model_copy(update={"power": np.array(powers)[:, None]})
