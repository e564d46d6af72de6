"""What a stage reads, as dvc.yaml declares it: params and versions by value, files and folders by DVC's hashes."""

import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from gp.yaml import read_yaml
from stages.wrapper import bytecode

PARAMS, PIPELINE, VERSIONS = Path("params.yaml"), Path("dvc.yaml"), Path("versions.yaml")
IGNORED = Path(".dvcignore")


def declaration(stage: str, study: str) -> dict[str, list[str]]:
    """Return what `stage` reads for `study` by dvc.yaml: paths of params, paths of deps, names of packages."""
    entry = read_yaml(PIPELINE)["stages"][stage]["do"]
    return {
        "params": [item.replace("${key}", study) for item in entry["params"] if isinstance(item, str)],
        "deps": [path.replace("${key}", study) for path in entry["deps"]],
        "versions": [name for item in entry["params"] if isinstance(item, dict) for name in item[VERSIONS.name]],
    }


def fingerprint(declared: dict[str, list[str]]) -> dict[str, Any]:
    """Return the present state of what is declared: params and versions by value, files and folders by hash."""
    params, versions = read_yaml(PARAMS), read_yaml(VERSIONS)
    now = {path: _find(params, path.split(".")) for path in declared["params"]}
    now |= {f"{VERSIONS}: {name}": _find(versions, [name]) for name in declared["versions"]}
    return now | {path: digest(Path(path)) for path in declared["deps"]}


def _find(value: Any, keys: list[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def digest(path: Path) -> str:
    """Return the MD5 hash by which dvc.lock names a file or a folder; empty if it does not exist."""
    if path.is_dir():
        return _listing(path, {file: digest(file) for file in files_of(path)})
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""


def started(deps: list[str]) -> dict[str, str]:
    """Return the hash that each code dependency (a file or a folder) had when this process began."""
    # Compared as text: `is_relative_to` for each file and dependency takes twenty times as long.
    names = {f"{file.as_posix()}/": file for file in STARTED}
    folders = {path: f"{Path(path).as_posix()}/" for path in deps}
    within = {
        path: {file: STARTED[file] for name, file in names.items() if name.startswith(folder)}
        for path, folder in folders.items()
    }
    return {
        path: files[Path(path)] if Path(path) in files else _listing(Path(path), files)
        for path, files in within.items()
        if files
    }


def files_of(path: Path) -> list[Path]:
    """Return the files in a folder that DVC does not ignore; for a file, the file itself."""
    if not path.is_dir():
        return [path]
    ignored = _ignored(IGNORED.read_text(encoding="utf-8") if IGNORED.exists() else "")
    return [file for file in path.rglob("*") if file.is_file() and not ignored.match_file(file.as_posix())]


def broken_links(folder: Path) -> list[Path]:
    """Return the links in a folder that lead to nothing, and that DVC does not ignore: it stops at them."""
    ignored = _ignored(IGNORED.read_text(encoding="utf-8") if IGNORED.exists() else "")
    links = (path for path in sorted(folder.rglob("*")) if path.is_symlink() and not path.exists())
    return [path for path in links if not ignored.match_file(path.as_posix())]


@cache
def _ignored(text: str) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(text.splitlines())


def _listing(folder: Path, digests: dict[Path, str]) -> str:
    """Return the hash of a folder as DVC computes it: the hash of its sorted JSON list of names and hashes."""
    start = len(folder.as_posix()) + 1
    entries = [{"md5": md5, "relpath": file.as_posix()[start:]} for file, md5 in digests.items()]
    listed = json.dumps(sorted(entries, key=lambda entry: entry["relpath"])).encode()
    return f"{hashlib.md5(listed, usedforsecurity=False).hexdigest()}.dir"


STARTED: dict[Path, str] = {}  # file of code → its hash when this process began
# While `python -m stages.<stage>` imports this package, sys.argv is ["-m", …].  Code is hashed here because the stage's
# own imports come next, and importing torch takes seconds, in which code that is already loaded may be edited.
if sys.argv[:1] == ["-m"]:
    STARTED |= {file: digest(file) for package in ("gp", "stages") for file in files_of(Path(package))}
    bytecode.renew(file for file in STARTED if file.suffix == ".py")
