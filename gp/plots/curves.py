"""Figures of a posterior over its inputs: a curve with bands, its components, and a surface for two inputs."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..dataset import Dataset
from ..posterior import Posterior
from ..spec import Fault, InputError
from . import values
from .canvas import (
    BLACK,
    BLUE,
    LINE_POINTS,
    MID_BLUE,
    Plot,
    draw_band,
    draw_curve,
    draw_end,
    draw_truth,
    few_ticks,
    legend_below,
    name_input,
    new_figure,
    scatter,
    scatter_rows,
    styled,
)
from .study import Study


@styled
def posterior(study: Study) -> Figure | None:
    """Return data, mean and true function with bands of function and observation (d = 1)."""
    curve = values.posterior(study, LINE_POINTS)
    if curve is None:
        return None
    figure = new_figure(study, 7, 4.8, f"posterior of {study.target} given {study.train.columns[0]}")
    axes = figure.subplots()
    draw_curve(axes, curve, study)
    if study.draws is not None:
        look: dict[str, Any] = {"color": BLUE, "linewidth": 0.6, "alpha": 0.6, "zorder": 1.2}
        n = study.draws.shape[1] - 1
        axes.plot(study.draws[:, 0], study.draws[:, 1], label=f"{n} draw{'s' if n > 1 else ''} of the function", **look)
        axes.plot(study.draws[:, 0], study.draws[:, 2:], **look)
    if truth := values.truth(study, LINE_POINTS):
        draw_truth(axes, *truth)
    scatter_rows(axes, study, 0)
    axes.margins(x=0.01)
    draw_end(axes, study)
    axes.set_ylabel(study.target)
    name_input(axes, study, 0)
    legend_below(figure, axes, n_columns=3, title=study.integrated)
    return figure


@styled
def of_posterior(found: Posterior, axes: Axes | None = None, *, interval: float = 0.95) -> Axes:
    """Draw mean and bands of a posterior over one input into `axes`, or new ones, and return these."""
    study = Study(train=Dataset(x=found.x, columns=found.columns), target="y", grid=found, interval=interval)
    curve = values.posterior(study, LINE_POINTS)
    if curve is None:
        raise InputError(Fault("", f"a posterior over {study.train.d} inputs is no curve", "plot fitted.plot()"))
    if axes is None:
        axes = new_figure(study, 7, 4.8).subplots()
    draw_curve(axes, curve, study)
    axes.set(xlabel=found.columns[0], ylabel="y")
    return axes


@styled
def components(study: Study) -> Figure | None:
    """Return a panel for each named component: its mean and its band (d = 1); of many cycles, a few beside it."""
    parts = values.components(study, LINE_POINTS)
    if not parts:
        return None
    few = {name: span for name in parts if (span := values.few_cycles(study, name, parts[name].x))}
    figure = new_figure(study, 9 if few else 7, 1.7 * len(parts) + 1, f"terms of the model of {study.modelled}")
    shape = {"width_ratios": (2.6, 1)} if few else {}
    places = figure.add_gridspec(len(parts), 2 if few else 1, **shape)
    panels: list[Axes] = []
    for row, (name, part) in enumerate(parts.items()):
        panels.append(axes := figure.add_subplot(places[row, 0], sharex=panels[0] if panels else None))
        _draw_component(axes, study, part)
        axes.set_title(name, loc="left")
        axes.margins(x=0.01)
        draw_end(axes, study)
        axes.tick_params(labelbottom=row == len(parts) - 1)
        if span := few.get(name):
            beside = figure.add_subplot(places[row, 1], sharey=axes)
            _draw_component(beside, study, part)
            beside.set_xlim(span)
            beside.set_title(f"{name}, a few cycles", loc="left")
            name_input(beside, study, 0)
            if study.train.columns[0] not in study.dates:
                few_ticks(beside)
            beside.set_xlabel("")
    name_input(panels[-1], study, 0)
    figure.supylabel(study.modelled, fontsize=10)
    legend_below(figure, panels[0], title=study.integrated_of_terms)
    return figure


def _draw_component(axes: Axes, study: Study, part: values.Component) -> None:
    draw_band(axes, part.x, part.band, color=MID_BLUE, label=f"{study.percent} band of the component")
    axes.plot(part.x, part.mean, color=BLUE, label="mean", linewidth=1.2)


@styled
def surface(study: Study) -> Figure | None:
    """Return maps of the mean and of sd_f over a lattice of two inputs, with training points."""
    lattice = values.surface(study)
    if lattice is None:
        return None
    figure = new_figure(study, 9, 4, f"posterior of {study.target} given {' and '.join(study.train.columns)}")
    panels = figure.subplots(1, 2, sharey=True)
    maps = {"mean": (lattice.mean, "viridis"), "sd of the function": (lattice.sd_f, "cividis")}
    for axes, (name, (level, colours)) in zip(panels, maps.items(), strict=True):
        image = axes.pcolormesh(*lattice.sides, level, cmap=colours, shading="nearest", rasterized=True)
        figure.colorbar(image, ax=axes, label=f"{study.target}: {name}")
        scatter(axes, *study.train.x.T, label="training data", color="white", edgecolors=BLACK, linewidths=0.5)
        axes.set_xlabel(study.train.columns[0])
    panels[0].set_ylabel(study.train.columns[1])
    legend_below(figure, panels[0])
    return figure


FIGURES: dict[str, Plot] = {"posterior": posterior, "components": components, "surface": surface}
