"""The raw vector of hyperparameters and auxiliary parameters, in which training moves.

A part of a model (kernel, mean, noise) declares each of its hyperparameters in a `Scope` (gp.parameters.scope), which
has the scales of the data.  `Parameters` then translate between three forms:

- the data's own units: what a user writes and reads;
- internal units: those of the standardised inputs and targets, in which kernels compute;
- the raw vector, which training moves: the log of each positive hyperparameter, any other one in units of its scale;
  fixed hyperparameters are not in it.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from .priors import Prior


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a hyperparameter: data units = internal · unit + offset.

    `reference` is the internal size of one raw unit, for a hyperparameter that may be negative; it is 1 for logs.
    """

    unit: Any = 1.0
    offset: float = 0.0
    reference: Any = 1.0


@dataclass(frozen=True, eq=False)
class Bounds:
    """Limits of the search in internal units; `hard`: whether Adam keeps to them too, for both or (lower, upper)."""

    lower: Any = -math.inf
    upper: Any = math.inf
    hard: Any = False


@dataclass(frozen=True)
class Softplus:
    """gpytorch's own form of a hyperparameter, θ^power = floor + softplus(raw), in which Adam moves."""

    power: int = 1
    floor: float = 0.0


@dataclass(frozen=True, eq=False)
class Parameter:
    """One declared hyperparameter, arrays (size,) in internal units."""

    name: str
    start: np.ndarray
    bounds: Bounds  # arrays (size,); `hard` is a pair: whether the user gave each bound
    units: Units  # arrays (size,)
    positive: bool
    fixed: bool
    labels: tuple[str, ...] | None  # one for each number, if it is a list
    is_distance: bool  # whether it is a lengthscale of distances between inputs
    amplitude: float  # if the covariance is scaled by c, θ is scaled by c^amplitude
    prior: Prior | None
    form: Softplus
    tensor: torch.nn.Parameter = field(repr=False)  # raw · reference
    named: bool = False  # whether the user gave its start
    # Scope → internal values (k, size) that the search for starts tries in order; () → only the start
    candidates: Callable[[Any], np.ndarray] | None = None
    auxiliary: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """Return how many numbers it has."""
        return len(self.start)

    @property
    def names(self) -> list[str]:
        """Return a name for each number."""
        return [self.name] if self.labels is None else [f"{self.name}.{label}" for label in self.labels]

    @property
    def bounded(self) -> tuple[bool, bool]:
        """Return whether Adam keeps to the lower and to the upper bound too."""
        lower, upper = self.bounds.hard
        return lower, upper

    def raw(self, internal: np.ndarray) -> np.ndarray:
        """Return internal values in raw form."""
        return np.log(internal) if self.positive else internal / self.units.reference

    def raw_values(self) -> np.ndarray:
        """Return the raw values that the model's tensor holds."""
        return np.asarray(self.tensor.detach().numpy().reshape(-1) / self.units.reference)

    def in_data_units(self, raw: np.ndarray) -> np.ndarray:
        """Return raw values in the data's units, shape (size,)."""
        internal = np.exp(raw) if self.positive else raw * self.units.reference
        return internal * self.units.unit + self.units.offset


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """Auxiliary parameters, learnt in addition to hyperparameters: inducing inputs, variational parameters.

    They are real numbers; their raw values are those of the tensor.  In the raw vector they behave like a `Parameter`
    without unit, bounds, prior and candidates.  In reports they have no name and no interval.
    """

    name: str
    start: np.ndarray
    tensor: torch.nn.Parameter = field(repr=False)

    auxiliary: ClassVar[bool] = True
    positive: ClassVar[bool] = False
    fixed: ClassVar[bool] = False
    labels: ClassVar[None] = None
    is_distance: ClassVar[bool] = False
    amplitude: ClassVar[float] = 0.0
    prior: ClassVar[None] = None
    named: ClassVar[bool] = False
    candidates: ClassVar[None] = None
    bounded: ClassVar[tuple[bool, bool]] = (False, False)
    units: ClassVar[Units] = Units()
    form: ClassVar[Softplus] = Softplus()

    @classmethod
    def of(cls, name: str, tensor: torch.nn.Parameter) -> "Auxiliary":
        """Return the auxiliary parameters in `tensor`, which start from its present values."""
        return cls(name, tensor.detach().numpy().reshape(-1).copy(), tensor)

    @property
    def size(self) -> int:
        """Return how many numbers there are."""
        return len(self.start)

    @property
    def names(self) -> list[str]:
        """Return their single name."""
        return [self.name]

    @property
    def bounds(self) -> Bounds:
        """Return infinite bounds (size,)."""
        return Bounds(np.full(self.size, -math.inf), np.full(self.size, math.inf), (False, False))

    def raw(self, internal: np.ndarray) -> np.ndarray:
        """Return the values themselves."""
        return internal

    def raw_values(self) -> np.ndarray:
        """Return the values that the model's tensor holds."""
        return np.asarray(self.tensor.detach().numpy().reshape(-1))

    def in_data_units(self, raw: np.ndarray) -> np.ndarray:
        """Return the values themselves."""
        return raw


Learnt = Parameter | Auxiliary


