"""stages.rename gives a study another name: its results stay, and its figures, which bear the name, are drawn again."""

import json

import pytest

from gp.spec import InputError
from gp.yaml import read_yaml
from stages import rename
from stages.wrapper import stamps
from stages.wrapper.inputs import declaration, fingerprint

OWN = """
# charts of one's own
plots:
  - lake — slices:
      y: {data/lake/predict/slices.csv: mean}
  - sine — mine:
      y: {data/sine/predict/grid.csv: mean}   # seen
"""


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    copied = finished.copy(tmp_path / "project")
    pipeline = copied.path / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().partition("\nplots:\n")[0] + OWN)
    monkeypatch.chdir(copied.path)
    return copied


@pytest.mark.slow
def test_a_renamed_study_keeps_its_results_and_nothing_but_its_figures_is_made_again(project):
    before = project.hashes("data/sine")
    texts = {name: (project.path / name).read_text() for name in ("params.yaml", "dvc.yaml", "dvc.lock")}
    said = project.within("stages.rename", "sine", "wave-2").stdout
    assert "data/sine/ is data/wave-2/ now" in said
    assert (project.path / "params.yaml").read_text() == texts["params.yaml"].replace("  sine:", "  wave-2:")
    renamed = OWN.replace("sine — mine", "wave-2 — mine").replace("data/sine/", "data/wave-2/")
    assert (project.path / "dvc.yaml").read_text().endswith(renamed)
    assert "sine" not in (project.path / "dvc.lock").read_text()
    after = {name.replace("/wave-2/", "/sine/"): value for name, value in project.hashes("data/wave-2").items()}
    kept = {name for name in before if "/plot" not in name}
    assert kept == set(after)
    assert {name for name in kept if before[name] != after[name]} == {name for name in kept if "/stamps/" in name}
    for stage in ("synthesize", "train", "predict", "evaluate"):  # they say what a run under the new name would
        stamp = json.loads(stamps.path("wave-2", stage).read_text())
        assert stamp == json.loads(json.dumps(fingerprint(declaration(stage, "wave-2"))))
    assert "plot@wave-2 not in dvc.lock" in " ".join(project.within("review.lock.verify", exit_code=1).stdout.split())
    assert project.repro() == {"plot@wave-2"}
    for command, clean in (("why", "nothing would run"), ("verify", "is up to date")):
        assert clean in project.within(f"review.lock.{command}").stdout
    assert "0 of them damaged; 0 are not in the cache" in project.within("review.lock.verify", "--cache").stdout


@pytest.mark.slow
def test_what_had_to_run_before_has_to_run_after(project):
    project.edit("sine.predict", {"grid": {"n": 6}})
    stamps.path("sine", "evaluate").write_text("{}")
    rename.main("sine", "2024")
    assert "2024" in read_yaml(rename.PARAMS)["studies"]  # text, in quotes: not a number
    changed = project.within("review.lock.why").stdout
    blocks = [block.split("\n")[0] for block in changed.split("\n\n")]
    assert blocks == ["predict@2024", "evaluate@2024", "plot@2024"]
    assert "studies.2024.predict.grid.n: 5 → 6" in changed or "studies.2024.predict.grid" in changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sin", "wave", "no study 'sin'"),
        ("sine", "a b", "'a b' is no name of a study: give one of letters, digits, - and _"),
        ("sine", "raw", "'raw' is no name of a study"),
        ("sine", "lake", "studies.lake: is there already: choose another name, or remove that one by `python -m"),
        ("sine", "old", "data/old: is there already, of no study: remove it first"),
    ],
)
def test_a_name_that_is_none_or_is_taken_is_refused(tmp_path, monkeypatch, old, new, message):
    (tmp_path / "data/old").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("studies:\n  sine: {}\n  lake: {}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        rename.main(old, new)
    assert message in refused.value.messages[0]


@pytest.mark.slow
def test_without_the_stamps_it_says_where_they_are(project):
    project.run("rm", "-r", "data/sine", ".dvc/cache")
    with pytest.raises(InputError, match="dvc pull synthesize@sine` brings it, or `dvc repro synthesize@sine` makes"):
        rename.main("sine", "wave")
    assert "wave" not in (project.path / "params.yaml").read_text()
