"""`python -m stages.rename OLD NEW` gives a study another name and keeps its results: only its figures are drawn again.

Its key in params.yaml, its folder, its entries in dvc.lock and the charts of dvc.yaml that show its files take the new
name; so do its stamps, which name params and files by it.  All else in these files stays as it is, letter by letter.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from dvc.fs import LocalFileSystem
from dvc.lock import LockError
from dvc.repo import Repo

from gp.spec import Fault, InputError, suggest
from gp.yaml import parse_yaml, read_yaml
from stages import is_study_name, read_studies
from stages.lock import entries
from stages.wrapper import stamps
from stages.wrapper.inputs import PARAMS, PIPELINE, digest
from stages.wrapper.outputs import Refused, locked, write_whole
from stages.wrapper.stamps import LOCK

DRAWN = "plot"  # the stage whose outputs, the figures, bear the study's name


def main(old: str, new: str) -> None:
    """Rename the study.  Raises InputError where a name or a file does not allow it, Refused while a stage runs."""
    _check(old, new)
    before, after = Path("data", old), Path("data", new)
    with ExitStack() as held:
        repo = held.enter_context(Repo())
        held.enter_context(repo.lock)
        if before.exists():
            held.enter_context(locked(before))
        edited = {PARAMS: _params(old, new), PIPELINE: _pipeline(old, new)}
        edited[LOCK], written = _lock(repo, old, new)
        if before.exists():
            before.rename(after)
        shutil.rmtree(after / DRAWN, ignore_errors=True)
        stamps.path(new, DRAWN).unlink(missing_ok=True)
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
            repo.cache.local.add(str(path), LocalFileSystem(), digest(path))
        for path, changed in edited.items():
            if path.exists() and changed != path.read_text(encoding="utf-8"):
                write_whole(path, changed)
                print(f"{path}: {new} instead of {old}")
    if after.exists():
        print(f"{before}/ is {after}/ now")
    print(f"figures bear the study's name: `dvc repro {DRAWN}@{new}` draws them again, and nothing else has to run")


def _check(old: str, new: str) -> None:
    """Raise InputError where there is no study to rename, or the new name is none or is taken."""
    studies = read_studies()
    if old not in studies:
        known, fix = suggest(old, [str(name) for name in studies])
        raise InputError(Fault("studies", f"no study {old!r}{known}", fix, source=str(PARAMS)))
    if not is_study_name(new) or new == "raw":
        fix = "give one of letters, digits, - and _, other than raw, the folder of tables"
        raise InputError(Fault("", f"{new!r} is no name of a study", fix))
    if new in studies:
        fix = f"choose another name, or remove that one by `python -m stages.forget {new}`"
        raise InputError(Fault(f"studies.{new}", "is there already", fix, source=str(PARAMS)))
    if Path("data", new).exists():
        raise InputError(Fault("", "is there already, of no study", "remove it first", source=f"data/{new}"))


def _params(old: str, new: str) -> str:
    """Return the text of params.yaml with the study's key replaced."""
    text, whole = PARAMS.read_text(encoding="utf-8"), read_yaml(PARAMS)
    key = next(key for key, _ in _node(text, "studies").value if key.value == old)
    plain = list(parse_yaml(f"{new}: 0", str(PARAMS))) == [new]  # a name such as 2024 needs quotes to be text
    lines = text.splitlines(keepends=True)
    first, last = key.start_mark, key.end_mark
    line = lines[first.line]
    lines[first.line] = line[: first.column] + (new if plain else f'"{new}"') + line[last.column :]
    expected = whole | {"studies": {new if name == old else name: value for name, value in whole["studies"].items()}}
    return _same("".join(lines), expected, PARAMS)


def _pipeline(old: str, new: str) -> str:
    """Return the text of dvc.yaml, in which charts of the study's files bear its new name."""
    text, whole = PIPELINE.read_text(encoding="utf-8"), read_yaml(PIPELINE)
    charts = whole.get("plots") or []
    if f"data/{old}/" not in str(charts):
        return text
    lines = text.splitlines(keepends=True)
    ends = [*(node.start_mark.line for node in _node(text, "plots").value[1:]), len(lines)]
    starts = [node.start_mark.line for node in _node(text, "plots").value]
    for chart, first, last in zip(charts, starts, ends, strict=True):
        if f"data/{old}/" in str(chart):
            lines[first:last] = [_named(line, old, new) for line in lines[first:last]]
    renamed = [_named(chart, old, new) if f"data/{old}/" in str(chart) else chart for chart in charts]
    return _same("".join(lines), whole | {"plots": renamed}, PIPELINE)


