"""Review of two revisions: what changed, judged row by row, read from Git and from DVC's cache."""

import json
import re
import subprocess

import numpy as np
import pytest
from repository import STUDY, N, Repository, forecast, scored
from ruamel.yaml import YAML

from gp.spec import InputError
from review.compare import experiments
from review.compare.changes import changes, signed
from review.compare.markdown import text
from review.lock import revisions
from review.lock.revisions import WORKSPACE, open_revision


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_leaves_that_differ_are_found_by_path():
    before = {"kernel": {"kind": "rbf", "x": [1, 2]}, "gone": 1, "flag": 1, "same": {}}
    after = {"kernel": {"kind": "matern", "x": [1, 3], "nu": 2.5}, "flag": True, "same": {}}
    assert {(c.path, c.old, c.new) for c in changes(before, after)} == {
        ("kernel.kind", "rbf", "matern"),
        ("kernel.x", "[1, 2]", "[1, 3]"),
        ("kernel.nu", "–", "2.5"),
        ("gone", "1", "–"),
        ("flag", "1", "true"),
    }


@pytest.mark.parametrize(
    ("change", "se", "shown"),
    [
        (-0.1234, 0.0312, "−0.123 ± 0.031"),
        (12.345, 0.5, "+12.35 ± 0.50"),
        (-0.00047, 0.002914, "−0.0005 ± 0.0029"),
        (1234.5, 12.3, "+1234 ± 12"),
        (0.0, 0.0, "0"),
        (-12345.0, 678.0, "−12345 ± 678"),
        (-1.2e9, 3.4e7, "−1.20e+09 ± 3.4e+07"),
        (1.2e-9, 3.4e-10, "+1.20e−09 ± 3.4e−10"),
        (0.1234, None, "+0.123"),
    ],
)
def test_a_difference_has_the_places_of_two_figures_of_its_error(change, se, shown):
    assert signed(change, se) == shown


def test_in_a_terminal_a_review_is_plain_and_its_verdict_last(repository):
    repository.add("sine", forecast(0.02))
    repository.add("other", forecast(0.02))
    repository.commit()
    worse = STUDY | {"model": {"kernel": {"kind": "matern"}}}
    repository.add("sine", forecast(0.3, seed=1), params=worse, alarms=["training stopped"])
    repository.commit("branch")
    lines = repository.review().plain.splitlines()
    assert lines[-1] == "nothing changed: other"
    assert re.fullmatch(
        rf"sine: worse: NLPD \+[\d.]+ ± [\d.]+ \(held-out rows, paired over {N} rows\); 1 alarm .*", lines[-2]
    )
    assert "  model.kernel.kind: rbf → matern" in lines
    assert "  the certificate now says: training stopped" in lines
    assert not re.search(r"\*\*|\|---", repository.review().plain)


def test_experiments_are_one_table_with_params_scores_and_verdicts(repository, monkeypatch):
    monkeypatch.setattr(revisions, "cache_folder", lambda root: repository.cache)
    monkeypatch.chdir(repository.path)
    repository.add("sine", forecast(0.3))
    repository.commit()
    with pytest.raises(InputError, match="no experiment began at HEAD: `dvc exp run --name NAME"):
        experiments.main("HEAD")
    begun = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    better = STUDY | {"model": {"kernel": {"kind": "matern"}}}
    repository.add("sine", forecast(0.02, seed=1), params=better)
    repository.commit("branch")
    repository.git("update-ref", f"refs/exps/{begun[:2]}/{begun[2:]}/matern-1", "branch")
    repository.git("update-ref", f"refs/exps/{begun[:2]}/{begun[2:]}/same", begun)
    repository.git("checkout", "-q", "main")
    head, first, second = experiments.main("HEAD").splitlines()
    assert head.split() == list(experiments.HEADINGS)
    expected = r"matern-1 +better +sine +model.kernel.kind=matern +[−\d.]+ → [−\d.]+ better +[\d.]+ → [\d.]+ better"
    assert re.fullmatch(expected, first)
    assert second.split()[:2] == ["same", "unchanged"]
    repository.git("checkout", "-q", "branch")
    with pytest.raises(
        InputError, match=rf"\(2 at other commits\): `python -m review.compare.experiments {begun[:7]}`"
    ):
        experiments.main("HEAD")


