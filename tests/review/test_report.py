"""Report: one page says of every study what was found, and how sure that is, whatever the studies are called."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from made_up import FIT, NASTY, N, study

from review import page
from review.report.__main__ import report
from review.results import Results


def charts(html):
    """Return the page's charts by name."""
    return json.loads(re.search(r'id="charts">(.*?)</script>', html, flags=re.DOTALL)[1])


def words(html):
    """Return what a reader sees of a page without its charts."""
    body = html[html.index("<main>") : html.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_study_of_one_input_shows_all_that_is_known_of_it():
    html = report([study()])
    assert {name.partition("--")[2] for name in charts(html)} == {
        *("posterior", "component-0", "component-1", "calibration", "residuals", "quantiles", "loss")
    }
    said = words(html)
    assert "Nothing speaks against it. Training converged" in said
    assert "4 of 5 starts ended at the best optimum." in said
    assert "kernel.lengthscale 0.298 0.2 … 0.4 noise.sd 0.1 held fixed" in said
    assert "RMSE [height] ↓ 0.1 0.7" in said
    assert "torch 2.13.0" in said
    assert "kernel: {kind: rbf}" in said


@pytest.mark.parametrize(
    ("d", "figures"),
    [(2, {"map-mean", "map-sd-of-the-function", "predicted"}), (3, {"predicted", "slice-0", "slice-1", "slice-2"})],
)
def test_studies_of_several_inputs_have_maps_or_slices(d, figures):
    drawn = {name.partition("--")[2] for name in charts(report([study(d=d)]))}
    assert drawn == figures | {"calibration", "residuals", "quantiles", "loss"}


def test_dates_have_a_calendar_axis_and_say_where_the_forecast_begins():
    made = study()
    whole = made.study
    dated = replace(whole, dates=whole.train.columns, hyperparameters={"kernel.season.cycle.period_length": 1e-3})
    drawn = charts(report([replace(made, study=dated)]))
    assert "sine--component-2" in drawn  # a few cycles of the season
    for name in ("posterior", "component-0", "component-1", "component-2"):
        axes = [layer["encoding"]["x"].get("axis") for layer in drawn[f"sine--{name}"]["layer"]]
        assert "utcFormat" in axes[0]["labelExpr"]
    hovered = [layer for layer in drawn["sine--posterior"]["layer"] if "tooltip" in layer["encoding"]]
    assert len(hovered) >= 2  # the curve, and rows
    for layer in hovered:
        assert layer["encoding"]["tooltip"][0]["field"] == "day"
        assert layer["transform"][0]["as"] == "day"
    rule = drawn["sine--posterior"]["layer"][-1]
    assert drawn["sine--posterior"]["datasets"][rule["data"]["name"]].split() == ["x", f"{whole.train.x.max():.6g}"]
    assert "end of training data: forecast from here" in words(report([replace(made, study=dated)]))
    assert "forecast from here" not in words(report([made]))


def test_every_chart_has_its_place_and_every_place_its_chart():
    html = report([study(), study("lake", d=3), study("map", d=2)])
    assert sorted(re.findall(r'data-chart="([^"]+)"', html)) == sorted(charts(html))


def test_a_chart_has_the_rows_that_were_given():
    made = study()
    spec = charts(report([made]))["sine--posterior"]
    named = [layer.get("data", spec.get("data"))["name"] for layer in spec["layer"]]
    rows = [spec["datasets"][name].splitlines() for name in named]
    assert [len(lines) - 1 for lines in rows][-2:] == [N, 50]  # training rows, held-out rows
    x, y = map(float, rows[-2][1].split(","))
    assert (x, y) == pytest.approx((made.study.train.x[0, 0], made.study.train.y[0]), rel=1e-5)


def test_alarms_come_first_and_inference_says_why():
    doubtful = FIT | {"alarms": ["training stopped 3 nats short"], "undetermined": ["noise.sd"]}
    doubtful |= {"inference": {"kind": "sgpr", "why": "there are 9000 rows"}}
    doubtful |= {"gap_to_exact": {"rows": 1000, "scored": 500, "nlpd": 0.0123, "rmse": 0.002, "mean": 0.05, "sd": 0.01}}
    said = words(report([study(fit=doubtful)]))
    assert "Not without a second look: training stopped 3 nats short Training converged" in said
    assert "sine 1 alarm" in said
    assert "noise.sd 0.1 not determined by the data" in said
    assert "Inference: sgpr, as there are 9000 rows." in said
    assert "others: NLPD 0.012 nats and RMSE 0.002 worse; means 0.05 sd_f apart, sd_f by 1 %." in said


def test_where_starts_were_looked_for_and_other_optima_are_told():
    optima = [
        {"nats": 75.87, "hyperparameters": {"kernel.lengthscale": 0.298, "noise.sd": 0.1}},
        {"nats": 74.5, "hyperparameters": {"kernel.lengthscale": 3.0, "noise.sd": 0.4}},
    ]
    ranges = {"kernel.lengthscale": {"lower": 0.01, "upper": 2.0}}
    screened = {"points": 9, "candidates": 2, "ranges": ranges}
    said = words(report([study(fit=FIT | {"optima": optima, "screened": screened})]))
    assert "Starts were looked for at 9 points (kernel.lengthscale 0.01 to 2)." in said
    assert "Another optimum, 1.4 nats lower: kernel.lengthscale 3, noise.sd 0.4." in said
    assert "Starts were looked for" not in words(report([study()]))


def test_a_search_shows_its_kernels_best_first():
    tried = {
        "rbf": {"loo_nlpd": -0.5, "log_marginal_likelihood": 60.0, "hyperparameters": 3.0, "rank": 2},
        "waves": {"loo_nlpd": -0.9, "log_marginal_likelihood": 75.87, "hyperparameters": 4.0, "rank": 1},
    }
    assert "waves −0.9 75.87 4 rbf −0.5 60 3" in words(report([study(fit=FIT | {"search": tried})]))
    assert "Kernels that were tried" not in words(report([study()]))


def test_of_hundreds_of_structures_the_best_ten_are_shown():
    scores = {"evidence": 70.0, "loo_nlpd": -0.5, "log_marginal_likelihood": 60.0, "hyperparameters": 3.0}
    tried = {f"structure-{rank}": scores | {"rank": rank} for rank in range(1, 12)}
    said = words(report([study(fit=FIT | {"search": tried})]))
    assert "structure-10 " in said
    assert "structure-11" not in said


def test_what_has_not_run_is_said_in_its_place():
    said = words(report([Results("sine", missing=("synthesize", "train", "predict", "evaluate"))]))
    for what in (
        "No rows yet: the stage synthesize",
        "No fit yet: the stage train",
        "No scores yet: the stage evaluate",
    ):
        assert f"{what} has not run" in said
    assert "sine not trained" in said


def test_parameters_changed_since_the_run_are_pointed_out():
    newer = study(current={"seed": 1, "model": {"kernel": {"kind": "rbf"}}})
    assert "params.yaml says otherwise now of seed" in words(report([newer]))
    assert "params.yaml says otherwise" not in words(report([study()]))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_names_of_columns_and_parameters_are_text_and_never_markup(d):
    columns = [f"{NASTY}{j}" for j in range(d)]
    fit = json.loads(json.dumps(FIT).replace("kernel.lengthscale", f"kernel.{NASTY}"))
    nasty = study(NASTY, d=d, columns=columns, target=NASTY, fit=fit | {"alarms": [NASTY]}, parameters={"data": NASTY})
    html = report([nasty])
    assert NASTY not in html
    assert html.lower().count("</script>") == 3  # charts, Vega, what calls it
    assert f"{NASTY}--calibration" in charts(html)


def test_a_page_is_whole_in_itself():
    html = report([study()])
    without_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "default-src 'none'" in html
    assert not re.search(r"<link|<img|<iframe|@import|url\(|\ssrc=", without_scripts)
    assert not re.search(r"https?:", without_scripts)
    assert "<script src" not in html


def test_scripts_cannot_end_their_element():
    assert "</script" not in page.scripts()
    assert "<!--" not in page.scripts()
    assert "vegaEmbed" in page.scripts()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (-12.3456, "−12.35"),
        (12345.6, "12\u202f350"),
        (1234567, "1\u202f234\u202f567"),
        (1.5e-7, "1.5e−7"),
        (2.5e9, "2.5e9"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_short_and_keep_their_size(value, shown):
    assert page.number(value) == shown
