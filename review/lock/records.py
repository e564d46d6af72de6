"""What dvc.lock, a folder's listing, metrics.json, fit.json and names.json may say, checked before it is used.

A review reads a stranger's revision. There a hash may be a path to a file of the reader's computer, a number may be a
list, and a name may be markup. Each file is therefore compared with its schema; what differs is an InputError of one
line, which says where.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gp.spec import Fault, InputError, visible
from gp.yaml import read_yaml

# An object's name in DVC's cache: nothing else may be joined to the cache's folder.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
LOCK = Path("dvc.lock")
# What code raises that meets a table or a tree of another shape than a stage writes.
MALFORMED = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError, EOFError, OSError, BadZipFile),
)


class _Record(BaseModel):
    """A part of a file that other programs write too: keys that nobody here reads may hold anything."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Output(_Record):
    """An output of a stage."""

    path: str
    md5: Digest | None = None


class Stage(_Record):
    """A stage's last run."""

    params: dict[str, dict[str, Any]] = {}
    deps: list[Output] = []
    outs: list[Output] = []


class Lock(_Record):
    """dvc.lock."""

    stages: dict[str, Stage] = {}


class Entry(_Record):
    """A file of an output folder."""

    relpath: str
    md5: Digest


class Interval(_Record):
    """An interval of a hyperparameter."""

    lower: Number
    upper: Number


class Ranked(_Record):
    """A kernel's place in a search."""

    rank: Number


class Learnt(_Record):
    """The fit's own numbers."""

    log_marginal_likelihood: Number | None = None
    hyperparameters: dict[str, Number] = {}


class Judged(_Record):
    """The certificate's numbers; flags are 0 or 1, lists are counts."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bool | Number | dict[str, Any]]
    intervals: dict[str, Interval] = {}


class Metrics(_Record):
    """metrics.json."""

    fit: Learnt = Learnt()
    certificate: Judged = Judged()
    search: dict[str, Ranked] = {}
    test: dict[str, Number] = {}
    folds: dict[str, Number] = {}
    loo: dict[str, Number] = {}
    check: dict[str, Number] = {}
    baselines: dict[str, dict[str, Number]] = {}
    truth: dict[str, dict[str, Number]] = {}


class Fit(_Record):
    """fit.json."""

    fit: Learnt = Learnt()
    certificate: Judged = Judged()
    alarms: list[str] = []
    alarms_of_draws: list[str] = []
    undetermined: list[str] = []
    at_bound: list[str] = []
    irrelevant_inputs: list[str] = []


class Sampling(_Record):
    """sampling.json."""

    chains: Number | None = None
    draws: Number | None = None
    r_hat: Number | None = None
    ess_bulk: Number | None = None
    ess_tail: Number | None = None
    divergences: Number | None = None
    alarms: list[str] = []


class Findings(_Record):
    """check.json."""

    findings: list[str] = []
    structure: list[str] = []


class Baseline(_Record):
    """The method that a source predicts by."""

    name: str = ""


class Names(_Record):
    """names.json."""

    target: str = "y"
    baseline: Baseline = Baseline()
    periods: dict[str, Number] = {}


LISTING = TypeAdapter(list[Entry])
SCHEMAS: dict[str, type[_Record]] = {
    "evaluate/metrics.json": Metrics,
    "evaluate/check.json": Findings,
    "train/fit.json": Fit,
    "predict/sampling.json": Sampling,
    "synthesize/names.json": Names,
}


def checked(record: type[_Record], value: Any, where: str) -> Any:
    """Return `value` as a `record`; raise InputError, with the place `where` it is from, if it is none."""
    try:
        return record.model_validate(value)
    except (ValidationError, RecursionError) as error:
        raise _refusal(where, error) from None


def check_lock() -> None:
    """Raise InputError if the project's dvc.lock is not one."""
    if LOCK.exists():
        checked(Lock, read_yaml(LOCK) or {}, str(LOCK))


def listing(file: Path, where: str) -> dict[str, str]:
    """Return path → hash of the files of a folder, from its listing in DVC's cache."""
    try:
        return {entry.relpath: entry.md5 for entry in LISTING.validate_python(parse_json(file.read_bytes(), where))}
    except ValidationError as error:
        raise _refusal(where, error) from None


def parse_json(text: str | bytes, where: str) -> Any:
    """Return what JSON says; raise InputError if it is none, is nested too deeply, or has a number that is none."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(Fault("", f"not valid JSON: {error}", source=where)) from None


def checked_json(text: str | bytes, path: str, where: str) -> Any:
    """Return what a study's JSON file at `path` ("train/fit.json") says, once its schema has been checked."""
    value = parse_json(text, where)
    if path in SCHEMAS:
        checked(SCHEMAS[path], value, where)
    return value


def other_digest(file: Path, digest: str) -> str | None:
    """Return the MD5 hash of a file's bytes if it is not `digest`, DVC's name for them; else None."""
    with file.open("rb") as opened:
        # Used for security, MD5 would be refused by a FIPS build.
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if found == digest.removesuffix(".dir") else found


def said(error: BaseException) -> str:
    """Return what is wrong with a file as one line of text."""
    words = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return visible(" ".join(words.split()))[:300]


def _refusal(where: str, error: ValidationError | RecursionError) -> InputError:
    if isinstance(error, RecursionError):
        return InputError(Fault("", "nested too deeply", source=where))
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    seen = " ".join(repr(first["input"])[:60].split())
    return InputError(Fault(place, f"{first['msg']} (got {seen})", "restore what a stage wrote", where))
