"""Read a revision without checking it out: its files from Git, its outputs from DVC's cache by its dvc.lock.

`open_revision("main")` reads a commit, `open_revision(WORKSPACE)` the files on disk. Nothing is computed. If an output
is neither on disk nor in the cache, NotHere is raised; its text says how to get the output.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gp.spec import InputError
from gp.yaml import parse_yaml

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
            return file.read_text(encoding="utf-8") if file.is_file() else None
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
        return studies if isinstance(studies, dict) else {}

    @cached_property
    def packages(self) -> dict[str, Any]:
        """Return versions.yaml: package → version."""
        return dict(self.yaml("versions.yaml"))

    @cached_property
    def stages(self) -> dict[str, Any]:
        """Return dvc.lock's stages, by stage@study."""
        return dict(self.yaml("dvc.lock").get("stages") or {})

    def metrics(self, study: str) -> dict[str, Any] | None:
        """Return the study's metrics.json, None if there is none."""
        text = self.text(f"data/{study}/evaluate/metrics.json")
        try:
            found = None if text is None else json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"data/{study}/evaluate/metrics.json of {self.name}: not valid JSON: {error}") from None
        return found

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

        Raises NotHere if the output exists, but is neither on disk nor in the cache.
        """
        full = f"data/{study}/{path}"
        if self.commit is None and (self.root / full).is_file():
            return self.root / full
        md5 = self.recorded_file(study, full)
        if md5 is None:
            return None
        found = cached(self.cache, md5)
        if not found.is_file():
            raise NotHere(f"{full} of {self.name} is not in DVC's cache: `{self.how_to_fetch}`")
        return found

    def recorded_file(self, study: str, full: str) -> str | None:
        """Return dvc.lock's hash of a file, or of a file in an output folder; None if dvc.lock has none."""
        for path, md5 in self.recorded(study).items():
            if path == full:
                return md5
            if full.startswith(f"{path}/") and md5.endswith(".dir"):
                listing = cached(self.cache, md5)
                if not listing.is_file():
                    raise NotHere(f"{path} of {self.name} is not in DVC's cache: `{self.how_to_fetch}`")
                inside = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}
                return inside.get(full.removeprefix(f"{path}/"))
        return None

    def strays(self, study: str, paths: tuple[str, ...]) -> list[str]:
        """Return which of these outputs on disk differ from dvc.lock."""
        return list(self._strays(study, paths)) if self.commit is None else []

    def _strays(self, study: str, paths: tuple[str, ...]) -> Iterator[str]:
        for path in paths:
            file = self.root / f"data/{study}/{path}"
            try:
                md5 = self.recorded_file(study, f"data/{study}/{path}")
            except NotHere:
                continue
            if file.is_file() and md5 not in (None, hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()):
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
