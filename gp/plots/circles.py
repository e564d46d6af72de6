"""Figures over angles: coupling functions with truth and baseline, above the density of rows."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..forecast import Forecast
from ..posterior import Posterior
from .canvas import (
    BLUE,
    GREEN,
    GREY,
    MID_BLUE,
    Plot,
    draw_band,
    draw_truth,
    legend_below,
    new_figure,
    styled,
)
from .study import Study

BINS = 48  # around the circle
ACROSS = 3  # panels side by side, of many angles


@styled
def coupling(study: Study) -> Figure | None:
    """Return the function over each angle, with truth and baseline, and the data's density below (d ≤ 2).

    With two angles, each has its own part of the function.  Parts are centred, because a constant can be moved from one
    to the other.  The test rows are then a product grid, and a part is the mean over the other angle.  Of more angles,
    the terms of a sum are drawn, each over its angle.
    """
    test, d, known = study.test, study.train.d, study.test is not None and study.test.f is not None
    prediction = study.prediction if known else study.grid
    if set(study.periods) != set(study.train.columns):
        return None
    if d > 2:
        return _couplings(study)
    if prediction is None:
        return None
    figure = new_figure(study, 4.6 * d + 1.8, 5, f"{study.target} given {' and '.join(study.train.columns)}")
    panels = figure.subplots(2, d, sharex="col", squeeze=False, height_ratios=[4, 1])
    at, parts = prediction.x, {"mean": prediction.mean}
    if test is not None and test.f is not None:
        at, parts["true function"] = test.x, test.f
    if known and study.baseline is not None:
        parts[study.baseline_name] = study.baseline.mean
    for j, column in enumerate(study.train.columns):
        axes, below = panels[:, j]
        x = np.unique(at[:, j])
        curves = {name: _part(at[:, j], values, x, centred=d > 1) for name, values in parts.items()}
        part = _part_forecast(study, prediction, j, x)
        if part is not None:
            label = f"{study.percent} band of the function"
            low, high = (curves["mean"] + end - part.mean for end in part.interval(study.interval))
            draw_band(axes, x, (low, high), color=MID_BLUE, label=label)
        axes.plot(x, curves["mean"], color=BLUE, linewidth=1.4, label="mean")
        if known:
            draw_truth(axes, x, curves["true function"])
        others = {name: (x, curves[name]) for name in list(parts)[2:]}
        if study.baseline is not None and not known and d == 1:  # at the rows held out
            order = np.argsort(study.baseline.x[:, j])
            others[study.baseline_name] = (study.baseline.x[order, j], study.baseline.mean[order])
        for name, curve in others.items():
            axes.plot(*curve, color=GREEN, linestyle="-.", linewidth=1.2, label=name)
        below.hist(study.train.x[:, j], bins=BINS, range=(0, study.periods[column]), color=GREY)
        below.set_xlabel(f"{column} [rad]" if math.isclose(study.periods[column], 2 * math.pi) else column)
        below.set_ylabel("rows" if j == 0 else "")
        _ticks(below, study.periods[column])
        axes.set_title("" if d == 1 else f"part of {column}, centred", loc="left")
    panels[0, 0].set_ylabel(study.target)
    legend_below(figure, panels[0, 0], title=study.integrated)
    return figure


def _couplings(study: Study) -> Figure | None:
    """Return the term of each angle over that angle, with its band; None where there is none for each."""
    slices, columns, terms = study.slices, study.train.columns, study.terms
    if slices is None or terms is None or sorted(terms["input"]) != sorted(columns):
        return None
    across = min(len(columns), ACROSS)
    rows = -(-len(columns) // across)
    figure = new_figure(study, 3.4 * across, 2.6 * rows + 1.0, f"{study.target}: the part of each angle")
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    size = len(slices.x) // len(columns)
    called = dict(zip(terms["input"], terms["term"], strict=True))
    for axes, (j, column) in zip(panels, enumerate(columns), strict=False):
        own = np.arange(j * size, (j + 1) * size)
        part, x = slices.components[called[column]].at(own), slices.x[own, j]
        label = f"{study.percent} band of the function"
        draw_band(axes, x, part.interval(study.interval), color=MID_BLUE, label=label)
        axes.plot(x, part.mean, color=BLUE, linewidth=1.4, label="mean")
        _ticks(axes, study.periods[column])
        sender = study.network.get("senders", {}).get(column)
        axes.set_title("" if sender is None else f"from {sender} to {study.network['receiver']}", loc="left")
        axes.set_xlabel(f"{column} [rad]" if math.isclose(study.periods[column], 2 * math.pi) else column)
    for axes in panels[len(columns) :]:
        axes.remove()
    figure.supylabel(study.target, fontsize=10)
    legend_below(figure, panels[0], title=study.integrated_of_terms)
    return figure


def _part(column: np.ndarray, values: np.ndarray, x: np.ndarray, *, centred: bool) -> np.ndarray:
    """Return the mean of `values` over the rows at each angle x, minus the overall mean if `centred`."""
    means = np.array([values[column == at].mean() for at in x])
    return means - values.mean() if centred else means


def _part_forecast(study: Study, prediction: Posterior, j: int, x: np.ndarray) -> Forecast | None:
    """Return that of the function (d = 1), or of the component that reads only angle j; None if unknown."""
    if study.train.d == 1:
        return prediction.f.at(np.argsort(prediction.x[:, 0], kind="stable"))
    column, others = prediction.x[:, j], np.delete(prediction.x, j, axis=1)
    first = (others == others[0]).all(axis=1)
    for component in prediction.components.values():
        changes = np.ptp(component.mean[first]) > 0
        stays = all(np.ptp(component.mean[column == at]) < 1e-9 * (1 + np.ptp(component.mean)) for at in x)
        if changes and stays:
            return component.at(np.flatnonzero(first)[np.argsort(column[first])])
    return None


def _ticks(axes: Axes, period: float) -> None:
    names = ["0", "π/2", "π", "3π/2", "2π"] if math.isclose(period, 2 * math.pi) else None
    axes.set_xticks(np.linspace(0, period, 5), names)
    axes.set_xlim(0, period)


FIGURES: dict[str, Plot] = {"coupling": coupling}
