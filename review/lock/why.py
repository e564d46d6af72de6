"""Why `dvc repro` would run a stage: `python -m review.lock.why` names what changed, with old and new value.

It compares dvc.lock with the files on disk, as DVC does. It runs nothing and writes nothing.
"""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.scm import SCMError
from dvc.stage import Stage
from dvc_data.hashfile import load
from dvc_data.hashfile.build import build
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.obj import HashFile
from dvc_data.hashfile.tree import Tree

from gp.spec import InputError
from gp.yaml import read_yaml
from review.lock.records import check_lock
from stages import check_names
from stages.lock import check_experiment
from stages.wrapper.stamps import contradictions

LOCK, PARAMS = "dvc.lock", "params.yaml"
NOTHING = "nothing"  # shown if one side has no value


@dataclass(frozen=True)
class Block:
    """A stage that `dvc repro` would run: what `changed`, stages that run `before`, whether its result is cached."""

    stage: str
    changed: tuple[str, ...]
    before: tuple[str, ...]
    known: bool

    def __str__(self) -> str:
        lines = [self.stage, *self.changed]
        if self.before:
            verb, those = ("runs", "that comes") if len(self.before) == 1 else ("run", "those come")
            skipped = "" if self.changed else f" (skipped if {those} out as before)"
            lines.append(f"because {', '.join(self.before)} {verb}{skipped}")
        if self.known:
            lines.append("(the result is in DVC's cache: taken from there, not computed)")
        return "\n  ".join(lines)


def main() -> int:
    """Print a block for each stage that `dvc repro` would run; return 1 if DVC cannot tell."""
    logging.getLogger("dvc").setLevel(logging.WARNING)  # hides DVC's messages about the cache
    try:
        check_names()  # DVC silently skips a study that it cannot run
        check_lock()
        check_experiment()
        with Repo() as repo, repo.lock:
            found = list(blocks(repo))
    except (DvcException, InputError) as error:
        print(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}", file=sys.stderr)
        return 1
    print("\n\n".join(map(str, [*found, *recorded_wrong()])) or "nothing would run")
    return 0


def recorded_wrong(*, held: bool = False) -> Iterator[str]:
    """Yield a line for each stage whose inputs were edited as it ended, so that dvc.lock records wrong inputs.

    `held` says that the caller holds DVC's lock.
    """
    for stage, inputs in contradictions(held=held).items():
        yield "\n  ".join([stage, *map(str, inputs), f"({LOCK} is wrong: `make repro` runs this stage again)"])


def blocks(repo: Repo) -> Iterator[Block]:
    """Yield the stages that `dvc repro` would or may run, in its order."""
    graph = repo.index.graph
    running: set[str] = set()
    restored: set[str] = set()
    for stage in plan_repro(graph):
        makers = {path: maker.addressing for path, maker in made_by(stage, graph).items()}
        before = tuple(name for name in dict.fromkeys(makers.values()) if name in running)
        new = never_ran(stage)
        remade = {path for path, maker in makers.items() if maker in running | restored}
        inputs = () if new or stage.frozen else tuple(changed_inputs(stage, skip=remade))
        outputs = () if new else tuple(_changed_outputs(stage))
        if not (new or before or inputs or outputs):
            continue
        known = not before and _is_known(repo, stage, as_before=not (new or inputs))
        (restored if known and not (new or inputs) else running).add(stage.addressing)
        never = (f"never run before: not in {LOCK}",) if new else ()
        yield Block(stage.addressing, (*never, *inputs, *outputs), before, known)


def changed_inputs(stage: Stage, skip: set[str]) -> Iterator[str]:
    """Yield what differs from dvc.lock: the command, params, versions, and files, except the paths in `skip`."""
    if stage.changed_stage():
        yield f"command: {_locked_command(stage)} → {stage.cmd}"
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            yield from _changed_params(dep)
        elif dep.def_path not in skip:
            yield from changed_file(dep)


def changed_file(file: Output) -> Iterator[str]:
    """Yield how a file or folder differs from dvc.lock, with the first eight digits of both MD5 hashes."""
    if not file.exists:
        yield f"{file.def_path}: missing"
    elif not file.hash_info:
        yield f"{file.def_path}: new, not in {LOCK}"
    elif (now := file.get_hash()) != file.hash_info:
        if absent := _kept_elsewhere(file):
            now = _with(file, absent)
            if now is None:
                kept = " ".join(out.stage.path_in_repo for out in absent)
                yield f"{file.def_path}: cannot be told, as tables in it are not here: `dvc pull {kept}`"
                return
            if now == file.hash_info:
                return
        yield f"{file.def_path}: {file.hash_info.value[:8]} → {now.value[:8]}"
        if file.hash_info.isdir and now.isdir:
            yield from (f"  {line}" for line in _changed_inside(file))


