"""A pipeline of two quick stages with its results, in Git and DVC, for the tests of what reads dvc.lock."""

import contextlib
import io
import warnings

from conftest import ROOT, Project

PIPELINE = """\
stages:
  take:
    cmd: mkdir -p out/take && cp raw/*.csv out/take && ls raw > out/take/names
    params: [take.grid, versions.yaml: [numpy]]
    deps: [raw]
    outs: [out/take]
  use:
    cmd: cp out/take/a.csv out/use.csv && echo '{"rmse":1}' > out/metrics.json
    params: [use]
    deps: [out/take, code.py]
    outs: [out/use.csv]
    metrics: [out/metrics.json: {cache: false}]
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "take: {grid: {n: 5, range: [0, 1]}}\nuse: {kind: rbf}\n",
    "versions.yaml": 'numpy: "2.4.6"\n',
    "raw/a.csv": "x\n1\n",
    "raw/b.csv": "x\n2\n",
    "code.py": "pass\n",
    ".gitignore": "/out/take\n/out/use.csv\n",
}
USES_REVIEW = {"PYTHONPATH": str(ROOT)}  # the copies of the project that tests run hold no review/


def make_pipeline(path) -> Project:
    """Return the pipeline at `path`, run and committed."""
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    project = Project(path)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    assert project.repro() == {"take", "use"}
    project.commit()
    return project


def call(main, project, *arguments, exit_code=0) -> str:
    """Return what a page's or check's `main` prints in the project: a process of its own would import DVC anew."""
    with (
        contextlib.chdir(project.path),
        contextlib.redirect_stdout(io.StringIO()) as printed,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="dvc")  # its use of pygtrie
        assert main(*arguments) == exit_code, printed.getvalue()
    return printed.getvalue()


def replace(project, name, old, new) -> None:
    """Put another text into a file; the old one must be there."""
    file = project.path / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def cached_file(project, md5):
    """Return where the project's cache keeps an object."""
    return project.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
