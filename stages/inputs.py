"""What a stage reads, by what dvc.yaml declares: params and versions by value, files and folders by hash."""

import hashlib
import sys
from pathlib import Path
from typing import Any

from gp.yaml import read_yaml

PARAMS, PIPELINE, VERSIONS = Path("params.yaml"), Path("dvc.yaml"), Path("versions.yaml")


def declaration(stage: str, study: str) -> dict[str, list[str]]:
    """Return what dvc.yaml says that `stage` reads for `study`: params' paths, deps' paths, names of packages."""
    entry = read_yaml(PIPELINE)["stages"][stage]["do"]
    return {
        "params": [item.replace("${key}", study) for item in entry["params"] if isinstance(item, str)],
        "deps": [path.replace("${key}", study) for path in entry["deps"]],
        "versions": [name for item in entry["params"] if isinstance(item, dict) for name in item[VERSIONS.name]],
    }


def fingerprint(declared: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is declared as it is now: params and versions by value, files and folders by hash."""
    params, versions = read_yaml(PARAMS), read_yaml(VERSIONS)
    now = {path: _find(params, path.split(".")) for path in declared["params"]}
    now |= {f"{VERSIONS}: {name}": _find(versions, [name]) for name in declared["versions"]}
    return now | {path: _digest(Path(path)) for path in declared["deps"]}


def _find(value: Any, keys: list[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _digest(path: Path) -> str:
    """Return a hash of a file, or of all names and files in a folder."""
    if path.is_dir():
        return _joined({file: _digest(file) for file in _files(path)})
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder, but for what Python keeps there of code that it has compiled."""
    return [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def _joined(digests: dict[Path, str]) -> str:
    """Return one hash of files by their names and hashes."""
    return hashlib.sha256("".join(f"{file}\0{digests[file]}\n" for file in sorted(digests)).encode()).hexdigest()


def started(deps: list[str]) -> dict[str, str]:
    """Return the hash that each code dependency, a file or a folder, had when this process began."""
    within = {path: {file: STARTED[file] for file in STARTED if file.is_relative_to(path)} for path in deps}
    return {
        path: files[Path(path)] if Path(path) in files else _joined(files) for path, files in within.items() if files
    }


STARTED: dict[Path, str] = {}  # file of code → its hash when this process began
# While `python -m stages.<stage>` imports this package, argv says so.  The stage's own imports come next, and torch's
# takes seconds: time enough for code that is already loaded to be edited.
if sys.argv[:1] == ["-m"]:
    STARTED |= {file: _digest(file) for package in ("gp", "stages") for file in _files(Path(package))}
