"""What all figures share: style, colours, points, bands, legend, and files whose bytes do not change."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill, shorten
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from ..calendar import ticks
from .study import Study
from .values import Curve, chosen, end_of_data

Plot = Callable[[Study], Figure | None]

# Okabe & Ito 2008, "Color universal design": distinguishable with every common colour blindness.
BLACK, SKY, GREEN = "#000000", "#56B4E9", "#009E73"
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"
PALE_BLUE, MID_BLUE = "#D6EAF8", "#93C1E3"  # bands; opaque, so that overlapping bands have the colours of the legend

DRAWN_AT_MOST = 5000  # points in a scatter plot; more overlap, and make files of megabytes
RASTER_ABOVE = 1000  # with more points, an SVG stores them as an image
LONG_LABEL = 34  # characters; three longer labels do not fit side by side
LEVELS_NAMED, LEVELS_ASLANT = 16, 5  # levels along an axis, and of long names that stand aslant
TITLE_PER_INCH = 10  # characters of a title
SHORT_LABELS = 16  # characters of all names that fit side by side
LINE_POINTS = 2000  # of a curve; more than the picture's width in pixels

# Fonts of the machine, used only for characters that DejaVu Sans lacks: a column may be named 温度.
CJK_FONTS = ("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "Hiragino Sans", "Yu Gothic", "Noto Sans CJK SC")

STYLE: dict[str, Any] = {
    # matplotlib includes DejaVu Sans, so figures with Latin, Greek or Cyrillic names do not depend on the machine.
    "font.family": ["DejaVu Sans", *(name for name in CJK_FONTS if name in fontManager.get_font_names())],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.08,  # inches; otherwise the legend touches the axis label
    "axes.formatter.useoffset": False,  # years as 2020, not as 0 + 2.02e3
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "path",  # looks the same without this machine's fonts
    "svg.hashsalt": "gp-studies",  # otherwise the ids in an SVG are random
    "text.parse_math": False,  # a column may be called "price $"
}

# Reset first, so that a matplotlibrc of the user or of the working directory has no effect.
styled = matplotlib.style.context(STYLE, after_reset=True)


@styled
def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `<name>.svg` and `<name>.png` into `folder`; equal figures give equal bytes."""
    # Lay out once; otherwise each drawing would move the axes a little further.  Without any engine left in place of
    # the first ("none" leaves one), savefig does not draw twice.
    if figure.axes and (engine := figure.get_layout_engine()):
        engine.execute(figure)
    figure.set_layout_engine(None)
    figure.savefig(Path(folder) / f"{name}.svg", metadata={"Date": None})
    figure.savefig(Path(folder) / f"{name}.png", metadata={"Software": None})


@styled
def svg(figure: Figure) -> bytes:
    """Return a figure as SVG."""
    text = BytesIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


class Shown(Figure):
    """A figure that a notebook shows where it is the value of a cell."""

    @styled
    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=100)
        return picture.getvalue()


def new_figure(study: Study, width: float, height: float, what: str = "") -> Figure:
    """Return an empty figure of `width` × `height` inches, whose title is the study's and says `what` is shown."""
    figure = Shown(figsize=(width, height), layout="constrained")
    if title := " — ".join(part for part in (study.title, what) if part):
        figure.suptitle(fill(title, round(TITLE_PER_INCH * width)), fontsize=11)
    return figure


def scatter_rows(axes: Axes, study: Study, j: int) -> None:
    """Draw observations against input j: training points, and held-out ones with another marker and colour."""
    train, test = study.train, study.test
    if train.y is not None:
        scatter(axes, train.x[:, j], train.y, label="training data", color=BLACK, marker="o", linewidths=0)
    if test is not None and test.y is not None:
        look = {"facecolors": "none", "edgecolors": GREEN, "marker": "D", "linewidths": 0.7}
        scatter(axes, test.x[:, j], test.y, label="held-out data", **look)