class Parameters:
    """The declared hyperparameters of one model, and the raw vector of the free ones, in order of declaration.

    Auxiliary parameters come last in the vector, and have no names there.
    """

    def __init__(self, parameters: Sequence[Learnt]) -> None:
        self.all = tuple(sorted(parameters, key=lambda p: p.auxiliary))
        self.free = tuple(p for p in self.all if not p.fixed)

    def joined(self, extra: Sequence[Auxiliary]) -> "Parameters":
        """Return these and the `extra` auxiliary ones, with the same tensors and values."""
        both = copy(self)
        both.all, both.free = (*self.all, *extra), (*self.free, *extra)
        return both

    @property
    def start(self) -> np.ndarray:
        """Return the raw vector of the starts."""
        return _concatenate([p.raw(p.start) for p in self.free])

    @cached_property
    def bounds(self) -> list[tuple[float, float]]:
        """Return (lower, upper) of each element of the raw vector."""
        lower = _concatenate([p.raw(p.bounds.lower) for p in self.free])
        upper = _concatenate([p.raw(p.bounds.upper) for p in self.free])
        return list(zip(lower.tolist(), upper.tolist(), strict=True))

    @cached_property
    def has_prior(self) -> bool:
        """Return whether a free hyperparameter has a prior."""
        return any(parameter.prior for parameter in self.free)

    @cached_property
    def reference(self) -> np.ndarray:
        """Return the internal size of one raw unit, for each element of the raw vector."""
        return _concatenate([np.broadcast_to(p.units.reference, (p.size,)) for p in self.free])

    @cached_property
    def _memory(self) -> list[tuple[slice, np.ndarray]]:
        """Return each free tensor's own memory as an array (size,), and its place in the raw vector."""
        return [(self.places[p.tensor], p.tensor.detach().numpy().reshape(-1)) for p in self.free]

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies share: the parameters, not what was computed of them or the memory of their tensors."""
        return {"all": self.all, "free": self.free}

    @property
    def names(self) -> list[str]:
        """Return a name for each hyperparameter of the raw vector: `noise.sd`, `kernel.lengthscale.age` of a list."""
        return [name for parameter in self.free if not parameter.auxiliary for name in parameter.names]

    @property
    def without_auxiliary(self) -> "Parameters":
        """Return the hyperparameters without auxiliary ones, with the same tensors and values."""
        alone = copy(self)
        alone.all, alone.free = (tuple(p for p in part if not p.auxiliary) for part in (self.all, self.free))
        return alone

    def split(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return the part of the raw vector of each free hyperparameter."""
        return [vector[place] for place in self.places.values()]

    @cached_property
    def places(self) -> dict[torch.Tensor, slice]:
        """Return tensor → its place in the raw vector, for each free hyperparameter."""
        ends = np.cumsum([p.size for p in self.free]).tolist()
        return {p.tensor: slice(end - p.size, end) for p, end in zip(self.free, ends, strict=True)}

    @property
    def vector(self) -> np.ndarray:
        """Return the raw vector that the model's tensors hold."""
        return _concatenate([values for _, values in self._memory]) / self.reference

    def set(self, vector: np.ndarray) -> None:
        """Put a raw vector into the model's tensors."""
        internal = vector * self.reference
        for place, values in self._memory:
            values[...] = internal[place]

    def gradient(self) -> np.ndarray:
        """Return the raw gradient accumulated by backward passes in the model's tensors, and clear it there."""
        total = np.zeros(len(self.reference))
        for tensor, place in self.places.items():
            if tensor.grad is not None:
                total[place] = tensor.grad.numpy().reshape(-1)
            tensor.grad = None
        return total * self.reference

    def in_data_units(self) -> dict[str, float | list[float]]:
        """Return the model's current hyperparameters, fixed ones too, by name, in the data's units."""
        named = [p for p in self.all if not p.auxiliary]
        values = {p.name: p.in_data_units(p.raw_values()).tolist() for p in named}
        return {p.name: values[p.name] if p.labels is not None else values[p.name][0] for p in named}

    def by_name(self) -> dict[str, float]:
        """Return the model's current hyperparameters, one name for each number, in the data's units."""
        values = self.in_data_units()
        return {
            name: value
            for parameter in self.all
            if not parameter.auxiliary
            for name, value in zip(parameter.names, np.atleast_1d(values[parameter.name]).tolist(), strict=True)
        }

    def gradient_in_data_units(self, gradient: np.ndarray) -> dict[str, float | list[float]]:
        """Return a raw gradient as derivatives with respect to each free hyperparameter, in the data's units."""
        slopes = {}
        for parameter, part in zip(self.free, self.split(gradient), strict=True):
            if parameter.auxiliary:
                continue
            value = np.exp(parameter.raw_values()) if parameter.positive else parameter.units.reference
            natural = (part / (value * parameter.units.unit)).tolist()
            slopes[parameter.name] = natural if parameter.labels is not None else natural[0]
        return slopes

    def log_prior(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log prior density (of θ in the data's units), and its raw gradient."""
        if not self.has_prior:
            return 0.0, np.zeros(len(vector))
        value, slopes = 0.0, []
        for parameter, part in zip(self.free, self.split(vector), strict=True):
            natural = parameter.in_data_units(part)
            prior = parameter.prior
            value += float(prior.log_density(natural).sum()) if prior else 0.0
            by_raw = natural if parameter.positive else parameter.units.reference * parameter.units.unit
            slopes.append(prior.slope(natural) * by_raw if prior else np.zeros(parameter.size))
        return value, _concatenate(slopes)


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)
