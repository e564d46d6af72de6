"""The figure: CPU time of one evaluation over the number of rows, log-log, each line named where it ends."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers import OURS, PEERS, UNIT

# Okabe & Ito (2008): told apart with every kind of colour vision; a marker each besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#8C6D31")
MARKERS = "osD^vP*Xh"
APART = 1.13  # the least ratio between two labels' heights


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of the evaluations on one core, in units of the LAPACK pair."""
    lines = _lines(result["rows"])
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 5.6), dpi=130, layout="constrained")
        axes = figure.subplots()
        for i, (name, points) in enumerate(lines.items()):
            sizes, units = zip(*points, strict=True)
            bold = name == OURS
            axes.plot(
                sizes, units, color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=6 if bold else 4,
                linewidth=2.8 if bold else 1.3, zorder=3 if bold else 2,
            )  # fmt: skip
        axes.axhline(1, color="#555555", linestyle="--", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="rows n")
        axes.set_title(
            "CPU time of one log marginal likelihood with its gradient (ARD-RBF, d = 8, one core)",
            loc="left",
            fontsize=10.5,
        )
        axes.set_ylabel("in units of dpotrf + dpotri of the same n")
        every = sorted({n for points in lines.values() for n, _ in points})
        axes.set_xticks(every, [str(n) for n in every])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        _name(axes, lines, every[-1])
        figure.savefig(path, metadata={"Software": None})


def _lines(rows: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["cores"] == 1 and row["kernel"] == "rbf" and row["peer"] != UNIT and "units" in row:
            lines.setdefault(row["peer"], []).append((row["n"], row["units"]["median"]))
    return lines


def _name(axes: Any, lines: dict[str, list[tuple[int, float]]], last: int) -> None:
    """Write each line's name at the right, the names apart from each other, with a thin leader from its end."""
    ends = sorted(((points[-1], i, name) for i, (name, points) in enumerate(lines.items())), key=lambda end: end[0][1])
    heights = [np.log(units) for (_, units), _, _ in ends]
    heights.insert(0, 0.0)  # the unit's own
    placed = spread_out(heights, np.log(APART))
    axes.annotate("LAPACK alone", (last, 1), xytext=(last * 1.45, np.exp(placed[0])), va="center", color="#555555")
    for ((n, units), i, name), height in zip(ends, placed[1:], strict=True):
        axes.annotate(
            PEERS[name].label, (n, units), xytext=(last * 1.45, np.exp(height)), va="center", color=COLOURS[i % len(COLOURS)],
            fontweight="bold" if name == OURS else "normal",
            arrowprops={"arrowstyle": "-", "color": COLOURS[i % len(COLOURS)], "linewidth": 0.6, "shrinkA": 2, "shrinkB": 4},
        )  # fmt: skip
    axes.set_xlim(right=last * 1.3)


def spread_out(heights: list[float], least: float) -> list[float]:
    """Return ascending heights at least `least` apart, each as near to its own as the order allows."""
    placed = list(heights)
    for _ in range(200):
        for i in range(len(placed) - 1):
            overlap = least - (placed[i + 1] - placed[i])
            if overlap > 0:
                placed[i] -= overlap / 2
                placed[i + 1] += overlap / 2
    return placed
