"""Fitting to a Parquet file whose rows need not fit in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from .data.table.names import find_columns
from .data.table.parquet import floats_of, unreadable
from .dataset import Dataset, TableStatistics
from .fitted.fit import Written, check_noise_sd, parse_all, refuse
from .fitted.fitted import Fitted
from .inference.inducing.rows import Batch, draw
from .inference.inducing.svgp import Svgp
from .model.model import GaussianProcess, Model
from .spec import Fault, InputError, OneOf
from .training import Seeded, Train

Streaming = Annotated[Svgp, OneOf(default="svgp")]


def fit_parquet(
    path: str | Path,
    *,
    x: Sequence[str],
    y: str,
    noise_sd: str | None = None,
    model: Written = None,
    inference: Written = None,
    train: Written = None,
    seed: int = 0,
    checkpoints: str | Path | None = None,
    **others: object,
) -> Fitted:
    """Return the model fitted to the columns `x`, `y` (and `noise_sd`, if the noise is known) of a Parquet file.

    The file is read a row group at a time (write it with some ten thousand rows in each), in memory that does not grow
    with the number of rows.  Standardisation uses the means and standard deviations of the whole table.  The model file
    holds a random sample of the rows (by the seed), on which the bound is estimated and leave-one-out is computed; the
    bound over all rows is in `search.ends`.  Only `inference` of kind svgp streams.  Training that was killed resumes
    from its file in the folder `checkpoints`.  Raises InputError if an argument or the table has faults.
    """
    refuse(others, ("x", "y", "noise_sd", "model", "inference", "train", "seed", "checkpoints"))
    specs = parse_all(model=(Model, model), inference=(Streaming, inference), train=(Train, train))
    method, believed, optimizer = specs["inference"], specs["model"], specs["train"]
    if believed.search is not None:
        raise InputError(
            Fault("model.search", "kernels are not ranked while rows are streamed", "rank them on a sample, by fit")
        )
    table = ParquetTable(Path(path), tuple(x), y, noise_sd)
    n = sum(table.sizes)
    method.check(n)
    data = table.sample(draw(n, method.sample_size(n), np.random.default_rng([seed, 3])))
    check_noise_sd(data, believed)
    gp = believed.build(data)
    method.check_model(gp)
    folder = None if checkpoints is None else Path(checkpoints)
    search = method.learn_from(TableRows(table, gp), gp, Seeded(optimizer, seed), seed, folder)
    return Fitted(data, believed, method, optimizer, search.vector, search)


@dataclass(frozen=True, eq=False)
class ParquetTable:
    """Columns of the Parquet file at `path`: inputs `x`, target `y`, and `noise_sd`, if the noise is known."""

    path: Path
    x: tuple[str, ...]
    y: str
    noise_sd: str | None = None

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns used."""
        return [*self.x, self.y, *([self.noise_sd] if self.noise_sd else [])]

    @cached_property
    def stored(self) -> list[str]:
        """Return the names of all columns used, as they are spelled in the file."""
        names = pq.read_schema(self.path).names
        return [names[i] for i in find_columns(names, self.columns, place=str(self.path)).values()]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Return the number of rows of each row group.  Raises InputError for an unreadable file or unknown column."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                find_columns(file.schema_arrow.names, self.columns, place=str(self.path))
                return tuple(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from None

    def read(self, group: int) -> np.ndarray:
        """Return a row group's columns (b, len(columns)).

        Raises InputError for a value that is not finite, or where the file is damaged.
        """
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                table = file.read_row_group(group, columns=self.stored)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from None
        values = np.column_stack(
            [floats_of(table[stored], name, self.path) for stored, name in zip(self.stored, self.columns, strict=True)]
        )
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(
                Fault(
                    "",
                    f"column {self.columns[column]!r}: {values[row, column]} in row "
                    f"{sum(self.sizes[:group]) + row + 1} is not finite",
                    "remove or correct the row",
                    source=str(self.path),
                )
            )
        return values

    def sample(self, rows: np.ndarray) -> Dataset:
        """Return the rows at the sorted positions `rows`, with the table statistics from one pass over all rows.

        Means and sums of squares are merged row group by row group (Chan, Golub & LeVeque 1983, eq. 2.1).
        """
        parts, start, mean, squares = [], 0, np.zeros(len(self.columns)), np.zeros(len(self.columns))
        for group, size in enumerate(self.sizes):
            values = self.read(group)
            parts.append(values[rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + size)] - start])
            if size:
                step = values.mean(axis=0) - mean
                mean = mean + step * size / (start + size)
                squares += size * values.var(axis=0) + step**2 * start * size / (start + size)
            start += size
        sd = np.sqrt(squares / start)
        sd = np.where(sd <= 1e-14 * np.abs(mean), 1.0, sd)  # a constant column keeps its scale
        d, values = len(self.x), np.concatenate(parts)
        table = TableStatistics(start, np.stack([mean[:d], sd[:d]]), np.stack([mean[d : d + 1], sd[d : d + 1]]))
        noise_sd = values[:, d + 1] if self.noise_sd else None
        return Dataset(x=values[:, :d], columns=self.x, y=values[:, d], noise_sd=noise_sd, table=table)


class TableRows:
    """A table's rows in a model's internal units; each row group is a chunk."""

    def __init__(self, table: ParquetTable, gp: GaussianProcess) -> None:
        self._table, self._scope, self.sizes = table, gp.scope, table.sizes

    @property
    def digest(self) -> str:
        """Return a hash of the file."""
        with self._table.path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {self._table.columns}"

    def read(self, chunk: int) -> Batch:
        """Return a row group."""
        scope, d = self._scope, len(self._table.x)
        values = torch.from_numpy(self._table.read(chunk))
        x = (values[:, :d] - torch.from_numpy(scope.x_offset)) / torch.from_numpy(scope.x_scale)
        sd = values[:, d + 1] / scope.y_scale if self._table.noise_sd else None
        return Batch(x, (values[:, d] - scope.y_offset) / scope.y_scale, sd)
