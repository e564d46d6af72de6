"""Figures: every one on studies of several kinds, byte by byte, and what it must show."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binom

from gp.dataset import Dataset
from gp.forecast import Forecast
from gp.grid import slices
from gp.plots import PLOTS, draw_all, save, values
from gp.plots.canvas import DRAWN_AT_MOST
from gp.plots.values import binomial_quantile
from gp.spec import InputError
from gp.testing.figures import (
    STUDIES,
    TARGET,
    circle_study,
    many_study,
    observed_study,
    posterior_at,
    sine_study,
    texts,
)

APPLY = {
    "sine": {"data", "loss", "posterior", "calibration"},
    "terms": {"data", "loss", "posterior", "components", "predicted", "residuals", "calibration"},
    "d2": {"data", "loss", "surface", "predicted", "residuals", "calibration"},
    "d10": {"data", "loss", "predicted", "residuals", "calibration"},
    "large": {"data", "loss", "surface", "predicted", "residuals", "calibration"},
    "bare": {"data"},
    "many": {"data", "loss", "slices", "relevance", "predicted", "residuals", "calibration"},
    "levels": {"data", "loss", "slices", "relevance", "predicted", "residuals", "calibration"},
    "series": {"data", "loss", "posterior", "horizons", "predicted", "residuals", "calibration"},
    "circle": {"data", "coupling", "posterior", "predicted", "residuals", "autocorrelation"},
    "angles": {"data", "coupling", "network", "slices"},
    "circles": {"data", "coupling", "network", "predicted", "residuals", "autocorrelation"},
}


KNOWN = set().union(*APPLY.values())


def test_saving_a_figure_again_gives_the_same_bytes(tmp_path):
    figure = PLOTS["surface"](observed_study(2))
    save(figure, tmp_path, "once")
    save(figure, tmp_path, "again")
    assert (tmp_path / "once.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize("kind", STUDIES)
def test_draw_all_gives_the_figures_that_apply(kind):
    assert set(draw_all(STUDIES[kind]())) & KNOWN == APPLY[kind]


def test_figures_can_be_asked_for_by_name():
    assert list(draw_all(STUDIES["sine"](), ["loss", "surface", "data"])) == ["data", "loss"]


@pytest.mark.parametrize("plot", sorted(KNOWN - {"loss", "surface", "relevance", "horizons"}))
def test_a_figure_names_the_target_as_the_table_does(plot):
    kind = {"slices": "many", "coupling": "circle", "autocorrelation": "circle", "network": "circles"}.get(
        plot, "terms"
    )
    study = dataclasses.replace(STUDIES[kind](), target=TARGET)
    assert any(TARGET in text for text in texts(PLOTS[plot](study)))


@pytest.mark.parametrize("plot", ["data", "posterior", "components"])
def test_the_axis_of_one_input_has_its_column_name(plot):
    figure = PLOTS[plot](STUDIES["terms"]())
    assert figure.axes[-1].get_xlabel() == "depth [m]"


def test_several_inputs_have_a_panel_each_under_their_column_names():
    figure = PLOTS["data"](observed_study(10))
    assert tuple(axes.get_xlabel() for axes in figure.axes) == observed_study(10).train.columns
    assert figure.get_supylabel() == TARGET


def test_inputs_beyond_a_page_are_left_out_and_the_figure_says_so():
    assert "the first 24 of 30 inputs" in texts(PLOTS["data"](observed_study(30)))


def test_a_surface_has_the_column_names_on_both_axes():
    axes = PLOTS["surface"](observed_study(2)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == observed_study(2).train.columns


def test_a_surface_puts_each_value_where_its_inputs_are():
    study = observed_study(2)
    image = PLOTS["surface"](study).axes[0].collections[0]
    values = np.asarray(image.get_array())
    assert values.shape == (30, 30)
    x1, x2 = (np.unique(column) for column in study.grid.x.T)
    for i, j in ((0, 0), (3, 20), (29, 7)):
        row = np.flatnonzero((study.grid.x == (x1[j], x2[i])).all(axis=1))[0]
        assert values[i, j] == study.grid.mean[row]


def test_a_surface_of_scattered_inputs_does_not_apply():
    study = observed_study(2)
    assert PLOTS["surface"](dataclasses.replace(study, grid=study.prediction)) is None


def test_draws_of_the_function_are_in_the_figure_where_there_are_some():
    study = sine_study()
    at = np.linspace(-1, 1, 20)
    drawn = dataclasses.replace(study, draws=np.column_stack([at, np.sin(at), np.cos(at), at]))
    axes = PLOTS["posterior"](drawn).axes[0]
    found = [line for line in axes.lines if len(line.get_xdata()) == 20]
    np.testing.assert_array_equal(found[1].get_ydata(), np.cos(at))
    assert found[0].get_label() == "3 draws of the function"
    assert len(axes.lines) - len(PLOTS["posterior"](study).axes[0].lines) == len(found) == 3


def test_the_posterior_says_which_band_it_draws_and_reaches_as_far_as_the_truth():
    figure = PLOTS["posterior"](dataclasses.replace(sine_study(), interval=0.8))
    assert {"80 % band of a new observation", "80 % band of the function", "true function"} <= texts(figure)
    lines = {line.get_label(): line.get_xdata() for line in figure.axes[0].lines}
    assert (lines["mean"].min(), lines["mean"].max()) == (-0.5, 1.5)


def test_the_band_of_an_observation_is_as_wide_as_its_interval_says():
    study = sine_study()
    band = PLOTS["posterior"](study).axes[0].collections[0].get_paths()[0].vertices[:, 1]
    expected = study.prediction.mean + 1.959963984540054 * study.prediction.sd_y
    assert band.max() == pytest.approx(expected.max(), rel=1e-12)


def test_lines_run_from_left_to_right_whatever_the_order_of_the_rows():
    study, order = sine_study(), np.random.default_rng(0).permutation(200)
    test = Dataset(study.test.x[order], study.test.columns, f=study.test.f[order])
    shuffled = dataclasses.replace(study, test=test, prediction=posterior_at(test.x))
    for line, other in zip(*(PLOTS["posterior"](s).axes[0].lines for s in (study, shuffled)), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())


def test_components_have_a_panel_each_under_their_names():
    figure = PLOTS["components"](STUDIES["terms"]())
    assert [axes.get_title("left") for axes in figure.axes] == ["trend", "season", "medium", "short"]


def test_a_component_of_many_cycles_has_a_panel_of_a_few_beside_it_that_ends_with_the_data():
    study = dataclasses.replace(STUDIES["terms"](), hyperparameters={"kernel.season.cycle.period_length": 0.02})
    panels = {axes.get_title("left"): axes for axes in PLOTS["components"](study).axes}
    assert list(panels) == ["trend", "season", "season, a few cycles", "medium", "short"]
    last = study.train.x.max()
    assert panels["season, a few cycles"].get_xlim() == pytest.approx((last - 3 * 0.02, last))
    few = dataclasses.replace(study, hyperparameters={"kernel.season.cycle.period_length": 0.1})
    assert len(PLOTS["components"](few).axes) == 4


def test_a_time_series_says_where_its_training_data_end():
    study = STUDIES["series"]()
    (line,) = (line for line in PLOTS["posterior"](study).axes[0].lines if "forecast from here" in line.get_label())
    assert line.get_xdata()[0] == study.train.x.max()
    assert not [text for text in texts(PLOTS["posterior"](observed_study(1))) if "forecast" in text]


def test_the_slice_of_an_input_of_two_values_is_of_these_two():
    study = many_study(3)
    x = study.train.x.copy()
    x[:, 1] = np.where(x[:, 1] > 0.5, 2, 1)
    train = dataclasses.replace(study.train, x=x)
    lines = posterior_at(slices(train))
    study = dataclasses.replace(study, train=train, slices=lines)
    curve = values.slices(study, 2000)[train.columns[1]]
    assert curve.levels == ("1", "2")
    np.testing.assert_array_equal(curve.mean, lines.mean[100:200][[0, -1]])
    np.testing.assert_array_equal(curve.x, [0, 1])
    assert [text.get_text() for text in PLOTS["slices"](study).axes[1].get_xticklabels()] == ["1", "2"]


def test_titles_say_the_study_and_what_is_shown():
    study = observed_study(1)
    titles = {name: figure.get_suptitle() for name, figure in draw_all(study).items()}
    assert titles["posterior"] == f"a study — posterior of {TARGET} given {study.train.columns[0]}"
    assert all(title.startswith("a study — ") for title in titles.values())
    assert len(set(titles.values())) == len(titles)


@pytest.mark.parametrize("plot", ["data", "residuals"])
def test_a_scatter_of_very_many_points_says_that_it_is_thinned(plot):
    shown = " ".join(texts(PLOTS[plot](STUDIES["large"]())))
    assert f"(5000 of {DRAWN_AT_MOST + 1} points drawn)" in shown


def test_predictions_count_the_observations_inside_and_outside_the_band():
    study = observed_study(10)
    z = np.abs(study.test.y - study.prediction.mean) / study.prediction.sd_y
    n_outside = int((z > 1.959963984540054).sum())
    shown = texts(PLOTS["predicted"](study))
    assert {f"inside the 95 % band: {25 - n_outside} of 25", f"outside the 95 % band: {n_outside} of 25"} <= shown


def test_residuals_without_a_spread_do_not_apply():
    study = observed_study(1)
    sure = dataclasses.replace(study.prediction, y=Forecast.normal(study.prediction.mean, np.zeros(25)))
    assert PLOTS["residuals"](dataclasses.replace(study, prediction=sure)) is None


def test_a_calibration_counts_the_rows_it_is_of():
    held_out, left_out = (texts(PLOTS["calibration"](study)) for study in (observed_study(1), sine_study()))
    assert {"where 95 % of calibrated forecasts lie (n = 25)", "observed on held-out data"} <= held_out
    assert {"where 95 % of calibrated forecasts lie (n = 60)", "observed on left-out data"} <= left_out


def test_a_loss_of_one_evaluation_is_no_curve():
    study = observed_study(1)
    assert PLOTS["loss"](dataclasses.replace(study, trace=study.trace[:1])) is None


@pytest.mark.parametrize("n", [1, 7, 88, 5000])
@pytest.mark.parametrize("tail", [0.025, 0.975])
def test_the_band_of_a_calibration_is_the_binomial_one(n, tail):
    p = np.array([0.05, 0.3, 0.5, 0.95, 0.99])
    np.testing.assert_array_equal(binomial_quantile(tail, n, p), binom.ppf(tail, n, p))


def test_an_interval_that_is_no_probability_is_refused():
    with pytest.raises(InputError, match=r"interval is 95: give a probability between 0 and 1 such as 0\.95"):
        dataclasses.replace(sine_study(), interval=95)


def test_a_prediction_at_other_rows_than_the_test_is_refused():
    with pytest.raises(InputError, match="not at the test rows"):
        dataclasses.replace(sine_study(), prediction=posterior_at(np.zeros((200, 1))))


def test_a_matplotlibrc_in_the_working_directory_does_not_reach_a_figure(tmp_path, request):
    draw = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]);"
        "from gp.plots import PLOTS, save; from gp.testing.figures import sine_study;"
        "save(PLOTS['posterior'](sine_study()), pathlib.Path.cwd(), 'figure')"
    )
    plain, odd = (tmp_path / name for name in ("plain", "odd"))
    plain.mkdir()
    odd.mkdir()
    save(PLOTS["posterior"](sine_study()), plain, "figure")
    (odd / "matplotlibrc").write_text("font.size: 30\nsavefig.dpi: 31\naxes.facecolor: red\n")
    run([sys.executable, "-c", draw, str(request.config.rootpath)], odd)
    for ending in ("svg", "png"):
        assert (plain / f"figure.{ending}").read_bytes() == (odd / f"figure.{ending}").read_bytes()


def test_scores_and_figures_import_neither_torch_nor_pyplot(request):
    # About 0.9 s, most of it pandas and matplotlib; torch would add 2.5 s to every evaluate and plot.
    code = "import sys, gp.scores, gp.plots; print({'torch', 'gpytorch', 'matplotlib.pyplot'} & set(sys.modules))"
    assert run([sys.executable, "-c", code], request.config.rootpath).strip() == "set()"


def run(command, folder):
    """Return what `command` prints when run in `folder`; its failure is the test's."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_slices_run_along_each_input_through_the_medians():
    rows = np.random.default_rng(0).normal(size=(41, 3))
    lines = slices(Dataset(rows, ("a", "b", "c"))).reshape(3, -1, 3)
    for j, line in enumerate(lines):
        assert line[[0, -1], j] == pytest.approx([rows[:, j].min(), rows[:, j].max()])
        for other in {0, 1, 2} - {j}:
            assert line[:, other] == pytest.approx(np.median(rows[:, other]))