def scatter(axes: Axes, x: np.ndarray, y: np.ndarray, *, label: str, **look: Any) -> None:
    """Draw points; of more than DRAWN_AT_MOST, draw a fixed selection, and say so in the label."""
    rows = chosen(len(x), DRAWN_AT_MOST)
    if len(rows) < len(x):
        label = f"{label} ({len(rows)} of {len(x)} points drawn)"
    # Between bands (1) and lines (2); smaller sets of points are above larger ones, which would hide them.
    order = 1.5 + 0.4 / (1 + len(rows))
    defaults = {"s": point_size(len(rows)), "linewidths": 0.8, "rasterized": len(rows) > RASTER_ABOVE, "zorder": order}
    axes.scatter(x[rows], y[rows], label=label, **{**defaults, **look})


def point_size(n: int) -> float:
    """Return the area of each of `n` points, in square points; smaller if there are many."""
    return float(np.clip(1500 / max(n, 1), 4, 14))


def draw_truth(axes: Axes, x: np.ndarray, f: np.ndarray) -> None:
    """Draw the true function along sorted `x`."""
    axes.plot(x, f, label="true function", color=VERMILLION, linestyle="--", linewidth=1.4)


def draw_curve(axes: Axes, curve: Curve, study: Study, *, label: str = "mean") -> None:
    """Draw a posterior's mean over the bands of function and observation; along levels as points and bars."""
    band = f"{study.percent} band of"
    if curve.levels:
        axes.vlines(curve.x, *curve.y, color=PALE_BLUE, linewidth=6, label=f"{band} a new observation")
        axes.vlines(curve.x, *curve.f, color=MID_BLUE, linewidth=6, label=f"{band} the function")
        axes.plot(curve.x, curve.mean, "o", color=BLUE, markersize=4, label=label)
        name_levels(axes, curve.levels)
        return
    draw_band(axes, curve.x, curve.y, color=PALE_BLUE, label=f"{band} a new observation")
    draw_band(axes, curve.x, curve.f, color=MID_BLUE, label=f"{band} the function")
    axes.plot(curve.x, curve.mean, color=BLUE, label=label, linewidth=1.2)


def draw_end(axes: Axes, study: Study) -> None:
    """Draw where the training data of a time series end, from where on its curves are forecasts."""
    if (end := end_of_data(study)) is not None:
        axes.axvline(end, color=BLACK, linewidth=0.9, linestyle=":", label="end of training data: forecast from here")


def few_ticks(axes: Axes) -> None:
    """Let a narrow panel have few ticks along its horizontal axis, at round numbers."""
    axes.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])


def name_levels(axes: Axes, levels: Sequence[str]) -> None:
    """Write the names of levels below the horizontal axis, at most LEVELS_NAMED; long ones aslant, many upright."""
    step = -(-len(levels) // LEVELS_NAMED)
    shown = [shorten(level, 16, placeholder="…") if len(level) > 16 else level for level in levels[::step]]
    rotation = 0 if sum(map(len, shown)) <= SHORT_LABELS else 30 if len(shown) <= LEVELS_ASLANT else 90
    axes.set_xticks(range(0, len(levels), step), shown, rotation=rotation, ha="right" if rotation == 30 else "center")
    axes.set_xlim(-0.5, len(levels) - 0.5)


def draw_band(axes: Axes, x: np.ndarray, band: tuple[np.ndarray, np.ndarray], *, label: str, color: str) -> None:
    """Fill the band (lower, upper) along sorted `x`."""
    axes.fill_between(x, *band, linewidth=0, label=label, color=color)


def name_input(axes: Axes, study: Study, j: int) -> None:
    """Write the name of input j below its axis; of a date with years, months or days at its ticks, or its levels."""
    axes.set_xlabel(study.train.columns[j])
    if levels := study.levels(j):
        name_levels(axes, levels)
    if study.train.columns[j] in study.dates:
        places = ticks(*axes.get_xlim())
        axes.set_xticks(list(places), list(places.values()))


def legend_below(figure: Figure, *panels: Axes, n_columns: int = 2, title: str = "") -> None:
    """Put the legend of `panels` below all axes of the figure, so that it hides no data."""
    entries = [entry for axes in panels for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    if entries:
        if max(len(label) for _, label in entries) > LONG_LABEL:
            n_columns = min(n_columns, 2)
        legend = figure.legend(
            *zip(*entries, strict=True), loc="outside lower center", ncols=n_columns, title=title or None
        )
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([24.0])  # points of a crowded figure are too small for a legend
