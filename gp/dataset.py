"""Dataset: inputs, targets and their names, checked once when created."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .levels import Levels
from .spec import Fault, InputError

# Columns with a fixed meaning in a study's files.  An input of such a name, or of one that begins like these, has INPUT
# before its name there.
RESERVED = ("y", "f", "noise_sd", "run", "mean", "sd_f", "sd_y", "q2.5", "q97.5")
INPUT, COMPONENT, STEP = "x.", "component.", "step."
LEVELS = "levels."  # before a categorical input's name and levels, as JSON
_BY_ROW = ("y", "f", "noise_sd", "run")


@dataclass(frozen=True, eq=False)
class TableStatistics:
    """Table statistics, of a larger table of which rows are a sample: number of rows `n`, means and population sds.

    `x` (2, d) has the means and the sds of the inputs, `y` (2, 1) those of the target as it
    is modelled, transformed or not.
    """

    n: int
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """n rows of inputs `x` (n, d) named by `columns`, with observed `y` (n,) and true `f` (n,) where known.

    `noise_sd` (n,) is the known standard deviation of the noise of each y, in y's units.  If the rows are a sample of a
    larger table, `table` has the statistics of that table.  `dates` names the inputs that were read as dates.  A
    categorical input holds the numbers of its `levels`.
    `run` (n,) numbers the recordings: rows of a run follow each other at equal times, so that their noise may be
    correlated.  With `step` (n, d), each y is the mean of the function along the straight line from x − step/2 to
    x + step/2, as a difference quotient is.
    """

    x: np.ndarray
    columns: tuple[str, ...]
    y: np.ndarray | None = None
    f: np.ndarray | None = None
    noise_sd: np.ndarray | None = None
    table: TableStatistics | None = None
    dates: tuple[str, ...] = ()
    levels: Levels = field(default_factory=dict)
    run: np.ndarray | None = None
    step: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        for name in ("x", "step", *_BY_ROW):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, checked(name, values, ndim=1 if name in _BY_ROW else 2))
        n, d = self.x.shape
        if len(self.columns) != d:
            raise InputError(
                Fault(
                    "", f"{d} input columns but {len(self.columns)} names {list(self.columns)}", "name each column once"
                )
            )
        if len(set(self.columns)) != d:
            raise InputError(Fault("", f"input columns {list(self.columns)} are not distinct", "name each column once"))
        for name in _BY_ROW:
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise InputError(
                    Fault("", f"x has {n} rows but {name} has {len(values)}", f"give one {name} for every row of x")
                )
        if self.step is not None and self.step.shape != (n, d):
            why = f"x has shape {self.x.shape} but step has {self.step.shape}"
            raise InputError(Fault("", why, "give one step for every value of x"))
        if self.noise_sd is not None and not (self.noise_sd > 0).all():
            row = int(np.flatnonzero(self.noise_sd <= 0)[0])
            raise InputError(Fault("", f"noise_sd is {self.noise_sd[row]:g} in row {row}", "it must be greater than 0"))
        for name, levels in self.levels.items():
            if name not in self.columns or len(set(levels)) < len(levels):
                raise InputError(Fault("", f"levels of {name!r}: {list(levels)}", "name an input, and each level once"))
            if self.step is not None and self.step[:, self.columns.index(name)].any():
                raise InputError(Fault("", f"{name!r} holds levels, and has steps", "give it a step of 0 in each row"))
            check_numbers(name, self.x[:, self.columns.index(name)], len(levels))

    @property
    def n(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    @property
    def d(self) -> int:
        """Return the number of inputs."""
        return self.x.shape[1]

    @property
    def observed(self) -> np.ndarray:
        """Return y (n,); raises InputError if the rows have none."""
        if self.y is None:
            raise InputError(Fault("", "the rows have no observed y", "give targets"))
        return self.y

    def at(self, rows: np.ndarray) -> "Dataset":
        """Return some of the rows: indices or a mask."""
        parts = {name: getattr(self, name)[rows] for name in (*_BY_ROW, "step") if getattr(self, name) is not None}
        if self.run is not None:
            parts["run"] = runs_of(self.run, np.arange(self.n)[rows])
        return replace(self, x=self.x[rows], **parts)

    def save(self, path: Path) -> None:
        """Write a CSV at full precision: the inputs under their names, then what is known of each row.

        The name of a categorical input is written with its levels, of which its cells are the numbers.
        """
        stored = stored_names(self.columns)
        listed = [
            LEVELS + json.dumps([name, *self.levels[name]], ensure_ascii=False) if name in self.levels else own
            for name, own in zip(self.columns, stored, strict=True)
        ]
        table = pd.DataFrame(self.x, columns=listed)
        if self.step is not None:
            table[[f"{STEP}{name}" for name in stored]] = self.step
        for name in _BY_ROW:
            if getattr(self, name) is not None:
                table[name] = getattr(self, name)
        table.to_csv(path, index=False, lineterminator="\n")

    @classmethod
    def load(cls, path: Path) -> "Dataset":
        """Return the dataset that `save` wrote to `path`."""
        table = pd.read_csv(path, dtype=np.float64)
        targets = {name: table.pop(name).to_numpy() for name in _BY_ROW if name in table}
        steps = [name for name in table if name.startswith(STEP)]
        if steps:
            targets["step"] = np.column_stack([table.pop(name).to_numpy() for name in steps])
        written = {name: json.loads(name.removeprefix(LEVELS)) for name in table if name.startswith(LEVELS)}
        names = [written[name][0] if name in written else input_names([name])[0] for name in table]
        levels = {name: tuple(levels) for name, *levels in written.values()}
        return cls(x=table.to_numpy(), columns=tuple(names), levels=levels, **targets)


def runs_of(run: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the number of the run (m,) of each of the `rows` (m,), indices: a row left out ends a run."""
    apart = (np.diff(rows) != 1) | (np.diff(run[rows]) != 0)
    return np.concatenate([[0.0], np.cumsum(apart)]).astype(float)[: len(rows)]


