"""A project of two small studies in a folder of its own, for the tests that run stages and DVC."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: pytest's processes share the cores

import atexit
import compileall
import contextlib
import fcntl
import hashlib
import io
import py_compile
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loky import ProcessPoolExecutor
from preloaded import THREADS, preloaded
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
STAGES = tuple(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
PATIENCE = 1800.0  # seconds after which a command hangs: no busy machine may take as long
PARAMS = """\
studies:
  sine:
    seed: 0
    data: {kind: function, function: "sin(2*pi*x)", n: 20, range: [0, 1], noise_sd: 0.1, test: {range: [-1, 2], n: 10}}
    model: {kernel: {kind: rbf, lengthscale: 0.5}, noise: {sd: 0.3}}
    inference: {}
    train: {kind: adam, steps: 5, learning_rate: 0.1}
    predict: {grid: {n: 20}}
    plot: {interval: 0.95, figures: [posterior]}
  lake:
    seed: 0
    data: {kind: table, path: data/raw/lake.csv, x: [depth, warmth], y: oxygen, holdout: {fraction: 0.25}}
    model: {kernel: {kind: matern, nu: 2.5, ard: true}}
    inference: {}
    train: {kind: lbfgs, restarts: 0}
    predict: {grid: {n: 5}}
    plot: {figures: [data]}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: at the end, no process is to wait for another's long file.

    Those that need the `finished` project come second, as processes that begin with them would all wait for it.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    waiting = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (not slow[item.path], item.path in waiting, -slow[item.path]))


