"""Table: rows from a user's CSV, TSV or Parquet file, read strictly."""

import difflib
import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ...dataset import Dataset
from ...levels import Levels, ordered, renumbered
from ...new_rows import NewRows
from ...spec import Fault, InputError
from ..source import Source
from .carried import carry
from .cells import Columns, Role
from .doubts import doubts, doubts_of_holdout
from .files import check_file, check_path
from .format import Format
from .holdout import Folds, Holdout, LastCount, RandomRows, RollingOrigins
from .lines import ending
from .names import Column
from .parquet import read_parquet
from .text import read_text

READERS = {".csv": read_text, ".tsv": read_text, ".parquet": read_parquet}

_log = logging.getLogger(__name__)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Table(Format, Source):
    """Rows of the file at `path`: inputs `x` and target `y` are columns by name.

    `noise_sd` is a column too: the standard deviation of each row's noise, for noise of kind known.  `holdout` says
    which rows are kept from training, to score the predictions on.  Inputs named in `categorical` hold levels: text or
    whole numbers that stand for categories.
    Where y is a mean along an input, from x − step/2 to x + step/2 (of a layer, of an hour), `step` has for that input
    the column of its steps, or one number for all rows, in the input's unit (years of dates).
    `new` is another table, of rows to predict: it is read by the same rules, and needs no target.
    """

    kind: Literal["table"] = "table"
    path: str
    x: Annotated[list[Column], BeforeValidator(_as_list)]
    y: Column
    categorical: Annotated[list[Column], BeforeValidator(_as_list)] = Field(default_factory=list)
    noise_sd: Column | None = None
    step: dict[Column, Column | Annotated[float, Field(allow_inf_nan=False)]] | None = None
    missing: Literal["error", "drop"] = "error"
    holdout: Holdout | None = None
    new: str | None = None

    @field_validator("path", "new")
    @classmethod
    def _check_path(cls, text: str | None) -> str | None:
        return None if text is None else check_path(text, READERS)

    @field_validator("x")
    @classmethod
    def _check_x(cls, names: list[str]) -> list[str]:
        if not names:
            raise InputError(Fault("", "is empty (got [])", "name at least one input column"))
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise InputError(Fault("", f"names column {name!r} {times} times", "name it once"))
        return names

    @field_validator("y")
    @classmethod
    def _check_y(cls, name: str, info: ValidationInfo) -> str:
        if name in info.data.get("x", []):
            raise InputError(
                Fault("", f"is an input as well (got {name!r}, in x too)", "take it out of x, or name another target")
            )
        return name

    @field_validator("categorical")
    @classmethod
    def _check_categorical(cls, names: list[str], info: ValidationInfo) -> list[str]:
        if wrong := [name for name in names if name not in info.data.get("x", names)]:
            why = f"names {wrong[0]!r}, no input of the study ({', '.join(info.data['x'])})"
            raise InputError(Fault("", why, "name it in x too, or leave it out"))
        return list(dict.fromkeys(names))

    @field_validator("noise_sd")
    @classmethod
    def _check_noise_sd(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and name in (*info.data.get("x", []), info.data.get("y")):
            raise InputError(
                Fault("", f"is an input or the target as well (got {name!r})", "name the column of standard deviations")
            )
        return name

    @field_validator("step", mode="before")
    @classmethod
    def _check_step(cls, steps: Any, info: ValidationInfo) -> Any:
        inputs, taken = info.data.get("x", []), (info.data.get("y"), *info.data.get("categorical", []))
        if steps is None or not inputs:
            return steps
        if not isinstance(steps, dict) or not steps:
            fix = f"write `step: {{{inputs[0]}: COLUMN}}`, or a number for all rows"
            raise InputError(Fault("", f"must say the steps of which input (got {steps!r:.60})", fix))
        for name, column in steps.items():
            if name not in inputs or name in taken:
                why = f"{name!r} is no input of numbers"
                raise InputError(Fault("", why, f"name one of x: {', '.join(x for x in inputs if x not in taken)}"))
            if isinstance(column, bool) or not isinstance(column, str | int | float):
                raise InputError(Fault("", f"must be a column or a number for {name!r} (got {column!r:.60})"))
            if column in (name, *taken):
                raise InputError(Fault("", f"{column!r} is no column of steps", "name theirs, or write a number"))
        return steps

    @model_validator(mode="after")
    def _check_holdout(self) -> "Table":
        if isinstance(self.holdout, LastCount | RollingOrigins) and self.holdout.along is None and len(self.x) > 1:
            written = ", ".join(f"{name}: {value}" for name, value in self.holdout.to_dict().items())
            why = f"holdout {{{written}}} of a table with {len(self.x)} inputs: the last along which?"
            fix = f"write `holdout: {{{written}, along: {self.x[0]}}}`, or another column"
            raise InputError(Fault("", why, fix))
        if isinstance(self.holdout, RollingOrigins) and self.holdout.along not in (None, *self.x):
            why = f"holdout.along {self.holdout.along!r} is no input, so that its order is not known later"
            raise InputError(Fault("", why, f"name one of x: {', '.join(self.x)}"))
        marks = [name for name, role in (self.holdout.roles if self.holdout else {}).items() if role == "mark"]
        if taken := [name for name in marks if name in (*self.x, self.y, self.noise_sd)]:
            raise InputError(
                Fault(
                    "",
                    f"holdout.column {taken[0]!r} is an input, the target or noise_sd too",
                    "mark the rows in its own column",
                )
            )
        return self

    @model_validator(mode="after")
    def _check_dates(self) -> "Table":
        named = self.date_format if isinstance(self.date_format, dict) else {}
        if unknown := [name for name in named if name not in self._roles]:
            why = f"date_format names {unknown[0]!r}, no column that the study uses ({', '.join(self._roles)})"
            raise InputError(Fault("", why, "name one of these"))
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the inputs' names."""
        return tuple(self.x)

    @property
    def target(self) -> str:
        """Return the target's name."""
        return self.y

    @property
    def forecast(self) -> dict[str, int | str]:
        """Return how forecasts from rolling origins are made, if the hold-out asks for them."""
        if not isinstance(self.holdout, RollingOrigins):
            return {}
        return {"step": self.holdout.step, "along": self.x[0], **self.holdout.to_dict()}

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the training rows and the held-out ones, each in the order of the file.

        Raises InputError with line, column and value for each cell that cannot be read as it is.
        """
        read = self._read()
        rows, dates = read.values, read.dates
        if self.holdout is None or isinstance(self.holdout, Folds):
            return self._dataset(read, np.ones(len(rows[self.y]), dtype=bool)), None
        held_out = self.holdout.mask(rows, seed)
        if held_out.all() or not held_out.any():
            raise InputError(
                Fault(
                    "",
                    f"holdout {self.holdout.to_dict()} keeps {held_out.sum()} of {held_out.size} rows from training",
                    "leave at least one on both sides",
                    source=str(self.path),
                )
            )
        train = self._dataset(read, ~held_out)
        test = self._dataset(read, held_out, train.levels)
        along = next((name for name in self.x if name in dates), None) if isinstance(self.holdout, RandomRows) else None
        for doubt in doubts_of_holdout(train, test, along):
            _log.warning("%s: %s", self.path, doubt)
        return train, test

    def folds(self, n: int, seed: int) -> np.ndarray | None:
        """Return the fold (n,), from 0, of each training row; None where the hold-out is no folds."""
        if not isinstance(self.holdout, Folds):
            return None
        if n < 2 * self.holdout.folds:
            why = f"{n} rows are too few for {self.holdout.folds} folds"
            fix = f"write at most {n // 2}, or no holdout" if n >= 4 else "leave holdout out"
            raise InputError(Fault("", why, f"{fix}: each row is left out in turn anyhow", source=str(self.path)))
        return self.holdout.assign(n, seed)

    def new_rows(self, train: Dataset) -> NewRows | None:
        """Return the rows to predict; None where the study names none.  Raises InputError as `sample` does."""
        return None if self.new is None else self.read_new(Path(self.new), train.levels)

    def read_new(self, path: Path, levels: Levels) -> NewRows:
        """Return the inputs in the table at `path`, and its columns as text; `levels` are those of the training rows.

        Rows that lack an input are dropped if `missing` says so, and refused otherwise.
        """
        check_file(path)
        roles: dict[str, Role] = dict.fromkeys([*self.x, *([self.noise_sd] if self.noise_sd else [])], "value")
        roles |= dict.fromkeys(self.categorical, "level")
        columns = READERS[ending(path)[0]](path, roles, self.missing, self)
        read = columns.values
        carried, there = carry(path, self, read)
        if not there.all():
            _log.warning("%s: %d of %d rows dropped: an input is missing", path, (~there).sum(), there.size)
        x, known = self._inputs(columns, there, levels, path)
        sd = read[self.noise_sd][there] if self.noise_sd else None
        return NewRows(Dataset(x=x, columns=self.columns, noise_sd=sd, levels=known), carried)

    @property
    def _roles(self) -> dict[str, Role]:
        """Return the columns used, and what each is for."""
        steps = [column for column in (self.step or {}).values() if isinstance(column, str)]
        named = [*self.x, self.y, *([self.noise_sd] if self.noise_sd else []), *steps]
        roles: dict[str, Role] = dict.fromkeys(named, "value")
        roles |= dict.fromkeys(self.categorical, "level")
        others = self.holdout.roles if self.holdout else {}
        return roles | {name: role for name, role in others.items() if name not in roles}

    def _read(self) -> Columns:
        """Return the columns used, without the rows that have a missing value."""
        path = Path(self.path)
        check_file(path)
        roles = self._roles
        read = READERS[ending(path)[0]](path, roles, self.missing, self)
        rows = read.values
        gone = {name: np.isnan(values) for name, values in rows.items()}
        there = ~np.any(list(gone.values()), axis=0)
        if not there.any():
            counts = sorted(((int(lacks.sum()), name) for name, lacks in gone.items()), reverse=True)
            listed = ", ".join(f"{name!r} in {count}" for count, name in counts if count)
            why = f"every row has a missing value: of {there.size} rows, {listed}"
            fix = f"fill some in, or leave {counts[0][1]!r} out"
            raise InputError(Fault("", why, fix, source=str(path)))
        for name, role in roles.items():
            for doubt in doubts(name, rows[name]) if role == "value" else ():
                _log.warning("%s: %s", path, doubt)
        if not there.all():
            _log.warning("%s: %d of %d rows dropped: a value is missing", path, (~there).sum(), there.size)
        return read._replace(values={name: values[there] for name, values in rows.items()})

    def _inputs(
        self, read: Columns, chosen: np.ndarray, known: Levels | None, path: Path
    ) -> tuple[np.ndarray, dict[str, tuple[str, ...]]]:
        """Return the inputs (m, d) of the chosen rows, and their levels: first those `known`, if any are."""
        columns, levels = {name: read.values[name][chosen] for name in self.x}, {}
        for name in self.categorical:
            texts, numbers = read.levels[name], columns[name]
            first = ordered(texts[int(i)] for i in np.unique(numbers)) if known is None else known[name]
            columns[name], levels[name] = renumbered(numbers, texts, first)
            if new := levels[name][len(first) :]:
                close = difflib.get_close_matches(new[0], first, n=1)
                _log.warning(
                    "%s: %s: %s is not among the levels of the training rows (%s): predicted as a level of which "
                    "nothing is known%s",
                    *(path, name, ", ".join(map(repr, new[:5])), ", ".join(first[:10])),
                    f" (or is it {close[0]!r}?)" if close else "",
                )
        return np.column_stack(list(columns.values())), levels

    def _dataset(self, read: Columns, chosen: np.ndarray, known: Levels | None = None) -> Dataset:
        rows = read.values
        x, levels = self._inputs(read, chosen, known, Path(self.path))
        sd = rows[self.noise_sd][chosen] if self.noise_sd else None
        if sd is not None and not (sd > 0).all():
            raise InputError(
                Fault(
                    "",
                    f"{self.noise_sd}: a standard deviation must be greater than 0 (got {sd.min():g})",
                    "correct the row, or take it out",
                    source=str(self.path),
                )
            )
        named = tuple(name for name in self.x if name in read.dates)
        step = None
        if self.step:
            step = np.zeros_like(x)
            for name, along in self.step.items():
                step[:, self.x.index(name)] = rows[along][chosen] if isinstance(along, str) else along
        y = rows[self.y][chosen]
        return Dataset(x=x, columns=self.columns, y=y, noise_sd=sd, dates=named, levels=levels, step=step)
