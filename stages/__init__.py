"""Where a study's folders are, and the one wrapper every stage runs in.

`python -m stages.<stage> <study>`, from the project's root: exit 0 done, 2 the user's input is at fault, 1 all else.
What the wrapper guarantees:

1. params are validated before any work, all faults at once, and no file is touched then;
2. outputs appear whole or not at all: written to a folder of their own, synced, then renamed into place;
3. nothing is written if params or dependencies changed while the stage ran (DVC would record the new value with the old
   output: treeverse/dvc#11058);
4. a stage dies with the `dvc` that started it (an orphan would later overwrite a newer run's output);
5. the packages at work are those that versions.yaml names (DVC does not see an upgrade).
"""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gp.spec import InputError, Spec, parse, read_yaml

SECTIONS = ("seed", "data", "model", "inference", "train", "predict", "plot")
STUDY_NAME = "letters, digits, - and _"
PARAMS, PIPELINE, VERSIONS = Path("params.yaml"), Path("dvc.yaml"), Path("versions.yaml")


def folder(study: str, stage: str) -> Path:
    """Return the folder of what `stage` writes for `study`."""
    return Path("data", study, stage)


def run(stage: str, params_class: type[Spec], main: Callable[[str, Any, Path], None]) -> int:
    """Run `main(study, params, out)` for the study on the command line, in the guarantees above; return the exit code.

    `out` is a temporary folder that becomes data/<study>/<stage> if all goes well.
    """
    _die_with_parent()
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{stage} STUDY   (a study's name in params.yaml)", file=sys.stderr)
        return 2
    study = sys.argv[1]
    try:
        params = parse_params(study, params_class)
        declared = _declaration(stage, study)
        check_versions(declared["versions"])
        before = _fingerprint(declared)
        with _replacing(folder(study, stage)) as out:
            main(study, params, out)
            changed = [name for name, digest in _fingerprint(declared).items() if digest != before[name]]
            if changed:
                raise RuntimeError(f"{', '.join(changed)} changed while the stage ran: nothing was written; run again")
    except InputError as error:
        print("\n".join(error.messages), _how_to_restore(stage, study), sep="\n", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"{stage} {study}: {error}", file=sys.stderr)
        return 1
    return 0


def read_studies() -> dict[str, Any]:
    """Return `studies` of params.yaml, checked for names and sections that no stage knows."""
    params = read_yaml(PARAMS)
    studies = params.get("studies") if isinstance(params, dict) else None
    if not isinstance(studies, dict) or not studies:
        raise InputError(f"{PARAMS}: studies: must be a mapping of at least one study (got {studies!r})")
    faults = [fault for name, study in studies.items() for fault in _faults_of(name, study)]
    if faults:
        raise InputError(faults)
    return studies


def parse_params(study: str, params_class: type[Spec]) -> Any:
    """Return the sections of `study` that `params_class` names, validated."""
    studies = read_studies()
    if study not in studies:
        raise InputError(f"{PARAMS}: studies: no study {study!r} (known: {', '.join(studies)})")
    sections = {name: studies[study][name] for name in params_class.model_fields}
    return parse(params_class, sections, f"{PARAMS}: studies.{study}")


def check_versions(packages: list[str]) -> None:
    """Raise InputError where what is installed is not what versions.yaml says."""
    recorded = read_yaml(VERSIONS)
    faults = [
        f"{VERSIONS}: {name}: {recorded.get(name)} is recorded, but {installed_version(name)} is installed: "
        "`make versions` records what is installed (and the stages it reaches run again), "
        "`pip install -r requirements.lock` brings the recorded ones back"
        for name in packages
        if recorded.get(name) != installed_version(name)
    ]
    if faults:
        raise InputError(faults)


def installed_version(package: str) -> str:
    """Return the public version of an installed package: 2.13.0 for 2.13.0+cpu."""
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "nothing"


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON; raises ValueError for NaN and infinity, which JSON has no form for."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _faults_of(name: Any, study: Any) -> Iterator[str]:
    where = f"{PARAMS}: studies.{name}"
    if not (isinstance(name, str) and name and name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()):
        yield f"{where}: a study's name is made of {STUDY_NAME} (got {name!r}): rename it"
    if not isinstance(study, dict):
        yield f"{where}: must be a mapping of sections (got {study!r})"
        return
    known = ", ".join(SECTIONS)
    yield from (f"{where}.{key}: no stage knows this section (known: {known})" for key in study if key not in SECTIONS)
    for key in SECTIONS:
        if key not in study:
            yield f"{where}.{key}: is required and was not given: write `{key}: {'0' if key == 'seed' else '{}'}`"


def _declaration(stage: str, study: str) -> dict[str, Any]:
    """Return what dvc.yaml says that `stage` reads for `study`: params' paths, packages, files and folders."""
    entry = read_yaml(PIPELINE)["stages"][stage]["do"]
    params = [item for item in entry["params"] if isinstance(item, str)]
    packages = [name for item in entry["params"] if isinstance(item, dict) for name in item[VERSIONS.name]]
    fill = str.replace
    return {
        "params": [fill(path, "${key}", study) for path in params],
        "deps": [Path(fill(path, "${key}", study)) for path in entry["deps"]],
        "versions": packages,
    }


def _fingerprint(declared: dict[str, Any]) -> dict[str, str]:
    """Return a hash for each of the declared params and dependencies, as they are now."""
    everything = read_yaml(PARAMS)
    digests = {}
    for path in declared["params"]:
        value = everything
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        digests[path] = repr(value)
    for path in declared["deps"]:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file}\0".encode())
            digest.update(file.read_bytes() if file.exists() else b"")
        digests[str(path)] = digest.hexdigest()
    return digests


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes `target`'s place, its files synced, if the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent):
        for leftover in target.parent.glob(f".{target.name}.*"):  # of a run that was killed
            shutil.rmtree(leftover)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield fresh
            for file in fresh.rglob("*"):
                _sync(file)
            fresh.chmod(0o777 & ~_umask())
            if target.exists():
                target.rename(fresh.with_name(fresh.name + ".old"))
            fresh.rename(target)
            _sync(target.parent)
        finally:
            for leftover in target.parent.glob(f".{target.name}.*"):
                shutil.rmtree(leftover)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder `path` against another stage of the same study."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RuntimeError(f"another stage is writing in {path}: wait for it, then run again") from None
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _die_with_parent() -> None:
    """Ask the kernel (Linux) to end this process when its parent ends."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


def _how_to_restore(stage: str, study: str) -> str:
    where = folder(study, stage)
    command = f"git checkout {where}/metrics.json; dvc checkout" if stage == "evaluate" else f"dvc checkout {where}"
    return f"Nothing was written. If DVC removed earlier results from {where}, `{command}` brings them back."