def test_relevance_is_the_change_of_y_beside_the_spread_over_the_lengthscale():
    study = many_study(4)
    whole = PLOTS["relevance"](study)
    sizes = [line.get_xdata()[0] for line in whole.axes[0].lines if line.get_marker() == "o"]
    assert sizes == pytest.approx(sorted(study.sensitivity["sensitivity"]))
    assert f"mean change of {TARGET} per" in whole.axes[0].get_xlabel()
    without = dataclasses.replace(study, hyperparameters={})
    assert len(PLOTS["relevance"](without).axes) == 1  # a kernel without ARD has no ratios
    figure = PLOTS["relevance"](dataclasses.replace(study, sensitivity=None))
    spread = study.train.x.std(axis=0)
    expected = sorted(spread / list(study.hyperparameters.values()))
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in "o<"]
    floor = expected[-1] / 1e3
    assert dots == pytest.approx(np.maximum(expected, floor))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[-1] == study.train.columns[0]
    assert {"95 % interval", "estimate", "the data do not bound it"} <= texts(figure)


def test_a_constant_input_has_no_relevance_and_one_input_nothing_to_compare_with():
    study = many_study(3)
    x = study.train.x.copy()
    x[:, 0] = 3.0
    figure = PLOTS["relevance"](dataclasses.replace(study, train=dataclasses.replace(study.train, x=x)))
    assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == set(study.train.columns[1:])
    x[:, 1] = 3.0
    assert PLOTS["relevance"](dataclasses.replace(study, train=dataclasses.replace(study.train, x=x))) is None