def _named(value: Any, old: str, new: str) -> Any:
    """Return a chart, or a line of one, under the study's new name."""
    if isinstance(value, str):
        return value.replace(f"data/{old}/", f"data/{new}/").replace(f"{old} — ", f"{new} — ")
    if isinstance(value, dict):
        return {_named(key, old, new): _named(inner, old, new) for key, inner in value.items()}
    return [_named(inner, old, new) for inner in value] if isinstance(value, list) else value


def _lock(repo: Repo, old: str, new: str) -> tuple[str, dict[Path, str]]:
    """Return the text of dvc.lock, and the stamps to write, path → text.

    A stage whose stamp is not the one that dvc.lock names has to run again anyway: it loses its entry.
    """
    text = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    recorded = (read_yaml(LOCK) or {}).get("stages") or {} if text else {}
    written: dict[Path, str] = {}
    for name, block in entries().items():
        stage, _, study = name.partition("@")
        if study != old:
            continue
        stamp = stamps.path(old, stage)
        recorded_as = {out["path"]: out["md5"] for out in recorded[name]["outs"]}[stamp.as_posix()]
        kept = next(_places(repo, stamp, recorded_as), None)
        if kept is None:
            fix = f"`dvc pull {stage}@{old}` brings it, or `dvc repro {stage}@{old}` makes it"
            raise InputError(Fault("", "is not here, nor in DVC's cache", fix, source=str(stamp)))
        if stage == DRAWN or digest(kept) != recorded_as:
            text = text.replace(block, "")
            continue
        made_of = json.loads(kept.read_text(encoding="utf-8"))
        fresh = json.dumps({_moved(key, old, new): value for key, value in made_of.items()}, indent=2, sort_keys=True)
        written[stamps.path(new, stage)] = fresh = fresh + "\n"
        text = text.replace(block, _entry(block, old, new, stamp, fresh))
    return text, written


def _places(repo: Repo, stamp: Path, recorded_as: str) -> Iterator[Path]:
    yield from (path for path in (stamp, Path(repo.cache.local.oid_to_path(recorded_as))) if path.is_file())


def _moved(name: str, old: str, new: str) -> str:
    """Return the name of an input of a stage (a param's or a file's) under the study's new name."""
    return re.sub(rf"^(studies\.|data/){re.escape(old)}(?=[./]|$)", rf"\g<1>{new}", name)


def _entry(block: str, old: str, new: str, stamp: Path, fresh: str) -> str:
    """Return a stage's lines of dvc.lock under the new name, with the hash and size of its new stamp."""
    was = re.escape(old)
    block = re.sub(rf"^(  \w+@){was}(?=:$)", rf"\g<1>{new}", block, flags=re.MULTILINE)
    block = re.sub(rf"^(    cmd: .*) {was}$", rf"\g<1> {new}", block, flags=re.MULTILINE)
    block = re.sub(rf"^(        studies\.){was}(?=\.)", rf"\g<1>{new}", block, flags=re.MULTILINE)
    made = fresh.encode()
    known = f"md5: {hashlib.md5(made, usedforsecurity=False).hexdigest()}\n      size: {len(made)}"
    path = re.escape(stamp.as_posix())
    block = re.sub(rf"(path: {path}\n      hash: md5\n      )md5: \w+\n      size: \d+", rf"\g<1>{known}", block)
    return re.sub(rf"^(    - path: data/){was}(?=/)", rf"\g<1>{new}", block, flags=re.MULTILINE)


def _node(text: str, section: str) -> Any:
    """Return the node of a section of a YAML file."""
    root: Any = yaml.compose(text, yaml.CSafeLoader)
    return next(node for key, node in root.value if key.value == section)


def _same(text: str, expected: Any, path: Path) -> str:
    """Return the edited text; raises InputError unless it is read as `expected`, in this order."""
    try:
        same = repr(parse_yaml(text, str(path))) == repr(expected)
    except InputError:
        same = False
    if not same:
        why = "is written in a way that cannot be edited line by line"
        raise InputError(Fault("", why, "rename the study there by hand", source=str(path)))
    return text


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(
            "usage: python -m stages.rename OLD NEW   (a study's name in params.yaml, and a new one)", file=sys.stderr
        )
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
    except (Refused, LockError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
