"""Hold-outs: which of a table's rows are kept from training, to score the predictions on."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag

from gp.data.table.cells import Role
from gp.data.table.names import Column
from gp.spec import Fault, InputError, Seed, Spec

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
                f"for the last rows along a column, or {{column: name}} for marked rows (got {value!r:.60})",
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


# In this order, {fraction} alone is random rows.  A tag in angle brackets stays out of the paths in messages.
_TAGS = {frozenset(cls.model_fields): f"<{cls.__name__}>" for cls in (RandomRows, LastRows, MarkedRows)}
Holdout = Annotated[
    Annotated[RandomRows, Tag("<RandomRows>")]
    | Annotated[LastRows, Tag("<LastRows>")]
    | Annotated[MarkedRows, Tag("<MarkedRows>")],
    Discriminator(_choose),
    BeforeValidator(_check_keys),
]
