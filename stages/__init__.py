"""Where a study's folders are, and the one wrapper in which every stage runs.

`python -m stages.<stage> <study>` runs a stage from the project's root.  Exit codes: 0 done, 2 the user's input has
faults, 1 any other error.  The wrapper guarantees:

1. Params are validated before any work.  All faults are reported at once, and no file is touched.
2. Outputs appear complete or not at all: they are written to a fresh folder, synced, then renamed into place.
3. Nothing is written if params or dependencies changed while the stage ran (DVC would record the new value with the old
   output: treeverse/dvc#11058), if code was loaded that dvc.yaml does not list, if a result is NaN or infinite, or if
   dvc.lock records wrong inputs for an earlier stage (stages/wrapper/stamps.py).
4. A stage ends with the `dvc` that started it.  An orphan would later overwrite the output of a newer run.
5. The installed packages are those that versions.yaml names.  DVC does not notice an upgrade.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    from gp.spec import Fault, InputError, Spec, parse, suggest
    from gp.yaml import read_yaml
    from stages.wrapper import stamps
    from stages.wrapper.inputs import PARAMS, VERSIONS, declaration, fingerprint, started
    from stages.wrapper.outputs import Refused, check_finite, replacing
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] in ("gp", "stages"):
        raise
    sys.exit(
        f"{error}: {sys.executable} is not the project's Python: `source .venv/bin/activate` (`make repro` makes it)"
    )

REASONS = "STAGES_REASONS"  # environment variable: the file in which failed stages leave their reasons
SECTIONS = ("seed", "data", "model", "inference", "train", "predict", "plot")
# Significant digits of numbers in JSON files.  Two machines agree on so many: their BLAS rounds differently, an optimum
# is known to eight or nine digits, and what is computed from it loses one or two.
DIGITS = 6
# The library's paths of faults lack the section of params.yaml: first key of such a path → section.
OWNERS = {"kernel": "model", "mean": "model", "noise": "model", "transform": "model", "function": "data"}


def folder(study: str, stage: str) -> Path:
    """Return the folder into which `stage` writes for `study`."""
    return Path("data", study, stage)


def run(stage: str, params_class: type[Spec], main: Callable[[str, Any, Path], None]) -> int:
    """Run `main(study, params, out)` for the study on the command line, with these guarantees; return the exit code.

    `out` is a temporary folder, which becomes data/<study>/<stage> if the stage succeeds.
    """
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{stage} STUDY   (a study's name in params.yaml)", file=sys.stderr)
        return 2
    study = sys.argv[1]
    try:
        declared = declaration(stage, study)
        before = fingerprint(declared) | started(declared["deps"])
        params = parse_params(study, params_class)
        check_versions(declared["versions"])
        _check_deps(declared, stage, study)
        _check_stamps(study, before=stage)
        with replacing(folder(study, stage)) as out:
            with _placing(study):
                main(study, params, out)
            check_finite(out)
            changed = [name for name, now in fingerprint(declared).items() if now != before[name]]
            if changed:
                raise Refused(f"{', '.join(changed)} changed while the stage ran: nothing was written; run again")
            _check_loaded(stage, declared["deps"])
            stamps.write(study, stage, before)
    except InputError as error:
        _tell(stage, study, [*error.messages, _how_to_restore(stage, study)])
        return 2
    except (Refused, ArithmeticError) as error:
        if not isinstance(error, Refused) and type(error) is not ArithmeticError:
            raise  # e.g. ZeroDivisionError: a bug of this project, shown with its traceback
        _tell(stage, study, [f"{stage} {study}: {error}"])
        return 1
    return 0


def _tell(stage: str, study: str, lines: list[str]) -> None:
    """Print why the stage failed, and add it to the file that `make repro` repeats when all studies have run."""
    print(*lines, sep="\n", file=sys.stderr)
    if REASONS in os.environ:
        with Path(os.environ[REASONS]).open("a", encoding="utf-8") as file:
            print(f"{stage}@{study} failed:", *(f"  {line}" for line in lines), sep="\n", file=file)


def read_studies() -> dict[str, Any]:
    """Return `studies` of params.yaml, a non-empty mapping whose keys are text.  Raises InputError."""
    params = read_yaml(PARAMS)
    if not isinstance(params, dict):
        raise _error("", f"must be a mapping with the key studies (got {params!r:.60})")
    if strangers := [str(key) for key in params if key != "studies"]:
        raise _error("", f"{', '.join(strangers)}: unknown beside studies", "if it is a study, indent it below")
    studies = params.get("studies")
    if not isinstance(studies, dict) or not studies:
        raise _error("studies", f"must be a mapping of at least one study (got {studies!r:.60})")
    check_names()
    return studies


def is_study_name(name: str) -> bool:
    """Return whether a study may have this name, which becomes a folder's: letters, digits, - and _."""
    return bool(name) and name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()


