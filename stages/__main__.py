"""`python -m stages` validates every study before any stage runs."""

import sys
from typing import Any

from gp.spec import Fault, InputError, Spec
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
from stages.lock import check_experiment, check_lock, check_running
from stages.wrapper.inputs import declaration

PARAMS_OF: dict[str, type[Spec]] = {
    "synthesize": synthesize.Params,
    "train": train.Params,
    "predict": predict.Params,
    "evaluate": evaluate.Params,
    "plot": plot.Params,
}


def validate() -> None:
    """Raise InputError with all faults of all studies, of versions.yaml and of what a killed `dvc` left."""
    faults: list[Fault] = []
    for study in read_studies():
        for params in PARAMS_OF.values():
            faults += _faults(parse_params, study, params)
    packages = {name for stage in PARAMS_OF for name in declaration(stage, study="")["versions"]}
    faults += _faults(check_versions, sorted(packages))
    faults += _faults(check_lock) + _faults(check_running) + _faults(check_experiment)
    if faults:
        raise InputError(list(dict.fromkeys(faults)))  # a section that two stages read is reported once


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
