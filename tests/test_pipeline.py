"""Pipeline: dvc.yaml says what each stage reads and writes, and just what changed runs again."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections import OrderedDict
from functools import cache

import pytest
from conftest import ROOT, STAGES, make_project
from dvc.utils.serialize import _yaml
from preloaded import handle_dvc_lock_plainly
from ruamel.yaml import YAML

from gp.yaml import read_yaml
from stages import SECTIONS, installed_version
from stages.__main__ import PARAMS_OF

PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]
VERSIONS = read_yaml(ROOT / "versions.yaml")

# Packages that a stage loads only where its rows ask for them.
LATE = {"evaluate": {"scikit-learn"}}
# Packages that a stage loads and that are not tracked, each with the reason why no output depends on its version.
NEUTRAL = {
    "annotated-types": "pydantic's",
    "charset-normalizer": "loaded by an import hook of torch's",
    "cloudpickle": "loaded by an import hook of torch's and pyarrow's",
    "cycler": "order of colours, which figures name themselves",
    "fonttools": "fonts inside PDF and PS, which are not written",
    "loky": "carries tasks to processes",
    "packaging": "compares versions",
    "pathspec": "reads .dvcignore, as DVC does",
    "psutil": "loky's, ends processes",
    "pydantic": "refuses or accepts",
    "pydantic_core": "refuses or accepts",
    "pydot": "loaded by torch, draws graphs",
    "PyYAML": "reads params.yaml; the values are tracked",
    "pyparsing": "matplotlib's, reads mathtext and fontconfig patterns",
    "python-dateutil": "pandas' and matplotlib's, dates; tables' dates are read by our own code",
    "setuptools": "loaded by an import hook",
    "six": "dateutil's",
    "threadpoolctl": "sets the number of threads",
    "tqdm": "progress",
    "triton": "code for GPUs, which torch brings in some builds; we compute on the CPU",
    "typing-inspection": "pydantic's",
    "typing_extensions": "types",
}

# Studies hold their rows in memory (they come from synthesize's CSV), and no result depends on the laws of gp.testing.
LIBRARY_ONLY = {
    "gp/export.py",
    "gp/parquet.py",
    "gp/predictor.py",
    "gp/sklearn.py",
    *(f"gp/asked/{name}.py" for name in ("exact_gp", "notebook", "numbers", "paths", "slopes", "update")),
    *(str(file.relative_to(ROOT)) for file in (ROOT / "gp/testing").rglob("*.py")),
}
IMPORTS = """
import importlib, json, sys
from importlib.metadata import packages_distributions
importlib.import_module(sys.argv[1])
files = sorted(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in ("gp", "stages"))
packages = packages_distributions()
loaded = {name for module in {m.split(".")[0] for m in sys.modules} for name in packages.get(module, [])}
print(json.dumps([files, sorted(loaded), sorted(sys.modules)]))
"""


@cache
def imports(stage):
    """Return the project's files, the packages and the modules that a stage's imports load, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORTS, f"stages.{stage}"]
    files, packages, modules = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    return {file.removeprefix(f"{ROOT}/") for file in files}, set(packages), set(modules)


def tracked(stage):
    """Return the params and the packages that dvc.yaml lists for a stage."""
    items = PIPELINE[stage]["do"]["params"]
    sections = [item.removeprefix("studies.${key}.") for item in items if isinstance(item, str)]
    packages = [name for item in items if isinstance(item, dict) for name in item["versions.yaml"]]
    return sections, packages


def outputs(stage):
    """Return the paths that dvc.yaml lists as a stage's outputs."""
    entry = PIPELINE[stage]["do"]
    listed = [item for kind in ("outs", "metrics", "plots") for item in entry.get(kind, [])]
    return [next(iter(item)) if isinstance(item, dict) else item for item in listed]


def test_stages_are_those_of_the_package_in_running_order():
    assert tuple(PARAMS_OF) == STAGES


def code(stage):
    """Return the files of code that dvc.yaml lists for a stage, those in its folders too."""
    listed = [ROOT / path for path in PIPELINE[stage]["do"]["deps"] if path.startswith(("gp/", "stages/"))]
    files = {file for path in listed for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return {str(file.relative_to(ROOT)) for file in files}


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_the_files_that_a_stage_imports(stage):
    files, *_ = imports(stage)
    assert code(stage) == files


def test_synthesize_imports_what_costs_half_a_second_only_where_rows_ask_for_it():
    *_, modules = imports("synthesize")
    assert "scipy.special" in modules
    assert modules.isdisjoint({"scipy.integrate", "scipy.signal", "scipy.stats", "torch"})


def test_every_file_of_gp_is_a_dependency_of_some_stage():
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "gp").rglob("*.py")} - LIBRARY_ONLY
    assert files <= set().union(*map(code, STAGES))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_a_stage_validates(stage):
    sections, _ = tracked(stage)
    assert sections == list(PARAMS_OF[stage].model_fields)


