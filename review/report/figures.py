"""Interactive figures of a posterior: each is a function of Results that returns Figures, [] where none applies."""

from typing import Any

import altair as alt
import numpy as np

from gp.posterior import Posterior
from review.draw import HEIGHT, PANEL, Draw, Figure, Key, along, chosen, drawn, layered, points, tips
from review.page import BAND_OF_F, BAND_OF_Y, BLUE, GREEN, INK, QUIET, VERMILLION, records
from review.report.checks import predicted
from review.results import Results

PANELS_AT_MOST = 24  # inputs of which a page has a picture each
CELLS_AT_MOST = 60  # along each side of a map


def posterior(results: Results) -> list[Figure]:
    """Return data, mean and true function with bands of function and observation (d = 1)."""
    train, curve = results.train, _curve(results)
    if train is None or train.d > 1 or curve is None:
        return []
    label = train.columns[0]
    layers, keys = _bands(results, curve, 0, slice(None))
    test = results.test
    if test is not None and test.f is not None:
        rows = along(test.x[:, 0])
        data = records(x=test.x[rows, 0], f=test.f[rows])
        layers.append(
            alt.Chart(data).mark_line(color=VERMILLION, strokeDash=[6, 4], clip=True).encode(x="x:Q", y="f:Q")
        )
        keys.append(Key("dashed", VERMILLION, "true function"))
    for name, seen, look, color in (("training data", train, "dot", INK), ("held-out data", test, "ring", GREEN)):
        if seen is not None and seen.y is not None:
            some = chosen(seen.n)
            layers.append(points(seen.x[some, 0], seen.y[some], look, color, (label, results.target)))
            keys.append(Key(look, color, f"{name}{drawn(some, seen.n)}"))
    chart = layered(layers, label, results.target, f"posterior of {results.target} over {label}", HEIGHT + 60)
    return [Figure("posterior", "Posterior", chart, tuple(keys))]


