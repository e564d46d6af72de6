"""`make repro`: studies side by side, with the bytes, the output and the exit code of one after the other."""

import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import PATIENCE, ROOT

from stages import lock, repro
from stages.side_by_side import run_all

SOON = PATIENCE
STAGE = "echo \"Running stage '{0}@{1}':\"; echo {0} of {1}; sleep 0.05; "


def sh(*commands):
    return ["sh", "-c", "; ".join(command.rstrip("; ") for command in commands)]


def wait_for(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_commands_that_run_side_by_side_print_in_blocks_and_one_that_fails_stops_no_other(capsys):
    commands = {study: sh(*(STAGE.format(stage, study) for stage in "xyz")) for study in "abc"}
    commands["b"] = sh(STAGE.format("x", "b"), "exit 3")
    assert run_all(commands, 2) == {"a": 0, "b": 3, "c": 0}
    lines = capsys.readouterr().out.splitlines()
    blocks = list(zip(lines[::2], lines[1::2], strict=True))
    assert set(blocks) == {
        (f"Running stage '{stage}@{study}':", f"{stage} of {study}")
        for stage, study in ["xa", "ya", "za", "xb", "xc", "yc", "zc"]
    }


def test_no_more_commands_run_at_once_than_asked_for(tmp_path):
    one = f"mkdir {tmp_path}/busy || exit 9; sleep 0.1; rmdir {tmp_path}/busy"
    assert set(run_all({name: sh(one) for name in "abc"}, 1).values()) == {0}


def test_a_command_that_another_dvc_kept_waiting_runs_again_but_not_for_ever(tmp_path):
    refused = "echo 'ERROR: Unable to acquire lock.'; exit 255"
    count = f"echo x >> {tmp_path}/tries"
    commands = {"once": sh(f"mkdir {tmp_path}/tried && {{ {refused}; }}", "exit 0"), "always": sh(count, refused)}
    assert run_all(commands, 2) == {"once": 0, "always": 255}
    assert (tmp_path / "tries").read_text().count("x") == 5


RUNNER = """
from stages.side_by_side import run_all
run_all({name: ["sh", "-c", "echo $$ > %s/" + name + "; exec sleep 1000"] for name in "ab"}, 2)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_whatever_ends_make_repro_ends_what_it_runs(tmp_path, number):
    process = subprocess.Popen([sys.executable, "-c", RUNNER % tmp_path], cwd=ROOT)
    wait_for(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text().strip() for name in "ab"))
    children = [int((tmp_path / name).read_text()) for name in "ab"]
    process.send_signal(number)
    assert process.wait(SOON) == (-number if number == signal.SIGKILL else 128 + number)
    wait_for(lambda: not any(is_alive(child) for child in children))


def is_alive(pid):
    """Return whether a process runs; one that nobody has waited for does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() not in ("", "Z", "Z+")


@pytest.fixture
def calls(project, monkeypatch):
    """What `make repro` would start in a project: targets of each `dvc`, by study; "" if one runs everything."""
    monkeypatch.chdir(project.path)
    made = {}
    monkeypatch.setattr(repro, "_changed", lambda: {"train@sine", "plot@lake"})
    monkeypatch.setattr(repro, "_validate", lambda: 0)
    monkeypatch.setattr(repro, "_dvc", lambda *arguments: made.update({"": list(arguments)}) or 0)
    monkeypatch.setattr(repro, "run_all", lambda commands, *_: made.update(commands) or dict.fromkeys(commands, 0))
    return made


def test_each_study_that_changed_has_a_dvc_of_its_own(calls):
    assert repro.main(["--jobs", "2", "--force"]) == 0
    assert calls.keys() == {"sine", "lake"}
    assert "--force" in calls["sine"]
    assert [name for name in calls["sine"] if "@" in name] == [
        f"{stage}@sine" for stage in ("synthesize", "train", "predict", "evaluate", "plot")
    ]


@pytest.mark.parametrize(
    "options", [["--jobs", "1"], ["train@sine"], ["--dry"], ["--single-item", "plot@lake"]], ids=str
)
def test_one_dvc_runs_what_is_asked_for_in_other_words(calls, options):
    assert repro.main(options) == 0
    assert calls == {"": ["repro", "--keep-going", *[option for option in options if option not in ("--jobs", "1")]]}


def test_one_study_that_changed_has_one_dvc_which_looks_at_no_other(calls, monkeypatch):
    monkeypatch.setattr(repro, "_changed", lambda: {"plot@lake"})
    assert repro.main(["--jobs", "2"]) == 0
    targets = [f"{stage}@lake" for stage in ("synthesize", "train", "predict", "evaluate", "plot")]
    assert calls == {"": ["repro", "--keep-going", *targets]}


def test_where_nothing_changed_nothing_runs_and_params_are_not_read_again(calls, monkeypatch, capsys):
    monkeypatch.setattr(repro, "_changed", set)
    monkeypatch.setattr(repro, "_validate", lambda: pytest.fail("torch is imported"))
    assert repro.main(["--jobs", "2"]) == 0
    assert not calls
    assert "nothing to run" in capsys.readouterr().out


def test_params_that_have_a_fault_run_nothing(calls, monkeypatch, capsys):
    monkeypatch.setattr(repro, "_validate", lambda: 2)
    assert repro.main([]) == 2
    assert not calls


def test_a_section_that_no_stage_knows_is_refused_though_nothing_changed(calls, project, monkeypatch, capsys):
    monkeypatch.setattr(repro, "_changed", set)
    project.edit("sine.colour", "red")
    assert repro.main(["--jobs", "2"]) == 2
    assert "studies.sine.colour: no stage knows this section" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0", "-1", "two", ""])
def test_a_number_of_jobs_that_is_none_is_refused(calls, capsys, given):
    assert repro.main(["--jobs", given]) == 2
    assert f"must be a whole number of at least 1 (got {given!r})" in capsys.readouterr().err
    assert not calls


@pytest.mark.slow
def test_what_studies_write_side_by_side_is_what_they_write_one_after_the_other(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    clean = project.hashes("data", "dvc.lock")
    (project.path / "dvc.lock").unlink()
    for study in ("sine", "lake"):
        shutil.rmtree(project.path / "data" / study)  # DVC's run-cache gives all of it back: no stage computes
    printed = project.run("python", "-m", "stages.repro", "--jobs", "2").stdout
    assert "2 studies have something to run, 2 at a time: sine, lake" in printed
    assert project.hashes("data", "dvc.lock") == clean


# dvc.lock


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dvc.lock"


def written(*names):
    entries = "".join(f"  {name}:\n    cmd: exec {name}\n    outs:\n    - path: data/{name}\n" for name in names)
    return f"schema: '2.0'\nstages:\n{entries}"


def test_new_entries_of_the_lock_file_come_in_the_order_of_a_serial_run(there):
    plan = [f"{stage}@{study}" for stage in ("draw", "fit") for study in "abc"]
    there.write_text(written("fit@a", "draw@a", "draw@c", "fit@c", "draw@b", "fit@b"))
    lock.put_in_order(["fit@a", "draw@a", "gone@a"], plan)
    assert there.read_text() == written("fit@a", "draw@a", "draw@b", "draw@c", "fit@b", "fit@c")
    lock.put_in_order([], plan)
    assert there.read_text() == written(*plan)


@pytest.mark.parametrize("kept", [0, 40, 70])
def test_a_lock_file_that_is_cut_off_is_mended_from_what_was_kept(there, kept):
    there.write_text(written("draw@a", "fit@a"))
    lock.keep()
    assert not lock.mend()
    there.write_text(written("draw@a", "fit@a", "plot@a")[:kept])
    assert lock.mend()
    assert there.read_text() == written("draw@a", "fit@a")


def test_a_lock_file_with_a_conflict_is_its_owners(there):
    there.write_text(written("draw@a"))
    lock.keep()
    there.write_text(conflict := written("draw@a") + "<<<<<<< HEAD\n")
    assert not lock.mend()
    assert there.read_text() == conflict


THREADS = """
import sys
sys.argv = ["-m", "sine"]  # as while `python -m stages.train sine` imports the package
import stages
import numpy, threadpoolctl
print({library["num_threads"] for library in threadpoolctl.threadpool_info()})
"""


def test_a_stage_runs_on_one_thread_whatever_the_environment_says(project):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert project.run(sys.executable, "-c", THREADS, **dict.fromkeys(names, "2")).stdout == "{1}\n"
