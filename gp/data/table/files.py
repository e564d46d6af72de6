"""Files of tables: where they lie, and what is said of one that is not there."""

import difflib
from pathlib import Path, PurePosixPath

from ...spec import Fault, InputError

FOLDER = PurePosixPath("data/raw")  # tracked by the pipeline; an edit elsewhere would not be noticed


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    if path.is_dir():
        raise InputError(Fault("", "is a folder", "name the table in it", source=str(path)))
    if not path.is_file():
        if kept := added(path):
            raise InputError(Fault("", "is not here, but kept by DVC", f"`dvc pull {kept}` fetches it", str(path)))
        names = [str(file) for file in path.parent.glob("*")]
        close = difflib.get_close_matches(str(path), names, n=1)
        fix = f"put the table below {FOLDER}/, and `git add` it for experiments that are queued"
        fix = f"did you mean {close[0]}?" if close else fix
        raise InputError(Fault("", "no such file", fix, source=str(path)))
    if path.stat().st_size == 0:
        raise InputError(Fault("", "is empty", "it needs a header line and rows", source=str(path)))


def added(path: Path) -> Path | None:
    """Return the file by which DVC keeps the table at `path`, or a folder that holds it; None if it keeps neither."""
    kept = (at.with_name(f"{at.name}.dvc") for at in (path, *path.parents) if at.is_relative_to("data"))
    return next((file for file in kept if file.is_file()), None)
