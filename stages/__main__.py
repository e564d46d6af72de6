"""`python -m stages` validates every study before any stage runs."""

import sys

from gp.spec import Fault, InputError, Spec
from stages import evaluate, parse_params, plot, predict, read_studies, synthesize, train
from stages.checks import check_project, faults_of

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
            faults += faults_of(parse_params, study, params)
    faults += faults_of(check_project)
    if faults:
        raise InputError(list(dict.fromkeys(faults)))  # a section that two stages read is reported once


if __name__ == "__main__":
    if sys.argv[1:]:
        print("usage: python -m stages   (a stage: python -m stages.<stage> STUDY)", file=sys.stderr)
        sys.exit(2)
    try:
        validate()
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