def test_kernels_of_different_inputs_are_compared_in_one_panel():
    study = dataclasses.replace(many_study(3), sensitivity=None)
    first, second, third = study.train.columns
    names = {"kernel.numbers": (first, second), "kernel.levels": (third,)}
    apart = {f"{head}.lengthscale.{c}": 1.0 for head, columns in names.items() for c in columns}
    assert len(PLOTS["relevance"](dataclasses.replace(study, hyperparameters=apart)).axes) == 1
    both = apart | {f"kernel.levels.lengthscale.{first}": 2.0}
    assert len(PLOTS["relevance"](dataclasses.replace(study, hyperparameters=both)).axes) == 2


def test_parts_of_two_angles_are_centred():
    figure = PLOTS["coupling"](circle_study(2))
    for axes in figure.axes[:2]:
        curves = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert curves["true function"] == pytest.approx(np.sin((np.arange(24) + 0.5) * np.pi / 12), abs=1e-12)
        assert curves["mean"] == pytest.approx(curves["true function"], abs=1e-12)  # 0.05 apart before
        assert any(label.startswith("95 % band") for label in axes.get_legend_handles_labels()[1])


def test_correlations_are_within_recordings():
    study = circle_study(1)
    again = np.repeat(np.random.default_rng(0).normal(size=250), 2)  # rows in pairs, each pair in one recording
    shifted = dataclasses.replace(study.train, y=study.loo.mean + again)
    line = PLOTS["autocorrelation"](dataclasses.replace(study, train=shifted)).axes[0].lines[0]
    found = line.get_ydata()
    assert found[0] == pytest.approx(250 / 495, abs=0.1)  # of neighbours in a recording, half are pairs
    assert np.abs(found[1:]).max() < 0.25
    assert len(found) == 40


