"""Stage run: whatever happens while a stage runs, a wrong or half result is never written."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, ROOT, STAGES
from preloaded import preloaded

import stages
from gp.fitted.fit import fit
from gp.spec import Fault, InputError
from stages import repro, synthesize
from stages.__main__ import validate
from stages.wrapper.inputs import declaration

OUTPUT = "data/sine/synthesize"
SOON = PATIENCE  # after which what should happen is taken not to happen


@pytest.fixture
def here(project, monkeypatch):
    """A project as the working folder, from which stages are run in this process for the study sine."""
    monkeypatch.chdir(project.path)
    monkeypatch.setattr(sys, "argv", ["-m", "sine"])
    return project


def synthesizing(main):
    """Return the exit code of the stage synthesize, `main` in the place of its own."""
    return stages.run("synthesize", synthesize.Params, main)


def write(study, params, out):
    (out / "train.csv").write_text("x,y\n1,2\n", encoding="utf-8")


def wait_for(condition, what):
    """Return what `condition` returns as soon as it is true."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen in {SOON} s")


# Outputs


def test_a_folder_is_replaced_as_a_whole(here):
    old = here.path / OUTPUT / "old.csv"
    old.parent.mkdir(parents=True)
    old.touch()
    assert synthesizing(write) == 0
    assert list(here.hashes("data/sine")) == ["data/sine/stamps/synthesize.json", f"{OUTPUT}/train.csv"]


def test_an_output_is_not_seen_before_it_is_complete(here):
    def main(study, params, out):
        write(study, params, out)
        assert not (here.path / OUTPUT).exists()

    assert synthesizing(main) == 0
    assert (here.path / OUTPUT / "train.csv").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc for a handle's name")
def test_every_file_is_synced_before_it_gets_its_name(here, monkeypatch):
    synced, sync = [], os.fsync

    def note(handle):
        synced.append((Path(f"/proc/self/fd/{handle}").resolve().name, (here.path / OUTPUT).exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    assert synthesizing(write) == 0
    assert set(synced) == {(".synthesize.new", False), ("train.csv", False), ("synthesize.new", False), ("sine", True)}


def test_outputs_can_be_read_by_whom_the_umask_allows(here):
    before = os.umask(0o022)
    try:
        assert synthesizing(write) == 0
    finally:
        os.umask(before)
    assert (here.path / OUTPUT).stat().st_mode & 0o777 == 0o755


def test_a_stage_that_fails_leaves_earlier_results_and_nothing_else(here):
    assert synthesizing(write) == 0
    before = here.hashes("data")

    def main(study, params, out):
        (out / "half.csv").touch()
        raise KeyError("a fault of ours, to be seen with its traceback")

    with pytest.raises(KeyError):
        synthesizing(main)
    assert here.hashes("data") == before
    assert {path.name for path in (here.path / "data/sine").iterdir()} == {"stamps", "synthesize"}


KILLED = """
import os, pathlib, signal, sys
from stages import run, synthesize
moment, count = sys.argv.pop(1), 0

def die_at(method, when):
    def called(*arguments):
        global count
        count += 1
        if count == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments)
    return called

def main(study, params, out):
    synthesize.main(study, params, out)
    if moment == "after main":
        os.kill(os.getpid(), signal.SIGKILL)

if moment != "after main":
    pathlib.Path.rename = die_at(pathlib.Path.rename, {"before both renames": 1, "between the renames": 2}[moment])
sys.exit(run("synthesize", synthesize.Params, main))
"""


@pytest.mark.parametrize("moment", ["after main", "before both renames", "between the renames"])
def test_a_stage_killed_at_a_bad_moment_leaves_old_results_or_none_and_the_next_run_is_clean(here, moment):
    project = here
    assert synthesizing(synthesize.main) == 0
    clean = project.hashes("data")
    project.run("python", "-c", KILLED, moment, "sine", exit_code=-signal.SIGKILL, PYTHONPATH=".")
    left = project.hashes("data/sine/synthesize")
    assert left == ({} if moment == "between the renames" else {k: v for k, v in clean.items() if k.startswith(OUTPUT)})
    assert (project.path / "data/sine/.synthesize.new").exists()
    assert synthesizing(synthesize.main) == 0
    assert project.hashes("data") == clean
    assert {path.name for path in (project.path / "data/sine").iterdir()} == {"stamps", "synthesize"}


def test_slices_are_predicted_where_there_are_more_than_two_inputs(project):
    rows = np.random.default_rng(0).uniform(size=(12, 4))
    lines = [",".join(f"{value:.3f}" for value in row) for row in rows]
    (project.path / "data/raw/wide.csv").write_text("\n".join(["a,b,c,y", *lines, ""]), encoding="utf-8")
    project.edit("lake.data", {"kind": "table", "path": "data/raw/wide.csv", "x": ["a", "b", "c"], "y": "y"})
    project.edit("lake.predict", {})
    for stage in ("synthesize", "train", "predict"):
        project.within(f"stages.{stage}", "lake")
    written = {path.name for path in (project.path / "data/lake/predict").glob("*.csv")}
    assert written == {"loo.csv", "slices.csv", "sensitivity.csv"}  # no grid in three dimensions, no rows held out


def mend_dvc(project):
    """Do what `python -m stages` says where `dvc` was killed while it wrote a file of its own."""
    said = project.within("stages", exit_code=None).stderr
    for name, fix in {"dvc.lock": "git checkout dvc.lock", ".dvc/tmp/rwlock": "rm .dvc/tmp/rwlock"}.items():
        if f"{name}: is cut off" in said:
            assert f"`{fix}`" in said
            project.run(*fix.split())
    project.within("stages")


def test_what_dvc_was_killed_at_writing_is_named_with_its_fix(project):
    (project.path / ".dvc/tmp").mkdir(exist_ok=True)
    (project.path / ".dvc/tmp/rwlock").write_text("", encoding="utf-8")
    assert ".dvc/tmp/rwlock: is cut off" in project.within("stages", exit_code=2).stderr
    mend_dvc(project)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 100])
