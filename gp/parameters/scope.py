"""Scope: where a part of a model is built, and declares its hyperparameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from gp.parameters.hyperparameters import Hyperparameter, RealHyperparameter
from gp.parameters.vector import Auxiliary, Bounds, Parameter, Softplus, Units
from gp.spec import Fault, InputError

ANYWHERE, NO_UNITS, PLAIN = Bounds(), Units(), Softplus()


@dataclass(eq=False)
class Scope:
    """What a part of a model is built from: the data in internal units, their scales, a place for parameters."""

    x: np.ndarray  # (n, d) internal
    y: np.ndarray  # (n,) internal
    columns: tuple[str, ...]
    x_scale: np.ndarray  # (d,): data units = internal · x_scale + x_offset
    x_offset: np.ndarray
    y_scale: float
    y_offset: float
    noise_sd: np.ndarray | None = None  # (n,) internal, of y, where known
    parameters: list[Parameter | Auxiliary] = field(default_factory=list)
    reads: list[tuple[str, str]] = field(default_factory=list)  # which part reads which column
    reach: float = 1.0  # of lengthscales' starts: those of a sum's terms begin apart

    def active(self, names: list[str] | None, path: str) -> list[int]:
        """Return the positions of the named input columns (all where none are named)."""
        self.reads.extend((path, name) for name in names or self.columns)
        if names is None:
            return list(range(len(self.columns)))
        for name in names:
            if name not in self.columns:
                raise InputError(
                    Fault(f"{path}.columns", f"no input column {name!r} (known: {', '.join(self.columns)})")
                )
        if len(set(names)) < len(names):
            raise InputError(Fault(f"{path}.columns", f"{names} are not distinct", "name each column once"))
        return [self.columns.index(name) for name in names]

    def labels(self, active: list[int], *, per_column: bool) -> list[str] | None:
        """Return the active columns' names where there is a value per column, None where one is shared."""
        return [self.columns[j] for j in active] if per_column else None

    def x_spread(self, active: list[int]) -> np.ndarray:
        """Return each active column's internal standard deviation (1 for a constant column)."""
        return spread(self.x[:, active])

    @property
    def y_spread(self) -> float:
        """Return the internal standard deviation of y (1 where y is constant)."""
        return float(spread(self.y[:, None])[0])

    def x_unit(self, active: list[int], *, per_column: bool) -> np.ndarray:
        """Return the data units of one internal unit of x, per active column or as their geometric mean (1,)."""
        scale = self.x_scale[active]
        return scale if per_column else np.exp(np.log(scale).mean(keepdims=True))

    def dimensionless(self) -> "Scope":
        """Return the scope of what multiplies a covariance, which alone carries y²: here y has sd 1 and no unit."""
        return replace(self, y=(self.y - self.y.mean()) / self.y_spread, y_scale=1.0, y_offset=0.0)

    def declare(
        self,
        name: str,
        hyperparameter: Hyperparameter | None,
        tensor: torch.nn.Parameter,
        *,
        default: Any,
        bounds: Bounds = ANYWHERE,
        units: Units = NO_UNITS,
        form: Softplus = PLAIN,
        labels: Sequence[str] | None = None,
        amplitude: float = 0.0,
        is_distance: bool = False,
        candidates: Callable[["Scope"], np.ndarray] | None = None,
    ) -> None:
        """Declare a hyperparameter that `tensor` holds; `default` and `bounds` are in internal units.

        One whose lower bound is not negative is positive, and `tensor` holds its log.  `labels` names its numbers where
        it is a list.  Scaling the covariance by c scales it by c^`amplitude`.  `bounds.hard`: Adam, too, keeps to them,
        unless the user's start lies beyond.  `candidates` are the values over which training looks for starts
        (gp.parameters.candidates); without them it has its one start.
        """
        written, size = hyperparameter or RealHyperparameter(), tensor.numel()
        given = written.fixed if written.fixed is not None else written.start
        if given is not None and len(given) not in (1, size):
            raise InputError(Fault(name, f"{len(given)} values for {size}", "give one number, or one for each"))

        def full(value: Any) -> np.ndarray:
            return np.broadcast_to(np.asarray(value, dtype=float), (size,))

        def internal(value: Any) -> np.ndarray:
            return (full(value) - units.offset) / full(units.unit)

        low, high = full(bounds.lower), full(bounds.upper)
        if written.lower is not None:
            low = internal(written.lower)
            high = np.maximum(low, high)  # a user's bound may lie beyond the limits, and then holds
        if written.upper is not None:
            high = internal(written.upper)
            low = np.minimum(low, high)
        start = internal(given) if given is not None else np.clip(full(default), low, high)
        hard = (
            written.lower is not None or (bounds.hard and bool((start > low).all())),
            written.upper is not None or (bounds.hard and bool((start < high).all())),
        )
        self.parameters.append(
            Parameter(
                name=name,
                start=start,
                # A start that the user names widens the search, never the other way round.
                bounds=Bounds(np.minimum(low, start), np.maximum(high, start), hard),
                units=Units(full(units.unit), units.offset, full(units.reference)),
                positive=bool(bounds.lower >= 0),
                fixed=written.fixed is not None,
                labels=tuple(labels) if labels is not None else None,
                is_distance=is_distance,
                amplitude=amplitude,
                prior=written.prior,
                form=form,
                tensor=tensor,
                named=written.start is not None,
                candidates=candidates,
            )
        )

    def unscaled(self, since: int) -> None:
        """Say that none of the hyperparameters after the first `since` scales the covariance of y as a whole."""
        later = self.parameters[since:]
        self.parameters[since:] = [replace(p, amplitude=0.0) if isinstance(p, Parameter) else p for p in later]

    def untried(self, since: int) -> None:
        """Say that training has one start alone for each of the hyperparameters after the first `since`."""
        later = self.parameters[since:]
        self.parameters[since:] = [replace(p, candidates=None) if isinstance(p, Parameter) else p for p in later]

    def declare_auxiliary(self, name: str, tensor: torch.nn.Parameter) -> None:
        """Declare that `tensor` is learnt, from its present values, beside the hyperparameters."""
        self.parameters.append(Auxiliary.of(name, tensor))


def spread(values: np.ndarray) -> np.ndarray:
    """Return the population sd of each column of `values` (n, d); 1 for a constant one."""
    sd = values.std(axis=0)
    # The sd of equal values comes out as rounding error of their mean, not as zero.
    return np.where(sd <= 1e-14 * np.abs(values).max(axis=0), 1.0, sd)
