"""Why a stage would run: each kind of change is named with its old and new value, and DVC then runs just that."""

import dataclasses
import hashlib
import shutil

import pytest
from pipeline import USES_REVIEW, call, make_pipeline, replace

from review.lock.why import main


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return make_pipeline(tmp_path_factory.mktemp("why") / "project")


@pytest.fixture
def pipeline(done, tmp_path):
    return done.copy(tmp_path / "project")


def why(project):
    """Return what `make why` prints, by stage."""
    blocks = [block.splitlines() for block in call(main, project).strip().split("\n\n")]
    return {lines[0]: [line.strip() for line in lines[1:]] for lines in blocks}


def short(*lines):
    """Return the short hash of a file of these lines."""
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8]


def test_nothing_would_run_where_nothing_changed(pipeline):
    before = pipeline.hashes()
    assert why(pipeline) == {"nothing would run": []}
    assert pipeline.hashes() == before


def test_a_param_is_named_by_its_dotted_path_with_both_values(pipeline):
    replace(pipeline, "params.yaml", "{n: 5, range: [0, 1]}", "{n: 7, start: true}")
    assert why(pipeline) == {
        "take": ["take.grid.n: 5 → 7", "take.grid.range: [0, 1] → nothing", "take.grid.start: nothing → true"],
        "use": ["because take runs (skipped if that comes out as before)"],
    }
    assert pipeline.repro() == {"take"}  # its output came out as before


def test_a_package_version_is_named_with_both_values(pipeline):
    replace(pipeline, "versions.yaml", "2.4.6", "2.5.0")
    assert why(pipeline)["take"] == ['versions.yaml: numpy: "2.4.6" → "2.5.0"']


def test_a_code_file_is_named_with_both_hashes(pipeline):
    replace(pipeline, "code.py", "pass", "return")
    assert why(pipeline) == {"use": [f"code.py: {short('pass')} → {short('return')}"]}
    assert pipeline.repro() == {"use"}


def test_the_files_of_an_input_folder_are_named_by_git(pipeline):
    replace(pipeline, "raw/a.csv", "1", "3")
    pipeline.append("raw/c.csv", "x\n")
    (pipeline.path / "raw/b.csv").unlink()
    first, *files = why(pipeline)["take"]
    assert first.startswith("raw: ")
    assert files == [f"a.csv: {short('x', 1)} → {short('x', 3)}", "b.csv: removed", "c.csv: new"]


def test_the_files_of_an_output_folder_are_named_by_the_cache(pipeline):
    (pipeline.path / "out/take/b.csv").write_text("spoilt\n", encoding="utf-8")
    assert f"b.csv: {short('x', 2)} → {short('spoilt')}" in why(pipeline)["take"]


def test_a_missing_output_in_the_cache_is_taken_from_there_and_runs_nothing_else(pipeline):
    shutil.rmtree(pipeline.path / "out/take")
    assert why(pipeline) == {
        "take": ["out/take: missing", "(the result is in DVC's cache: taken from there, not computed)"]
    }
    assert pipeline.repro() == {"take"}


def test_outputs_that_are_all_missing_are_all_taken_from_the_cache(pipeline):
    shutil.rmtree(pipeline.path / "out/take")
    (pipeline.path / "out/use.csv").unlink()
    known = "(the result is in DVC's cache: taken from there, not computed)"
    assert why(pipeline) == {"take": ["out/take: missing", known], "use": ["out/use.csv: missing", known]}
    assert "Running stage" not in pipeline.run("dvc", "repro").stdout


def test_a_missing_output_without_cache_is_computed(pipeline):
    shutil.rmtree(pipeline.path / "out/take")
    shutil.rmtree(pipeline.path / ".dvc/cache/files")
    assert why(pipeline)["take"] == ["out/take: missing"]


def test_a_result_of_the_run_cache_is_known(pipeline):
    replace(pipeline, "params.yaml", "n: 5", "n: 7")
    pipeline.repro()
    replace(pipeline, "params.yaml", "n: 7", "n: 5")
    assert why(pipeline)["take"] == [
        "take.grid.n: 7 → 5",
        "(the result is in DVC's cache: taken from there, not computed)",
    ]
    assert "Running stage" not in pipeline.run("dvc", "repro").stdout


def test_a_command_is_named_with_both_texts(pipeline):
    replace(pipeline, "dvc.yaml", "cp raw/*.csv out/take", "cp raw/a.csv out/take")
    assert why(pipeline)["take"] == [
        "command: mkdir -p out/take && cp raw/*.csv out/take && ls raw > out/take/names"
        " → mkdir -p out/take && cp raw/a.csv out/take && ls raw > out/take/names"
    ]


def test_a_new_stage_has_never_run(pipeline):
    pipeline.append(
        "dvc.yaml", "  more:\n    cmd: cp out/use.csv more.csv\n    deps: [out/use.csv]\n    outs: [more.csv]\n"
    )
    assert why(pipeline) == {"more": ["never run before: not in dvc.lock"]}


def test_a_pipeline_that_dvc_cannot_read_is_refused_with_its_reason(pipeline):
    pipeline.append("dvc.lock", "<<<<<<< HEAD\n")
    refused = pipeline.run("python", "-m", "review.lock.why", exit_code=1, **USES_REVIEW)
    assert "dvc.lock" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_study_says_why_and_dvc_runs_just_these_stages(finished, tmp_path):
    project = finished.copy(tmp_path / "copy")
    project.edit("sine.plot.interval", 0.9)
    assert why(project) == {"plot@sine": ["studies.sine.plot.interval: 0.95 → 0.9"]}
    assert project.repro() == {"plot@sine"}
    assert why(project) == {"nothing would run": []}


def test_no_torch_is_imported(pipeline):
    code = "import sys, review.lock.why, review.lock.verify; assert 'torch' not in sys.modules"
    dataclasses.replace(pipeline, anew=True).run("python", "-c", code, **USES_REVIEW)