def test_nothing_changed_is_one_line(repository):
    repository.add("sine", forecast(0.1))
    repository.commit()
    assert repository.review("main", "main").markdown.splitlines()[2:] == ["Nothing changed: sine."]


def test_a_worse_kernel_is_called_worse_with_its_parameter_and_its_error(repository):
    repository.add("sine", forecast(0.02))
    repository.add("other", forecast(0.02))
    repository.commit()
    worse = STUDY | {"model": {"kernel": {"kind": "matern", "nu": 0.5}}}
    repository.add("sine", forecast(0.3, seed=1), params=worse, alarms=["training stopped 3 nats short"])
    repository.commit("branch")
    markdown = repository.review().markdown
    assert re.search(
        rf"- \*\*sine\*\*: worse: NLPD \+[\d.]+ ± [\d.]+ \(held-out rows, paired over {N} rows\)", markdown
    )
    assert "| model.kernel.kind | rbf | matern |" in markdown
    assert "| model.kernel.nu | – | 0.5 |" in markdown
    assert re.search(r"\| RMSE \\\[height\\\] ↓ \| 0\.\d+ \| 0\.\d+ \| \+0\.\d+ ± 0\.\d+ \| \*\*worse\*\* \|", markdown)
    assert "the certificate now says: training stopped 3 nats short" in markdown
    assert "nothing changed: other" in markdown


def test_left_out_rows_are_judged_beside_held_out_ones(repository):
    few = np.arange(10)
    near, far = (
        scored(made.observed[few], made.forecast.mean[few], made.forecast.sd[few])
        for made in (forecast(0.1), forecast(0.1, 1))
    )
    repository.add("sine", near, left_out=forecast(0.02, n=10))
    repository.commit()
    worse = scored(near.observed, near.observed + 1.0, near.forecast.sd)
    repository.add("sine", far, left_out=worse)
    repository.commit("branch")
    markdown = repository.review().markdown
    assert re.search(r"- \*\*sine\*\*: worse: NLPD \+[\d.]+ ± [\d.]+ \(leave-one-out, paired over 10 rows\)", markdown)
    assert markdown.index("Held-out rows, 10 rows") < markdown.index("Leave-one-out, 10 rows")


def test_alarms_that_rise_are_in_the_first_line(repository):
    repository.add("sine", forecast(0.1), alarms=["an old one"])
    repository.commit()
    repository.add("sine", forecast(0.1), alarms=["an old one", "one", "two"])
    repository.commit("branch")
    assert re.search(
        r"- \*\*sine\*\*: .*; 2 alarms more in the certificate$", repository.review().markdown, re.MULTILINE
    )
    assert "alarms more" not in repository.review("branch", "main").markdown


def test_another_kernel_ranked_first_is_named(repository):
    ranks = {"rbf": {"rank": 1.0}, "matern": {"rank": 2.0}}
    repository.add("sine", forecast(0.1), search=ranks)
    repository.commit()
    repository.add("sine", forecast(0.1), search={"rbf": ranks["matern"], "matern": ranks["rbf"]})
    repository.commit("branch")
    assert "| kernel that the search ranks first | rbf | matern |" in repository.review().markdown


def test_what_is_not_in_the_cache_is_said_and_the_rest_reported(repository):
    repository.add("sine", forecast(0.02))
    repository.commit()
    lost = repository.hash_of(repository.outs["sine"]["predict"])
    repository.add("sine", forecast(0.3, seed=1))
    repository.commit("branch")
    (repository.cache / "files/md5" / lost[:2] / lost[2:]).unlink()
    found = repository.review()
    assert "not judged: NLPD +" in found.markdown
    assert "data/sine/predict of main is not in DVC's cache: `python -m review.lock.fetch main`" in found.markdown
    assert "data/sine/predict of main is not in DVC&#39;s cache" in found.html


def test_other_rows_are_not_paired(repository):
    repository.add("sine", forecast(0.02))
    repository.commit()
    repository.add("sine", forecast(0.3, seed=1), x=np.arange(N) + 0.5)
    repository.commit("branch")
    markdown = repository.review().markdown
    assert "not judged: NLPD" in markdown
    assert "the rows of the two revisions differ" in markdown


