"""What the figures of a page share: legends, layers over common axes, and notes on thinned points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from gp.plots.study import Study
from review import page

HEIGHT = 300  # of a figure, in pixels
# A decimal year as text, in Vega's language: whole years as they are, parts of one by month or, zoomed in, by day.
_YEAR = "floor(datum.value)"
_DAY = (  # half an hour on, so that a rounding error is no day
    f"utc({_YEAR}, 0, 1) + (datum.value - {_YEAR}) * (utc({_YEAR} + 1, 0, 1) - utc({_YEAR}, 0, 1)) + 1800000"
)
_SPAN = "abs(domain('x')[1] - domain('x')[0])"
MONTH = (
    "datum.value == floor(datum.value) ? format(datum.value, 'd')"
    f" : utcFormat({_DAY}, {_SPAN} > 0.5 ? '%Y-%m' : '%Y-%m-%d')"
)
PLAIN = "abs(datum.value) < 10000 ? replace(datum.label, ',', '') : datum.label"  # a year is 1960, not 1,960
PANEL = 170  # of one of many small figures, in pixels


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a `look` that style.css knows (line, dashed, band, dot, ring), its colour, and its text."""

    look: str
    color: str
    label: str


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, its legend and a note for the reader.

    `shows` names the figures of gp.plots that have the same content; these need not be shown as pictures too.
    """

    name: str
    title: str
    chart: Any
    shows: tuple[str, ...]
    legend: tuple[Key, ...] = ()
    note: str = ""
    small: bool = False


Draw = Callable[[Study], list[Figure]]


def layered(
    layers: list[Any], x: str, y: str | list[str], description: str, height: int = HEIGHT, *, dates: bool = False
) -> Any:
    """Return layers over common axes titled `x` and `y`, as wide as the page allows, with zoom.

    With `dates`, the numbers along x are decimal years, and are written as years, months or days.
    """
    for layer in layers:
        layer.encoding.x.title, layer.encoding.y.title = x, y  # if titles differ, Vega-Lite shows all of them
    layers = [_dated(layer, x) if dates else layer for layer in layers]
    first = layers[0].encoding.x
    if first["axis"] is alt.Undefined:
        first.axis = alt.Axis(labelExpr=MONTH if dates else PLAIN, labelAngle=0, labelSeparation=8)
    chart = alt.layer(*layers).properties(width="container", height=height, description=description)
    return chart.add_params(page.zoom())


def _dated(layer: Any, title: str) -> Any:
    """Return a layer whose tooltips say the day that a decimal year x is."""
    lines = layer.encoding.tooltip
    if lines is alt.Undefined:
        return layer
    day = f"utcFormat({_DAY.replace('datum.value', 'datum.x')}, '%Y-%m-%d')"
    layer.encoding.tooltip = [alt.Tooltip("day:N", title=title) if line.shorthand == "x:Q" else line for line in lines]
    return layer.transform_calculate(day=day)


def tips(**titles: str) -> list[Any]:
    """Return the lines of a tooltip: field → title."""
    return [alt.Tooltip(f"{name}:Q", title=title, format=".5~g") for name, title in titles.items()]


def points(x: np.ndarray, y: np.ndarray, look: str, color: str, titles: tuple[str, str]) -> Any:
    """Return a layer of points (dots or rings), smaller if there are many."""
    size = float(np.clip(9000 / max(len(x), 1), 8, 34))
    mark = alt.Chart(page.records(x=x, y=y)).mark_point(
        shape={"dot": "circle", "ring": "diamond"}[look],
        filled=look == "dot",
        size=size,
        color=color,
        opacity=0.85,
        clip=True,
    )
    return mark.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), tooltip=tips(x=titles[0], y=titles[1]))


def drawn(rows: np.ndarray, n: int) -> str:
    """Return the text for a legend that says how many of n points are drawn; empty if all are."""
    return "" if len(rows) == n else f" ({page.number(len(rows))} of {page.number(n)} points drawn)"