def surface(results: Results) -> list[Figure]:
    """Return maps of the mean and of sd_f over a grid of two inputs, with training points."""
    train, grid = results.train, results.grid
    if train is None or train.d != 2 or grid is None:
        return []
    sides = [np.unique(column) for column in grid.x.T]
    if len(grid.x) != len(sides[0]) * len(sides[1]):  # scattered inputs make no map
        return []
    kept = [side[:: -(-len(side) // CELLS_AT_MOST)] for side in sides]
    half = [np.diff(side).max() / 2 if len(side) > 1 else 0.5 for side in kept]
    inside = np.isin(grid.x[:, 0], kept[0]) & np.isin(grid.x[:, 1], kept[1])
    x, z = grid.x[inside].T
    columns, some = train.columns, chosen(train.n)
    made = []
    mean, sd = alt.Scale(scheme="viridis"), alt.Scale(scheme="cividis")
    maps = (("mean", grid.mean, mean), ("sd of the function", grid.sd_f, sd))
    for name, values, scale in maps:
        data = records(x=x - half[0], x2=x + half[0], z=z - half[1], z2=z + half[1], v=values[inside])
        colour = alt.Color("v:Q", scale=scale).title(f"{results.target}: {name}").legend(direction="horizontal")
        axes = (alt.X("x:Q").scale(zero=False, nice=False), alt.Y("z:Q").scale(zero=False, nice=False))
        cells = (
            alt.Chart(data)
            .mark_rect(clip=True)
            .encode(*axes, x2="x2", y2="z2", color=colour, tooltip=tips(v=f"{results.target}: {name}"))
        )
        dots = alt.Chart(records(x=train.x[some, 0], z=train.x[some, 1]))
        dots = dots.mark_circle(size=18, color="white", stroke="black", strokeWidth=0.7, opacity=1, clip=True)
        chart = layered(
            [cells, dots.encode(x="x:Q", y="z:Q")], columns[0], columns[1], f"map of {results.target}: {name}"
        )
        keys = (Key("ring", QUIET, f"training data{drawn(some, train.n)}"),)
        made.append(Figure(f"map-{name.replace(' ', '-')}", name.capitalize(), chart, keys))
    return made


def slices(results: Results) -> list[Figure]:
    """Return the posterior along each input, the others at their medians, where lines were predicted (d > 2)."""
    train, lines = results.train, results.slices
    if train is None or lines is None or len(lines.x) % train.d:
        return []
    size, made = len(lines.x) // train.d, []
    ends = results.quantile * lines.sd_y
    y = alt.Y("mean:Q").scale(domain=[float((lines.mean - ends).min()), float((lines.mean + ends).max())])
    for j, label in enumerate(train.columns[:PANELS_AT_MOST]):
        layers, keys = _bands(results, lines, j, slice(j * size, (j + 1) * size))
        layers[2] = layers[2].encode(y=y)
        chart = layered(layers, label, results.target, f"{results.target} along {label}", PANEL)
        made.append(Figure(f"slice-{j}", f"Along {label}", chart, tuple(keys), small=True))
    return made


def components(results: Results) -> list[Figure]:
    """Return a figure for each named component: its mean and its band (d = 1)."""
    candidates = (_curve(results), results.grid, results.prediction)
    curve = next((c for c in candidates if c is not None and c.components), None)
    if results.train is None or results.train.d > 1 or curve is None:
        return []
    made: list[Figure] = []
    rows, label = along(curve.x[:, 0]), results.train.columns[0]
    keys = (Key("line", BLUE, "mean"), Key("band", BAND_OF_F, f"{results.percent} band of the component"))
    for name, part in curve.components.items():
        half = results.quantile * part.sd_f[rows]
        data = records(
            x=curve.x[rows, 0], mean=part.mean[rows], low=part.mean[rows] - half, high=part.mean[rows] + half
        )
        base = alt.Chart(data).encode(x="x:Q")
        layers = [
            base.mark_area(color=BAND_OF_F, clip=True).encode(y="low:Q", y2="high:Q"),
            base.mark_line(color=BLUE, strokeWidth=1.4, clip=True).encode(y="mean:Q"),
        ]
        chart = layered(layers, label, results.target, f"component {name} over {label}", PANEL)
        made.append(Figure(f"component-{len(made)}", f"Component {name}", chart, keys, small=True))
    return made


def _curve(results: Results) -> Posterior | None:
    """Return the posterior at the test rows if the truth is known there, else on the grid."""
    knows_truth = results.test is not None and results.test.f is not None
    return results.prediction if knows_truth and results.prediction is not None else results.grid


def _bands(results: Results, curve: Posterior, j: int, rows: slice) -> tuple[list[Any], list[Key]]:
    """Return layers and legend of a curve along input j: both bands, the mean, and what tells its values."""
    order = np.arange(len(curve.x))[rows]
    order = order[along(curve.x[order, j])]
    mean, f, y = curve.mean[order], *(results.quantile * sd[order] for sd in (curve.sd_f, curve.sd_y))
    columns = {"mean": mean, "f_low": mean - f, "f_high": mean + f, "y_low": mean - y, "y_high": mean + y}
    base = alt.Chart(records(x=curve.x[order, j], **columns)).encode(x=alt.X("x:Q").scale(zero=False, nice=False))
    label = f"{results.percent} band of"
    titles = {
        "x": curve.columns[j],
        "mean": "mean",
        "f_low": "function from",
        "f_high": "to",
        "y_low": "observation from",
    }
    titles["y_high"] = "to "  # not the title of another row
    nearest = alt.selection_point(nearest=True, on="pointerover", fields=["x"], empty=False)
    told = base.mark_circle(color=BLUE, size=60, clip=True).encode(
        y="mean:Q", tooltip=tips(**titles), opacity=alt.when(nearest).then(alt.value(1)).otherwise(alt.value(0))
    )
    layers = [
        base.mark_area(color=BAND_OF_Y, clip=True).encode(y=alt.Y("y_low:Q").scale(zero=False), y2="y_high:Q"),
        base.mark_area(color=BAND_OF_F, clip=True).encode(y="f_low:Q", y2="f_high:Q"),
        base.mark_line(color=BLUE, strokeWidth=1.6, clip=True).encode(y="mean:Q"),
        told.add_params(nearest),
    ]
    bands = Key("band", BAND_OF_F, f"{label} the function"), Key("band", BAND_OF_Y, f"{label} a new observation")
    return layers, [Key("line", BLUE, "mean"), *bands]


FIGURES: tuple[Draw, ...] = (posterior, surface, predicted, slices, components)