def test_correlations_of_residuals_are_drawn_where_rows_have_an_order():
    rng, drawn = np.random.default_rng(1), PLOTS["autocorrelation"]
    x, z = rng.uniform(size=(60, 1)), rng.normal(size=60)
    judged = dataclasses.replace(observed_study(1), loo=Forecast.normal(np.zeros(60), np.ones(60)))

    def study(x, z):
        return dataclasses.replace(judged, train=Dataset(x, judged.train.columns, z))

    assert drawn(observed_study(1)) is None  # without left-out rows
    assert drawn(study(x, z)) is None
    assert drawn(study(np.sort(x, axis=0), z)) is not None
    follow = drawn(study(x, np.repeat(z[:20], 3)))  # in no order that is known, and yet in one
    assert follow.axes[0].lines[0].get_ydata()[0] > 0.4
    assert len(follow.axes[0].lines[0].get_ydata()) == 15
    assert any("60 rows count as 47" in text for text in texts(follow))


def test_one_angle_keeps_its_constant():
    axes = PLOTS["coupling"](circle_study(1)).axes[0]
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert curves["mean"] - curves["true function"] == pytest.approx(0.05)
    assert len(curves) == 3


def test_a_figure_is_drawn_once_for_each_of_its_files_and_not_for_its_layout(tmp_path, monkeypatch):
    figure, drawn, draw, laid = PLOTS["data"](sine_study()), [], Figure.draw, []
    engine = figure.get_layout_engine()
    execute = engine.execute
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(renderer), draw(self, renderer)))
    monkeypatch.setattr(engine, "execute", lambda self: (laid.append(self), execute(self)))
    save(figure, tmp_path, "data")
    assert laid == [figure]
    assert len(drawn) == len(list(tmp_path.iterdir())) == 2
