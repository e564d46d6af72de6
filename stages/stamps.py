"""Stamps: what a stage's outputs were made of, held against what dvc.lock says they were made of.

DVC hashes a stage's params and dependencies when its command has ended, up to a second after the stage itself looked at
them for the last time.  What is edited in between is recorded as what the outputs were made of, and all is called up to
date (treeverse/dvc#11058).  So each stage writes beside its outputs what it was made of, hashed when it began; the next
stage, `make repro`, `make why` and `make verify` compare.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from gp.yaml import read_yaml
from stages.inputs import PARAMS, PIPELINE, VERSIONS, digest
from stages.outputs import write_whole

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Contradiction:
    """An input of a stage that `was` another, when the stage began, than dvc.lock says: a param's value, or a hash."""

    name: str
    was: Any
    said: Any

    def __str__(self) -> str:
        return f"{self.name}: was {_written(self.was)}, {LOCK} says {_written(self.said)}"


def path(study: str, stage: str) -> Path:
    """Return the file of what `stage` was made of for `study`: an output of the stage, which no other reads."""
    return Path("data", study, "stamps", f"{stage}.json")


def write(study: str, stage: str, made_of: dict[str, Any]) -> None:
    """Write what a stage was made of (stages.inputs.fingerprint)."""
    target = path(study, stage)
    target.parent.mkdir(exist_ok=True)
    write_whole(target, json.dumps(_plain(made_of), indent=2, sort_keys=True) + "\n")


def contradictions() -> dict[str, list[Contradiction]]:
    """Return stage@study → its inputs of which dvc.lock is wrong.

    Nothing is said of a stage that dvc.lock does not know, or whose stamp is not the one in dvc.lock: DVC itself then
    takes its outputs for changed.
    """
    found = {name: list(_contradictions(name, entry)) for name, entry in _recorded().items() if "@" in name}
    return {name: inputs for name, inputs in found.items() if inputs}


def contradictions_before(study: str, stage: str) -> dict[str, list[Contradiction]]:
    """Return what `contradictions` does for those stages of a study that come before one."""
    earlier = [f"{name}@{study}" for name in takewhile(lambda name: name != stage, read_yaml(PIPELINE)["stages"])]
    return {name: inputs for name, inputs in contradictions().items() if name in earlier}


def undeclared(deps: list[str]) -> list[Path]:
    """Return the files of this project that the process has loaded and dvc.yaml does not list for it.

    A folder or file that bears a package's name, and so shadows it, is among them.
    """
    root, installed = Path.cwd(), Path(sys.prefix)
    files = [Path(name) for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))]
    ours = {
        file.relative_to(root) for file in files if file.is_relative_to(root) and not file.is_relative_to(installed)
    }
    return sorted(file for file in ours if not any(file.is_relative_to(dep) for dep in deps))


def _recorded() -> dict[str, Any]:
    return (read_yaml(LOCK) or {}).get("stages") or {} if LOCK.exists() else {}


def _contradictions(name: str, entry: dict[str, Any]) -> Iterator[Contradiction]:
    stage, _, study = name.partition("@")
    stamp = path(study, stage)
    outs = {out["path"]: out.get("md5") for out in entry.get("outs", [])}
    if not stamp.exists() or outs.get(stamp.as_posix()) != digest(stamp):
        return
    said = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    for file, values in entry.get("params", {}).items():
        said |= {name if file == PARAMS.name else f"{VERSIONS}: {name}": value for name, value in values.items()}
    was = json.loads(stamp.read_text(encoding="utf-8"))
    for name in sorted(was.keys() & said.keys()):
        if was[name] != _plain(said[name]):
            yield Contradiction(name, was[name], _plain(said[name]))


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back, so that what was written and what dvc.lock says can be compared."""
    return json.loads(json.dumps(value, default=str))


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
