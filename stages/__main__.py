"""`python -m stages` validates every study before any stage runs."""

import sys
from typing import Any

from gp.spec import InputError, Spec, read_yaml
from stages import (
    VERSIONS,
    check_versions,
    evaluate,
    parse_params,
    plot,
    predict,
    read_studies,
    synthesize,
    train,
)

PARAMS_OF: dict[str, type[Spec]] = {
    "synthesize": synthesize.Params,
    "train": train.Params,
    "predict": predict.Params,
    "evaluate": evaluate.Params,
    "plot": plot.Params,
}


def validate() -> None:
    """Raise InputError with every fault of every study, and of versions.yaml."""
    faults: list[str] = []
    for study in read_studies():
        for params in PARAMS_OF.values():
            faults += _faults(parse_params, study, params)
    faults += _faults(check_versions, list(read_yaml(VERSIONS)))
    if faults:
        raise InputError(list(dict.fromkeys(faults)))  # a section that two stages read is named once


def _faults(check: Any, *arguments: Any) -> list[str]:
    try:
        check(*arguments)
    except InputError as error:
        return error.messages
    return []


if __name__ == "__main__":
    try:
        validate()
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
