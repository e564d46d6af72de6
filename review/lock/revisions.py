"""Read a revision without checking it out: its files from Git, its outputs from DVC's cache by its dvc.lock.

`open_revision("main")` reads a commit, `open_revision(WORKSPACE)` the files on disk. Nothing is computed. If an output
is neither on disk nor in the cache, NotHere is raised; its text says how to get the output.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gp.spec import Fault, InputError
from gp.yaml import parse_yaml
from review.lock.records import Lock, checked, checked_json, listing, other_digest
from stages import is_study_name

WORKSPACE = "workspace"


class NotHere(Exception):
    """A file of a revision is neither on disk nor in the cache."""


@dataclass(frozen=True, eq=False)
class Revision:
    """The project at `commit` (None: the files on disk); `name` is what the caller named it by."""

    name: str
    commit: str | None
    root: Path
    cache: Path

    def text(self, path: str) -> str | None:
        """Return the text of a file in Git (for the workspace: on disk), None if the revision has no such file."""
        if self.commit is None:
            file = self.root / path
            if not file.is_file():
                return None
            self._refuse_outside(file, path)
            return file.read_bytes().decode("utf-8", errors="replace")
        # `./`, because the project may be in a subfolder of a larger repository.
        return git(self.root, "show", f"{self.commit}:./{path}", refuse=False)

    def yaml(self, path: str) -> Any:
        """Return a YAML file's content, {} if there is no such file."""
        text = self.text(path)
        return (parse_yaml(text, f"{path} of {self.name}") if text else None) or {}

    @cached_property
    def studies(self) -> dict[str, Any]:
        """Return `studies` of params.yaml."""
        params = self.yaml("params.yaml")
        studies = params.get("studies") if isinstance(params, dict) else None
        if not isinstance(studies, dict):
            return {}
        # A name is part of paths.
        if refused := [name for name in studies if not (isinstance(name, str) and is_study_name(name))]:
            why = f"a study's name is made of letters, digits, - and _ (got {refused[0]!r:.80})"
            raise InputError(Fault("studies", why, "rename it", f"params.yaml of {self.name}"))
        return studies

    @cached_property
    def packages(self) -> dict[str, Any]:
        """Return versions.yaml: package → version."""
        found = self.yaml("versions.yaml")
        return dict(found) if isinstance(found, dict) else {}

    @cached_property
    def stages(self) -> dict[str, Any]:
        """Return dvc.lock's stages, by stage@study."""
        found = self.yaml("dvc.lock")
        checked(Lock, found, f"dvc.lock of {self.name}")
        return dict(found.get("stages") or {})

    def metrics(self, study: str) -> dict[str, Any] | None:
        """Return the study's metrics.json, None if there is none."""
        path = "evaluate/metrics.json"
        text = self.text(f"data/{study}/{path}")
        return None if text is None else checked_json(text, path, f"data/{study}/{path} of {self.name}")

    def recorded(self, study: str) -> dict[str, str]:
        """Return dvc.lock's hash of each output of the study, by path."""
        return {
            out["path"]: out["md5"]
            for name, stage in self.stages.items()
            if name.partition("@")[2] == study
            for out in stage.get("outs", [])
            if "md5" in out
        }

    def not_run(self, study: str) -> list[str]:
        """Return the params of params.yaml that differ from those that dvc.lock's outputs were made with."""
        stale = set()
        for name, stage in self.stages.items():
            if name.partition("@")[2] == study:
                for path, made_with in stage.get("params", {}).get("params.yaml", {}).items():
                    if find({"studies": self.studies}, path) != made_with:
                        stale.add(path)
        return sorted(stale)

    def output(self, study: str, path: str) -> Path | None:
        """Return the path where an output ("predict/test.csv") can be read, None if the study has no such output.

        Raises NotHere if the output exists, but is neither on disk nor in the cache, and InputError if it is not what
        a stage writes.
        """
        full = f"data/{study}/{path}"
        file = self.root / full
        if self.commit is None and file.is_file():
            self._refuse_outside(file, full)
        else:
            md5 = self.recorded_file(study, full)
            if md5 is None:
                return None
            file = self._cached(md5, full)
        if path.endswith(".json"):
            checked_json(file.read_bytes(), path, f"{full} of {self.name}")
        return file

    def recorded_file(self, study: str, full: str) -> str | None:
        """Return dvc.lock's hash of a file, or of a file in an output folder; None if dvc.lock has none."""
        for path, md5 in self.recorded(study).items():
            if path == full:
                return md5
            if full.startswith(f"{path}/") and md5.endswith(".dir"):
                inside = listing(self._cached(md5, path), f"the listing of {path} of {self.name}")
                return inside.get(full.removeprefix(f"{path}/"))
        return None

    def _cached(self, md5: str, path: str) -> Path:
        """Return the cached file of an output; raise NotHere if there is none, InputError if its bytes are others."""
        found = cached(self.cache, md5)
        if not found.is_file():
            raise NotHere(f"{path} of {self.name} is not in DVC's cache: `{self.how_to_fetch}`")
        if other_digest(found, md5):
            fix = "`make verify-cache` names the damaged files and how to replace them"
            raise InputError(
                Fault("", "its bytes in DVC's cache are not those recorded", fix, f"{path} of {self.name}")
            )
        return found

    def _refuse_outside(self, file: Path, path: str) -> None:
        """Raise InputError if a file on disk is a link to somewhere else than the project or DVC's cache."""
        places = [self.root.resolve(), self.cache.resolve()]
        if not any(file.resolve().is_relative_to(place) for place in places):
            why = "is a symbolic link that leads out of the project"
            raise InputError(Fault("", why, "remove it: nothing there is read", f"{path} of {self.name}"))

    def outputs_that_differ(self, study: str, paths: tuple[str, ...]) -> list[str]:
        """Return which of these outputs on disk differ from dvc.lock."""
        return list(self._outputs_that_differ(study, paths)) if self.commit is None else []

    def _outputs_that_differ(self, study: str, paths: tuple[str, ...]) -> Iterator[str]:
        for path in paths:
            file = self.root / f"data/{study}/{path}"
            try:
                md5 = self.recorded_file(study, f"data/{study}/{path}")
            except (NotHere, InputError):  # said where the output is read
                continue
            if md5 and file.is_file() and other_digest(file, md5):
                yield f"data/{study}/{path}"

    @property
    def how_to_fetch(self) -> str:
        """Return the command that fetches this revision's outputs."""
        return "dvc pull" if self.commit is None else f"python -m review.lock.fetch {self.name}"


