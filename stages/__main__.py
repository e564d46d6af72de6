"""`python -m stages` validates every study; `python -m stages versions` records the installed packages' versions."""

import sys
from typing import Any

from gp.spec import InputError, Spec, read_yaml
from stages import (
    PIPELINE,
    VERSIONS,
    check_versions,
    evaluate,
    installed_version,
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


def record_versions() -> None:
    """Write the installed version of every package that dvc.yaml tracks to versions.yaml."""
    stages = read_yaml(PIPELINE)["stages"].values()
    groups = [item[VERSIONS.name] for stage in stages for item in stage["do"]["params"] if isinstance(item, dict)]
    lines = [f'{name}: "{installed_version(name)}"\n' for name in sorted({name for group in groups for name in group})]
    header = "# Packages whose arithmetic or bytes reach an output; `make versions` writes this file.\n"
    VERSIONS.write_text(header + "".join(lines), encoding="utf-8")


def _faults(check: Any, *arguments: Any) -> list[str]:
    try:
        check(*arguments)
    except InputError as error:
        return error.messages
    return []


if __name__ == "__main__":
    try:
        record_versions() if sys.argv[1:] == ["versions"] else validate()
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
