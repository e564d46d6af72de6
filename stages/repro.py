"""`python -m stages.repro [--jobs N] [OPTIONS of dvc repro]` runs what changed or was recorded wrong; prints a table.

Params are validated by a process of their own, and only if something will run: that imports torch.

Studies that changed run side by side, each by a `dvc repro` of its own; DVC's locks let one `dvc` at a time write
dvc.lock, and all compute.  Bytes are those of one `dvc repro` after the other.  If a study fails, the other ones still
run, the table is printed, and then again why the study failed.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loky import cpu_count

from gp.spec import Fault, InputError
from gp.yaml import read_yaml
from stages import REASONS, lock, read_studies, table
from stages.checks import check_project
from stages.side_by_side import run_all, run_one
from stages.wrapper import stamps
from stages.wrapper.inputs import PIPELINE, digest, files_of

ROUNDS = 5  # of repeated runs; after the last, whoever keeps editing is told so
JOBS = "--jobs"
# Options of `dvc repro` that mean the same if each study has a `dvc` of its own.  With any other one, such as a target
# or --dry, one `dvc` runs everything.
SHARED = {
    *("-f", "--force", "-k", "--keep-going", "-v", "--verbose", "-q", "--quiet"),
    *("--pull", "--allow-missing", "--no-run-cache", "--force-downstream"),
}
FORCED = {"-f", "--force"}


def main(arguments: list[str]) -> int:
    """Return the exit code of `dvc repro`, 1 if inputs were edited in every round, 2 for input that has faults."""
    with tempfile.NamedTemporaryFile("r", prefix="reasons-", encoding="utf-8") as reasons:
        os.environ[REASONS] = reasons.name
        try:
            status = _run(*_jobs(arguments))
        except InputError as error:
            print("\n".join(error.messages), file=sys.stderr)
            status = 2
        finally:
            del os.environ[REASONS]
            if lock.mend():
                print(f"{stamps.LOCK} was cut off when `dvc` was stopped: it is as it was before this run", flush=True)
        print(reasons.read(), end="", file=sys.stderr)
    return status


def _jobs(arguments: list[str]) -> tuple[int, list[str]]:
    """Return how many studies may run at once (by default: the number of cores), and the options of `dvc repro`."""
    if JOBS not in arguments:
        return cpu_count(), arguments
    k = arguments.index(JOBS)
    given = "".join(arguments[k + 1 : k + 2])
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        why = f"must be a whole number of at least 1 (got {given!r})"
        raise InputError(Fault(JOBS, why, "write `make repro JOBS=2`", source="make repro"))
    return int(given), [*arguments[:k], *arguments[k + 2 :]]


def _run(jobs: int, options: list[str]) -> int:
    if lock.mend():
        print(f"{stamps.LOCK} was cut off: it is as it was before the last run, which the cache completes", flush=True)
    check_project()
    targets = _targets(jobs, options)
    if targets != {} and (status := _validate()):
        return status
    lock.keep()
    status = _studies(jobs, options, targets)
    for _ in range(ROUNDS):
        wrong = stamps.contradictions()
        if not wrong:
            break
        for stage, found in wrong.items():
            said = "; ".join(map(str, found))
            print(f"{stage} runs again: its inputs were edited at the moment it ended ({said})", flush=True)
            _let_dvc_look_again(found)
        _dvc("repro", "--force", "--single-item", *wrong)
        status = _dvc("repro", "--keep-going", *options)
    else:
        print("inputs were edited in every round: run once more when the edits are done", file=sys.stderr)
        status = status or 1
    table.main()
    return status


def _validate() -> int:
    """Validate all params, and say what is wrong; return the exit code."""
    return run_one([sys.executable, "-m", "stages"])


def _stages() -> list[str]:
    """Return the stages that each study has; a pipeline may have others, of all studies together."""
    return [name for name, entry in read_yaml(PIPELINE)["stages"].items() if "foreach" in entry]


def _targets(jobs: int, options: list[str]) -> dict[str, list[str]] | None:
    """Return study → stage@study of those that have something to run; None if one `dvc` is to look at everything."""
    if jobs == 1 or len(read_studies()) == 1 or not SHARED.issuperset(options):
        return None
    targets = {study: [f"{stage}@{study}" for stage in _stages()] for study in read_studies()}
    if FORCED.intersection(options):
        return targets
    changed = _changed()
    if not changed:
        return changed if changed is None else {}
    return {study: names for study, names in targets.items() if changed.intersection(names)} or None


def _studies(jobs: int, options: list[str], targets: dict[str, list[str]] | None) -> int:
    """Run the studies that have something to run, side by side if there are several; return the exit code."""
    if targets == {}:
        print("nothing to run: data and pipelines are up to date", flush=True)
        return 0
    others = len(_stages()) < len(read_yaml(PIPELINE)["stages"])
    if targets is None or (others and len(targets) == 1):
        return _dvc("repro", "--keep-going", *options)
    if len(targets) == 1:
        return _dvc("repro", "--keep-going", *options, *next(iter(targets.values())))
    known = list(lock.entries())
    jobs = min(jobs, len(targets))
    print(f"{len(targets)} studies have something to run, {jobs} at a time: {', '.join(targets)}", flush=True)
    command = ["dvc", "--wait-for-lock", "repro", "--keep-going", *options]
    statuses = run_all({study: [*command, *names] for study, names in targets.items()}, jobs)
    lock.put_in_order(known, [f"{stage}@{study}" for stage in _stages() for study in read_studies()])
    if others:
        statuses[""] = _dvc("repro", "--keep-going", *options)
    return max(statuses.values(), key=abs)


def _changed() -> set[str] | None:
    """Return the stages that `dvc repro` would run, but for those that only follow others; None if DVC cannot tell."""
    status = subprocess.run(["dvc", "--wait-for-lock", "status", "--json"], capture_output=True, text=True, check=False)
    try:
        return set(json.loads(status.stdout))
    except ValueError:
        return None  # `dvc repro` will say why


def _let_dvc_look_again(found: list[stamps.Contradiction]) -> None:
    """Touch the files that still are what the stage read, but have another hash in dvc.lock.

    DVC assumes that a file of known size and modification time is unchanged, and does not hash it again.
    """
    for name in [contradiction.name for contradiction in found]:
        path = Path(name)
        if path.exists() and digest(path) in [contradiction.was for contradiction in found]:
            for file in files_of(path):
                os.utime(file)


def _dvc(*arguments: str) -> int:
    """Return the exit code of a `dvc` command."""
    return run_one(["dvc", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
