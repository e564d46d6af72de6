"""What a notebook shows: tables, figures, a page, errors of one line; and docs/notebook.md from top to bottom."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from matplotlib.figure import Figure

import gp

RNG = np.random.default_rng(1)
X = np.sort(RNG.uniform(0, 6, 20))
Y = np.sin(X) + 0.1 * RNG.normal(size=20)
CELLS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/notebook.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def fitted():
    """Return a model of one input, whose name has to be escaped."""
    return gp.fit(pd.DataFrame({"a<b": X}), Y, train={"restarts": 0})


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in CELLS:
        exec(compile(cell, "docs/notebook.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert "martin" in said[0]
    assert said[1].startswith("2 new rows: log density")
    assert names["highest"].shape == (20,)
    assert {path.name for path in tmp_path.iterdir()} == {"predictor", "model.safetensors", "page.html"}


def test_a_model_shows_its_hyperparameters_and_intervals_once_they_are_known(fitted):
    before = fitted._repr_html_()
    assert "95 %" not in before
    assert "kernel.lengthscale.a&lt;b" in before
    assert f"{fitted.gp.parameters.by_name()['noise.sd']:.6g}" in before
    certificate = fitted.certificate
    low, high = certificate.intervals["noise.sd"]
    assert f"<td>{low:.4g} to {high:.4g}</td>" in fitted._repr_html_()
    assert str(certificate).splitlines()[0] in certificate._repr_html_()


def test_alarms_are_bold():
    from gp.fitted.asked import Text

    class Said(Text):
        def __str__(self):
            return "fine\nALARM: a < b"

    assert Said()._repr_html_() == "<p>fine<br><b>ALARM: a &lt; b</b></p>"


def test_a_posterior_shows_its_rows_and_draws_itself(fitted):
    posterior = fitted.predict(np.linspace(0, 7, 30))
    assert f"{posterior.mean[0]:.5g}" in posterior._repr_html_()
    axes = Figure().subplots()
    assert posterior.plot(ax=axes, interval=0.8) is axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), posterior.mean)
    _, high = posterior.y.interval(0.8)
    assert axes.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(high.max())
    assert posterior.plot().get_xlabel() == "a<b"
    with pytest.raises(gp.InputError, match="over 2 inputs is no curve"):
        gp.Posterior.normal(np.zeros((3, 2)), ("a", "b"), np.zeros(3), np.ones(3), np.ones(3)).plot()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_model_draws_itself(d, fitted):
    if d > 1:
        x = RNG.uniform(size=(20, d))
        fitted = gp.fit(x, x[:, 0], train={"kind": "adam", "steps": 2})
    figure = fitted.plot(target="speed")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert any("speed" in text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_a_report_is_one_page(fitted, tmp_path):
    path = tmp_path / "page.html"
    assert fitted.report(path).keys() == fitted.report().keys()
    text = path.read_text(encoding="utf-8")
    assert "nlpd" in text
    assert "95 % interval" in text
    assert re.findall(r"<h2>(\w+)</h2><img", text) == [
        "data",
        "loss",
        "posterior",
        "predicted",
        "residuals",
        "autocorrelation",
        "calibration",
    ]
    assert not re.search(r'(?:src|href)="(?!data:)', text)


BAD = {
    "text": "abc",
    "nothing": None,
    "a number": 3.0,
    "ragged": [[1.0, 2.0], [3.0]],
    "words": pd.Series(["a", "b"]),
    "nan": [1.0, float("nan")],
    "a missing value": pd.Series([1.0, None]),
    "a tensor with a gradient": torch.ones(2, requires_grad=True),
    "three dimensions": np.ones((2, 2, 2)),
    "complex": np.array([1j, 2]),
    "empty": [],
    "a mapping": {"x": [1.0]},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(name, fitted):
    for ask in (
        lambda: gp.fit(BAD[name], [1.0, 2.0]),
        lambda: gp.fit([1.0, 2.0], BAD[name]),
        lambda: fitted.predict(BAD[name]),
        lambda: fitted.joint(BAD[name]),
        lambda: fitted.update(BAD[name], [1.0, 2.0]),
        lambda: fitted.update([1.0, 2.0], BAD[name]),
    ):
        with pytest.raises(gp.InputError) as refused:
            ask()
        assert len(str(refused.value).splitlines()) == 1


def test_series_and_tensors_are_arrays(fitted):
    expected = fitted.predict([1.0, 2.0])
    for x in (pd.Series([1.0, 2.0]), torch.tensor([1.0, 2.0]), ((1.0,), (2.0,)), np.array([[1], [2]])):
        np.testing.assert_array_equal(fitted.predict(x).mean, expected.mean)
