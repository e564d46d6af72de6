"""Scope: the data and scales from which a part of a model is built, and where it declares hyperparameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from ..dataset import runs_of
from ..levels import Levels
from ..spec import Fault, InputError
from .hyperparameters import Hyperparameter, RealHyperparameter
from .vector import Auxiliary, Bounds, Parameter, Softplus, Units

LARGE = 1e150  # squares of numbers beyond it overflow, and of those below its inverse vanish
ANYWHERE, NO_UNITS, PLAIN = Bounds(), Units(), Softplus()
# What a part of a model reads: inputs that are numbers, those that are levels, both; or none in truth, as a constant.
Reads = Literal["numbers", "levels", "any", "none"]


@dataclass(eq=False)
class Scope:
    """What a part of a model is built from: the data in internal units, their scales, the declared parameters."""

    x: np.ndarray  # (n, d) internal
    y: np.ndarray  # (n,) internal
    columns: tuple[str, ...]
    x_scale: np.ndarray  # (d,): data units = internal · x_scale + x_offset
    x_offset: np.ndarray
    y_scale: float
    y_offset: float
    noise_sd: np.ndarray | None = None  # (n,) internal, known sd of each y's noise
    parameters: list[Parameter | Auxiliary] = field(default_factory=list)
    reads: list[tuple[str, str]] = field(default_factory=list)  # (part, column that it reads)
    lengthscale_factor: float = 1.0  # of lengthscales' starts, different for each term of a sum
    run: np.ndarray | None = None  # (n,) number of each row's run (gp.dataset)
    step: np.ndarray | None = None  # (n, d) internal, along which each y is a mean
    sd_of_rows: float | None = None  # internal sd of y over the rows of the data, if y are means of these
    log_slopes: np.ndarray | None = None  # (n,) log dz/dy of the rows of the data, if z, a transform of y, is modelled
    levels: Levels = field(default_factory=dict)  # of the categorical inputs

    def at(self, rows: np.ndarray) -> "Scope":
        """Return the scope with some of the rows, indices or a mask."""
        known = ("x", "y", "noise_sd", "step", "log_slopes")
        parts = {name: value[rows] for name in known if (value := getattr(self, name)) is not None}
        run = None if self.run is None else runs_of(self.run, np.arange(len(self.y))[rows])
        return replace(self, run=run, **parts)

    def active(self, names: list[str] | None, path: str, reads: Reads = "numbers") -> list[int]:
        """Return the positions of the named input columns; if `names` is None, of all that a part reads."""
        if names is None:
            fit = [name for name in self.columns if reads == "any" or (name in self.levels) == (reads == "levels")]
            if not fit and reads in ("numbers", "levels"):
                raise InputError(Fault(path, *self._lacks(reads)))
            self.reads.extend((path, name) for name in fit)
            return [self.columns.index(name) for name in fit]
        self.reads.extend((path, name) for name in names)
        for name in names:
            if name not in self.columns:
                raise InputError(
                    Fault(f"{path}.columns", f"no input column {name!r} (known: {', '.join(self.columns)})")
                )
        if len(set(names)) < len(names):
            raise InputError(Fault(f"{path}.columns", f"{names} are not distinct", "name each column once"))
        for name in names:
            if reads == "levels" and name not in self.levels:
                fix = f"write `categorical: [{name}]` below data if they stand for categories, else another kernel"
                raise InputError(Fault(f"{path}.columns", f"{name!r} holds numbers, and this kernel reads levels", fix))
            if reads == "numbers" and name in self.levels:
                fix = "give them a kernel of kind categorical"
                raise InputError(Fault(f"{path}.columns", f"{name!r} holds levels, and this kernel reads numbers", fix))
        return [self.columns.index(name) for name in names]

    def refuse_unread(self) -> None:
        """Raise InputError where no kernel so far reads a categorical input: other kernels read numbers only."""
        unread = [name for name in self.levels if name not in {column for _, column in self.reads}]
        if unread:
            why = f"no kernel reads the categorical input {', '.join(unread)}"
            fix = (
                "write `kernel: {kind: product, factors: {numbers: …, levels: {kind: categorical}}}` with this kernel "
                "for `numbers`, or take the column out of x"
            )
            raise InputError(Fault("kernel", why, fix))

    def _lacks(self, reads: Reads) -> tuple[str, str]:
        """Return what is wrong where no input is of the kind that a part reads, and what to do."""
        if reads == "levels":
            fix = "name the columns by `categorical: [column]` below data; in gp.fit, give text in a DataFrame"
            return "there is no categorical input", fix
        return f"all inputs are categorical ({', '.join(self.levels)})", "write a kernel of kind categorical"

    def labels(self, active: list[int], *, per_column: bool) -> list[str] | None:
        """Return the names of the active columns if `per_column`, else None (one shared value)."""
        return [self.columns[j] for j in active] if per_column else None

    def x_spread(self, active: list[int]) -> np.ndarray:
        """Return each active column's internal standard deviation (1 for a constant column).

        Raises InputError where its square is no float64: distances are made of them.
        """
        found = spread(self.x[:, active])
        for j, size in zip(active, found, strict=True):
            if not 1 / LARGE < size < LARGE:
                why = f"{self.columns[j]!r} has the standard deviation {size:.3g}, whose square is no number of float64"
                raise InputError(Fault("", why, "leave `standardize: {x: true}`, or write it in another unit"))
        return found

    @property
    def y_spread(self) -> float:
        """Return the internal standard deviation of y over the rows of the data (1 if y is constant).

        Raises InputError if its square, in the data's units, is no float64: variances have that unit.
        """
        internal = float(spread(self.y[:, None])[0]) if self.sd_of_rows is None else self.sd_of_rows
        if not 1 / LARGE < internal * self.y_scale < LARGE:
            why = f"y has the standard deviation {internal * self.y_scale:.3g}, whose square is no number of float64"
            raise InputError(Fault("", why, f"write y in another unit: divide it by {internal * self.y_scale:.0e}"))
        return internal

    def x_unit(self, active: list[int], *, per_column: bool) -> np.ndarray:
        """Return data units per internal unit of x, for each active column or as their geometric mean (1,)."""
        scale = self.x_scale[active]
        return scale if per_column else np.exp(np.log(scale).mean(keepdims=True))

    def unit(self, y: int, x: int, active: list[int], *, per_column: bool = False) -> np.ndarray:
        """Return the unit yʸ·xˣ as `x_unit` does: data units per internal one; `declare` refuses what is no float64."""
        with np.errstate(all="ignore"):
            return np.float64(self.y_scale) ** y * self.x_unit(active, per_column=per_column) ** x

    def dimensionless(self) -> "Scope":
        """Return the scope for factors of a covariance: y has sd 1 and no unit, as the covariance carries y²."""
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

        From then on `tensor` holds its start: what is written, or the `default`, which may be a function that finds it.

        If its lower bound is not negative, it is positive, and `tensor` holds its log.  `labels` names its numbers if
        it is a list.  When the covariance is scaled by c, it is scaled by c^`amplitude`.  With `bounds.hard`, Adam
        keeps to the bounds too, unless the user's start lies beyond them.  `candidates` are the values that training
        screens for starts (gp.parameters.candidates); without them there is only one start.
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
            high = np.maximum(low, high)  # a user's bound beyond the limits takes precedence
        if written.upper is not None:
            high = internal(written.upper)
            low = np.minimum(low, high)
        if given is not None:
            start = internal(given)
        else:
            start = _between(full(default() if callable(default) else default), low, high)
        if not (np.isfinite(start).all() and np.isfinite(full(units.unit)).all() and np.all(units.unit)):
            why = f"no number of float64 in units of the data: y's sd is {self.y_scale * self.y_spread:.3g}"
            inputs = ", ".join(f"{size:.3g}" for size in self.x_scale * spread(self.x))
            raise InputError(Fault(name, f"{why}, the inputs' {inputs}", "write the columns in other units"))
        hard = (
            written.lower is not None or (bounds.hard and bool((start > low).all())),
            written.upper is not None or (bounds.hard and bool((start < high).all())),
        )
        parameter = Parameter(
            name=name,
            start=start,
            # A start given by the user widens the bounds of the search.
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
        raw = parameter.raw(start) * parameter.units.reference
        tensor.detach().numpy()[...] = raw.reshape(tensor.shape)  # in the tensor's own memory
        self.parameters.append(parameter)

    def unscaled(self, since: int) -> None:
        """Declare that no hyperparameter after the first `since` scales the whole covariance of y."""
        later = self.parameters[since:]
        self.parameters[since:] = [replace(p, amplitude=0.0) if isinstance(p, Parameter) else p for p in later]

    def untried(self, since: int) -> None:
        """Declare that training has only one start for each hyperparameter after the first `since`."""
        later = self.parameters[since:]
        self.parameters[since:] = [replace(p, candidates=None) if isinstance(p, Parameter) else p for p in later]

    def declare_auxiliary(self, name: str, tensor: torch.nn.Parameter) -> None:
        """Declare `tensor` as auxiliary parameters, which start from its present values."""
        self.parameters.append(Auxiliary.of(name, tensor))


def _between(default: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the default starts (size,); one that is not between its bounds starts beside the nearer one.

    Adam cannot start on a bound.
    """
    start = default.copy()
    for beyond, end, sign in ((default <= low, low, 1.0), (default >= high, high, -1.0)):
        size = np.where(end == 0, 1.0, np.abs(end))[beyond]
        start[beyond] = end[beyond] + sign * 0.1 * np.minimum((high - low)[beyond], size)
    return start


def spread(values: np.ndarray) -> np.ndarray:
    """Return the population sd of each column of `values` (n, d); 1 for a constant one."""
    largest = np.abs(values).max(axis=0)
    extreme = (largest > LARGE) | (largest < 1 / LARGE)
    unit = np.where(extreme & (largest > 0), largest, 1.0)
    sd = (values / unit).std(axis=0) * unit
    # The computed sd of equal values may be a rounding error instead of zero.
    return np.where(sd <= 1e-14 * largest, 1.0, sd)