def check_names() -> None:
    """Raise InputError for a name that YAML does not read as text (DVC never runs a study named 2024), or no name."""
    params = read_yaml(PARAMS)
    studies = params.get("studies") if isinstance(params, dict) else None
    faults = []
    for name in studies if isinstance(studies, dict) else ():
        where = f"studies.{name}"
        if not isinstance(name, str):
            why = f"a study's name is text, which YAML does not read here (got {name!r})"
            faults.append(Fault(where, why, "put quotes around it", str(PARAMS)))
        elif not is_study_name(name):
            why = f"a study's name is made of letters, digits, - and _ (got {name!r})"
            faults.append(Fault(where, why, "rename it", str(PARAMS)))
    if faults:
        raise InputError(faults)


def parse_params(study: str, params_class: type[Spec]) -> Any:
    """Return the sections of `study` that `params_class` names, validated; also check the names of all sections."""
    studies = read_studies()
    if study not in studies:
        known, fix = suggest(study, [str(name) for name in studies])
        raise _error("studies", f"no study {study!r}{known}", fix)
    given, where = studies[study], f"studies.{study}"
    faults = list(_faults_of(study, given))
    if not isinstance(given, dict):
        raise InputError(faults)
    try:
        params = parse(params_class, {name: given[name] for name in params_class.model_fields if name in given}, where)
    except InputError as error:
        missing = {f"{where}.{name}" for name in SECTIONS if name not in given}  # reported by _faults_of
        faults += [replace(fault, source=str(PARAMS)) for fault in error.faults if fault.path not in missing]
    if faults:
        raise InputError(faults)
    return params


