"""The figure: CPU time of one evaluation over the number of rows, log-log, each line named where it ends."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peers import OURS, PEERS, UNIT

# Okabe & Ito (2008): told apart with every kind of colour vision; a marker each besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#8C6D31")
MARKERS = "osD^vP*Xh"
BOLD = {"linewidth": 2.8, "markersize": 6, "zorder": 3}
THIN = {"linewidth": 1.3, "markersize": 4, "zorder": 2}
APART = 1.17  # the least ratio between two labels' heights
STYLE = {"font.size": 10, "axes.titlesize": 10.5, "axes.spines.top": False, "axes.spines.right": False}

Lines = dict[str, list[tuple[int, float]]]


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of the evaluations on one core, in units of the LAPACK pair."""
    lines = _lines(result["rows"])
    every = sorted({n for points in lines.values() for n, _ in points})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 5.6), dpi=130, layout="constrained")
        axes = figure.subplots()
        for i, (name, points) in enumerate(lines.items()):
            sizes, units = zip(*points, strict=True)
            axes.plot(sizes, units, **_look(i), **(BOLD if name == OURS else THIN))
        axes.axhline(1, color="#555555", linestyle="--", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="rows n", ylabel="in units of dpotrf + dpotri of the same n")
        axes.set_title(
            "CPU time of one log marginal likelihood with its gradient (ARD-RBF, d = 8, one core)", loc="left"
        )
        axes.set_xticks(every, [str(n) for n in every])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        _name(axes, lines, every[-1])
        figure.savefig(path, metadata={"Software": None})


def _lines(rows: list[dict[str, Any]]) -> Lines:
    lines: Lines = {}
    for row in rows:
        if row["cores"] == 1 and row["kernel"] == "rbf" and row["peer"] != UNIT and "units" in row:
            lines.setdefault(row["peer"], []).append((row["n"], row["units"]["median"]))
    return lines


def _look(i: int) -> dict[str, str]:
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def _name(axes: Axes, lines: Lines, last: int) -> None:
    """Write each line's name at the right, apart from each other, a thin leader from the line's end to it."""
    ends = sorted(((points[-1], i, name) for i, (name, points) in enumerate(lines.items())), key=lambda end: end[0][1])
    unit, *heights = spread_out([0.0, *(float(np.log(units)) for (_, units), _, _ in ends)], float(np.log(APART)))
    right = last * 1.45
    axes.annotate("LAPACK alone", (last, 1), xytext=(right, np.exp(unit)), va="center", color="#555555")
    for (end, i, name), height in zip(ends, heights, strict=True):
        colour = _look(i)["color"]
        axes.annotate(
            PEERS[name].label,
            end,
            xytext=(right, np.exp(height)),
            va="center",
            color=colour,
            fontweight="bold" if name == OURS else "normal",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 4},
        )
    axes.set_xlim(right=last * 1.3)


def spread_out(heights: list[float], least: float) -> list[float]:
    """Return ascending heights at least `least` apart, near their own, in the same order."""
    placed = sorted(heights)
    for _ in range(500):
        for i in range(len(placed) - 1):
            overlap = least - (placed[i + 1] - placed[i])
            if overlap > 0:
                placed[i] -= overlap / 2
                placed[i + 1] += overlap / 2
    return placed
