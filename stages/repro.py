"""`python -m stages.repro [OPTIONS of dvc repro]` runs stages that changed or were recorded wrong, and prints a table.

If a study fails, the other studies still run, the table is printed, and then again why the study failed.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gp.spec import InputError
from stages import REASONS, stamps, table
from stages.__main__ import validate
from stages.inputs import digest, files_of

ROUNDS = 5  # of repeated runs; after the last, whoever keeps editing is told so


def main(options: list[str]) -> int:
    """Return the exit code of `dvc repro`, or 1 if inputs were edited in every round."""
    with tempfile.NamedTemporaryFile("r", prefix="reasons-", encoding="utf-8") as reasons:
        os.environ[REASONS] = reasons.name
        try:
            status = _run(options)
        finally:
            del os.environ[REASONS]
        print(reasons.read(), end="", file=sys.stderr)
    return status


def _run(options: list[str]) -> int:
    try:
        validate()
        status = _dvc("repro", "--keep-going", *options)
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
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        return 2
    return status


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
    """Return the exit code of a `dvc` command; if interrupted, wait until `dvc` has ended by itself."""
    process = subprocess.Popen(["dvc", *arguments])
    stopped: list[int] = []

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        if number == signal.SIGTERM:  # on Ctrl-C the terminal sends SIGINT to both processes
            process.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped:
        sys.exit(128 + stopped[0])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