@dataclass(frozen=True)
class Project:
    """A copy of the project at `path`: its code and pipeline, PARAMS and a table of its own, in Git.

    Commands that tests `run` find packages imported (preloaded.py), unless they are to import them `anew`.
    """

    path: Path
    anew: bool = False

    def run(self, *command: str, exit_code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Return what a command printed; its exit code must be the expected one, if any."""
        if not self.anew:
            environment = preloaded(environment.get("PYTHONHASHSEED", "random")) | environment
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if exit_code is not None:
            assert done.returncode == exit_code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment in which `python` and `dvc` are those that run the tests."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DVC", "GIT"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return clean | {"PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "SHELL": "/bin/sh"} | more

    def within(self, module: str, *arguments: str, exit_code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Return what `python -m module` prints, run in this process: one of its own would import torch or DVC anew."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.chdir(self.path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", RuntimeWarning)  # that the module has been imported
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="dvc")  # its use of pygtrie
            patch.setattr(sys, "argv", [module, *arguments])
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code or 0
        done = subprocess.CompletedProcess(["python", "-m", module, *arguments], code, out.getvalue(), err.getvalue())
        assert exit_code in (None, code), f"{done.args}: {code}\n{done.stdout}\n{done.stderr}"
        return done

    def stage(self, name: str, study: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Return what a stage printed that was run by hand."""
        return self.run("python", "-m", f"stages.{name}", study, **options)

    def repro(self, *arguments: str, **environment: str) -> set[str]:
        """Return the stages that `dvc repro` ran, as stage@study."""
        printed = self.run("dvc", "repro", *arguments, **environment).stdout
        return set(re.findall(r"^(?:Running stage '|Stage '(?=\S+ is cached))([^']+)'", printed, flags=re.MULTILINE))

    def edit(self, key: str, value: Any) -> None:
        """Set the param at a dotted path below `studies`."""
        params = YAML(typ="safe").load(self.path / "params.yaml")
        *parents, last = ["studies", *key.split(".")]
        section = params
        for name in parents:
            section = section[name]
        section[last] = value
        YAML(typ="safe").dump(params, self.path / "params.yaml")

    def append(self, path: str, text: str) -> None:
        """Add text to the end of a file, which may be new."""
        with (self.path / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def commit(self) -> None:
        """Commit everything that Git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org", "commit", "-qm", "State")

    def hashes(self, *folders: str) -> dict[str, str]:
        """Return a hash for each file below the folders (all of the project, but for Git and caches, if none)."""
        roots = [self.path / folder for folder in folders] or [self.path]
        files = [file for root in roots for file in [root, *root.rglob("*")] if file.is_file()]
        paths = {str(file.relative_to(self.path)): file for file in files}
        skipped = (".git/", ".dvc/")
        return {
            name: hashlib.sha256(file.read_bytes()).hexdigest()
            for name, file in sorted(paths.items())
            if not name.startswith(skipped) and "__pycache__" not in name
        }

    def copy(self, path: Path) -> "Project":
        """Return a copy at `path`, its cache included."""
        shutil.copytree(self.path, path, symlinks=True)
        return replace(self, path=path)


def make_project(path: Path) -> Project:
    """Return a new project at `path` with the code of this one, committed to Git, none of its stages run yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _new().copy(path)


@cache
def _new() -> Project:
    """Return a project of which new ones are copies: Git takes ten times as long to commit one as it takes to copy."""
    path = Path(tempfile.mkdtemp(prefix="project-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    for name in ("gp", "stages", ".dvc/plots"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "versions.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, path / name)
    (path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (path / "data/raw").mkdir(parents=True)
    (path / "data/raw/lake.csv").write_text(_table(), encoding="utf-8")
    # Else the first stages of each project compile the code, as Python does and by hash (stages/wrapper/bytecode.py).
    compileall.compile_dir(path, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    project = Project(path, anew=True)  # Git needs no packages imported
    project.run("git", "init", "-q", "--template=")
    project.commit()
    project.run("git", "gc", "-q")  # one file for hundreds of objects
    return replace(project, anew=False)


def _table() -> str:
    rng = np.random.default_rng(0)
    depth, warmth = rng.uniform(0, 10, size=24), rng.uniform(5, 20, size=24)
    oxygen = np.sin(depth) + 0.1 * warmth + 0.1 * rng.standard_normal(24)
    rows = [f"{d:.3f},{w:.3f},{o:.4f}\n" for d, w, o in zip(depth, warmth, oxygen, strict=True)]
    return "".join(["depth,warmth,oxygen\n", *rows])


class Lasting(ProcessPoolExecutor):
    """Processes that stay when `fan_out` is done with them: importing torch takes longer than what tests ask for."""

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Leave them to the next test."""


@pytest.fixture(scope="session")
def workers():
    """Return the pool of all tests in this process, of one worker, which begins when it is first asked for."""
    made: list[Lasting] = []

    def pool(*_: Any, **__: Any) -> Lasting:
        if not made:
            # One process: pytest's own run side by side.  loky would end a process that grows by 300 MB, as one does
            # that imports torch.
            made.append(Lasting(1, env=THREADS | {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e12"}))
            with contextlib.chdir(ROOT):
                made[0].submit(os.getpid).result()
        return made[0]

    yield pool
    for processes in made:
        ProcessPoolExecutor.shutdown(processes, kill_workers=True)


@pytest.fixture(autouse=True)
def shared_workers(request, workers, monkeypatch):
    """Have all that fans out share processes, and all matrices one thread, but for tests of these (`own_workers`).

    Beside other test processes, two threads wait for each other more than they compute (gp.parallel.MANY_ROWS).
    """
    if "own_workers" not in request.fixturenames and "gp.parallel" in sys.modules:
        monkeypatch.setattr(sys.modules["gp.parallel"], "ProcessPoolExecutor", workers)
        monkeypatch.setattr(sys.modules["gp.parallel"], "MANY_ROWS", sys.maxsize)


@pytest.fixture
def own_workers():
    """Let `fan_out` start processes of its own, and matrices of many rows have all cores."""


@pytest.fixture
def project(tmp_path):
    """A project whose stages have not run."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project all of whose stages have run, and are committed: to be copied, not to be changed."""
    # The processes of one test run share it: ten stages take as long as many tests.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with (folder.parent / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        project = Project(folder / "project")
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what another process did not come to the end of
            make_project(project.path)
            project.repro()
            project.commit()
            (folder / "done").touch()
    return project
