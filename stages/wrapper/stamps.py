"""Stamps: the inputs that a stage's outputs were really made of, compared with those that dvc.lock records.

DVC hashes a stage's params and dependencies after its command has ended, up to a second after the stage checked them
for the last time.  If an input is edited in between, dvc.lock records the edited input, and everything is called up to
date (treeverse/dvc#11058).  Therefore each stage writes a stamp beside its outputs: its inputs, hashed when it began.
The next stage, `make repro`, `make why` and `make verify` compare stamps with dvc.lock.
"""

import fcntl
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from gp.yaml import read_yaml
from stages.wrapper.inputs import PARAMS, PIPELINE, VERSIONS, digest
from stages.wrapper.outputs import write_whole

LOCK = Path("dvc.lock")
HELD = Path(".dvc/tmp/lock")  # which a `dvc` holds while it writes dvc.lock, and not while a stage runs
PATIENCE, PAUSE = 10.0, 0.02  # seconds


@dataclass(frozen=True)
class Contradiction:
    """An input (a param's value, or a hash): what it `was` when the stage began, and what dvc.lock `said` instead."""

    name: str
    was: Any
    said: Any

    def __str__(self) -> str:
        return f"{self.name}: was {_written(self.was)}, {LOCK} says {_written(self.said)}"


def path(study: str, stage: str) -> Path:
    """Return the path of the stamp of `stage` for `study`: an output of the stage that no other stage reads."""
    return Path("data", study, "stamps", f"{stage}.json")


def write(study: str, stage: str, made_of: dict[str, Any]) -> None:
    """Write the stamp of a stage; `made_of` is stages.wrapper.inputs.fingerprint."""
    target = path(study, stage)
    target.parent.mkdir(exist_ok=True)
    write_whole(target, json.dumps(_plain(made_of), indent=2, sort_keys=True) + "\n")


def contradictions(*, held: bool = False) -> dict[str, list[Contradiction]]:
    """Return stage@study → the inputs that dvc.lock records wrong; `held` says that the caller holds DVC's lock.

    Skips a stage that dvc.lock does not have, or whose stamp differs from the one in dvc.lock: DVC itself then finds
    the outputs changed.
    """
    found = {name: list(_contradictions(name, entry)) for name, entry in _recorded(held).items() if "@" in name}
    return {name: inputs for name, inputs in found.items() if inputs}


def contradictions_before(study: str, stage: str) -> dict[str, list[Contradiction]]:
    """Return `contradictions` for the stages of `study` that come before `stage`."""
    earlier = [f"{name}@{study}" for name in takewhile(lambda name: name != stage, read_yaml(PIPELINE)["stages"])]
    return {name: inputs for name, inputs in contradictions().items() if name in earlier}


def undeclared(deps: list[str]) -> list[Path]:
    """Return the files of this project that the process has loaded, but dvc.yaml does not list for the stage.

    These include a local file or folder that shadows an installed package by its name.
    """
    root, installed = f"{Path.cwd()}/", f"{sys.prefix}/"
    files = {name for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))}
    # Compared as text: to make paths of thousands of files would take longer than many stages.
    ours = {name.removeprefix(root) for name in files if name.startswith(root) and not name.startswith(installed)}
    within = tuple(f"{Path(dep).as_posix()}/" for dep in deps)
    return sorted(Path(name) for name in ours if not f"{name}/".startswith(within))


def _recorded(held: bool) -> dict[str, Any]:
    with nullcontext() if held else _unwritten():
        return (read_yaml(LOCK) or {}).get("stages") or {} if LOCK.exists() else {}


@contextmanager
def _unwritten() -> Iterator[None]:
    """Keep other `dvc` from writing dvc.lock, which they do in place: half a file would miss stages, or be no YAML.

    They hold DVC's own lock meanwhile, and try it again for some seconds where it is held.  Without a turn for PATIENCE
    seconds, because another `dvc` is long at work, the file is read as it is.
    """
    if not HELD.exists():
        yield
        return
    with HELD.open("rb") as file:
        for _ in range(int(PATIENCE / PAUSE)):
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(PAUSE)
        yield


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
    """Return a value as it is after a round trip through JSON, so that a stamp and dvc.lock can be compared."""
    return json.loads(json.dumps(value, default=str))


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
