"""Hyperparameters as a user writes them; gp.parameters.vector has what is learnt of them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..spec import Fault, FiniteFloat, InputError, PositiveFloat, Spec
from .priors import PositivePrior, Prior, RealPrior


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
