"""`check_data`: the laws of every data source."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..data import Data
from ..dataset import Dataset
from .laws import require
from .specs import as_spec

ARRAYS = ("x", "y", "f", "noise_sd")


def check_data(source: Any, *, seeded: bool = True) -> None:
    """Check a data source (a spec, or what params.yaml would say); tables are read below the working folder.

    The laws: the same seed gives the same rows and, if the source is `seeded`, another seed gives others; sampling does
    not change NumPy's global random state; rows have the source's column names, and survive saving and loading; no test
    row is a training row; angles are within their periods.  Raises AssertionError with the law that failed.
    """
    spec = as_spec(Data, source)
    name = f"data {spec.kind}"
    state = _global_state()
    first, again, other = spec.sample(0), spec.sample(0), spec.sample(1)
    require(_global_state() == state, f"{name}: drawing rows changes NumPy's global random state: take a Generator")
    train, test = first
    require(same_rows(train, again[0]), f"{name}: the same seed gives other training rows")
    require(same_rows(test, again[1]), f"{name}: the same seed gives other test rows")
    if seeded:
        differ = not (same_rows(train, other[0]) and same_rows(test, other[1]))
        require(differ, f"{name}: another seed gives the same rows: draw with the seed, or say seeded=False")
    _check_names(name, spec, train, test)
    _check_rows(name, spec, train, test)
    for rows in (train, test):
        if rows is not None:
            _check_file(name, rows)


def _global_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002


def same_rows(one: Dataset | None, two: Dataset | None) -> bool:
    """Return whether two datasets are the same, bit for bit."""
    if one is None or two is None:
        return one is two
    pairs = [(getattr(one, name), getattr(two, name)) for name in ARRAYS]
    same = all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in pairs)
    return same and one.columns == two.columns


def _check_names(name: str, spec: Any, train: Dataset, test: Dataset | None) -> None:
    for which, rows in (("training", train), ("test", test)):
        if rows is not None:
            law = f"{name}: the {which} rows have columns {rows.columns}, and `columns` says {tuple(spec.columns)}"
            require(rows.columns == tuple(spec.columns), law)
    require(isinstance(spec.target, str) and bool(spec.target), f"{name}: `target` is a name (got {spec.target!r})")
    require(spec.target not in spec.columns, f"{name}: the target {spec.target!r} is an input too")
    unknown = set(spec.periods) - set(spec.columns)
    require(not unknown, f"{name}: `periods` names {sorted(unknown)}, which are no columns")


def _check_rows(name: str, spec: Any, train: Dataset, test: Dataset | None) -> None:
    require(train.y is not None, f"{name}: the training rows have no y")
    for column, period in spec.periods.items():
        angles = train.x[:, train.columns.index(column)]
        inside = bool(((angles >= 0) & (angles <= period)).all())
        require(inside, f"{name}: {column} has the period {period:g}, and values {angles.min():g} … {angles.max():g}")
    if test is None:
        return
    require(test.y is not None or test.f is not None, f"{name}: the test rows have neither y nor f: nothing to score")
    if test.y is not None:
        trained = {row.tobytes() for row in np.column_stack([train.x, train.observed])}
        leaked = sum(row.tobytes() in trained for row in np.column_stack([test.x, test.y]))
        # A table may repeat single rows; a source that leaks repeats most of them.
        law = f"{name}: {leaked} of {test.n} test rows, x and y, are among the training rows"
        require(leaked <= 0.1 * test.n, law)


def _check_file(name: str, rows: Dataset) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        rows.save(path)
        loaded = Dataset.load(path)
    require(same_rows(loaded, rows), f"{name}: rows written to a CSV and read again are not the same")
