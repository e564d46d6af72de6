"""Interactive figures of a posterior: each is a function of a Study that returns Figures, [] if none applies."""

import json
from typing import Any

import altair as alt
import numpy as np

from gp.plots import values
from gp.plots.study import Study
from gp.plots.values import Curve, chosen
from review.draw import HEIGHT, PANEL, Draw, Figure, Key, drawn, layered, points, tips
from review.page import (
    BAND_OF_F,
    BAND_OF_Y,
    BLUE,
    DRAWN_AT_MOST,
    GREEN,
    INK,
    LINE_POINTS,
    QUIET,
    VERMILLION,
    records,
)
from review.report.checks import predicted

CELLS_AT_MOST = 60  # along each side of a map


def posterior(study: Study) -> list[Figure]:
    """Return data, mean and true function with bands of function and observation (d = 1)."""
    curve = values.posterior(study, LINE_POINTS)
    if curve is None:
        return []
    label = study.train.columns[0]
    layers, keys = _bands(study, curve, label)
    if truth := values.truth(study, LINE_POINTS):
        line = alt.Chart(records(x=truth[0], f=truth[1])).mark_line(color=VERMILLION, strokeDash=[6, 4], clip=True)
        layers.append(line.encode(x=alt.X("x:Q"), y=alt.Y("f:Q")))
        keys.append(Key("dashed", VERMILLION, "true function"))
    for name, seen, look, color in (
        ("training data", study.train, "dot", INK),
        ("held-out data", study.test, "ring", GREEN),
    ):
        if seen is not None and seen.y is not None:
            some = chosen(seen.n, DRAWN_AT_MOST)
            layers.append(points(seen.x[some, 0], seen.y[some], look, color, (label, study.target)))
            keys.append(Key(look, color, f"{name}{drawn(some, seen.n)}"))
    layers += _end(study, keys)
    dates = label in study.dates
    chart = layered(layers, label, study.target, f"posterior of {study.target} over {label}", HEIGHT + 60, dates=dates)
    note = f"{study.integrated.capitalize()}."
    return [Figure("posterior", "Posterior", chart, ("posterior", "data", "predicted"), tuple(keys), note)]


