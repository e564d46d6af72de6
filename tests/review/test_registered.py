"""What is registered once reaches every place that shows it: a metric in gp.scores, a figure in gp.plots."""

import numpy as np
import pytest
from conftest import STAGES
from made_up import study
from matplotlib.figure import Figure
from repository import Repository, forecast, scored

from gp.forecast import Forecast
from gp.plots import PLOTS
from gp.scores import METRICS, Metric, score, study_scores
from review.report.__main__ import report
from review.results import read_all
from stages import plot, table


def signed_error(observed, forecast):
    return observed - forecast.mean


def absolute_z(observed, forecast):
    return np.abs(observed - forecast.mean) / forecast.sd


NEW = {
    "bias": Metric(signed_error, "bias", unit="y", better=0.0),
    "log_z": Metric(absolute_z, "distance in sds", better="higher", relative="log_z_gain"),
}


@pytest.fixture(params=NEW)
def name(request, monkeypatch):
    """The name of a metric that is registered during a test."""
    monkeypatch.setitem(METRICS, request.param, NEW[request.param])
    return request.param


def test_a_new_metric_reaches_metrics_json_table_and_report(name):
    made = study().study
    blocks = study_scores(made.prediction, made.train, made.test)
    expected = NEW[name](made.test.y, made.prediction.y)
    assert blocks["test"][name] == pytest.approx(expected)
    heading = {"bias": "bias → 0.0", "log_z": "distance in sds ↑"}[name]
    assert table.scores({"sine": blocks})[heading].iloc[0] == blocks["test"][name]
    heading = {"bias": "bias [height] → 0.0", "log_z": "distance in sds ↑"}[name]
    assert f"<th>{heading}</th>" in report([study(metrics=blocks)])


def test_a_new_metric_reaches_the_review_judged_by_its_own_direction(name, tmp_path):
    repository, near, far = Repository(tmp_path), forecast(0.02), forecast(0.3, seed=1)
    shifted = scored(far.observed, far.forecast.mean + 1, far.forecast.sd)
    repository.add("sine", near)
    repository.commit()
    repository.add("sine", shifted)
    repository.commit("branch")
    assert name in score(near.observed, near.forecast)
    row = next(line for line in repository.review().markdown.splitlines() if line.startswith(f"| {NEW[name].title}"))
    assert ("**worse**" if name == "bias" else "**better**") in row


def test_a_detail_stays_out_of_table_and_review(monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "bias", Metric(signed_error, "bias", unit="y", better=0.0, detail=True))
    blocks = {"test": score(np.array([1.0, 2.0]), Forecast.normal([0.0, 0.0], [1.0, 1.0]))}
    assert blocks["test"]["bias"] == 1.5
    assert "bias → 0.0" not in table.scores({"sine": blocks})
    repository = Repository(tmp_path)
    repository.add("sine", forecast(0.02))
    repository.commit()
    repository.add("sine", forecast(0.3, seed=1))
    repository.commit("branch")
    assert "bias" not in repository.review().markdown


def _write(made, root):
    """Write a made-up study's files as its stages do."""
    for stage in STAGES:
        (root / "data/sine" / stage).mkdir(parents=True)
    made.train.save(root / "data/sine/synthesize/train.csv")
    made.test.save(root / "data/sine/synthesize/test.csv")
    made.prediction.save(root / "data/sine/predict/test.csv")
    (root / "data/sine/synthesize/names.json").write_text('{"target": "height"}')
    (root / "params.yaml").write_text("studies: {sine: {plot: {}}}\n")


def test_a_new_figure_reaches_the_stage_plot_and_the_report(monkeypatch, tmp_path):
    def upside_down(drawn):
        figure = Figure()
        figure.subplots().plot(drawn.train.x[:, 0], -drawn.train.y)
        return figure

    monkeypatch.setitem(PLOTS, "upside_down", upside_down)
    monkeypatch.chdir(tmp_path)
    _write(study().study, tmp_path)
    out = tmp_path / "data/sine/plot"
    plot.main("sine", plot.Params(plot=plot.Plot()), out)
    assert {"upside_down.svg", "upside_down.png", "predicted.svg", "residuals.svg"} <= {
        file.name for file in out.iterdir()
    }
    html = report(read_all())
    assert '<h4>Upside down</h4><img src="data:image/svg+xml;base64,' in html
    assert "<h4>Residuals</h4><img" not in html  # an interactive figure shows them


def test_a_study_with_files_of_another_run_is_shown_without_what_does_not_fit(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = study().study
    _write(made, tmp_path)
    made.train.save(tmp_path / "data/sine/synthesize/test.csv")  # rows that nothing was predicted at
    (results,) = read_all()
    assert results.study.prediction is None
    assert results.missing == ("train", "evaluate")
    assert "sine--posterior" not in report([results])


def test_what_no_study_has_is_a_dash_in_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("studies: {few: {}}\n", encoding="utf-8")
    (tmp_path / "data/few/evaluate").mkdir(parents=True)
    (tmp_path / "data/few/evaluate/metrics.json").write_text('{"certificate": {"alarms": 2}}', encoding="utf-8")
    table.main()
    printed = capsys.readouterr().out
    assert "few" in printed
    assert "–" in printed
    assert "None" not in printed