def test_added_and_removed_studies_are_named(repository):
    repository.add("old", forecast(0.1))
    repository.commit()
    del repository.studies["old"], repository.outs["old"]
    repository.add("new", forecast(0.1))
    repository.commit("branch")
    markdown = repository.review().markdown
    assert "- **new**: added: held-out NLPD −" in markdown
    assert "- **old**: removed: held-out NLPD −" in markdown


def test_parameters_changed_after_the_run_are_pointed_out(repository):
    repository.add("sine", forecast(0.1))
    repository.commit()
    repository.studies["sine"] = STUDY | {"model": {"kernel": {"kind": "matern"}}}
    YAML(typ="safe").dump({"studies": repository.studies}, repository.path / "params.yaml")
    repository.git("commit", "-qam", "Parameters only")
    assert "main: studies.sine.model changed since outputs were made" in repository.review("main~", "main").markdown


def test_a_file_on_disk_that_is_not_the_recorded_one_is_pointed_out(repository):
    repository.add("sine", forecast(0.1))
    repository.commit()
    file = repository.path / "data/sine/predict/test.csv"
    file.parent.mkdir(parents=True)
    file.write_text(repository.outs["sine"]["predict"]["test.csv"])
    assert "Nothing changed" in repository.review("main", WORKSPACE).markdown
    file.write_text(file.read_text().replace("0.1,", "0.2,", 1))
    assert "data/sine/predict/test.csv: on disk is not what dvc.lock records" in (
        repository.review("main", WORKSPACE).markdown
    )


def test_names_and_values_show_as_they_are_written(repository):
    repository.add("sine", forecast(0.1), params=STUDY | {"data": {"function": "a"}})
    repository.commit()
    nasty = STUDY | {"data": {"function": "<script>alert(1)</script> a|b *c* @someone $x$"}}
    repository.add("sine", forecast(0.1), params=nasty)
    repository.commit("branch")
    found = repository.review()
    row = next(line for line in found.markdown.splitlines() if "data.function" in line)
    assert row == (
        "| data.function | a | &lt;script&gt;alert(1)&lt;/script&gt; a\\|b \\*c\\* &#64;someone &#36;x&#36; |"
    )
    assert "<script>alert(1)" not in found.html
    assert "&lt;script&gt;alert(1)" in found.html


def test_text_keeps_code_and_stays_on_one_line():
    assert text("run `dvc pull | x`\nnow_") == "run `dvc pull ¦ x` now\\_"
    assert text("a ` b") == "a \\` b"


def test_both_posteriors_are_in_one_picture(repository):
    repository.add("sine", forecast(0.02))
    repository.commit()
    repository.add("sine", forecast(0.3, seed=1))
    repository.commit("branch")
    html = repository.review().html
    spec = json.loads(re.search(r'id="charts">(.*?)</script>', html, flags=re.DOTALL)[1])["sine-0"]
    tables = [rows.splitlines() for rows in spec["datasets"].values()]
    curves = {rows[1].rpartition(",")[2]: rows[1:] for rows in tables if rows[0] == "x,mean,low,high,revision"}
    assert {name: len(rows) for name, rows in curves.items()} == {"main": N, "branch": N}
    x, mean, low, high, _ = curves["branch"][0].split(",")
    made = forecast(0.3, seed=1)
    expected = [
        0,
        made.forecast.mean[0],
        made.forecast.mean[0] - 1.96 * made.forecast.sd[0],
        made.forecast.mean[0] + 1.96 * made.forecast.sd[0],
    ]
    np.testing.assert_allclose([float(value) for value in (x, mean, low, high)], expected, rtol=1e-3)


def test_an_unknown_revision_is_refused(repository):
    repository.add("sine", forecast(0.1))
    repository.commit()
    for name in ("nowhere", "--all"):
        with pytest.raises(InputError, match="Git knows no such revision"):
            open_revision(name, repository.path, repository.cache)


def test_a_project_without_git_is_told_so(tmp_path):
    (tmp_path / "params.yaml").touch()
    with pytest.raises(InputError, match="is in no Git repository"):
        open_revision("main", tmp_path, tmp_path)


def test_commits_that_only_the_base_has_are_counted(repository):
    repository.add("sine", forecast(0.1))
    repository.commit()
    repository.git("branch", "branch")
    repository.git("commit", "-q", "--allow-empty", "-m", "Elsewhere")
    assert "What main has and branch lacks counts as taken back (1 commits)" in repository.review().markdown
