"""Pages in headless Chromium: drawn whole, without a network or a complaint, on a phone, in the dark, on paper."""

import base64
import json
from dataclasses import replace

import pytest
from chromium import browser, needs_browser
from conftest import ROOT
from dvc_render import VegaRenderer, render_html
from made_up import NASTY, study
from repository import STUDY, Repository, forecast

from gp.forecast import Forecast
from review import page
from review.report.__main__ import report

pytestmark = [pytest.mark.slow, needs_browser]
PLOTS = ROOT / ".dvc/plots"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """An open browser."""
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def report_file(tmp_path_factory):
    """A report of studies of one, two and three inputs, one of which has names that are markup."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    columns = [f"{NASTY}.{j}[0]" for j in range(3)]
    studies = [study(), study("map", d=2), study(NASTY, d=3, columns=columns, target=NASTY), study("t", held_out=False)]
    file.write_text(report(studies), encoding="utf-8")
    return file


def open_drawn(opened, file, **options):
    """Open a page of ours, wait until all is drawn, and see that it asked for nothing and complained of nothing."""
    opened.requests.clear()
    opened.faults.clear()
    opened.open(file, **options)
    opened.wait_for("document.documentElement.dataset.drawn === 'all'")
    assert opened.requests == [file.as_uri()]
    assert opened.faults == []


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_a_report_is_drawn_whole_and_fits_its_window(opened, report_file, width, dark):
    open_drawn(opened, report_file, width=width, dark=dark)
    counts = opened.value(
        "[...document.querySelectorAll('[data-chart]')].map(place => place.querySelectorAll('.role-mark path').length)"
    )
    assert len(counts) == report_file.read_text(encoding="utf-8").count("data-chart=")
    assert min(counts) > 0
    assert opened.value("document.documentElement.scrollWidth") <= width
    assert opened.value("document.title") == "Gaussian process studies: report"
    light = opened.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is not dark


def test_a_review_of_a_stranger_s_branch_asks_for_nothing_and_runs_nothing(opened, tmp_path):
    nasty = f"{NASTY}<img src='https://example.org/x.png'>"
    repository = Repository(tmp_path)
    repository.add("sine", forecast(0.1))
    repository.commit()
    repository.add("sine", forecast(0.2, 1), params={**STUDY, "model": {"kernel": nasty}}, alarms=[nasty])
    repository.outs["sine"]["synthesize"]["names.json"] = json.dumps({"target": nasty})
    repository.commit("branch")
    (tmp_path / "review.html").write_text(repository.review().html, encoding="utf-8")
    open_drawn(opened, tmp_path / "review.html")
    assert opened.value("document.querySelectorAll('img').length") == 0
    assert "<img src=" in opened.value("document.body.innerText")


def test_charts_follow_the_page_into_the_dark(opened, report_file):
    colours = []
    for dark in (False, True):
        open_drawn(opened, report_file, dark=dark)
        colours.append(opened.value("getComputedStyle(document.querySelector('.role-axis-label text')).fill"))
    assert colours == ["rgb(26, 26, 26)", "rgb(232, 232, 232)"]


def test_no_labels_of_an_axis_overlap(opened, report_file):
    overlaps = """[...document.querySelectorAll('.role-axis-label')].flatMap(axis => {
      const boxes = [...axis.querySelectorAll('text')].filter(text => getComputedStyle(text).opacity !== '0')
        .map(text => text.getBoundingClientRect());
      return boxes.slice(1).filter((box, i) => box.left < boxes[i].right && boxes[i].left < box.right
        && box.top < boxes[i].bottom && boxes[i].top < box.bottom);
    }).length"""
    for width in (1200, 390):
        open_drawn(opened, report_file, width=width)
        assert opened.value(overlaps) == 0


def test_pointing_at_a_curve_tells_its_values(opened, report_file):
    open_drawn(opened, report_file)
    box = opened.value(
        "(box => [box.left + box.width / 2, box.top + box.height / 2])"
        "(document.querySelector('[data-chart=\"sine--posterior\"] .background').getBoundingClientRect())"
    )
    for dx in (0, 3):  # the first move finds the nearest point, the next is over it
        opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + dx, y=box[1])
    opened.wait_for("document.querySelector('#vg-tooltip-element.visible')?.textContent.includes('observation from')")


def test_dragging_pans_and_a_double_click_goes_back(opened, report_file):
    open_drawn(opened, report_file)
    chart = "document.querySelector('[data-chart=\"sine--posterior\"]')"
    labels = f"[...{chart}.querySelectorAll('.role-axis-label text')].map(text => text.textContent).join(' ')"
    before = opened.value(labels)
    box = opened.value(f"(b => [b.left + b.width / 2, b.top + b.height / 2])({chart}.getBoundingClientRect())")
    mouse = {"button": "left", "y": box[1]}
    opened.call("Input.dispatchMouseEvent", type="mousePressed", x=box[0], clickCount=1, **mouse)
    opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + 300, buttons=1, **mouse)
    opened.call("Input.dispatchMouseEvent", type="mouseReleased", x=box[0] + 300, clickCount=1, **mouse)
    opened.wait_for(f"{labels} !== {before!r}")
    for click in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            opened.call("Input.dispatchMouseEvent", type=kind, x=box[0] + 300, clickCount=click, **mouse)
    opened.wait_for(f"{labels} === {before!r}")


def test_on_paper_charts_fit_and_what_was_folded_is_open(opened, report_file):
    open_drawn(opened, report_file)
    opened.call("Page.printToPDF")
    assert opened.value("[...document.querySelectorAll('details')].every(folded => folded.open)")


def test_a_chart_that_cannot_be_drawn_is_said_and_the_others_are(opened, report_file):
    broken = report_file.with_name("broken.html")
    html = report_file.read_text(encoding="utf-8")
    broken.write_text(html.replace('"sine--loss":', '"elsewhere":'), encoding="utf-8")
    opened.open(broken)
    opened.wait_for("document.documentElement.dataset.drawn === 'all'")
    said = opened.value("document.querySelector('[data-chart=\"sine--loss\"]').textContent")
    assert said.startswith("This figure could not be drawn")
    assert opened.value("document.querySelectorAll('[data-chart] svg').length") == html.count("data-chart=") - 1


def test_a_printed_page_is_small_and_its_points_are_no_groups_of_their_own(opened, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report([study(), study("lake", d=3)]), encoding="utf-8")
    opened.open(file)
    opened.wait_for("document.documentElement.dataset.drawn === 'all'")
    printed = base64.b64decode(opened.call("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) < 350_000
    assert printed.count(b"/StructElem") < 1000


def rows(curve, revision):
    """Return a posterior as DVC reads it from CSV: every value is text."""
    values = zip(curve.x[:, 0], curve.mean, curve.sd_f, curve.sd_y, strict=True)
    return [dict(zip(("x", "mean", "sd_f", "sd_y"), map(str, row), strict=True)) | {"rev": revision} for row in values]


def dvc_page(folder, with_scripts=True):
    """Return DVC's page of one plot for each template, over two revisions."""
    curve = study().study.grid
    higher = {name: Forecast.normal(curve.mean + 0.3, sd) for name, sd in (("f", curve.sd_f), ("y", curve.sd_y))}
    both = [*rows(curve, "main"), *rows(replace(curve, **higher), "workspace")]
    levels = [
        {"nominal": str(p), "observed": str(p + off), "rev": revision}
        for revision, off in (("main", -0.1), ("workspace", 0.05))
        for p in (0.25, 0.5, 0.75)
    ]
    data = {
        "posterior": ("x", "mean", both),
        "residuals": ("mean", "y", [row | {"y": "1" if row["rev"] == "main" else "-1"} for row in both]),
        "loss": ("x", "mean", both),
        "calibration": ("nominal", "observed", levels),
    }
    assert {f"{name}.json" for name in data} == {file.name for file in PLOTS.glob("*.json")}
    renderers = [
        VegaRenderer(values, name, x=x, y=y, template=name, template_dir=str(PLOTS), title=f"{name} {NASTY[:4]}")
        for name, (x, y, values) in data.items()
    ]
    file = folder / "dvc_plots/index.html"
    render_html(renderers, file, html_template=PLOTS / "page.html")
    if with_scripts:
        (file.parent / "vega.js").write_text(page.scripts(), encoding="utf-8")
    return file