def check_versions(packages: list[str]) -> None:
    """Raise InputError if the installed packages are not those of versions.yaml."""
    recorded = read_yaml(VERSIONS)
    if not isinstance(recorded, dict):
        why = f"must be a mapping of packages (got {recorded!r:.60})"
        raise InputError(Fault("", why, "`make versions` writes it", source=str(VERSIONS)))
    faults = [
        Fault(
            name,
            f"{recorded.get(name, 'nothing')} is recorded, but {installed_version(name)} is installed",
            "`make versions` records what is installed (and the stages it reaches run again), "
            "`pip install -r requirements.lock` brings the recorded ones back",
            source=str(VERSIONS),
        )
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
    """Write sorted, indented JSON, its floats to DIGITS significant digits.

    Raises ArithmeticError for NaN and infinity, which JSON cannot represent.
    """
    try:
        text = json.dumps(_rounded(value), indent=2, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ArithmeticError(f"{path.name}: a number came out as NaN or infinite: nothing was written") from error
    path.write_text(text + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Return a value of JSON with every float rounded, and no negative zero; counts and flags stay as they are."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") + 0.0 if isinstance(value, float) else value


def _error(path: str, why: str, fix: str = "") -> InputError:
    """Return an InputError with one fault in params.yaml."""
    return InputError(Fault(path, why, fix, source=str(PARAMS)))


def _faults_of(name: str, study: Any) -> Iterator[Fault]:
    """Yield the faults of a study's name and of its sections' names."""
    where, source = f"studies.{name}", str(PARAMS)
    if name == "raw":
        why = "data/raw is the folder of tables, which a study's results may not mix with"
        yield Fault(where, why, "rename the study", source)
    if not isinstance(study, dict):
        yield Fault(where, f"must be a mapping of sections (got {study!r:.60})", source=source)
        return
    for key in study:
        if key not in SECTIONS:
            known, fix = suggest(str(key), SECTIONS)
            yield Fault(f"{where}.{key}", f"no stage knows this section{known}", fix, source)
    for key in SECTIONS:
        if key not in study:
            example = {"seed": "0", "data": "{kind: …}"}.get(key, "{}")
            yield Fault(f"{where}.{key}", "is required and was not given", f"write `{key}: {example}`", source)


def _check_deps(declared: dict[str, list[str]], stage: str, study: str) -> None:
    fix = f"`dvc repro {stage}@{study}` makes it first"
    missing = [path for path in declared["deps"] if not Path(path).exists()]
    if missing:
        raise InputError([Fault("", "is not there", fix, source=path) for path in missing])


def _check_stamps(study: str, before: str) -> None:
    """Raise Refused if dvc.lock records wrong inputs for a stage that comes earlier than `before`."""
    for stage, found in stamps.contradictions_before(study, before).items():
        raise Refused(
            f"{stage} was not made of what dvc.lock says, as its inputs were edited at the moment it ended "
            f"({'; '.join(map(str, found))}): `make repro` runs it again, or "
            f"`dvc repro --force --single-item {stage}`"
        )


def _check_loaded(stage: str, deps: list[str]) -> None:
    """Raise Refused if the stage loaded code of this project that dvc.yaml does not list for it."""
    if files := stamps.undeclared(deps):
        raise Refused(
            f"{', '.join(map(str, files))}: was loaded, and dvc.yaml does not list it below deps of {stage}: list it "
            "(or rename it, if it took the place of an installed package): nothing was written"
        )


@contextmanager
def _placing(study: str) -> Iterator[None]:
    """Put the study's place in params.yaml before the path of each of the library's faults that has no source."""
    try:
        yield
    except InputError as error:
        raise InputError([_place(fault, study) for fault in error.faults]) from error


def _place(fault: Fault, study: str) -> Fault:
    """Return the library's fault with its path from the root of params.yaml."""
    if fault.source:
        return fault
    first = fault.path.partition(".")[0]
    section = OWNERS.get(first, first)
    path = fault.path if section == first else f"{section}.{fault.path}"
    return replace(fault, source=str(PARAMS), path=f"studies.{study}.{path}" if path else f"studies.{study}")


def _die_with_parent() -> None:
    """Ask the kernel (Linux) to end this process when its parent ends."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


def _how_to_restore(stage: str, study: str) -> str:
    where, command = folder(study, stage), f"dvc checkout {stage}@{study}"
    if stage == "evaluate":  # metrics.json is in Git
        command = f"git checkout {where}/metrics.json; {command}"
    return f"Nothing was written. If DVC removed earlier results from {where}, `{command}` brings them back."


# While `python -m stages.<stage>` imports this package, sys.argv is ["-m", …].  The request is made here because the
# stage's own imports come next, and importing torch takes seconds, in which `dvc` may be killed.
if sys.argv[:1] == ["-m"] and "stages.repro" not in sys.orig_argv:  # make repro may outlive its terminal
    _die_with_parent()
# BLAS and torch read these when they are loaded, which is after this.  How many threads add up a sum decides its last
# bits, and no result may depend on the environment.  Factors of many rows ask for more (gp.parallel.lapack_threads).
if sys.argv[:1] == ["-m"]:
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
