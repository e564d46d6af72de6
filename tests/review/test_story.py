"""A reviewer's minute: another's branch, in a clone that computes nothing, with the network cut, as the guide says."""

import json
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass

import pytest
from chromium import browser, needs_browser
from conftest import ROOT, STAGES, Project
from preloaded import cpu_seconds

pytestmark = pytest.mark.slow
# The environment that runs the tests is the one that is installed.
MAKE = 'make() { command make PIPELINE= INSTALLED= RUN= "$@"; }'
NO_NETWORK = ("unshare", "--map-root-user", "--net")  # where the machine lets us
CUT = (
    NO_NETWORK if shutil.which("unshare") and not subprocess.run([*NO_NETWORK, "true"], check=False).returncode else ()
)


@dataclass(frozen=True)
class Reviewed:
    """A reviewer's clone, and what each command of the guide printed there."""

    project: Project
    printed: dict[str, str]

    def said(self, start):
        """Return what the command that starts so printed."""
        return next(text for command, text in self.printed.items() if command.startswith(start))


def commands(path, section=""):
    """Return the commands that a text, or a section of it, shows, in their order."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if section:
        text = text.partition(section)[2].partition("\n## ")[0]
    found = re.findall(r"^    ((?:git|dvc|make|python) .*)$", text, flags=re.MULTILINE)
    return [command.partition("  #")[0].rstrip() for command in found]


def clone(source, path, branch):
    """Return a clone at a branch, with no results but those that Git keeps."""
    source.run("git", "clone", "--quiet", "--branch", branch, str(source.path), str(path))
    return Project(path)


@pytest.fixture(scope="module")
def author(finished, tmp_path_factory):
    """A colleague's project: `main`, and a branch `feature` with another kernel, both in a remote that is a folder."""
    folder = tmp_path_factory.mktemp("author")
    project = finished.copy(folder / "project")
    for name in ("review", ".dvc/plots"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project.path / name, ignore=without, dirs_exist_ok=True)
    shutil.copy(ROOT / "Makefile", project.path)
    project.run("git", "branch", "-M", "main")
    project.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    project.commit()
    project.run("dvc", "push")
    project.run("git", "checkout", "-q", "-b", "feature")
    project.edit("sine.model.kernel", {"kind": "periodic", "lengthscale": 0.5, "period_length": 1.0})
    assert project.repro() == {f"{stage}@sine" for stage in STAGES if stage != "synthesize"}
    project.commit()
    project.run("dvc", "push")
    return project


@pytest.fixture(scope="module")
def reviewed(author, tmp_path_factory):
    """A clone in which all commands of the guide and of README's section were run: the first two have a network."""
    project = clone(author, tmp_path_factory.mktemp("reviewer") / "project", "main")
    shown = commands("docs/review.md")
    short = [line.replace("BASE=main", "BASE=origin/main") for line in commands("README.md", "## Review a change")]
    assert len(shown) > 2
    assert len(short) == 2
    for command in shown[:2]:
        project.run("bash", "-c", command)
    before, printed = project.hashes("data", "dvc.lock"), {}
    for command in dict.fromkeys([*shown[2:], *short]):  # README's are among the guide's
        started = cpu_seconds()
        printed[command] = project.run(*CUT, "bash", "-c", f"{MAKE}; {command}").stdout
        assert cpu_seconds() - started < 60  # not by the clock, which runs on while other programs have the machine
    assert project.hashes("data", "dvc.lock") == before  # nothing was computed
    assert project.run("git", "status", "--porcelain").stdout == ""
    return Reviewed(project, printed)


@pytest.mark.skipif(not CUT, reason="the machine does not let us cut the network")
def test_the_network_is_cut(reviewed):
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection({server.getsockname()})"
        reviewed.project.run("python", "-c", connect)
        said = reviewed.project.run(*CUT, "bash", "-c", f'python -c "{connect}"', exit_code=1).stderr
        assert "OSError" in said


