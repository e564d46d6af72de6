"""Check that results are reliable: `python -m review.lock.verify` checks dvc.lock, `--cache` the bytes in DVC's cache.

The first check needs no data, so CI can run it: dvc.lock must be what `dvc repro` would write for the checked-out code,
params and versions, and each metrics.json in Git must be the one it names. The second check reads every cached object
that dvc.lock names (with `--all`, every object in the cache), and the outputs on disk. DVC trusts a cached file by its
permissions, and would restore a flipped byte silently; a file on disk it trusts by its size and time.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage

from gp.spec import InputError
from review.lock.records import check_lock, listing, other_digest
from review.lock.why import LOCK, NOTHING, changed_file, changed_inputs, made_by, never_ran, recorded_wrong
from stages import check_names


@dataclass(frozen=True)
class Stored:
    """An object of DVC's cache: its name, an MD5 hash (with .dir for a folder's listing), and its output."""

    name: str
    file: Path
    owner: str

    def damaged_hash(self) -> str | None:
        """Return the MD5 hash of the file's bytes if it differs from the name (damage), else None."""
        return other_digest(self.file, self.name)


def main(arguments: list[str] | None = None) -> int:
    """Print what differs and how to fix it; return 1 if anything does."""
    parser = argparse.ArgumentParser(prog="python -m review.lock.verify", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", action="store_true", help=f"check the bytes of the cached objects {LOCK} names")
    parser.add_argument("--all", action="store_true", help="with --cache: of every object in the cache")
    chosen = parser.parse_args(arguments)
    try:
        check_names()  # DVC silently skips a study that it cannot run
        check_lock()
        with Repo() as repo, repo.lock:
            return _report_cache(repo, chosen.all) if chosen.cache else _report_lock(repo)
    except (DvcException, InputError) as error:
        print(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}", file=sys.stderr)
        return 1


def stale(repo: Repo) -> Iterator[tuple[str, list[str]]]:
    """Yield each stage for which dvc.lock is not up to date, and the differences; reads no cached outputs."""
    graph = repo.index.graph
    for stage in repo.index.stages:
        if never_ran(stage):
            yield stage.addressing, [f"not in {LOCK}"]
        elif lines := list(_stale(stage, graph)):
            yield stage.addressing, lines


def stored(repo: Repo) -> Iterator[Stored]:
    """Yield the cached objects that dvc.lock names, each once; for a folder its listing, then its files."""
    seen: set[str] = set()
    for stage in repo.index.stages:
        for out in stage.outs:
            if out.use_cache and out.hash_info:
                for found in _objects(repo, out, f"{out.def_path} ({stage.addressing})"):
                    if found.name not in seen:
                        seen.add(found.name)
                        yield found


def all_stored(repo: Repo) -> Iterator[Stored]:
    """Yield every object in the cache, those that dvc.lock names first."""
    named = {found.name: found for found in stored(repo)}
    yield from named.values()
    for file in sorted(Path(repo.cache.local.path).glob("[0-9a-f][0-9a-f]/*")):
        name = file.parent.name + file.name
        if name not in named and len(name.removesuffix(".dir")) == 32:
            yield Stored(name, file, f"not of this {LOCK}")


def edited(repo: Repo) -> Iterator[str]:
    """Yield the outputs on disk whose bytes are not those that dvc.lock names; a folder's files each by itself."""
    for stage in repo.index.stages:
        for out in stage.outs:
            if out.use_cache and out.hash_info:
                path, name = Path(out.def_path), out.hash_info.value
                inside = _listing(Path(repo.cache.local.oid_to_path(name))) if name.endswith(".dir") else {"": name}
                for file, digest in (inside or {}).items():
                    if (path / file).is_file() and other_digest(path / file, digest):
                        yield str(path / file)


def _report_lock(repo: Repo) -> int:
    found = dict(stale(repo))
    for name, lines in found.items():
        print("\n  ".join([name, *lines]))
    if wrong := list(recorded_wrong(held=True)):
        print("\n".join(wrong))
        return 1
    if found:
        print(f"\n{LOCK} is not up to date: `dvc repro`, then commit {LOCK} and data/*/evaluate/metrics.json")
        return 1
    print(f"{LOCK} is up to date: {len(list(repo.index.stages))} stages")
    return 0


def _report_cache(repo: Repo, everything: bool) -> int:
    checked, absent, damaged = 0, 0, []
    for found in all_stored(repo) if everything else stored(repo):
        if not found.file.is_file():
            absent += 1
            continue
        checked += 1
        if digest := found.damaged_hash():
            damaged.append(found)
            print(f"{found.owner}: the cached bytes have the MD5 hash {digest}, not {found.name}")
    if damaged:
        print("\nRemove these from the cache:\n  rm -f " + " \\\n    ".join(str(found.file) for found in damaged))
        print("then `dvc pull` brings them from the remote, or `dvc repro` computes them again.")
    print(f"{checked} cached objects read, {len(damaged)} of them damaged; {absent} are not in the cache here")
    on_disk = [] if damaged else list(edited(repo))
    for path in on_disk:
        print(f"{path}: the bytes on disk are not those that {LOCK} names")
    if on_disk:
        print("\nRemove these:\n  rm -f " + " \\\n    ".join(on_disk))
        print("then `dvc checkout` brings back what was recorded.")
    return 1 if damaged or on_disk else 0


def _stale(stage: Stage, graph: Any) -> Iterator[str]:
    makers = made_by(stage, graph)
    yield from changed_inputs(stage, skip=set(makers))
    for dep in stage.deps:
        if dep.def_path in makers:
            yield from _other_in_lock(dep, makers[dep.def_path])
    for out in stage.outs:
        if not out.hash_info:
            yield f"{out.def_path}: not in {LOCK}"
        elif not out.use_cache:
            yield from changed_file(out)


def _other_in_lock(dep: Output, maker: Stage) -> Iterator[str]:
    """Yield a line if dvc.lock has different hashes of a file as an output of `maker` and as a dependency."""
    out = next(out for out in maker.outs if dep.fs_path == out.fs_path or out.fs.isin(dep.fs_path, out.fs_path))
    if dep.fs_path == out.fs_path:
        made = out.hash_info.value
    else:
        listing = _listing(Path(out.cache.oid_to_path(out.hash_info.value)))
        if listing is None:
            return  # the hashes of the files are only in the folder's listing
        made = listing.get(dep.def_path.removeprefix(f"{out.def_path}/"))
    read = dep.hash_info.value
    if made != read:
        yield f"{dep.def_path}: made by {maker.addressing} as {_short(made)}, read as {_short(read)}"


def _objects(repo: Repo, out: Output, owner: str) -> Iterator[Stored]:
    name = out.hash_info.value
    whole = Stored(name, Path(repo.cache.local.oid_to_path(name)), owner)
    yield whole
    if name.endswith(".dir") and whole.file.is_file() and not whole.damaged_hash():
        for path, inside in (_listing(whole.file) or {}).items():
            yield Stored(inside, Path(repo.cache.local.oid_to_path(inside)), owner.replace(" (", f"/{path} (", 1))


def _listing(file: Path) -> dict[str, str] | None:
    """Return path → hash of a folder's files, None if its listing is not in the cache."""
    if not file.is_file():
        return None
    return listing(file, f"the listing {file.name}")


def _short(digest: str | None) -> str:
    return digest[:8] if digest else NOTHING


if __name__ == "__main__":
    sys.exit(main())
