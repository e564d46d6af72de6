"""`python -m stages` validates every study before any stage runs."""

import json
import sys
from pathlib import Path
from typing import Any

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid

from gp.spec import Fault, InputError, Spec
from gp.yaml import read_yaml
from stages import (
    check_versions,
    evaluate,
    parse_params,
    plot,
    predict,
    read_studies,
    synthesize,
    train,
)
from stages.inputs import declaration

PARAMS_OF: dict[str, type[Spec]] = {
    "synthesize": synthesize.Params,
    "train": train.Params,
    "predict": predict.Params,
    "evaluate": evaluate.Params,
    "plot": plot.Params,
}


LOCK, RUNNING = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def validate() -> None:
    """Raise InputError with all faults of all studies, of versions.yaml and of dvc.lock."""
    faults: list[Fault] = []
    for study in read_studies():
        for params in PARAMS_OF.values():
            faults += _faults(parse_params, study, params)
    packages = {name for stage in PARAMS_OF for name in declaration(stage, study="")["versions"]}
    faults += _faults(check_versions, sorted(packages))
    faults += _faults(check_lock) + _faults(check_running)
    if faults:
        raise InputError(list(dict.fromkeys(faults)))  # a section that two stages read is reported once


def check_lock() -> None:
    """Raise InputError if dvc.lock is incomplete: `dvc` was killed while it wrote the file."""
    try:
        if LOCK.exists():
            COMPILED_LOCKFILE_SCHEMA(read_yaml(LOCK))
    except (InputError, Invalid) as error:
        why = f"is cut off, as `dvc` was killed while it wrote it ({error})"
        fix = (
            f"`git checkout {LOCK}` brings the committed one back, and `dvc repro` then takes what has run since from "
            "its cache"
        )
        raise InputError(Fault("", why, fix, source=str(LOCK))) from None


def check_running() -> None:
    """Raise InputError if DVC's record of running stages is incomplete: `dvc` was killed while it wrote it."""
    try:
        if RUNNING.exists():
            json.loads(RUNNING.read_text(encoding="utf-8"))
    except ValueError:
        why, fix = "is cut off, as `dvc` was killed while it wrote it", f"if no other `dvc` runs, `rm {RUNNING}`"
        raise InputError(Fault("", why, fix, source=str(RUNNING))) from None


def _faults(check: Any, *arguments: Any) -> list[Fault]:
    try:
        check(*arguments)
    except InputError as error:
        return error.faults
    return []


if __name__ == "__main__":
    if sys.argv[1:]:
        print("usage: python -m stages   (a stage: python -m stages.<stage> STUDY)", file=sys.stderr)
        sys.exit(2)
    try:
        validate()
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
