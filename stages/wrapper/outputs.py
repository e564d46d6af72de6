"""A stage's outputs: a folder that appears complete or not at all, written by one stage of a study at a time."""

import csv
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW, PREDICTED = "new.csv", "predicted."  # gp/new_rows.py


class Refused(Exception):
    """The stage must not write: a result is invalid, or its inputs changed while it ran."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder; if the block succeeds, sync its files and put it in the place of `target`."""
    fresh, old = (target.with_name(f".{target.name}.{age}") for age in ("new", "old"))
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent):
        _remove(fresh, old)  # left by a run that was killed
        try:
            fresh.mkdir()
            yield fresh
            for path in (fresh, *fresh.rglob("*")):
                _sync(path)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
            _sync(target.parent)
        finally:
            _remove(fresh, old)


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears complete or not at all, and replaces an existing one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    _sync(fresh)
    fresh.replace(path)


def _remove(*folders: Path) -> None:
    for path in folders:
        if path.exists():
            shutil.rmtree(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the folder `path` against other stages of the same study."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"another stage is writing in {path}: wait for it, then run again") from None
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_finite(out: Path) -> None:
    """Raise Refused if a number in a resulting table is NaN or infinite (`write_json` checks JSON files)."""
    for path in sorted(out.rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                for name, cell in row.items():
                    # new.csv carries a user's own columns, which may hold anything, beside what was predicted.
                    own = path.name == NEW and not str(name).startswith(PREDICTED)
                    if not own and cell in ("", "nan", "inf", "-inf"):
                        raise Refused(f"{path.name}:{line}: {name} came out as {cell or 'nan'}: nothing was written")