def surface(study: Study) -> list[Figure]:
    """Return maps of the mean and of sd_f over a lattice of two inputs, with training points."""
    lattice, train = values.surface(study), study.train
    if lattice is None:
        return []
    steps = [-(-len(side) // CELLS_AT_MOST) for side in lattice.sides]
    kept = [side[::step] for side, step in zip(lattice.sides, steps, strict=True)]
    half = [np.diff(side).max() / 2 if len(side) > 1 else 0.5 for side in kept]
    x, z = (side.ravel() for side in np.meshgrid(*kept))
    some = chosen(train.n, DRAWN_AT_MOST)
    made = []
    for name, level, scale in (
        ("mean", lattice.mean, alt.Scale(scheme="viridis")),
        ("sd of the function", lattice.sd_f, alt.Scale(scheme="cividis")),
    ):
        cells = level[:: steps[1], :: steps[0]].ravel()
        data = records(x=x - half[0], x2=x + half[0], z=z - half[1], z2=z + half[1], v=cells)
        colour = alt.Color("v:Q", scale=scale)
        colour = colour.title(f"{study.target}: {name}").legend(direction="horizontal")
        axes = (alt.X("x:Q").scale(zero=False, nice=False), alt.Y("z:Q").scale(zero=False, nice=False))
        tooltip = tips(v=f"{study.target}: {name}")
        mapped = (
            alt.Chart(data)
            .mark_rect(clip=True)
            .encode(*axes, x2=alt.X2("x2"), y2=alt.Y2("z2"), color=colour, tooltip=tooltip)
        )
        dots = alt.Chart(records(x=train.x[some, 0], z=train.x[some, 1]))
        dots = dots.mark_circle(size=18, color="white", stroke="black", strokeWidth=0.7, opacity=1, clip=True)
        layers = [mapped, dots.encode(x=alt.X("x:Q"), y=alt.Y("z:Q"))]
        chart = layered(layers, train.columns[0], train.columns[1], f"map of {study.target}: {name}")
        keys = (Key("ring", QUIET, f"training data{drawn(some, train.n)}"),)
        made.append(Figure(f"map-{name.replace(' ', '-')}", name.capitalize(), chart, ("surface",), keys))
    return made


def slices(study: Study) -> list[Figure]:
    """Return the posterior along each input, the others at their medians, if slices were predicted."""
    curves = values.slices(study, LINE_POINTS)
    if not curves:
        return []
    low, high = (
        float(pick([pick(curve.y[end]) for curve in curves.values()])) for end, pick in ((0, np.min), (1, np.max))
    )
    made = []
    for j, (label, curve) in enumerate(curves.items()):
        layers, keys = _bands(study, curve, label)
        layers[2] = layers[2].encode(y=alt.Y("mean:Q").scale(domain=[low, high]))
        chart = layered(layers, label, study.target, f"{study.target} along {label}", PANEL)
        made.append(Figure(f"slice-{j}", f"Along {label}", chart, ("slices",), tuple(keys), small=True))
    return made


def components(study: Study) -> list[Figure]:
    """Return a figure for each named component: its mean and its band (d = 1)."""
    made: list[Figure] = []
    keys = (Key("line", BLUE, "mean"), Key("band", BAND_OF_F, f"{study.percent} band of the component"))
    for name, part in values.components(study, LINE_POINTS).items():
        data = records(x=part.x, mean=part.mean, low=part.band[0], high=part.band[1])
        label, few = study.train.columns[0], values.few_cycles(study, name, part.x)
        for title, span in ((f"Component {name}", None), (f"Component {name}, a few cycles", few)):
            if span is None and title.endswith("cycles"):
                continue
            x = alt.X("x:Q").scale(zero=False, nice=False)
            x = x if span is None else x.scale(domain=list(span), nice=False)
            base, more = alt.Chart(data).encode(x=x), list(keys)
            layers = [
                base.mark_area(color=BAND_OF_F, clip=True).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
                base.mark_line(color=BLUE, strokeWidth=1.4, clip=True).encode(y=alt.Y("mean:Q")),
            ]
            layers += [] if span else _end(study, more)
            said = f"{title.lower()} over {label}"
            chart = layered(layers, label, study.modelled, said, PANEL, dates=label in study.dates)
            made.append(Figure(f"component-{len(made)}", title, chart, ("components",), tuple(more), small=True))
    return made


def _end(study: Study, keys: list[Key]) -> list[Any]:
    """Return a layer that says where the training data of a time series end, if any, and add it to the legend."""
    end = values.end_of_data(study)
    if end is None:
        return []
    keys.append(Key("dashed", INK, "end of training data: forecast from here"))
    rule = alt.Chart(records(x=[end])).mark_rule(color=INK, strokeDash=[2, 3], clip=True)
    return [rule.encode(x=alt.X("x:Q"), y=alt.value(0), y2=alt.value("height"))]


def _bands(study: Study, curve: Curve, label: str) -> tuple[list[Any], list[Key]]:
    """Return layers and legend of a curve over the input `label`: both bands, the mean, and the tooltip."""
    columns = {"mean": curve.mean, "f_low": curve.f[0], "f_high": curve.f[1], "y_low": curve.y[0], "y_high": curve.y[1]}
    x = alt.X("x:Q").scale(zero=False, nice=False)
    if curve.levels:
        names = json.dumps(curve.levels, ensure_ascii=False)
        x = alt.X("x:Q").scale(domain=[-0.5, len(curve.levels) - 0.5])
        x = x.axis(values=list(range(len(curve.levels))), labelExpr=f"{names}[datum.value]", labelAngle=-30)
    base = alt.Chart(records(x=curve.x, **columns)).encode(x=x)
    titles = {
        "x": label,
        "mean": "mean",
        "f_low": "function from",
        "f_high": "to",
        "y_low": "observation from",
        "y_high": "to ",  # must differ from the titles of the other lines
    }
    nearest = alt.selection_point(nearest=True, on="pointerover", fields=["x"], empty=False)
    tooltip = base.mark_circle(color=BLUE, size=60, clip=True).encode(
        y=alt.Y("mean:Q"), tooltip=tips(**titles), opacity=alt.when(nearest).then(alt.value(1)).otherwise(alt.value(0))
    )
    band_of_y, band_of_f, mean = (
        (
            base.mark_rule(color=BAND_OF_Y, strokeWidth=8, clip=True),
            base.mark_rule(color=BAND_OF_F, strokeWidth=8, clip=True),
            base.mark_circle(color=BLUE, size=40, opacity=1, clip=True),
        )
        if curve.levels
        else (
            base.mark_area(color=BAND_OF_Y, clip=True),
            base.mark_area(color=BAND_OF_F, clip=True),
            base.mark_line(color=BLUE, strokeWidth=1.6, clip=True),
        )
    )
    layers = [
        band_of_y.encode(y=alt.Y("y_low:Q").scale(zero=False), y2=alt.Y2("y_high:Q")),
        band_of_f.encode(y=alt.Y("f_low:Q"), y2=alt.Y2("f_high:Q")),
        mean.encode(y=alt.Y("mean:Q")),
        tooltip.add_params(nearest),
    ]
    band = f"{study.percent} band of"
    bands = Key("band", BAND_OF_F, f"{band} the function"), Key("band", BAND_OF_Y, f"{band} a new observation")
    return layers, [Key("line", BLUE, "mean"), *bands]


FIGURES: tuple[Draw, ...] = (posterior, surface, predicted, slices, components)