def _kept_elsewhere(folder: Output) -> list[Output]:
    """Return the tables inside a folder that `dvc add` keeps, and that are not here."""
    outs = (out for stage in folder.repo.index.stages if stage.is_data_source for out in stage.outs)
    return [out for out in outs if out.fs.isin(out.fs_path, folder.fs_path) and not out.exists]


def _with(folder: Output, absent: list[Output]) -> HashInfo | None:
    """Return the hash that a folder has once `absent` tables are in it; None where one is a folder, not known here."""
    if any(out.hash_info.isdir or not out.hash_info for out in absent):
        return None
    whole = Tree()
    found = _build(folder, folder.fs, folder.repo)
    for key, meta, info in found if isinstance(found, Tree) else ():
        whole.add(key, meta, info)
    for out in absent:
        whole.add(out.fs.relparts(out.fs_path, folder.fs_path), out.meta, out.hash_info)
    whole.digest()
    return whole.hash_info


def made_by(stage: Stage, graph: Any) -> dict[str, Stage]:
    """Return path → the stage that writes it, for each dependency that is (part of) another stage's output."""
    return {
        dep.def_path: maker
        for maker in graph.successors(stage)
        for dep in stage.deps
        if any(dep.fs_path == out.fs_path or out.fs.isin(dep.fs_path, out.fs_path) for out in maker.outs)
    }


def never_ran(stage: Stage) -> bool:
    """Return whether dvc.lock has no run of the stage."""
    return not any(item.hash_info for item in (*stage.deps, *stage.outs))


def _changed_outputs(stage: Stage) -> Iterator[str]:
    for out in stage.outs:
        lines = tuple(changed_file(out))
        if not lines and out.status():
            lines = (f"{out.def_path}: not in DVC's cache",)
        yield from lines


def _changed_params(dep: ParamsDependency) -> Iterator[str]:
    before, now = dep.hash_info.value or {}, dep.read_params()
    for name in dep.params:
        where = name if dep.def_path == PARAMS else f"{dep.def_path}: {name}"
        yield from _differences(where, before.get(name, NOTHING), now.get(name, NOTHING))


def _differences(path: str, before: Any, now: Any) -> Iterator[str]:
    """Yield `path: old → new` for every leaf of two trees of mappings that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(f"{path}.{key}", before.get(key, NOTHING), now.get(key, NOTHING))
    elif before != now:
        yield f"{path}: {_written(before)} → {_written(now)}"


def _written(value: Any) -> str:
    return NOTHING if value is NOTHING else json.dumps(value, ensure_ascii=False, default=str)


def _changed_inside(folder: Output) -> Iterator[str]:
    """Yield the files of a folder that differ, if its old listing is in DVC's cache or in Git's HEAD."""
    before, now = _files_before(folder), _files(folder)
    if before is None:
        return
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            yield f"{name}: {'new' if old is None else 'removed'}"
        elif old != new:
            yield f"{name}: {old[:8]} → {new[:8]}"


def _files_before(folder: Output) -> dict[str, str] | None:
    try:
        return _hashes(load(folder.cache, folder.hash_info))
    except FileNotFoundError:
        pass  # DVC keeps no copy of a folder that is only an input, but Git may
    try:
        with folder.repo.switch("HEAD"):
            committed = _build(folder, folder.repo.fs, folder.repo)
    except (FileNotFoundError, SCMError):
        return None
    return _hashes(committed) if committed.hash_info == folder.hash_info else None


def _files(folder: Output) -> dict[str, str]:
    return _hashes(_build(folder, folder.fs, folder.repo))


def _build(folder: Output, fs: Any, repo: Repo) -> HashFile:
    path = fs.join(repo.root_dir, *fs.parts(folder.def_path))
    return build(folder.cache, path, fs, "md5", ignore=repo.dvcignore, dry_run=True)[2]


def _hashes(tree: HashFile) -> dict[str, str]:
    return {"/".join(key): info.value for key, _, info in tree} if isinstance(tree, Tree) else {}


def _is_known(repo: Repo, stage: Stage, as_before: bool) -> bool:
    """Return whether DVC would restore the outputs from its cache; changes `stage` in memory unless `as_before`."""
    if as_before:
        return stage.outs_cached()
    try:
        stage.save_deps()
        for out in stage.outs:
            out.hash_info = HashInfo()  # otherwise a dry `restore` would accept the old outputs
        repo.stage_cache.restore(stage, dry=True)
    except DvcException:  # not in the run-cache, or a dependency is missing
        return False
    return True


def _locked_command(stage: Stage) -> str:
    return (read_yaml(Path(LOCK)).get("stages") or {}).get(stage.addressing, {}).get("cmd", NOTHING)


if __name__ == "__main__":
    sys.exit(main())