def stored_names(columns: Sequence[str]) -> list[str]:
    """Return the names that inputs have in a study's files."""
    starts = (INPUT, COMPONENT, LEVELS, STEP)
    return [f"{INPUT}{name}" if name in RESERVED or name.startswith(starts) else name for name in columns]


def input_names(stored: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs' names that `stored_names` stored."""
    return tuple(name.removeprefix(INPUT) for name in stored)


def default_columns(d: int) -> tuple[str, ...]:
    """Return default names of inputs: x for a single one, x1, x2, … for several."""
    return ("x",) if d == 1 else tuple(f"x{j + 1}" for j in range(d))


def check_numbers(name: str, values: np.ndarray, most: float = np.inf) -> None:
    """Raise InputError unless `values` (n,) are whole numbers from 0 to below `most`, those of levels."""
    wrong = (values != np.floor(values)) | (values < 0) | (values >= most)
    if wrong.any():
        why = f"{name!r} holds levels, and {values[wrong][0]:g} is the number of none"
        raise InputError(Fault("", why, "give the levels as text, in a DataFrame"))


def varied(data: Dataset) -> Dataset:
    """Return `data`; raise InputError if y is the same in every row, since no score is defined then."""
    if not np.ptp(data.observed) > 0:
        what = f"all {data.n} training targets are {data.observed[0]:g}"
        raise InputError(Fault("", what, "there is nothing to learn or score, give a y that varies"))
    return data


def as_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as an array of any type; refuse masked arrays, missing values and what is no array."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(
            Fault("", f"{name} is not an array of numbers (a masked array)", "remove masked rows, or fill them")
        )
    try:
        array = np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:  # ragged lists; tensors that require grad, or are on a GPU
        raise InputError(Fault("", f"{name} is not an array of numbers ({error})", "give finite floats")) from None
    if array.dtype.kind == "O":
        missing = [row for row, part in enumerate(np.atleast_1d(array).tolist()) if pd.isna(np.atleast_1d(part)).any()]
        if missing:
            raise InputError(Fault("", f"{name} has a missing value in row {missing[0]}", "remove or fill the row"))
    return array


def checked(name: str, values: Any, ndim: int) -> np.ndarray:
    """Return `values` as a read-only float64 array of `ndim` dimensions; refuse it if empty or not finite."""
    given = as_array(name, values)
    if given.dtype.kind not in "biufO":
        raise InputError(Fault("", f"{name} is not an array of numbers (of type {given.dtype})", "give finite floats"))
    try:
        array = np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InputError(Fault("", f"{name} is not an array of numbers ({error})", "give finite floats")) from None
    if array.ndim != ndim:
        raise InputError(
            Fault("", f"{name} has shape {array.shape}", f"it must have {ndim} dimension{('s' if ndim > 1 else '')}")
        )
    if array.size == 0:
        raise InputError(Fault("", f"{name} has shape {array.shape}", "at least one row and one column are needed"))
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
        raise InputError(
            Fault(
                "",
                f"{name} has a value that is not finite in row {row} (got {array[row]})",
                "remove or correct the row",
            )
        )
    array.setflags(write=False)
    return array