def test_every_section_is_read_by_some_stage():
    assert {section for stage in STAGES for section in tracked(stage)[0]} == set(SECTIONS)


def test_versions_are_recorded_of_exactly_the_packages_that_stages_track():
    assert set(VERSIONS) == {name for stage in STAGES for name in tracked(stage)[1]}


def test_recorded_versions_are_those_installed():
    assert {name: installed_version(name) for name in VERSIONS} == VERSIONS


@pytest.mark.parametrize("stage", STAGES)
def test_every_package_that_a_stage_loads_is_tracked_or_cannot_reach_an_output(stage):
    _, loaded, _ = imports(stage)
    _, packages = tracked(stage)
    assert set(packages) - LATE.get(stage, set()) <= loaded
    # pandas loads pyarrow where it is installed; only synthesize reads Parquet with it.
    allowed = NEUTRAL.keys() if stage == "synthesize" else {*NEUTRAL, "pyarrow"}
    assert loaded - set(packages) - allowed == set()


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_writes_stands_in_its_own_folder(stage):
    assert outputs(stage)
    for path in outputs(stage):
        stamp = f"data/${{key}}/stamps/{stage}.json"
        assert path in (f"data/${{key}}/{stage}", stamp) or path.startswith(f"data/${{key}}/{stage}/")


def test_no_output_persists_and_no_stage_runs_always():
    for stage in PIPELINE.values():
        assert "always_changed" not in stage["do"]
        assert "persist" not in str(stage["do"])
        assert not set("|;&") & set(stage["do"]["cmd"])


@pytest.fixture(scope="module")
def pipeline(finished, tmp_path_factory):
    """A finished project that the tests below edit one after the other."""
    return finished.copy(tmp_path_factory.mktemp("pipeline") / "project")