def test_dvc_draws_every_template_without_a_network(opened, tmp_path):
    file = dvc_page(tmp_path)
    opened.requests.clear()
    opened.faults.clear()
    opened.open(file)
    opened.wait_for("document.querySelectorAll('canvas').length === 4")
    assert opened.requests == [file.as_uri(), file.with_name("vega.js").as_uri()]
    assert opened.faults == []
    coloured = """[...document.querySelectorAll('canvas')].map(canvas => {
      const pixels = canvas.getContext('2d').getImageData(70, 50, 250, 230).data;  // within axes
      let purple = 0, green = 0;  // hues of DVC's first two revisions
      for (let i = 0; i < pixels.length; i += 4) {
        const [r, g, b] = pixels.slice(i, i + 3);
        purple += b - g > 60 && r - g > 20;
        green += g - r > 60 && b - r > 60;
      }
      return [purple, green];
    })"""
    assert min(min(pair) for pair in opened.value(coloured)) > 100


def test_dvc_s_page_says_where_its_script_comes_from(opened, tmp_path):
    opened.open(dvc_page(tmp_path, with_scripts=False))
    assert opened.value("document.getElementById('absent').checkVisibility()")
    assert "make dvc_plots/vega.js" in opened.value("document.getElementById('absent').textContent")
