"""docs/experiments.md: every command of it, in the order in which it stands there."""

import json
import os
import re

import pytest
from conftest import ROOT, Project

DOCUMENT = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
AUTHOR = {f"GIT_{role}_{part}": "tester@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
QUEUE, STATUS, RUN_ALL = range(3)


def section(title):
    """Return the commands of a section, a line each, without their comments."""
    text = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENT, flags=re.MULTILINE | re.DOTALL)[1]
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line.startswith("    ")]


@pytest.mark.slow
def test_a_sweep_is_run_compared_kept_and_dropped(finished, tmp_path):
    project = finished.copy(tmp_path / "project")

    def do(command):
        return project.run("sh", "-c", command, **AUTHOR).stdout

    sweep = section("Sweep")
    assert "kernel-1" in do(sweep[QUEUE])
    assert do(sweep[STATUS]).count("Queued") >= 2
    do(sweep[RUN_ALL])
    assert len(sweep) == RUN_ALL + 1
    assert do(sweep[STATUS]).count("Success") == 2

    table, *compared = section("Compare")
    assert table == "make experiments"
    told = project.run("python", "-m", "review.compare.experiments", PYTHONPATH=str(ROOT), **AUTHOR).stdout
    assert "kernel-1" in told
    assert "kernel-2" in told
    show, params, metrics = map(do, compared)
    header, _, *rows = show.splitlines()
    assert [name.strip() for name in header.strip("|").split("|")][1:] == [
        "truth.outside.nlpd",
        "truth.outside.rmse",
        "studies.sine.model.kernel.kind",
    ]
    assert any("kernel-2" in row and "periodic" in row for row in rows)
    assert re.search(r"studies.sine.model.kernel.kind\s+rbf\s+periodic", params)
    assert "truth.outside.rmse" in metrics

    branch, apply = section("Keep")
    do(branch)
    assert "kind: periodic" in do("git show periodic:params.yaml")
    assert "kind: periodic" not in do("git show HEAD:params.yaml")
    before = project.hashes()
    do(apply)
    assert "kind: periodic" in (project.path / "params.yaml").read_text(encoding="utf-8")
    assert project.repro() == set()
    take_back = "git checkout . && dvc checkout"
    assert f"`{take_back}`" in DOCUMENT
    do(take_back)
    assert project.hashes() == before

    later, remove_queued, remove_one, remove_all = section("Drop")
    do(later)
    do(remove_queued)
    assert "later" not in do("dvc queue status")
    do(remove_one)
    assert do("dvc exp list --name-only").split() == ["kernel-2"]
    do(remove_all)
    assert do("dvc exp list --name-only").split() == []
    assert "periodic" in do("git branch")


@pytest.mark.slow
def test_a_job_in_a_clone_takes_from_the_shared_cache_what_another_has_computed(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.edit("sine.predict.grid.n", 21)
    project.repro()
    project.run("git", "checkout", "-q", ".")
    [script] = re.findall(r"```sh\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    job = {
        "REPOSITORY": str(project.path),
        "CACHE": str(project.path / ".dvc/cache"),
        "JOB": "job",
        "CHANGE": "studies.sine.predict.grid.n=21",
    }
    printed = Project(tmp_path).run("sh", "-c", script, **AUTHOR, **job).stdout
    assert "Running stage" not in printed
    assert "Stage 'predict@sine' is cached" in printed
    assert "n: 21" in project.run("git", "show", "job:params.yaml").stdout


def test_edits_that_a_killed_experiment_put_aside_are_noticed_and_come_back(project):
    clean = (project.path / "params.yaml").read_text(encoding="utf-8")
    project.edit("sine.seed", 7)
    edited = (project.path / "params.yaml").read_text(encoding="utf-8")
    aside = project.run("git", "stash", "create", **AUTHOR).stdout.strip()
    diff, restore, forget, _ = section("If `dvc exp run` is killed")
    project.run("git", "update-ref", forget.split()[-1], aside)
    project.run("git", "checkout", "-q", ".")  # killed before the edits came back
    for module, code in (("stages", 2), ("review.lock.why", 1)):
        said = project.within(module, exit_code=code).stderr
        assert "`dvc exp run` was killed: edits that were not committed may be missing" in said
        assert all(f"`{command}`" in said for command in (diff, restore, forget))
    assert "+    seed: 7" in project.run(*diff.split()).stdout
    assert (project.path / "params.yaml").read_text(encoding="utf-8") == clean
    project.run(*restore.split())
    assert (project.path / "params.yaml").read_text(encoding="utf-8") == edited
    project.run(*forget.split())
    project.within("stages")


def test_an_experiment_that_still_runs_has_lost_nothing(project):
    project.run("git", "update-ref", "refs/exps/exec/EXEC_MERGE", "HEAD")
    (project.path / ".dvc/tmp").mkdir(exist_ok=True)
    running = {"write": {str(project.path / "data/sine/plot"): {"pid": os.getpid(), "cmd": "dvc exp run"}}}
    (project.path / ".dvc/tmp/rwlock").write_text(json.dumps(running), encoding="utf-8")
    project.within("stages")


@pytest.mark.parametrize("age", [0, 60])
def test_a_lock_of_git_that_was_left_behind_is_named(project, age):
    held = project.path / ".git/HEAD.lock"
    held.touch()
    os.utime(held, (held.stat().st_atime, held.stat().st_mtime - age))
    said = project.within("stages", exit_code=2 if age else 0).stderr
    assert ("`rm .git/HEAD.lock`" in said) == bool(age)
