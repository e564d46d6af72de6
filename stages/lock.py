"""What a `dvc` that was killed leaves behind: half a dvc.lock, half a record of running stages, edits put aside.

DVC writes both files in place.  A `dvc` that is killed at that moment leaves half of one, which no command can read.
`make repro` keeps a copy of dvc.lock, and mends it.  `dvc exp run` takes uncommitted edits out of the workspace and
puts them back a second later; if it is killed in between, they are in a commit that nobody knows of.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid

from gp.spec import Fault, InputError
from gp.yaml import read_yaml
from stages.wrapper.outputs import write_whole
from stages.wrapper.stamps import LOCK

TEMPORARY = Path(".dvc/tmp")
RUNNING = TEMPORARY / "rwlock"
KEPT = TEMPORARY / "dvc.lock.kept"  # dvc.lock as it was when the last `make repro` began
CONFLICT = "<<<<<<< "  # Git's mark of a conflict: such a file is not cut off, and its owner has to decide


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


MERGE = "refs/exps/exec/EXEC_MERGE"  # where `dvc exp run` puts uncommitted edits, until it has ended
STALE = 10.0  # seconds; Git holds its lock for milliseconds


def check_experiment() -> None:
    """Raise InputError if a `dvc exp run` was killed, and edits are put aside or Git is locked; needs Git."""
    if _git("rev-parse", "--quiet", "--verify", MERGE) and not any(map(_is_alive, _running())):
        why = "`dvc exp run` was killed: edits that were not committed may be missing from the files, and are here"
        fix = (
            f"`git diff -R {MERGE}` shows what is missing, `git restore --source={MERGE} .` brings it back; then "
            f"`git update-ref -d {MERGE}`"
        )
        raise InputError(Fault("", why, fix, source=MERGE))
    held = Path(_git("rev-parse", "--git-path", "HEAD.lock") or "HEAD.lock")
    if held.exists() and time.time() - held.stat().st_mtime > STALE:
        why, fix = "is left by a `dvc exp run` or a `git` that was killed", f"if no other `git` runs, `rm {held}`"
        raise InputError(Fault("", why, fix, source=str(held)))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _running() -> set[int]:
    """Return the processes that DVC's record of running stages names."""
    try:
        record = json.loads(RUNNING.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return set()
    readers = [holder for holders in record.get("read", {}).values() for holder in holders]
    return {int(holder["pid"]) for holder in [*readers, *record.get("write", {}).values()]}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def keep() -> None:
    """Keep a copy of dvc.lock, if it is whole, for `mend`."""
    if LOCK.exists():
        check_lock()
        TEMPORARY.mkdir(parents=True, exist_ok=True)
        write_whole(KEPT, LOCK.read_text(encoding="utf-8"))


def mend() -> bool:
    """Put the copy of dvc.lock in the place of one that was cut off; return whether it was.

    No result is lost: what stages made since then is in DVC's run-cache, and the next `dvc repro` takes it from there.
    """
    try:
        check_lock()
    except InputError:
        if not KEPT.exists() or CONFLICT in LOCK.read_text(encoding="utf-8", errors="replace"):
            return False
        write_whole(LOCK, KEPT.read_text(encoding="utf-8"))
        return True
    return False


def entries() -> dict[str, str]:
    """Return stage@study → its lines in dvc.lock, in their order; empty if there are none."""
    _, found = _split(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else ("", {})
    return found


def put_in_order(known: list[str], plan: list[str]) -> None:
    """Order the entries of dvc.lock as if stages had run one by one: those `known` before, then the new ones by `plan`.

    DVC appends an entry when its stage has run.  An order that depends on which stage ended first would show in Git.
    """
    if not LOCK.exists():
        return
    text = LOCK.read_text(encoding="utf-8")
    head, found = _split(text)
    before = [name for name in known if name in found]
    new = sorted(found.keys() - set(before), key=lambda name: (plan.index(name) if name in plan else len(plan), name))
    ordered = head + "".join(found[name] for name in [*before, *new])
    if ordered != text:
        write_whole(LOCK, ordered)


def _split(text: str) -> tuple[str, dict[str, str]]:
    """Return what comes before the first stage of dvc.lock, and name → lines of each stage."""
    head, *blocks = re.split(r"^(?=  [^ \n])", text, flags=re.MULTILINE)
    return head, {block.partition(":\n")[0].strip(): block for block in blocks}
