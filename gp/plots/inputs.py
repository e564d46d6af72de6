"""Figures of the data, and of the training loss."""

import math
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from . import values
from .canvas import (
    BLUE,
    LINE_POINTS,
    Plot,
    draw_truth,
    few_ticks,
    legend_below,
    name_input,
    name_levels,
    new_figure,
    scatter_rows,
    styled,
)
from .study import Study
from .values import PANELS_AT_MOST


@styled
def data(study: Study) -> Figure:
    """Return y against x with the true function; for several inputs, a panel for each without it."""
    if study.train.d > 1:
        return _data_by_input(study)
    figure = new_figure(study, 7, 4.2, f"data: {study.target} against {study.train.columns[0]}")
    axes = figure.subplots()
    scatter_rows(axes, study, 0)
    limits = axes.get_xlim()  # those of the data; the truth may extend beyond them
    if truth := values.truth(study, LINE_POINTS):
        draw_truth(axes, *truth)
    axes.set(xlim=limits, ylabel=study.target)
    name_input(axes, study, 0)
    legend_below(figure, axes, n_columns=3)
    return figure


def _data_by_input(study: Study) -> Figure:
    n_panels = min(study.train.d, PANELS_AT_MOST)
    n_rows = math.ceil(n_panels / 4)
    n_columns = math.ceil(n_panels / n_rows)
    figure = new_figure(study, max(2.4 * n_columns, 6), 2.2 * n_rows + 0.8, f"data: {study.target} against each input")
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for j, axes in enumerate(panels[:n_panels]):
        scatter_rows(axes, study, j)
        axes.set_xlabel(fill(study.train.columns[j], 26))
        if levels := study.levels(j):
            name_levels(axes, levels)
        else:
            few_ticks(axes)
    for axes in panels[n_panels:]:
        axes.remove()
    figure.supylabel(study.target, fontsize=10)
    if study.train.d > n_panels:
        panels[0].set_title(f"the first {n_panels} of {study.train.d} inputs", loc="left")
    legend_below(figure, panels[0])
    return figure


@styled
def loss(study: Study) -> Figure | None:
    """Return the negative log marginal likelihood per datum against the number of the evaluation."""
    trained = values.training(study, LINE_POINTS)
    if trained is None:
        return None
    figure = new_figure(study, 7, 4.2, "what training minimised")
    axes = figure.subplots()
    marker = "." if np.isfinite(trained[1]).sum() <= 60 else ""  # few evaluations are shown as points
    axes.plot(*trained, color=BLUE, marker=marker)
    axes.set(xlabel="evaluation", ylabel="negative log marginal likelihood\nper datum [nats]")
    axes.locator_params(axis="x", integer=True)
    return figure


FIGURES: dict[str, Plot] = {"data": data, "loss": loss}
