"""Hyperparameters: how a user writes them, and the vector in which they are learnt.

A part of a model (kernel, mean, noise) declares each of its hyperparameters in a `Scope` (gp.parameters.scope), which
knows the scales of the data; `Parameters` then translate between three forms:

- the data's own units: what a user writes and reads;
- internal units: those of the standardised inputs and targets, in which kernels compute;
- the raw vector: the log of each positive hyperparameter, each other one in units of its scale; free ones only: what
  is learnt.
"""

import itertools
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, PlainSerializer, SerializerFunctionWrapHandler, model_serializer, model_validator

from gp.parameters.priors import PositivePrior, Prior, RealPrior
from gp.spec import Fault, FiniteFloat, InputError, PositiveFloat, Spec


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_scalar(values: list[float]) -> float | list[float]:
    return values[0] if len(values) == 1 else values


_ONE_OR_MANY = (BeforeValidator(_as_list), PlainSerializer(_as_scalar))
Reals = Annotated[list[FiniteFloat], *_ONE_OR_MANY]
Positives = Annotated[list[PositiveFloat], *_ONE_OR_MANY]


class Hyperparameter(Spec):
    """A number (its start), `{start, lower, upper}` or `{fixed}`, in the data's units; or one for each column.

    With `{start, prior}` training finds the mode of the posterior.
    """

    start: Reals | None = None
    fixed: Reals | None = None
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None
    prior: Prior | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> "Hyperparameter":
        others = sorted(self.model_fields_set - {"fixed"})
        if self.fixed is not None and others:
            raise InputError(Fault("", f"'fixed' goes with no other key (got {', '.join(others)} too)", "drop one"))
        low, high = self.lower, self.upper
        if low is not None and high is not None and low >= high:
            raise InputError(Fault("", f"lower must be less than upper (got {low:g} and {high:g})"))
        for value in self.start or []:
            if (low is not None and value < low) or (high is not None and value > high):
                raise InputError(Fault("", f"start must lie between lower and upper (got {value:g})"))
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, serialize: SerializerFunctionWrapHandler) -> Any:
        written = serialize(self)
        return written["start"] if set(written) == {"start"} else written


class RealHyperparameter(Hyperparameter):
    """One that may be negative."""

    prior: RealPrior | None = None


class PositiveHyperparameter(Hyperparameter):
    """One that is positive."""

    start: Positives | None = None
    fixed: Positives | None = None
    lower: PositiveFloat | None = None
    upper: PositiveFloat | None = None
    prior: PositivePrior | None = None


def _from_shorthand(value: Any) -> Any:
    return value if isinstance(value, Mapping | Spec) else {"start": value}


Real = Annotated[RealHyperparameter, BeforeValidator(_from_shorthand)]
Positive = Annotated[PositiveHyperparameter, BeforeValidator(_from_shorthand)]


@dataclass(frozen=True, eq=False)
class Parameter:
    """One declared hyperparameter, arrays (size,) in internal units; data units = internal · unit + offset.

    In gpytorch's own form it is θ^power = floor + softplus(raw); Adam walks in that form (gp.training).
    """

    name: str
    start: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    unit: np.ndarray
    offset: float
    positive: bool
    fixed: bool
    bounded: tuple[bool, bool]  # whether Adam, too, keeps to lower, upper: those the user named
    labels: tuple[str, ...] | None  # of its numbers, where it is a list
    is_distance: bool  # whether it is a lengthscale of distances between inputs
    amplitude: float  # scaling the covariance by c scales θ by c^amplitude
    prior: Prior | None
    power: int
    floor: float
    auxiliary: bool  # learnt beside the hyperparameters, but none itself: an inducing input, a variational parameter
    reference: np.ndarray  # what one raw unit is internally, of what may be negative; 1 for logs
    tensor: torch.nn.Parameter = field(repr=False)  # raw · reference
    named: bool = False  # whether its start is the user's own
    # Scope → the internal values (k, size) that a search for starts tries, in order; () → none but the start
    candidates: Callable[[Any], np.ndarray] | None = None

    @property
    def size(self) -> int:
        """Return how many numbers it is."""
        return len(self.start)

    @property
    def names(self) -> list[str]:
        """Return a name for each number."""
        return [self.name] if self.labels is None else [f"{self.name}.{label}" for label in self.labels]

    def raw(self, internal: np.ndarray) -> np.ndarray:
        """Return internal values in raw form."""
        return np.log(internal) if self.positive else internal / self.reference

    def held(self) -> np.ndarray:
        """Return the raw values that the model's tensor holds."""
        return self.tensor.detach().numpy().reshape(-1) / self.reference

    def in_data_units(self, raw: np.ndarray) -> np.ndarray:
        """Return raw values in the data's units, shape (size,)."""
        return (np.exp(raw) if self.positive else raw * self.reference) * self.unit + self.offset


