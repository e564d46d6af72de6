"""Stamps: what is edited between a stage's last look at its inputs and DVC's own is never recorded unnoticed."""

import csv
import fcntl
import json
import shutil
import time
from dataclasses import replace
from threading import Event, Thread

import pytest
from conftest import PATIENCE

from gp.yaml import read_yaml
from stages.wrapper import stamps

# Run at the very end of the stage's process: its outputs have their names, and `dvc` has not hashed its inputs yet.
AT_THE_END = """
def _edit_once():
    import pathlib
    mark, file = pathlib.Path(".edited"), pathlib.Path({file!r})
    if not mark.exists():
        mark.touch()
        file.write_text(file.read_text(encoding="utf-8").replace({old!r}, {new!r}), encoding="utf-8")
import atexit
if __name__ == "__main__" and sys.argv[1:] == [{study!r}]:
    atexit.register(_edit_once)
"""

# The stage that is edited under, of which study, and what becomes of which file.
EDITS = {
    "params of plot": ("plot", "sine", "params.yaml", "interval: 0.95", "interval: 0.9"),
    "table of synthesize": ("synthesize", "lake", "data/raw/lake.csv", "oxygen\n", "oxygen\n1,2,3\n"),
}


@pytest.fixture(params=EDITS, ids=str)
def edited(request, finished, tmp_path):
    """A project one of whose stages ran, and whose input was edited in the moment before `dvc` hashed it."""
    stage, study, file, old, new = EDITS[request.param]
    project = finished.copy(tmp_path / "project")
    source = (project.path / f"stages/{stage}.py").read_text(encoding="utf-8")
    guard = 'if __name__ == "__main__":'
    hook = AT_THE_END.format(file=file, old=old, new=new, study=study)
    (project.path / f"stages/{stage}.py").write_text(source.replace(guard, f"{hook}\n\n{guard}"), encoding="utf-8")
    return project, stage, study


@pytest.mark.slow
def test_an_edit_at_the_moment_a_stage_ends_is_noticed_and_made_good(edited):
    project, stage, study = edited
    if stage != "plot":  # the hook is code, so the stage runs; with new rows, those that come after it do too
        project.edit(f"{study}.seed", 1)
    done = project.run("dvc", "repro", "--keep-going", f"plot@{study}", exit_code=None)
    assert (project.path / ".edited").exists()
    if stage == "plot":  # no stage comes after it
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert f"{stage}@{study} was not made of what dvc.lock says" in done.stderr
    for command in ("why", "verify"):
        said = project.within(f"review.lock.{command}", exit_code=None)
        assert f"{stage}@{study}\n" in said.stdout
        assert "dvc.lock is wrong: `make repro` runs this stage again" in said.stdout
    assert f"{stage}@{study} runs again" in project.run("python", "-m", "stages.repro").stdout
    assert project.repro() == set()
    made = project.hashes("data")
    project.run("dvc", "repro", "--force", "--single-item", f"{stage}@{study}")
    assert project.hashes("data") == made


@pytest.mark.slow
def test_what_a_stage_stamps_is_what_dvc_records(finished):
    for name, entry in read_yaml(finished.path / "dvc.lock")["stages"].items():
        stage, study = name.split("@")
        stamp = json.loads((finished.path / f"data/{study}/stamps/{stage}.json").read_text(encoding="utf-8"))
        recorded = {dep["path"]: dep["md5"] for dep in entry["deps"]}
        for file, values in entry["params"].items():
            recorded |= {key if file == "params.yaml" else f"{file}: {key}": value for key, value in values.items()}
        assert stamp == recorded


def test_a_dvc_lock_that_another_dvc_writes_is_read_when_it_is_whole(finished, tmp_path, monkeypatch):
    project = finished.copy(tmp_path / "project")
    monkeypatch.chdir(project.path)
    whole, begun, reads = stamps.LOCK.read_text(encoding="utf-8"), Event(), Event()

    def write():  # as DVC does: in place, holding its lock
        with stamps.HELD.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            stamps.LOCK.write_text(whole[: len(whole) // 2] + "  :::", encoding="utf-8")
            begun.set()
            reads.wait(PATIENCE)
            time.sleep(0.2)
            stamps.LOCK.write_text(whole.replace("seed: 0", "seed: 1"), encoding="utf-8")

    writer = Thread(target=write)
    writer.start()
    begun.wait(PATIENCE)
    reads.set()
    wrong = stamps.contradictions()
    writer.join()
    assert [str(one) for one in wrong["synthesize@sine"]] == ["studies.sine.seed: was 0, dvc.lock says 1"]
    # Where the caller itself holds the lock, it does not wait for it.
    with stamps.HELD.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(stamps.time, "sleep", pytest.fail)
        assert stamps.contradictions(held=True).keys() == wrong.keys()


def test_code_that_dvc_yaml_does_not_list_is_refused(project):
    (project.path / "helper.py").write_text("VALUE = 1\n", encoding="utf-8")
    file = project.path / "gp/data/function.py"
    file.write_text("import helper\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    said = project.stage("synthesize", "sine", exit_code=1).stderr
    assert "helper.py: was loaded, and dvc.yaml does not list it below deps of synthesize" in said
    assert not (project.path / "data/sine/synthesize").exists()


def test_a_file_that_takes_the_place_of_a_package_is_refused(project):
    shutil.copy(csv.__file__, project.path / "csv.py")
    said = replace(project, anew=True).stage("synthesize", "sine", exit_code=1).stderr
    assert "csv.py: was loaded" in said
    assert "rename it, if it took the place of an installed package" in said
