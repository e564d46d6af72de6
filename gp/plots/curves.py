"""Figures of a posterior over its inputs: a curve with bands, its components, and a surface for two inputs."""

import numpy as np
from matplotlib.figure import Figure

from gp.plots.canvas import (
    BLACK,
    BLUE,
    MID_BLUE,
    PALE_BLUE,
    Plot,
    along,
    draw_band,
    draw_truth,
    legend_below,
    new_figure,
    percent,
    quantile,
    scatter,
    scatter_test,
    scatter_train,
    styled,
)
from gp.plots.study import Study
from gp.posterior import Posterior


@styled
def posterior(study: Study) -> Figure | None:
    """Return data, mean and true function with bands of function and observation (d = 1)."""
    curve = _curve(study)
    if study.train.d > 1 or curve is None:
        return None
    figure = new_figure(study, 7, 4.8)
    axes = figure.subplots()
    rows = along(curve.x[:, 0])
    x, mean, z = curve.x[rows, 0], curve.mean[rows], quantile(study)
    label = f"{percent(study)} band of"
    draw_band(axes, x, mean, z * curve.sd_y[rows], color=PALE_BLUE, label=f"{label} a new observation")
    draw_band(axes, x, mean, z * curve.sd_f[rows], color=MID_BLUE, label=f"{label} the function")
    axes.plot(x, mean, color=BLUE, label="mean", linewidth=1.2)
    if study.test is not None and study.test.f is not None:
        draw_truth(axes, x, study.test.f[rows])
    if study.train.y is not None:
        scatter_train(axes, study.train.x[:, 0], study.train.y)
    if study.test is not None and study.test.y is not None:
        scatter_test(axes, study.test.x[:, 0], study.test.y)
    axes.margins(x=0.01)
    axes.set(xlabel=study.train.columns[0], ylabel=study.target)
    legend_below(figure, axes, n_columns=3)
    return figure


@styled
def components(study: Study) -> Figure | None:
    """Return a panel for each named component: its mean and its band (d = 1)."""
    curve = next((c for c in (_curve(study), study.grid, study.prediction) if c is not None and c.components), None)
    if study.train.d > 1 or curve is None:
        return None
    figure = new_figure(study, 7, 1.7 * len(curve.components) + 1)
    panels = figure.subplots(len(curve.components), 1, sharex=True, squeeze=False)[:, 0]
    rows = along(curve.x[:, 0])
    x, z = curve.x[rows, 0], quantile(study)
    for axes, (name, component) in zip(panels, curve.components.items(), strict=True):
        half_width = z * component.sd_f[rows]
        label = f"{percent(study)} band of the component"
        draw_band(axes, x, component.mean[rows], half_width, color=MID_BLUE, label=label)
        axes.plot(x, component.mean[rows], color=BLUE, label="mean", linewidth=1.2)
        axes.set_title(name, loc="left")
        axes.margins(x=0.01)
    panels[-1].set_xlabel(study.train.columns[0])
    figure.supylabel(study.target, fontsize=10)
    legend_below(figure, panels[0])
    return figure


@styled
def surface(study: Study) -> Figure | None:
    """Return maps of the mean and of sd_f over a grid of two inputs, with training points."""
    if study.train.d != 2 or study.grid is None:
        return None
    sides = [np.unique(column) for column in study.grid.x.T]
    shape = (len(sides[1]), len(sides[0]))
    if len(study.grid.x) != shape[0] * shape[1]:  # scattered inputs make no map
        return None
    order = np.lexsort((study.grid.x[:, 0], study.grid.x[:, 1]))
    figure = new_figure(study, 9, 4)
    panels = figure.subplots(1, 2, sharey=True)
    maps = {"mean": (study.grid.mean, "viridis"), "sd of the function": (study.grid.sd_f, "cividis")}
    for axes, (name, (values, colours)) in zip(panels, maps.items(), strict=True):
        image = axes.pcolormesh(*sides, values[order].reshape(shape), cmap=colours, shading="nearest", rasterized=True)
        figure.colorbar(image, ax=axes, label=f"{study.target}: {name}")
        scatter(axes, *study.train.x.T, label="training data", color="white", edgecolors=BLACK, linewidths=0.5)
        axes.set_xlabel(study.train.columns[0])
    panels[0].set_ylabel(study.train.columns[1])
    legend_below(figure, panels[0])
    return figure


def _curve(study: Study) -> Posterior | None:
    """Return the posterior at the test rows if the truth is known there, else on the grid."""
    knows_truth = study.test is not None and study.test.f is not None
    return study.prediction if knows_truth and study.prediction is not None else study.grid


FIGURES: dict[str, Plot] = {"posterior": posterior, "components": components, "surface": surface}