class Parameters:
    """The declared hyperparameters of one model, and the raw vector of the free ones, in order of declaration.

    What is auxiliary comes last in the vector, and has no name there.
    """

    def __init__(self, parameters: list[Parameter]) -> None:
        self.all = tuple(sorted(parameters, key=lambda p: p.auxiliary))
        self.free = tuple(p for p in self.all if not p.fixed)
        for parameter in self.all:
            _fill(parameter.tensor, parameter.raw(parameter.start) * parameter.reference)

    def joined(self, extra: list[Parameter]) -> "Parameters":
        """Return these and the `extra` auxiliary ones, over the same tensors, which keep their values."""
        both = copy(self)
        both.all, both.free = (*self.all, *extra), (*self.free, *extra)
        return both

    @property
    def start(self) -> np.ndarray:
        """Return the raw vector of the starts."""
        return _concatenate([p.raw(p.start) for p in self.free])

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Return (lower, upper) of each element of the raw vector."""
        lower = _concatenate([p.raw(p.lower) for p in self.free])
        upper = _concatenate([p.raw(p.upper) for p in self.free])
        return list(zip(lower.tolist(), upper.tolist(), strict=True))

    @property
    def names(self) -> list[str]:
        """Return a name for each hyperparameter of the raw vector: `noise.sd`, `kernel.lengthscale.age` of a list."""
        return [name for parameter in self.free if not parameter.auxiliary for name in parameter.names]

    @property
    def without_auxiliary(self) -> "Parameters":
        """Return the hyperparameters alone, over the same tensors, which keep their values."""
        alone = copy(self)
        alone.all, alone.free = (tuple(p for p in part if not p.auxiliary) for part in (self.all, self.free))
        return alone

    def split(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return the raw vector's part of each free hyperparameter."""
        ends = itertools.accumulate(p.size for p in self.free)
        return [vector[end - p.size : end] for p, end in zip(self.free, ends, strict=True)]

    @property
    def places(self) -> dict[torch.Tensor, slice]:
        """Return where in the raw vector each free hyperparameter's tensor is."""
        ends = np.cumsum([p.size for p in self.free]).tolist()
        return {p.tensor: slice(end - p.size, end) for p, end in zip(self.free, ends, strict=True)}

    @property
    def vector(self) -> np.ndarray:
        """Return the raw vector that the model's tensors hold."""
        return _concatenate([p.held() for p in self.free])

    def set(self, vector: np.ndarray) -> None:
        """Put a raw vector into the model's tensors."""
        for parameter, part in zip(self.free, self.split(vector), strict=True):
            _fill(parameter.tensor, part * parameter.reference)

    def gradient(self) -> np.ndarray:
        """Return the raw gradient that backward passes have gathered in the model's tensors, and clear it there."""
        parts = []
        for parameter in self.free:
            grad = parameter.tensor.grad
            parts.append(np.zeros(parameter.size) if grad is None else grad.numpy().reshape(-1) * parameter.reference)
            parameter.tensor.grad = None
        return _concatenate(parts)

    def in_data_units(self) -> dict[str, float | list[float]]:
        """Return the model's current hyperparameters, fixed ones too, by name, in the data's units."""
        named = [p for p in self.all if not p.auxiliary]
        values = {p.name: p.in_data_units(p.held()).tolist() for p in named}
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
        """Return a gradient by the raw vector as derivatives by each free hyperparameter, in the data's units."""
        slopes = {}
        for parameter, part in zip(self.free, self.split(gradient), strict=True):
            if parameter.auxiliary:
                continue
            value = np.exp(parameter.held()) if parameter.positive else parameter.reference
            natural = (part / (value * parameter.unit)).tolist()
            slopes[parameter.name] = natural if parameter.labels is not None else natural[0]
        return slopes

    def log_prior(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log prior density (of θ in the data's units), and its gradient by the raw vector."""
        if not any(parameter.prior for parameter in self.free):
            return 0.0, np.zeros(len(vector))
        value, slopes = 0.0, []
        for parameter, part in zip(self.free, self.split(vector), strict=True):
            natural = parameter.in_data_units(part)
            prior = parameter.prior
            value += float(prior.log_density(natural).sum()) if prior else 0.0
            by_raw = natural if parameter.positive else parameter.reference * parameter.unit
            slopes.append(prior.slope(natural) * by_raw if prior else np.zeros(parameter.size))
        return value, _concatenate(slopes)


def _fill(tensor: torch.nn.Parameter, values: np.ndarray) -> None:
    tensor.detach().numpy()[...] = values.reshape(tensor.shape)  # in the tensor's own memory


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)
