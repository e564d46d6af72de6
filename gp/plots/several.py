"""Figures of a posterior over several inputs: slices along each input, and the relevance of each."""

import math
from collections.abc import Container, Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from . import values
from .canvas import (
    BLACK,
    BLUE,
    GREY,
    LINE_POINTS,
    SKY,
    VERMILLION,
    Plot,
    draw_curve,
    few_ticks,
    legend_below,
    new_figure,
    styled,
)
from .study import Study
from .values import chosen

RUGS_AT_MOST = 300  # marks in a rug; more could not be told apart
SPAN = 1e3  # of a relevance axis; values below a thousandth of the largest mean nothing


@styled
def slices(study: Study) -> Figure | None:
    """Return the posterior along each input, the others at their medians, if slices were predicted.

    The levels of a categorical input are points; the others are held at its most frequent level.
    """
    curves = values.slices(study, LINE_POINTS)
    if not curves:
        return None
    n_columns = min(4, len(curves))
    n_rows = math.ceil(len(curves) / n_columns)
    figure = new_figure(
        study, max(2.4 * n_columns, 7.2), 2.2 * n_rows + 0.9, f"posterior of {study.target} along each input"
    )
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    rugs, held = chosen(study.train.n, RUGS_AT_MOST), "mean, the other inputs at their medians"
    if study.train.levels:
        held = "mean, others at median or commonest"
    for j, (axes, (column, curve)) in enumerate(zip(panels, curves.items(), strict=False)):
        draw_curve(axes, curve, study, label=held)
        axes.set_xlabel(fill(column, 26))
        if curve.levels:
            continue
        axes.plot(
            study.train.x[rugs, j],
            np.full(len(rugs), 0.02),
            "|",
            color=BLACK,
            markersize=5,
            markeredgewidth=0.5,
            transform=axes.get_xaxis_transform(),
            label="training data",
        )
        axes.margins(x=0.02)
        few_ticks(axes)
    for axes in panels[len(curves) :]:
        axes.remove()
    figure.supylabel(study.target, fontsize=10)
    if study.train.d > len(curves):
        panels[0].set_title(f"the first {len(curves)} of {study.train.d} inputs", loc="left")
    legend_below(figure, panels[0], title=study.integrated)
    return figure


@styled
def relevance(study: Study) -> Figure | None:
    """Return how far y depends on each input: its sensitivity in y's units and, with ARD, its sd over its lengthscale.

    The sensitivity is the mean |∂m/∂x| · sd(x) of the posterior mean m (gp.sensitivity), most sensitive inputs first.
    The second is after Neal (1996, Bayesian Learning for Neural Networks, sec. 1.2.4): the larger the ratio, the more
    the function bends along that input over the data.  Of a categorical input it is 1 over the lengthscale: two levels
    correlate by exp(−ratio).  Both have 95 % intervals.
    """
    columns_of_x = zip(study.train.columns, study.train.x.T, strict=True)
    spread = {c: 1.0 if c in study.train.levels else x.std() for c, x in columns_of_x if np.ptp(x) > 0}
    if len(spread) < 2:
        return None  # there is nothing to compare
    groups, table = _lengthscales(study, spread), study.sensitivity
    if sum(map(len, groups.values())) < 2:
        groups = {}
    moved = None if table is None else table[table["input"].isin(list(spread))]
    if not groups and moved is None:
        return None
    rows = max([len(names) for names in groups.values()] + ([] if moved is None else [len(moved)]))
    parts = max(len(groups), 1)
    size = (9.4 if groups and moved is not None else 6.4, 0.28 * rows * parts + 1.2 * parts + 0.9)
    figure = new_figure(study, *size, f"how far {study.target} depends on each input")
    places = figure.add_gridspec(parts, 2 if groups and moved is not None else 1)
    panels = []
    if moved is not None:
        panels.append(figure.add_subplot(places[:, 0]))
        _draw_sensitivity(panels[0], study, moved.sort_values("sensitivity", kind="stable"))
    for part, (head, names) in enumerate(groups.items()):
        panels.append(figure.add_subplot(places[part, -1]))
        _draw_ratios(panels[-1], study, names, spread)
        if len(groups) > 1:
            panels[-1].set_title(head.removeprefix("kernel."), loc="left")
    if groups:
        of_levels = " (1 of levels)" if study.train.levels else ""
        panels[-1].set_xlabel(f"sd of the input{of_levels} / its lengthscale")
    _legend_once(figure, panels)
    return figure


def _draw_sensitivity(axes: Axes, study: Study, moved: pd.DataFrame) -> None:
    for place, (_, row) in enumerate(moved.iterrows()):
        if row["upper"] > row["lower"]:
            ends = [row["lower"], row["upper"]]
            axes.plot(ends, [place, place], color=SKY, linewidth=3, solid_capstyle="butt", label="95 % interval")
        axes.plot([row["sensitivity"]], [place], "o", color=BLUE, markersize=6, label="estimate")
    _name_rows(axes, moved["input"])
    axes.set_xlim(left=0)
    per = "sd of the input, or change of level" if study.train.levels else "sd of the input"
    axes.set_xlabel(f"mean change of {study.target} per\n{per}")


def _draw_ratios(axes: Axes, study: Study, names: Mapping[str, str], spread: Mapping[str, float]) -> None:
    ratios = {c: spread[c] / study.hyperparameters[name] for c, name in names.items()}
    columns = sorted(names, key=lambda c: ratios[c])
    floor = max(ratios.values()) / SPAN
    for place, column in enumerate(columns):
        interval = study.intervals.get(names[column])
        value = max(ratios[column], floor)
        color = BLUE if interval else GREY
        if interval:
            ends = [max(spread[column] / interval[end], floor) for end in ("upper", "lower")]
            axes.plot(ends, [place, place], color=SKY, linewidth=3, solid_capstyle="butt", label="95 % interval")
        marker = "<" if ratios[column] < floor else "o"
        label = "estimate" if interval else "the data do not bound it"
        axes.plot([value], [place], marker, color=color, markersize=6, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())  # matplotlib's own writes formulas, which are not parsed
    _name_rows(axes, columns)
    axes.axvline(0.1, color=VERMILLION, linestyle=":", linewidth=1, label="a tenth: nearly a straight line")


def _name_rows(axes: Axes, columns: Sequence[str]) -> None:
    axes.set_yticks(range(len(columns)), [fill(column, 26) for column in columns])
    axes.set_ylim(-0.6, len(columns) - 0.4)


def _lengthscales(study: Study, columns: Container[str]) -> dict[str, dict[str, str]]:
    """Return kernel → column → the name of its lengthscale there, of `columns`; one group if no column is in two."""
    groups: dict[str, dict[str, str]] = {}
    for name in study.hyperparameters:
        head, found, column = name.partition(".lengthscale.")
        if found and head.startswith("kernel") and column in columns:  # a constant input has no relevance
            groups.setdefault(head, {})[column] = name
    merged = {column: name for names in groups.values() for column, name in names.items()}
    return {"kernel": merged} if len(merged) == sum(map(len, groups.values())) else groups


def _legend_once(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one entry for each label below the panels."""
    seen = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(seen.values()), list(seen), loc="outside lower center", ncols=2)


FIGURES: dict[str, Plot] = {"slices": slices, "relevance": relevance}