def open_revision(name: str, root: Path | None = None, cache: Path | None = None) -> Revision:
    """Return the revision that Git knows by `name`, or WORKSPACE; raises InputError if there is none."""
    root = root or Path.cwd()
    if not (root / "params.yaml").is_file():
        raise InputError(f"{root}: no params.yaml here: run from the project's root")
    commit = None
    if name != WORKSPACE:
        if git(root, "rev-parse", "--git-dir", refuse=False) is None:
            raise InputError(f"{root}: is in no Git repository, so there is no revision {name!r} to compare with")
        if name.startswith("-") or (commit := git(root, "rev-parse", f"{name}^{{commit}}", refuse=False)) is None:
            raise InputError(f"{name!r}: Git knows no such revision: `git branch --all` lists branches, `git fetch`")
        commit = commit.strip()
    return Revision(name, commit, root, cache or cache_folder(root))


def cache_folder(root: Path) -> Path:
    """Return the folder of DVC's cache, which `dvc cache dir` may have changed."""
    command = ["dvc", "cache", "dir"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"`dvc cache dir` failed: {done.stderr.strip()}: run from the project's root, with .venv active"
        )
    return root / done.stdout.strip().splitlines()[-1]


def cached(cache: Path, md5: str) -> Path:
    """Return the path of an object in DVC's cache."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def git(root: Path, *arguments: str, refuse: bool = True) -> str | None:
    """Return what a Git command printed.  If it failed, raise InputError if `refuse`, else return None."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    if done.returncode == 0:
        return done.stdout.decode("utf-8", errors="replace")
    if refuse:
        raise InputError(f"`git {' '.join(arguments)}` failed: {done.stderr.decode(errors='replace').strip()}")
    return None


def find(values: Any, path: str) -> Any:
    """Return the value at a dotted path in nested mappings, None if there is none."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values
