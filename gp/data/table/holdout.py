"""Hold-outs: which of a table's rows are kept from training, to score the predictions on.

Folds keep no row from training: a stage fits the model again without each fold (gp.folds).
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag

from ...spec import Count, Fault, InputError, Seed, Spec
from .cells import Role
from .names import Column

Fraction = Annotated[float, Field(gt=0, lt=1)]


class RandomRows(Spec):
    """A random fraction of the rows."""

    fraction: Fraction
    seed: Seed | None = None  # the study's where none is given

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {}

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool.

        Their number is fraction · n, rounded; they are drawn with this spec's own seed, or else with `seed`.
        """
        n = len(next(iter(rows.values())))
        order = np.random.default_rng(seed if self.seed is None else self.seed).permutation(n)
        return _first(order, round(self.fraction * n))


class LastRows(Spec):
    """The last fraction of the rows along a column: a forecast."""

    fraction: Fraction
    along: Column

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {self.along: "value"}

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool.

        Among equal values in `along`, those further down the file are taken first.
        """
        order = np.argsort(rows[self.along], kind="stable")[::-1]
        return _first(order, round(self.fraction * len(order)))


class LastCount(Spec):
    """The `last` rows along a column: a forecast.  A table of one input is taken along that one, if none is named."""

    last: Count
    along: Column | None = None

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {self.along: "value"} if self.along else {}

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool; without `along`, they are the last of the first column of `rows`.

        Among equal values, those further down the file are taken first.
        """
        order = np.argsort(rows[self.along or next(iter(rows))], kind="stable")[::-1]
        return _first(order, self.last)


class RollingOrigins(Spec):
    """The last rows along an input, forecast from `origins` many, each time the next `horizon` rows.

    Origins are `step` rows apart, so that the last horizon + (origins − 1) · step rows are held out.  Hyperparameters
    are learnt before the first origin.  `season` is how many steps of time repeat; that of dates is known.
    """

    origins: Count
    horizon: Count
    step: Count = 1
    season: Count | None = None
    along: Column | None = None

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {}

    @property
    def last(self) -> int:
        """Return how many rows are held out."""
        return self.horizon + (self.origins - 1) * self.step

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool; without `along`, the last of the first column of `rows`."""
        return LastCount(last=self.last, along=self.along).mask(rows, seed)


class Groups(Spec):
    """All rows of some groups: those with the same value, number or text, in the column `group`.

    Groups are drawn at random until they have the `fraction` of the rows, or the nearest to it.
    """

    group: Column
    fraction: Fraction = 0.2
    seed: Seed | None = None  # the study's where none is given

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {self.group: "label"}

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool."""
        labels, member, sizes = np.unique(rows[self.group], return_inverse=True, return_counts=True)
        order = np.random.default_rng(seed if self.seed is None else self.seed).permutation(len(labels))
        wanted = self.fraction * len(member)
        taken = 1 + int(np.argmin(np.abs(np.cumsum(sizes[order]) - wanted)))
        return np.isin(member, order[:taken])


class Folds(Spec):
    """No row: each is predicted by a fit to the other folds, of `folds` equal ones drawn at random."""

    folds: Annotated[int, Field(ge=2)]
    seed: Seed | None = None  # the study's where none is given

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {}

    def assign(self, n: int, seed: int) -> np.ndarray:
        """Return the fold of each of n rows, (n,), from 0; sizes differ by one at most."""
        return np.random.default_rng(seed if self.seed is None else self.seed).permutation(n) % self.folds


class MarkedRows(Spec):
    """The rows that a column marks with 1 or true."""

    column: Column

    @property
    def roles(self) -> dict[str, Role]:
        """Return the columns this needs beside inputs and target."""
        return {self.column: "mark"}

    def mask(self, rows: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Return which rows are held out, (n,) bool."""
        return rows[self.column] == 1


def _check_keys(value: Any) -> Any:
    if not isinstance(value, Spec) and _choose(value) is None:
        raise InputError(
            Fault(
                "",
                "must be {fraction: 0.2} or {fraction: 0.2, seed: 0} for random rows, {fraction: 0.2, along: column} "
                "or {last: 24} for the last rows along a column, {origins: 3, horizon: 12} for forecasts from rolling "
                "origins, {group: column} for all rows of some groups, "
                f"{{column: name}} for marked rows, or {{folds: 5}} for each row in its turn (got {value!r:.60})",
            )
        )
    return value


def _choose(value: Any) -> str | None:
    """Return the tag of the class whose keys are those of `value`."""
    if isinstance(value, Spec):
        return _TAGS.get(frozenset(type(value).model_fields))
    keys = frozenset(value) if isinstance(value, Mapping) else frozenset()
    return next((tag for known, tag in _TAGS.items() if keys and keys <= known), None)


def _first(order: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(len(order), dtype=bool)
    mask[order[:n]] = True
    return mask


_KINDS = (RandomRows, LastRows, LastCount, RollingOrigins, Groups, MarkedRows, Folds)
# In this order, {fraction} alone is random rows.  A tag in angle brackets stays out of the paths in messages.
_TAGS = {frozenset(cls.model_fields): f"<{cls.__name__}>" for cls in _KINDS}
Holdout = Annotated[
    Annotated[RandomRows, Tag("<RandomRows>")]
    | Annotated[LastRows, Tag("<LastRows>")]
    | Annotated[LastCount, Tag("<LastCount>")]
    | Annotated[RollingOrigins, Tag("<RollingOrigins>")]
    | Annotated[Groups, Tag("<Groups>")]
    | Annotated[MarkedRows, Tag("<MarkedRows>")]
    | Annotated[Folds, Tag("<Folds>")],
    Discriminator(_choose),
    BeforeValidator(_check_keys),
]