def test_a_lock_file_cut_off_is_named_with_its_fix(finished, tmp_path, kept):
    project = finished.copy(tmp_path / "project")
    clean, lock = project.hashes("data", "dvc.lock"), project.path / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:kept])
    assert "dvc.lock: is cut off" in project.within("stages", exit_code=2).stderr
    mend_dvc(project)
    assert project.repro() == set()
    assert project.hashes("data", "dvc.lock") == clean


@pytest.mark.slow
def test_a_run_killed_at_random_times_never_leaves_half_a_result(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    clean, rng = project.hashes("data", "dvc.lock"), random.Random(0)
    for _ in range(4):
        delay = rng.uniform(0.8, 3.0)  # DVC needs the first of them, drawing and writing the rest
        command = ["dvc", "repro", "--force", "--single-item", "plot@sine"]
        process = subprocess.Popen(
            command, cwd=project.path, env=project.environment(), stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = project.hashes("data/sine/plot")
        assert left.items() <= clean.items()  # not always all: DVC removes a stage's outputs one by one before it runs
        mend_dvc(project)
    project.repro("--force", "--single-item", "plot@sine")
    assert project.repro() == set()
    assert project.hashes("data", "dvc.lock") == clean
    assert sorted(path.name for path in (project.path / "data/sine").iterdir()) == sorted([*STAGES, "stamps"])


# What a stage read


def edit_param(project):
    project.edit("sine.data.n", 21)


def edit_version(project):
    text = (project.path / "versions.yaml").read_text(encoding="utf-8")
    (project.path / "versions.yaml").write_text(re.sub(r'numpy: ".*"', 'numpy: "1.0"', text), encoding="utf-8")


def edit_code(project):
    project.append("gp/dataset.py", "# edited\n")


def edit_table(project):
    project.append("data/raw/lake.csv", "1,2,3\n")


def add_table(project):
    project.append("data/raw/new.csv", "a\n1\n")


def remove_table(project):
    (project.path / "data/raw/lake.csv").unlink()


CHANGES = {
    edit_param: "studies.sine.data",
    edit_version: "versions.yaml: numpy",
    edit_code: "gp/dataset.py",
    edit_table: "data/raw",
    add_table: "data/raw",
    remove_table: "data/raw",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_nothing_is_written_if_what_a_stage_reads_changes_meanwhile(here, capsys, change):
    assert synthesizing(write) == 0
    before = here.hashes("data/sine")

    def main(study, params, out):
        (out / "train.csv").write_text("x,y\n3,4\n", encoding="utf-8")
        change(here)

    assert synthesizing(main) == 1
    message = f"synthesize sine: {CHANGES[change]} changed while the stage ran: nothing was written; run again\n"
    assert capsys.readouterr().err == message
    assert here.hashes("data/sine") == before


def test_all_changes_are_named(here, capsys):
    def main(study, params, out):
        edit_param(here)
        edit_table(here)

    assert synthesizing(main) == 1
    assert "studies.sine.data, data/raw changed while" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["lake.data.holdout.fraction", "sine.plot.interval", "sine.model.kernel.lengthscale"])
def test_a_change_of_what_a_stage_does_not_read_is_its_own_affair(here, key):
    def main(study, params, out):
        write(study, params, out)
        here.edit(key, 0.5 if "lake" in key else 0.7)

    assert synthesizing(main) == 0


def test_params_that_are_broken_meanwhile_are_not_written_for(here, capsys):
    def main(study, params, out):
        write(study, params, out)
        here.append("params.yaml", "\tx: [\n")

    assert synthesizing(main) == 2
    assert "params.yaml:18: not valid YAML" in capsys.readouterr().err
    assert not (here.path / OUTPUT).exists()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc for the moment to edit")
def test_code_that_is_edited_while_torch_is_imported_is_not_taken_for_what_runs(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    before = project.hashes("data")
    command = [sys.executable, "-m", "stages.predict", "sine"]
    process = subprocess.Popen(
        command, cwd=project.path, env=project.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: "libtorch" in maps_of(process.pid), "the import of torch")
    project.append("gp/dataset.py", "# edited\n")  # which is loaded by now
    _, errors = process.communicate(timeout=SOON)
    assert errors == "predict sine: gp/dataset.py changed while the stage ran: nothing was written; run again\n"
    assert process.returncode == 1
    assert project.hashes("data") == before


# Put before a stage's guard: once it has begun, it waits for the word to go on.
HELD = """
def _when_told(*given):
    import pathlib, time
    pathlib.Path(".begun").touch()
    while not pathlib.Path(".go").exists():
        time.sleep(0.01)
    held(*given)
held, main = main, _when_told
"""


@pytest.mark.slow
def test_dvc_records_nothing_if_params_are_edited_while_a_stage_runs(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    lock, code = project.hashes("dvc.lock"), project.path / "stages/train.py"
    guard = 'if __name__ == "__main__":'
    code.write_text(code.read_text(encoding="utf-8").replace(guard, f"{HELD}\n\n{guard}"), encoding="utf-8")
    with subprocess.Popen(
        ["dvc", "repro", "train@sine"],
        cwd=project.path,
        env=project.environment(**preloaded("random")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_for((project.path / ".begun").exists, "training")
            project.edit("sine.train.learning_rate", 0.2)
        finally:
            (project.path / ".go").touch()
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 255
    assert "train sine: studies.sine.train changed while the stage ran: nothing was written; run again\n" in errors
    assert project.hashes("data/sine/train") == {}
    assert project.hashes("dvc.lock") == lock


def test_a_dependency_that_is_not_there_is_named_with_what_makes_it(project):
    done = project.within("stages.evaluate", "sine", exit_code=2)
    lines = done.stderr.splitlines()
    assert "data/sine/train/fit.json: is not there: `dvc repro evaluate@sine` makes it first" in lines
    missing = [path for path in declaration("evaluate", "sine")["deps"] if path.startswith("data/")]
    assert len(lines) == len(missing) + 1
    assert not (project.path / "data/sine").exists()


# Packages


@pytest.mark.parametrize("recorded", ["1.0", None], ids=["another version", "none"])
def test_a_package_that_is_not_the_recorded_one_is_refused_with_the_command_that_mends_it(project, recorded):
    text = (project.path / "versions.yaml").read_text(encoding="utf-8")
    line = f'numpy: "{recorded}"\n' if recorded else ""
    (project.path / "versions.yaml").write_text(re.sub(r'numpy: ".*"\n', line, text), encoding="utf-8")
    done = project.stage("synthesize", "sine", exit_code=2)
    place = f"versions.yaml: numpy: {recorded or 'nothing'} is recorded, but {np.__version__} is installed: "
    assert done.stderr.startswith(f"{place}`make versions` records what is installed")
    assert "Traceback" not in done.stderr
    assert not (project.path / "data/sine").exists()
    project.run("python", "-m", "stages.versions")
    assert (project.path / "versions.yaml").read_text(encoding="utf-8") == text


def test_another_python_than_the_projects_is_told_in_one_line():
    # -S: without site-packages, as the system's Python where the environment is not active.
    command = [sys.executable, "-S", "-m", "stages.train", "sine"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 1
    assert re.fullmatch(r"No module named '\w+': .* is not the project's Python: .*activate.*\n", found.stderr)


def test_a_package_that_a_stage_does_not_use_does_not_stop_it_but_make_repro_tells(here):
    text = (here.path / "versions.yaml").read_text(encoding="utf-8")
    (here.path / "versions.yaml").write_text(re.sub(r'gpytorch: ".*"', 'gpytorch: "1.0"', text), encoding="utf-8")
    assert synthesizing(write) == 0
    with pytest.raises(InputError, match=r"^versions.yaml: gpytorch: 1.0 is recorded, but .* is installed: `make"):
        validate()


def test_a_build_of_a_version_is_that_version(here, monkeypatch):
    monkeypatch.setattr(stages, "version", lambda package: f"{np.__version__}+cpu")
    stages.check_versions(["numpy"])


@pytest.mark.parametrize("text", ["", "- numpy\n"], ids=["empty", "a list"])
def test_a_broken_versions_file_is_refused_in_one_line(here, capsys, text):
    (here.path / "versions.yaml").write_text(text, encoding="utf-8")
    assert synthesizing(write) == 2
    assert capsys.readouterr().err.startswith("versions.yaml: must be a mapping of packages")


def test_every_make_target_that_a_message_names_exists():
    files = [file for package in ("gp", "stages") for file in (ROOT / package).rglob("*.py")]
    targets = {name for file in files for name in re.findall(r"`make (\w+)`", file.read_text(encoding="utf-8"))}
    assert "versions" in targets
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


# Results that are none


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", ""])
def test_a_table_with_a_number_that_is_not_finite_is_not_written(here, capsys, value):
    def main(study, params, out):
        (out / "grid.csv").write_text(f"x,mean\n1,2\n3,{value}\n", encoding="utf-8")

    assert synthesizing(main) == 1
    assert capsys.readouterr().err == (
        f"synthesize sine: grid.csv:3: mean came out as {value or 'nan'}: nothing was written\n"
    )
    assert list((here.path / "data/sine").iterdir()) == []


def test_a_column_may_be_called_nan(here):
    def main(study, params, out):
        (out / "train.csv").write_text("nan,inf\n1,2\n", encoding="utf-8")

    assert synthesizing(main) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf")])
def test_json_with_a_number_that_is_not_finite_is_not_written(here, capsys, value):
    def main(study, params, out):
        stages.write_json(out / "fit.json", {"fit": {"rmse": value}})

    assert synthesizing(main) == 1
    error = "synthesize sine: fit.json: a number came out as NaN or infinite: nothing was written\n"
    assert capsys.readouterr().err == error
    assert list((here.path / "data/sine").iterdir()) == []


def test_json_holds_six_digits_of_floats_and_all_of_counts(tmp_path):
    numbers = {
        "a": 123.456749,
        "b": [1.23456751e-12, (-0.0, np.float64(1 / 3))],
        "n": 123456789,
        "yes": True,
        "no": None,
    }
    stages.write_json(tmp_path / "a.json", numbers)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "a": 123.457,
        "b": [1.23457e-12, [0.0, 0.333333]],
        "n": 123456789,
        "yes": True,
        "no": None,
    }
    assert "-" not in text.replace("e-12", "")
    again = tmp_path / "b.json"
    stages.write_json(again, json.loads(text))  # as evaluate writes again what train wrote
    assert again.read_text(encoding="utf-8") == text


def test_make_repro_repeats_at_its_end_why_a_stage_failed(here, monkeypatch, capsys):
    def main(study, params, out):
        raise ArithmeticError("the posterior variance came out negative")

    def dvc(command, *_):
        status = synthesizing(main)
        print("many lines of other studies", file=sys.stderr)
        return status

    monkeypatch.setattr(repro, "_dvc", dvc)
    monkeypatch.setattr(repro, "_validate", lambda: 0)
    assert repro.main(["--jobs", "1"]) == 1
    reason = "synthesize sine: the posterior variance came out negative\n"
    assert capsys.readouterr().err == f"{reason}many lines of other studies\nsynthesize@sine failed:\n  {reason}"


def test_what_cannot_be_computed_is_one_line_and_a_fault_of_ours_a_traceback(here, capsys):
    def singular(study, params, out):
        raise ArithmeticError("the posterior variance came out negative: raise model.noise.sd")

    assert synthesizing(singular) == 1
    assert capsys.readouterr().err == (
        "synthesize sine: the posterior variance came out negative: raise model.noise.sd\n"
    )
    with pytest.raises(ZeroDivisionError):
        synthesizing(lambda study, params, out: 1 / 0)


def test_a_test_point_that_is_nan_is_refused_by_its_row():
    x = np.linspace(0, 1, 5)
    fitted = fit(x, np.sin(x), train={"kind": "adam", "steps": 1})
    with pytest.raises(InputError, match=r"x has a value that is not finite in row 2 \(got \[nan\]\)"):
        fitted.predict([0.1, 0.2, float("nan"), 0.4])


@pytest.mark.slow
def test_a_test_row_that_is_nan_stops_the_prediction_and_is_named(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    rows = project.path / "data/sine/synthesize/test.csv"
    lines = rows.read_text(encoding="utf-8").splitlines()
    lines[4] = f",{lines[4].partition(',')[2]}"
    rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
    before = project.hashes("data")
    done = project.within("stages.predict", "sine", exit_code=2)
    assert "x has a value that is not finite in row 3 (got [nan])" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.hashes("data") == before


# What the library refuses in the midst of a stage

PLACES = {
    Fault(
        "model.kernel.lengthscale", "3 values for 2"
    ): "params.yaml: studies.sine.model.kernel.lengthscale: 3 values for 2",
    Fault("kernel.lengthscale", "3 values"): "params.yaml: studies.sine.model.kernel.lengthscale: 3 values",
    Fault("predict.grid.range", "2 ranges for 1"): "params.yaml: studies.sine.predict.grid.range: 2 ranges for 1",
    Fault("", "column 'y': no", source="data/raw/lake.csv:3"): "data/raw/lake.csv:3: column 'y': no",
    Fault("", "the matrix is singular", "fix it"): "params.yaml: studies.sine: the matrix is singular: fix it",
}


def test_a_refusal_of_the_library_is_told_with_its_study_unless_it_names_a_source(here, capsys):
    def main(study, params, out):
        raise InputError(list(PLACES))

    assert synthesizing(main) == 2
    *lines, last = capsys.readouterr().err.splitlines()
    assert lines == list(PLACES.values())
    assert last.startswith("Nothing was written. If DVC removed earlier results")


# Other runs


def test_a_second_stage_of_a_study_is_refused_while_the_first_one_writes(here, capsys):
    codes = []

    def main(study, params, out):
        write(study, params, out)
        codes.append(synthesizing(write))

    assert synthesizing(main) == 0
    assert codes == [1]
    message = "synthesize sine: another stage is writing in data/sine: wait for it, then run again\n"
    assert capsys.readouterr().err == message
    assert (here.path / OUTPUT / "train.csv").read_text(encoding="utf-8") == "x,y\n1,2\n"


def test_a_stage_of_another_study_runs_beside(here, monkeypatch):
    def main(study, params, out):
        write(study, params, out)
        monkeypatch.setattr(sys, "argv", ["-m", "lake"])
        assert synthesizing(write) == 0

    assert synthesizing(main) == 0


def maps_of(pid):
    """Return what a process has mapped into its memory, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return ""


def stage_in(path):
    """Return the process id of the Python that runs a stage in a folder, None if there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(encoding="utf-8").split("\0")
            if "stages.train" in command and (process / "cwd").readlink() == path:
                return int(process.name)
        except OSError:  # it has ended
            continue
    return None


def alive(pid):
    """Return whether a process runs (one that has ended and that nobody has waited for does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to end a stage with its parent")
@pytest.mark.parametrize(
    ("shell", "moment"),
    [("/bin/sh", "while torch is imported"), ("/bin/sh", "while it trains"), ("/bin/bash", "while it trains")],
)
def test_a_stage_ends_with_the_dvc_that_started_it(finished, tmp_path, shell, moment):
    if not Path(shell).exists():
        pytest.skip(f"{shell} is not there")
    project = finished.copy(tmp_path / "project")
    project.edit("sine.train.steps", 100_000_000)
    environment = project.environment(SHELL=shell)
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dvc = subprocess.Popen(["dvc", "repro", "train@sine"], cwd=project.path, env=environment, **nowhere)
    stage = None
    try:
        stage = wait_for(lambda: stage_in(project.path), "the stage's start")
        if moment == "while it trains":
            wait_for((project.path / "data/sine/.train.new").exists, "training")
        else:
            wait_for(lambda: "libtorch" in maps_of(stage), "the import of torch")
        dvc.kill()
        dvc.wait()
        wait_for(lambda: not alive(stage), "the stage's end")
    finally:
        for process in dvc.pid, stage:
            if process and alive(process):
                os.kill(process, signal.SIGKILL)
        dvc.wait()
    assert project.hashes("data/sine/train") == {}


# What DVC removed


# Of the stages whose outputs are a folder, files, and a file that Git keeps, those that need no torch.
BROKEN = {
    "synthesize": ("sine.data.n", 0),
    "evaluate": (None, None),
    "plot": ("sine.plot.interval", 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", BROKEN)
def test_the_command_that_a_failure_names_brings_earlier_results_back(finished, tmp_path, stage):
    project = finished.copy(tmp_path / "project")
    before, (key, value) = project.hashes("data"), BROKEN[stage]
    if key:
        project.edit(key, value)
    else:  # evaluate has no params of the study's
        text = (project.path / "versions.yaml").read_text(encoding="utf-8")
        (project.path / "versions.yaml").write_text(re.sub(r'scipy: ".*"', 'scipy: "1.0"', text), encoding="utf-8")
    errors = project.run("dvc", "repro", "--single-item", f"{stage}@sine", exit_code=255).stderr
    assert project.hashes(f"data/sine/{stage}") == {}  # DVC removes them before it runs a stage
    (command,) = re.findall(r"`([^`]+)` brings them back", errors)
    project.run("sh", "-c", command)
    assert project.hashes("data") == before


# Torch


# Runs stages, each in a fork of a process that has imported what they share.
EACH = """
import os, runpy, sys
import matplotlib.figure, pandas, pydantic, scipy.stats
for name in sys.argv[1:]:
    stage, _, study = name.partition("@")
    child = os.fork()
    if child == 0:
        sys.argv[1:] = [study]
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    assert os.waitpid(child, 0)[1] == 0, name
"""


@pytest.mark.slow
def test_stages_that_need_no_torch_run_without_it(finished, tmp_path):
    for package in ("torch", "gpytorch", "linear_operator"):
        (tmp_path / "blocked" / package).mkdir(parents=True)
        (tmp_path / "blocked" / package / "__init__.py").write_text(f"raise ImportError('{package} is blocked')\n")
    blocked = str(tmp_path / "blocked")
    project = replace(finished.copy(tmp_path / "project"), anew=True)
    before = project.hashes("data")
    names = [(stage, study) for stage in ("synthesize", "evaluate", "plot") for study in ("sine", "lake")]
    for stage, study in names:
        shutil.rmtree(project.path / "data" / study / stage)
    project.run("python", "-c", EACH, *("@".join(name) for name in names), PYTHONPATH=blocked)
    assert project.hashes("data") == before
    assert "torch is blocked" in project.stage("train", "sine", exit_code=1, PYTHONPATH=blocked).stderr
