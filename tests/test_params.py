"""Params: what is wrong in params.yaml is told before any work, a line for each fault; what is right can be varied."""

import json
import re
import sys

import pytest
from conftest import PARAMS, ROOT, make_project
from ruamel.yaml import YAML

import stages
from gp.data import Data
from gp.model.kernels import Kernel
from gp.spec import InputError, kinds
from gp.training import Train
from gp.yaml import read_yaml
from stages import synthesize, train
from stages.__main__ import PARAMS_OF, validate

KERNELS, SOURCES, OPTIMIZERS = (", ".join(kinds(union)) for union in (Kernel, Data, Train))
KEYS = ", ".join(kinds(Kernel)["rbf"].model_fields)
SINE, LAKE = "params.yaml: studies.sine", "params.yaml: studies.lake"
FORMULA = 'function: "sin(2*pi*x)"'
DATA = re.search(r"data: \{kind: function.*\}\}", PARAMS)[0]
NUMBER = "must be a finite number (got {})"
RANGE = "data.range: must be [lo, hi], or a list of such pairs: finite numbers with lo < hi (got [0, {}])"
SECTIONS = f"(known: {', '.join(dict.fromkeys(name for params in PARAMS_OF.values() for name in params.model_fields))})"

# What is replaced in PARAMS by what, and the beginning of each line of the report.
FAULTS = {
    # keys
    "a typo in a key": (
        "lengthscale: 0.5",
        "lenghtscale: 1",
        [f"{SINE}.model.kernel.lenghtscale: unknown key (known: {KEYS}): did"],
    ),
    "a typo within a hyperparameter": (
        "lengthscale: 0.5",
        "lengthscale: {strat: 1}",
        [f"{SINE}.model.kernel.lengthscale.strat: unknown key (known: start, fixed, lower, upper, prior): did you"],
    ),
    "a key of another kind": (
        "kind: adam",
        "kind: lbfgs",
        [f"{SINE}.train.steps: unknown key (known: kind, restarts", f"{SINE}.train.learning_rate: unknown key (known:"],
    ),
    "a key left out": (
        "n: 20, ",
        "",
        [f"{SINE}.data.n: is required and was not given"],
    ),
    "a typo in a section": (
        "    model: {kernel: {kind: rbf",
        "    modle: {kernel: {kind: rbf",
        [
            f"{SINE}.modle: no stage knows this section {SECTIONS}: did you mean model?",
            f"{SINE}.model: is required and was not given: write `model: {{}}`",
        ],
    ),
    "a section too many": (
        "    plot: {figures: [data]}",
        "    plot: {figures: [data]}\n    compare: {}",
        [f"{LAKE}.compare: no stage knows this section {SECTIONS}"],
    ),
    "a section left out": (
        "    plot: {interval: 0.95, figures: [posterior]}\n",
        "",
        [f"{SINE}.plot: is required and was not given: write `plot: {{}}`"],
    ),
    "a section left out beside a fault": (
        "    inference: {}\n    train: {kind: adam, steps: 5",
        "    train: {kind: adam, steps: -5",
        [
            f"{SINE}.inference: is required and was not given: write `inference: {{}}`",
            f"{SINE}.train.steps: must be at least 1 (got -5)",
        ],
    ),
    "data left out": (
        f"    {DATA}\n",
        "",
        [f"{SINE}.data: is required and was not given: write `data: {{kind: …}}`"],
    ),
    "a section without content": (
        "    inference: {}",
        "    inference:",
        [f"{SINE}.inference: must be a mapping such as {{kind: …}} or {{}} (got None)"],
    ),
    "a kind without its mapping": (
        "    inference: {}",
        "    inference: exact",
        [f"{SINE}.inference: must be a mapping such as {{kind: …}} or {{}} (got 'exact')"],
    ),
    "a value in the place of a mapping": (
        "model: {kernel",
        "model: {standardize: false, kernel",
        [f"{SINE}.model.standardize: must be a mapping of x, y, or {{}} (got False)"],
    ),
    # kinds
    "an unknown kernel": (
        "kind: rbf",
        "kind: rfb",
        [f"{SINE}.model.kernel.kind: 'rfb' is no kind known here (known: {KERNELS})"],
    ),
    "an unknown source": (
        "kind: function",
        "kind: formula",
        [f"{SINE}.data.kind: 'formula' is no kind known here (known: {SOURCES})"],
    ),
    "no source": ("kind: function, ", "", [f"{SINE}.data.kind: is required (known: {SOURCES})"]),
    "a kind deep in a sum": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, terms: {slow: {kind: rbf, lengthscale: 0}, fast: {kind: rfb}}}",
        [
            f"{SINE}.model.kernel.terms.slow.lengthscale: must be greater than 0 (got 0)",
            f"{SINE}.model.kernel.terms.fast.kind: 'rfb' is no kind known here (known: {KERNELS})",
        ],
    ),
    "terms without names": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, terms: [{kind: rbf}]}",
        [f"{SINE}.model.kernel.terms: must be a mapping such as {{name: …}} (got [{{'kind': 'rbf'}}])"],
    ),
    "no terms": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, terms: {}}",
        [f"{SINE}.model.kernel.terms: must not be shorter than 1 (got {{}})"],
    ),
    "a term for each column, without columns": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: {kind: rbf}}",
        [
            f"{SINE}.model.kernel: `each` needs a list of distinct columns (got columns: None): write "
            "`columns: [a, b]` beside it"
        ],
    ),
    "a fault in a term for each column": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: {kind: rbf, lengthscale: 0}, columns: [x]}",
        [f"{SINE}.model.kernel: each.lengthscale: must be greater than 0 (got 0)"],
    ),
    "a term for each column, and others": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: {kind: rbf, columns: [x]}, columns: [x]}",
        [f"{SINE}.model.kernel: `each` has columns (['x']): write them beside `each`, not in it"],
    ),
    "a term for each column, misspelt": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: {kind: rbf}, colums: [x]}",
        [
            f"{SINE}.model.kernel: 'colums' is no key beside `each` (known: each, columns): did you mean columns?",
        ],
    ),
    "a term for each column, of a kind alone": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: rbf, columns: [x]}",
        [f"{SINE}.model.kernel: `each` must be a mapping such as {{kind: …}} (got 'rbf'): write `each: {{kind: rbf}}`"],
    ),
    "a term for each column, of several": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, each: {kind: product, factors: {a: {kind: rbf}}}, columns: [x]}",
        [
            f"{SINE}.model.kernel: `each` is a kernel of one column, and one of kind product reads none of its own: "
            "write the `terms` one by one"
        ],
    ),
    "a term whose name DVC cannot address": (
        "{kind: rbf, lengthscale: 0.5}",
        "{kind: sum, terms: {a.b: {kind: rbf}}}",
        [f"{SINE}.model.kernel.terms.a.b: does not match ^[A-Za-z0-9_-]+$ (got 'a.b'): choose another name"],
    ),
    # types
    "true for a number": (
        "lengthscale: 0.5",
        "lengthscale: true",
        [f"{SINE}.model.kernel.lengthscale: must be a finite"],
    ),
    "text for a number": (
        "lengthscale: 0.5",
        'lengthscale: "7"',
        [f"{SINE}.model.kernel.lengthscale: must be a finite"],
    ),
    "true for a count": ("n: 20", "n: true", [f"{SINE}.data.n: must be a whole number (got True)"]),
    "a fraction for a count": ("n: 20", "n: 2.5", [f"{SINE}.data.n: must be a whole number (got 2.5)"]),
    "a float for a count": ("n: 20", "n: 2e1", [f"{SINE}.data.n: must be a whole number (got 20.0): write 20"]),
    "text for true": ("ard: true", "ard: yes", [f"{LAKE}.model.kernel.ard: must be true or false (got 'yes')"]),
    "a number for a name": ("y: oxygen", "y: 3", [f"{LAKE}.data.y: must be text (got 3): put quotes around it"]),
    # values
    "a negative lengthscale": (
        "lengthscale: 0.5",
        "lengthscale: -1",
        [f"{SINE}.model.kernel.lengthscale: must be greater than 0 (got -1)"],
    ),
    "no rows": ("n: 20", "n: 0", [f"{SINE}.data.n: must be at least 1 (got 0)"]),
    "no learning": ("rate: 0.1", "rate: 0", [f"{SINE}.train.learning_rate: must be greater than 0 (got 0)"]),
    "a negative seed": ("seed: 0", "seed: -1", [f"{SINE}.seed: must be at least 0 (got -1)"]),
    "percent for a probability": ("0.95", "95", [f"{SINE}.plot.interval: must be less than 1 (got 95)"]),
    "a figure's name misspelt": (
        "[posterior]",
        "[posteriour]",
        [f"{SINE}.plot.figures: no figure is called 'posteriour' (known: data, loss, posterior, "],
    ),
    "a fraction above one": ("0.25", "1.5", [f"{LAKE}.data.holdout.fraction: must be less than 1 (got 1.5)"]),
    "an order that has no formula": ("nu: 2.5", "nu: 2", [f"{LAKE}.model.kernel: nu must be 0.5, 1.5 or 2.5 (got 2)"]),
    "a start beyond its bounds": (
        "lengthscale: 0.5",
        "lengthscale: {start: 1, lower: 2}",
        [f"{SINE}.model.kernel.lengthscale: start must lie between lower and upper (got 1)"],
    ),
    "bounds the wrong way round": ("[0, 1]", "[1, 0]", [f"{SINE}.{RANGE.replace('[0, {}]', '[1, 0]')}"]),
    "a number that is too large": ("[0, 1]", "[0, 1e400]", [f"{SINE}.{RANGE.format('inf')}"]),
    "infinity": ("noise_sd: 0.1", "noise_sd: .inf", [f"{SINE}.data.noise_sd: {NUMBER.format('inf')}"]),
    "no number": ("rate: 0.1", "rate: .nan", [f"{SINE}.train.learning_rate: {NUMBER.format('nan')}"]),
    # formulas
    "an open bracket": (
        FORMULA,
        'function: "sin(2*pi*x"',
        [f"{SINE}.data.function: 'sin(2*pi*x' is no arithmetic expression ('(' was never closed, character 4): write"],
    ),
    "an attack": (
        FORMULA,
        "function: \"__import__('os').system('touch broken')\"",
        [f"{SINE}.data.function: '__import__('os').system('touch broken')' is not allowed: use numbers, + - * / **"],
    ),
    "an attribute": (FORMULA, 'function: "x.__class__"', [f"{SINE}.data.function: 'x.__class__' is not allowed: use"]),
    "an unknown name": (FORMULA, 'function: "t + 1"', [f"{SINE}.data.function: 't' is no name known here (inputs x;"]),
    "another language's power": (FORMULA, 'function: "x^2"', [f"{SINE}.data.function: 'x ^ 2': '^' is no operator"]),
    # tables
    "a table outside": (
        "data/raw/lake.csv",
        "../lake.csv",
        [f"{LAKE}.data.path: must not lead out of the project (got '../lake.csv'): put the table below data/raw/"],
    ),
    "a table that is not tracked": (
        "data/raw/lake.csv",
        "data/lake.csv",
        [f"{LAKE}.data.path: must be below data/raw/, the folder that the pipeline tracks (got 'data/lake.csv')"],
    ),
    "a spreadsheet": ("lake.csv", "lake.xls", [f"{LAKE}.data.path: ends in '.xls' (got 'data/raw/lake.xls'): write"]),
    "a target among the inputs": (
        "y: oxygen",
        "y: depth",
        [f"{LAKE}.data.y: is an input as well (got 'depth', in x too)"],
    ),
    # names
    "a name that DVC cannot address": (
        "  sine:",
        "  my.sine:",
        ["params.yaml: studies.my.sine: a study's name is made of letters, digits, - and _ (got 'my.sine'): rename it"],
    ),
    "a name with a space": (
        "  sine:",
        "  my sine:",
        ["params.yaml: studies.my sine: a study's name is made of letters"],
    ),
    "a number for a name of a study": (
        "  sine:",
        "  7:",
        ["params.yaml: studies.7: a study's name is text, which YAML does not read here (got 7): put quotes around it"],
    ),
    "a day for a name of a study": (
        "  sine:",
        "  2024-05-31:",
        ["params.yaml: studies.2024-05-31: a study's name is text, which YAML does not read here (got datetime.date("],
    ),
    "the name of the tables' folder": (
        "  sine:",
        "  raw:",
        ["params.yaml: studies.raw: data/raw is the folder of tables"],
    ),
    "a study without content": (
        "  sine:",
        "  empty:\n  sine:",
        ["params.yaml: studies.empty: must be a mapping of sections (got None)"],
    ),
    "a study that is not indented": (
        "  lake:",
        "lake:",
        ["params.yaml: lake: unknown beside studies: if it is a study, indent it below"],
    ),
    "no studies": (PARAMS, "studies: {}\n", ["params.yaml: studies: must be a mapping of at least one study (got {})"]),
    "studies as a list": (
        PARAMS,
        "studies: [sine]\n",
        ["params.yaml: studies: must be a mapping of at least one study"],
    ),
    "no mapping at all": (
        PARAMS,
        "- studies\n",
        ["params.yaml: must be a mapping with the key studies (got ['studies'])"],
    ),
    "an empty file": (PARAMS, "", ["params.yaml: must be a mapping with the key studies (got None)"]),
    # YAML
    "a key twice": (
        "    seed: 0",
        "    seed: 0\n    seed: 1",
        ['params.yaml:4: not valid YAML: found duplicate key "seed": keep one'],
    ),
    "a tab": ("    seed: 0", "\tseed: 0", ["params.yaml:3: not valid YAML: found character that cannot start"]),
    "no space after a colon": ("seed: 0", "seed:0", ["params.yaml:3: not valid YAML: mapping values are not allowed"]),
    "another encoding": (
        "  sine:",
        "  # größe\n  sine:",
        ["params.yaml: byte 15 is not UTF-8: save the file as UTF-8"],
    ),
}
SEVERAL = (
    PARAMS.replace("n: 20, range", "n: 0, range")
    .replace("0.5}", "-1}")
    .replace("kind: adam", "kind: adm")
    .replace("0.25", "2"),
    [
        f"{SINE}.data.n: must be at least 1 (got 0)",
        f"{SINE}.model.kernel.lengthscale: must be greater than 0 (got -1)",
        f"{SINE}.train.kind: 'adm' is no kind known here (known: {OPTIMIZERS}): did you mean adam?",
        f"{LAKE}.data.holdout.fraction: must be less than 1 (got 2)",
    ],
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A project in which tests write params.yaml and outputs."""
    return make_project(tmp_path_factory.mktemp("kept") / "project")


@pytest.fixture
def here(kept, monkeypatch):
    """A project as the working folder, params.yaml without a fault."""
    (kept.path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    monkeypatch.chdir(kept.path)
    return kept


def break_params(project, old, new):
    """Replace the first `old` in params.yaml by `new`."""
    assert old in PARAMS
    encoding = "latin-1" if "größe" in new else "utf-8"
    (project.path / "params.yaml").write_text(PARAMS.replace(old, new, 1), encoding=encoding)


def test_params_without_a_fault_pass(here):
    validate()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_one_line_and_no_file_is_touched(here, fault):
    old, new, beginnings = FAULTS[fault]
    break_params(here, old, new)
    before = here.hashes()
    with pytest.raises(InputError) as refused:
        validate()
    messages = refused.value.messages
    assert len(messages) == len(beginnings), messages
    for message, beginning in zip(messages, beginnings, strict=True):
        assert message.startswith(beginning)
        assert "\n" not in message
    assert here.hashes() == before


UNQUOTED = "params.yaml: studies.2024: a study's name is text, which YAML does not read here (got 2024): put quotes"
COMMANDS = {
    "python -m stages": ["stages"],
    "a stage": ["stages.evaluate", "2024"],
    "the table": ["stages.table"],
    "make why": ["review.lock.why"],
    "make verify": ["review.lock.verify"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_every_command_asks_for_quotes_around_a_name_that_yaml_reads_as_a_number(project, arguments):
    break_params(project, "  sine:", "  2024:")
    done = project.within(*arguments, exit_code=None)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(UNQUOTED)
    assert "Traceback" not in done.stderr


def test_all_faults_of_all_studies_are_told_at_once(here):
    text, messages = SEVERAL
    (here.path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        validate()
    assert refused.value.messages == messages


@pytest.mark.parametrize("stage", ["synthesize", "train", "evaluate"])
def test_a_stage_tells_the_faults_of_its_study_and_exits_with_2(project, stage):
    old, new, (message,) = FAULTS["a section left out"]
    break_params(project, old, new)
    before = project.hashes()
    done = project.within(f"stages.{stage}", "sine", exit_code=2)
    restore = done.stderr.removeprefix(f"{message}\n")
    assert restore.startswith(f"Nothing was written. If DVC removed earlier results from data/sine/{stage}, `")
    assert restore.count("\n") == 1
    assert done.stdout == ""
    assert project.hashes() == before


@pytest.mark.slow
def test_all_studies_are_validated_by_one_command_that_exits_with_2(project):
    assert project.within("stages").stderr == ""
    text, messages = SEVERAL
    (project.path / "params.yaml").write_text(text, encoding="utf-8")
    before = project.hashes()
    done = project.run("python", "-m", "stages", exit_code=2)
    assert done.stderr == "\n".join([*messages, ""])
    assert project.hashes() == before
    assert project.within("stages", "train", exit_code=2).stderr.startswith("usage: python -m stages")


def run_here(monkeypatch, stage, module, study):
    """Return the exit code of a stage run in this process."""
    monkeypatch.setattr(sys, "argv", ["-m", study])
    return stages.run(stage, module.Params, module.main)


def test_a_fault_of_one_study_does_not_stop_another(here, monkeypatch):
    break_params(here, "n: 20", "n: 0")
    assert run_here(monkeypatch, "synthesize", synthesize, "lake") == 0
    assert run_here(monkeypatch, "synthesize", synthesize, "sine") == 2


def test_a_study_that_is_not_there_is_named_with_the_nearest(here, monkeypatch, capsys):
    assert run_here(monkeypatch, "synthesize", synthesize, "sin") == 2
    line = capsys.readouterr().err.splitlines()[0]
    assert line == "params.yaml: studies: no study 'sin' (known: sine, lake): did you mean sine?"


@pytest.mark.parametrize("arguments", [[], ["sine", "lake"]])
def test_a_stage_takes_one_study(here, monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["-m", *arguments])
    assert stages.run("synthesize", synthesize.Params, synthesize.main) == 2
    assert capsys.readouterr().err.startswith("usage: python -m stages.synthesize STUDY")


# Faults that show only when the data are there: study, what is replaced by what, stage, and what the message holds.
MET = {
    "a function that is not finite": (
        "sine",
        (FORMULA, 'function: "1/x"'),
        synthesize,
        ["params.yaml: studies.sine", "function: '1/x' is not finite at x=0 (got inf): choose a range where it is"],
    ),
    "a column that the table has not": (
        "lake",
        ("warmth]", "warmht]"),
        synthesize,
        ["data/raw/lake.csv:1: no column 'warmht' (columns: depth, warmth, oxygen): did you mean 'warmth'?"],
    ),
    "a table that is not there": (
        "lake",
        ("lake.csv", "laek.csv"),
        synthesize,
        ["data/raw/laek.csv: no such file: did you mean data/raw/lake.csv?"],
    ),
    "a column that the kernel has not": (
        "lake",
        ("ard: true", "columns: [dept]"),
        train,
        ["params.yaml: studies.lake", "kernel.columns: no input column 'dept' (known: depth, warmth)"],
    ),
    "too many lengthscales": (
        "lake",
        ("ard: true", "ard: true, lengthscale: [1, 2, 3]"),
        train,
        ["params.yaml: studies.lake", "kernel.lengthscale: 3 values for 2: give one number, or one for each"],
    ),
    "a start on a bound of adam's": (
        "sine",
        ("noise: {sd: 0.3}", "noise: {sd: 0.001}"),
        train,
        ["params.yaml: studies.sine", "noise.sd: adam cannot start at"],
    ),
}


@pytest.mark.parametrize("fault", MET)
def test_a_fault_that_shows_with_the_data_is_told_with_its_place(here, monkeypatch, capsys, fault):
    study, (old, new), module, parts = MET[fault]
    break_params(here, old, new)
    if module is train:
        assert run_here(monkeypatch, "synthesize", synthesize, study) == 0
    before = here.hashes()
    capsys.readouterr()
    assert run_here(monkeypatch, module.__name__.removeprefix("stages."), module, study) == 2
    *lines, restore = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(parts[0])
    assert parts[-1] in lines[0]
    assert restore.startswith("Nothing was written.")
    assert here.hashes() == before


# Experiments


@pytest.fixture(scope="module")
def blog(tmp_path_factory):
    """A project with the blog post's study alone, scored and committed."""
    project = make_project(tmp_path_factory.mktemp("blog") / "project")
    params = {"studies": {"sine": read_yaml(ROOT / "params.yaml")["studies"]["sine"]}}
    YAML(typ="safe").dump(params, project.path / "params.yaml")
    project.repro("evaluate@sine")
    project.commit()
    return project


@pytest.mark.slow
def test_an_experiment_with_another_kernel_is_scored_and_compared(blog, tmp_path):
    project = blog.copy(tmp_path / "project")
    project.run("dvc", "exp", "run", "-S", "studies.sine.model.kernel.kind=periodic", "evaluate@sine")
    shown = json.loads(project.run("dvc", "metrics", "diff", "--json").stdout)
    change = shown["data/sine/evaluate/metrics.json"]["truth.outside.rmse"]
    assert change["old"] > 5 * change["new"]  # an RBF falls back to its mean outside the data
    assert "truth.outside.rmse" in project.run("dvc", "metrics", "diff").stdout
    project.run("dvc", "plots", "diff")
    page = (project.path / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "what training minimised" in page
    assert '"rev": "HEAD"' in page
    assert '"rev": "workspace"' in page
    dirty = project.run("git", "status", "--porcelain").stdout.split("\n")
    assert sorted(line[3:] for line in dirty if line) == ["data/sine/evaluate/metrics.json", "dvc.lock", "params.yaml"]


@pytest.mark.slow
def test_an_experiment_with_another_optimizer_must_drop_the_keys_of_the_first(blog, tmp_path):
    project = blog.copy(tmp_path / "project")
    change = ["dvc", "exp", "run", "-S", "studies.sine.train.kind=lbfgs"]
    errors = project.run(*change, "train@sine", exit_code=255).stderr
    assert f"{SINE}.train.steps: unknown key (known: kind, restarts" in errors
    drop = [f"~studies.sine.train.{key}" for key in ("steps", "learning_rate")]
    project.run(*change, "-S", drop[0], "-S", drop[1], "train@sine")
    assert json.loads((project.path / "data/sine/train/fit.json").read_text(encoding="utf-8"))["ends"]
