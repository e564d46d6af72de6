"""What can be checked of all studies without torch: its import takes longer than a `make repro` with nothing to do."""

from pathlib import Path
from typing import Any

from gp.spec import Fault, InputError, Spec
from gp.yaml import read_yaml
from stages import check_versions, parse_params, read_studies
from stages.lock import check_experiment, check_lock, check_running
from stages.wrapper.inputs import PIPELINE, broken_links, declaration

RAW = Path("data/raw")  # where tables lie


def check_project() -> None:
    """Raise InputError with all faults of studies' sections, of versions.yaml, tables, and what a killed `dvc` left."""
    faults: list[Fault] = []
    for study in read_studies():
        faults += faults_of(parse_params, study, Spec)
    stages = [name for name, entry in read_yaml(PIPELINE)["stages"].items() if "foreach" in entry]
    packages = {name for stage in stages for name in declaration(stage, study="")["versions"]}
    faults += faults_of(check_versions, sorted(packages))
    faults += [Fault("", "is a link to what is not there", "remove it", str(link)) for link in broken_links(RAW)]
    faults += faults_of(check_lock) + faults_of(check_running) + faults_of(check_experiment)
    if faults:
        raise InputError(faults)


def faults_of(check: Any, *arguments: Any) -> list[Fault]:
    """Return the faults with which a check refuses its arguments; none if it accepts them."""
    try:
        check(*arguments)
    except InputError as error:
        return error.faults
    return []