@pytest.mark.slow
def test_a_second_run_runs_nothing(pipeline):
    assert pipeline.repro() == set()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_writes_what_its_docstring_names(finished, stage):
    said = ast.get_docstring(ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8")))
    optional = {
        "synthesize": {"baseline.csv", "folds.csv", "new.csv"},
        "predict": {
            *("slices.csv", "sensitivity.csv", "draws.csv", "sampling.json", "folds.csv", "new.csv", "forecast.csv"),
            *("origins.csv", "structures.json"),
        },
    }  # of oscillators, of tables; of many inputs, of chains, of searched series
    named = set(re.findall(r"[a-z]+\.(?:csv|json|safetensors)", said))
    written = {path.name for path in (finished.path / "data/sine" / stage).iterdir()}
    if stage == "plot":
        drawn = {name.partition(".")[0] for name in written}
        assert "posterior" in drawn
        assert written == {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")}
    else:
        assert named - optional.get(stage, set()) == written


WORDS = "yes|null||1e3|123e4567|0o7|012|2024-01-01|a: b|a #b|'q'|\"d\"|- x|é|a\nb"
TEXTS = [
    *WORDS.split("|"),
    *(None, True, 1e300, float("inf"), [], {}, "x" * 100, "word " * 40, "sin(2*pi*x)", "{a}", "*x", "!z", "=", "2.4.6"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_dvc_writes_any_text_as_it_does_in_processes_of_its_own(monkeypatch, text):
    monkeypatch.setattr(_yaml, "parse_yaml_for_update", _yaml.parse_yaml_for_update)
    monkeypatch.setattr(_yaml, "_dump", _yaml._dump)
    data = {"params": {"a": [text, {"b": text}], str(text): text}, "more": OrderedDict(c={"d": text})}
    written = _yaml.dumps_yaml(data)
    handle_dvc_lock_plainly()
    assert _yaml.dumps_yaml(data) == written


@pytest.mark.slow
def test_dvc_writes_its_lock_file_as_it_does_in_processes_of_its_own(finished, tmp_path, monkeypatch):
    """That commands of tests read and write dvc.lock by other means (preloaded.py) shows in no byte."""
    monkeypatch.setattr(_yaml, "parse_yaml_for_update", _yaml.parse_yaml_for_update)
    monkeypatch.setattr(_yaml, "_dump", _yaml._dump)
    lock, written = tmp_path / "dvc.lock", []
    for prepare in (lambda: None, handle_dvc_lock_plainly):
        prepare()
        shutil.copy(finished.path / "dvc.lock", lock)
        with _yaml.modify_yaml(str(lock)):
            pass
        assert lock.read_bytes() == (finished.path / "dvc.lock").read_bytes()
        with _yaml.modify_yaml(str(lock)) as data:
            data["stages"]["more@sine"] = {**data["stages"]["train@sine"], "cmd": "more"}
            data["stages"]["train@sine"]["params"]["params.yaml"]["studies.sine.train"] = {"steps": 7, "rate": 1e-10}
        written.append(lock.read_bytes())
    assert written[0] == written[1]


@pytest.mark.slow
def test_what_two_runs_in_two_folders_write_is_identical(finished, tmp_path):
    again = make_project(tmp_path / "another" / "place")
    # Another order of sets must not show.
    assert again.repro(PYTHONHASHSEED="1") == {f"{stage}@{study}" for stage in STAGES for study in ("sine", "lake")}
    written = again.hashes("data", "dvc.lock")
    assert len(written) > 40
    assert written == finished.hashes("data", "dvc.lock")
    again.commit()
    assert again.run("git", "status", "--porcelain").stdout == ""
    kept = again.run("git", "ls-files", "data").stdout.split()
    assert kept == ["data/lake/evaluate/metrics.json", "data/raw/lake.csv", "data/sine/evaluate/metrics.json"]


# Key → new value, and the stages of that study that run again.  All are edits of one project, each on top of the last.
EDITS = {
    "sine.plot.interval": (0.9, "plot"),
    # evaluate reads predict's folder as a whole, since test.csv is not always there: it runs, and writes the same.
    "sine.predict.grid.n": (30, "predict evaluate plot"),
    "sine.train.steps": (6, "train predict evaluate plot"),
    "sine.data.test.n": (12, "synthesize predict evaluate plot"),
}


@pytest.mark.slow
@pytest.mark.parametrize("key", EDITS)
def test_an_edited_param_runs_exactly_what_reads_it(pipeline, key):
    value, stages = EDITS[key]
    study = key.partition(".")[0]
    pipeline.edit(key, value)
    assert pipeline.repro() == {f"{stage}@{study}" for stage in stages.split()}


@pytest.mark.slow
def test_a_param_written_another_way_runs_nothing(pipeline):
    text = (pipeline.path / "params.yaml").read_text(encoding="utf-8")
    (pipeline.path / "params.yaml").write_text(f"# a comment\n{text}", encoding="utf-8")
    pipeline.edit("sine.data.noise_sd", 1e-1)
    assert pipeline.repro() == set()


def results(project):
    """Return the hashes of what stages wrote, but for their stamps, which say what code they were made by."""
    return {path: md5 for path, md5 in project.hashes("data/sine", "data/lake").items() if "/stamps/" not in path}


# Files that are edited together, each with the stages that run again for it, in each study: no two have one in common.
FILES = (
    {"gp/plots/curves.py": "plot", "stages/synthesize.py": "synthesize", "data/raw/README.md": ""},
    {"gp/row_scores.py": "train predict evaluate", "data/raw/another.csv": "synthesize"},  # fits rank kernels by rows
    {"gp/scores.py": "evaluate"},  # whose results stay the same, so plot has nothing new to draw
)


@pytest.mark.slow
@pytest.mark.parametrize("files", FILES, ids=lambda files: "+".join(files))
def test_an_edited_file_runs_exactly_what_depends_on_it(pipeline, files):
    before = results(pipeline)
    for path in files:
        pipeline.append(path, "# a comment\n")
    stages = [stage for named in files.values() for stage in named.split()]
    assert pipeline.repro() == {f"{stage}@{study}" for stage in stages for study in ("sine", "lake")}
    assert results(pipeline) == before


@pytest.mark.slow
def test_figures_that_do_not_apply_are_refused_where_no_other_is_asked_for(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.edit("sine.plot.figures", ["surface", "slices"])
    why = "params.yaml: studies.sine.plot.figures: none of surface, slices applies to this study: leave it out"
    assert project.stage("plot", "sine", exit_code=2).stderr.startswith(why)
    assert (project.path / "data/sine/plot/posterior.svg").exists()  # what was there stays


@pytest.mark.slow
def test_a_study_that_is_added_leaves_the_others_alone(pipeline):
    params = YAML(typ="safe").load(pipeline.path / "params.yaml")["studies"]["sine"]
    pipeline.edit("third", params | {"data": params["data"] | {"n": 7}})
    assert pipeline.repro("synthesize@third") == {"synthesize@third"}
    assert pipeline.repro("plot@sine", "plot@lake") == set()