def test_a_review_says_what_changed_and_compares_row_by_row(reviewed):
    said = reviewed.said("make review")
    assert "| model.kernel.kind | rbf | periodic |" in said
    assert "paired over 20 rows" in said
    assert "not judged" not in said
    assert "nothing changed: lake" in said
    assert (reviewed.project.path / "review.md").read_text(encoding="utf-8") in said
    assert 'data-chart="sine-0"' in (reviewed.project.path / "review.html").read_text(encoding="utf-8")


def test_a_report_covers_every_study(reviewed):
    file = reviewed.project.path / "report.html"
    assert file.as_uri() in reviewed.said("make report")
    html = file.read_text(encoding="utf-8")
    for place in ("sine--posterior", "lake--map-mean", "lake--predicted", "sine--calibration", "lake--residuals"):
        assert f'data-chart="{place}"' in html
    assert "has not run" not in html
    assert "params.yaml says otherwise" not in html


def test_dvc_s_own_tables_show_what_changed(reviewed):
    assert "sine.model.kernel.kind" in reviewed.said("dvc params diff")
    heading, *rows = reviewed.said("dvc metrics diff").splitlines()
    assert "Metric" in heading
    assert any("| loo.nlpd " in row for row in rows)
    assert all("data/sine/" in row for row in rows)
    heading, *rows = [line.split() for line in reviewed.said("dvc exp show").splitlines() if line.strip(" ─")]
    assert heading[0] == "Experiment"
    assert {row[0] for row in rows} == {"workspace", "feature", "main"}


def test_dvc_s_own_page_has_every_picture_in_a_colour_for_each_revision(reviewed):
    html = (reviewed.project.path / "dvc_plots/index.html").read_text(encoding="utf-8")
    kinds = ("calibration", "what training minimised", "residuals of left-out rows")
    for picture in ("sine — posterior", *(f"{study} — {kind}" for study in ("sine", "lake") for kind in kinds)):
        assert json.dumps(picture)[1:-1] in html
    assert html.count('"range": ["#945dd6", "#13adc7"]') == 7


@needs_browser
def test_both_revisions_are_drawn_over_each_other(reviewed, tmp_path):
    review, plots = (reviewed.project.path / name for name in ("review.html", "dvc_plots/index.html"))
    with browser(tmp_path) as opened:
        opened.open(review)
        opened.wait_for("document.documentElement.dataset.drawn === 'all'")
        lines = "[...document.querySelectorAll('[data-chart=\"sine-0\"] .mark-line path')]"
        strokes = opened.value(f"{lines}.map(path => path.getAttribute('stroke'))")
        assert {"var(--vermillion)", "var(--blue)"} <= set(strokes)
        opened.open(plots)
        opened.wait_for("document.querySelectorAll('canvas').length === 4")  # those of sine, which changed
        opened.value("document.querySelector('body > details').open = true")
        opened.wait_for("document.querySelectorAll('canvas').length === 7")
        assert opened.faults == []
        assert opened.requests == [file.as_uri() for file in (review, plots, plots.with_name("vega.js"))]


def test_two_commits_are_reviewed_the_other_way_round(reviewed, tmp_path):
    command = ("python", "-m", "review.compare", "feature", "origin/main", "--out", str(tmp_path))
    assert "| model.kernel.kind | periodic | rbf |" in reviewed.project.run(*CUT, *command).stdout
    assert (tmp_path / "review.html").exists()


def test_a_revision_that_is_none_is_refused(reviewed):
    for module in ("review.compare", "review.lock.fetch"):
        refused = reviewed.project.within(module, "elsewhere", exit_code=2).stderr
        assert refused.startswith("'elsewhere': Git knows no such revision")


def test_without_results_pages_say_what_is_missing_and_what_brings_it(author, tmp_path):
    project = clone(author, tmp_path / "project", "feature")
    said = project.run(*CUT, "python", "-m", "review.compare", "origin/main").stdout
    assert "not judged" in said
    assert "is not in DVC's cache: `python -m review.lock.fetch origin/main`" in said
    assert "| model.kernel.kind | rbf | periodic |" in said
    project.run(*CUT, "python", "-m", "review.report")
    html = (project.path / "report.html").read_text(encoding="utf-8")
    assert "No fit yet: the stage <code>train</code> has not run" in html
    assert "No scores yet" not in html  # metrics.json is in Git
