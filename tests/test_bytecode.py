"""A stage runs the code that its files hold, though Python's cached bytecode has a source's size and time."""

import os
import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from stages.wrapper.bytecode import renew

OLD, NEW = "stages.{stage} STUDY", "stages.{stage} study"  # in the usage that a stage without a study prints
BY_TIME = py_compile.PycInvalidationMode.TIMESTAMP


def edit_unseen(source, old, new):
    """Edit a file of code so that its size and its time of change stay as they were."""
    before, text = source.stat(), source.read_text(encoding="utf-8")
    assert old in text
    assert len(old) == len(new)
    source.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


def usage(project):
    return project.run("python", "-m", "stages.synthesize", exit_code=2).stderr


def test_a_stage_runs_the_present_code_after_edits_that_keep_size_and_time(project):
    source = project.path / "stages/__init__.py"
    py_compile.compile(str(source), invalidation_mode=BY_TIME)
    for old, new in ((OLD, NEW), (NEW, OLD)):  # after the first, the bytecode goes by hash
        edit_unseen(source, old, new)
        assert new.format(stage="synthesize") in usage(project)


@pytest.fixture
def source(tmp_path):
    """A file of code with bytecode that goes by size and time."""
    path = tmp_path / "module.py"
    path.write_text("ANSWER = 1\n", encoding="utf-8")
    py_compile.compile(str(path), invalidation_mode=BY_TIME)
    return path


@pytest.fixture
def restarts(monkeypatch):
    """The command lines by which this process would have started again."""
    commands = []
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    return commands


def flags(source):
    return Path(cache_from_source(source)).read_bytes()[4]


def test_bytecode_of_the_present_code_goes_by_hash_and_nothing_starts_again(source, restarts):
    assert flags(source) == 0
    renew([source])
    assert flags(source) == 0b11  # by hash, and to be checked
    assert restarts == []


def test_stale_bytecode_makes_the_process_start_again_once(source, restarts):
    edit_unseen(source, "1", "2")
    renew([source])
    renew([source])
    assert restarts == [[sys.executable, *sys.orig_argv[1:]]]


def test_sources_without_bytecode_or_with_faults_are_left_to_the_import(tmp_path, source, restarts):
    (tmp_path / "new.py").write_text("ANSWER = 1\n", encoding="utf-8")
    edit_unseen(source, "= 1", "= =")
    renew([tmp_path / "new.py", source])
    assert not Path(cache_from_source(tmp_path / "new.py")).exists()
    assert restarts == []


def test_stale_bytecode_that_cannot_be_replaced_is_refused(source, restarts, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(py_compile, "compile", refuse)
    renew([source])  # not stale: taken as it is
    edit_unseen(source, "1", "2")
    with pytest.raises(SystemExit, match=r"holds other code than .*module\.py.* remove it"):
        renew([source])
