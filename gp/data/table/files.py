"""Files of tables: where they lie, and what is said of one that is not there."""

import difflib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ...spec import Fault, InputError
from .lines import OPENERS, ending

FOLDER = PurePosixPath("data/raw")  # tracked by the pipeline; an edit elsewhere would not be noticed
LONGEST = 1000  # bytes of a path; systems take 1024 and more, and 255 in a name


def check_path(text: str, known: Iterable[str]) -> str:
    """Return the path of a table as a study writes it; InputError unless it is below FOLDER, of a `known` ending."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(
            Fault("", f"must not lead out of the project (got {text!r})", f"put the table below {FOLDER}/")
        )
    if len(text.encode()) > LONGEST or max(len(part.encode()) for part in ("", *path.parts)) > 255:
        raise InputError(Fault("", f"is {len(text)} letters long (got {text[:40]!r}…)", "give it a shorter name"))
    if not path.is_relative_to(FOLDER) or path == FOLDER:
        raise InputError(
            Fault(
                "",
                f"must be below {FOLDER}/, the folder that the pipeline tracks (got {text!r})",
                "put the table there",
            )
        )
    if not Path(text).resolve().is_relative_to(Path(FOLDER).resolve()) and added(Path(text)) is None:
        fix = f"put the table itself there, or `dvc add {text}`"
        raise InputError(Fault("", f"is a symlink out of {FOLDER}/ (got {text!r})", fix))
    kind, compression = ending(Path(text))
    if kind not in known or (compression and kind == ".parquet"):
        fix = f"write the table as {', '.join(known)}, text also compressed ({', '.join(OPENERS)})"
        raise InputError(Fault("", f"ends in {kind + compression!r} (got {text!r})", fix))
    return text


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
