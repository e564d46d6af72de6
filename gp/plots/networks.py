"""Figures of networks: which couplings there are, as arrows and as a table of probabilities."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from .canvas import BLACK, BLUE, GREY, SKY, Plot, new_figure, styled
from .study import Study

LIKELY = 0.5  # probability, from which an edge is drawn as a line
THIN, THICK = 0.8, 4.0  # widths of arrows, points
NODE, APART = 0.13, 0.09  # radius of a node, and how far an arrow's curve leaves the line between two, of the circle's
LIGHT = 0.75  # of the way to white: an edge that is as likely there as not


def edges_of(study: Study) -> pd.DataFrame:
    """Return the edges into the study's receiver: `receiver`, `sender`, `amplitude` (y's units), `nats`, `probability`.

    The amplitude is the standard deviation of the coupling over the rows.  No rows where the study is of no network,
    or its kernel no sum of terms of one input each, or their evidence unknown.
    """
    names = ["receiver", "sender", "amplitude", "nats", "probability"]
    senders, terms = study.network.get("senders", {}), study.terms
    if terms is None or not senders or terms["nats"].isna().any() or sorted(terms["input"]) != sorted(senders):
        return pd.DataFrame(columns=names)
    found = terms.assign(
        receiver=study.network["receiver"],
        sender=terms["input"].map(senders),
        amplitude=np.sqrt(terms["share"]) * study.train.observed.std(),
    )
    return found[names]


@styled
def network(study: Study) -> Figure | None:
    """Return the couplings into the receiver, as arrows and as probabilities."""
    edges = edges_of(study)
    if edges.empty:
        return None
    receiver = study.network["receiver"]
    return network_figure(study, edges, study.network["nodes"], f"what drives {receiver}: couplings and probabilities")


@styled
def network_figure(study: Study, edges: pd.DataFrame, nodes: list[str], what: str) -> Figure:
    """Return a figure of `edges` (`edges_of`, of one receiver or several) between `nodes`, in the style of the study.

    Arrows are as wide as amplitudes and as faint as edges are in doubt; dotted ones are more likely absent.
    """
    receivers = [node for node in nodes if (edges["receiver"] == node).any()]
    rows = 0.55 * len(receivers) + 1.6
    figure = new_figure(study, 6.0 + max(0.75 * len(nodes), 3.5), max(5.2, rows), what)
    left, right = figure.subplots(1, 2, width_ratios=[5.2, max(0.75 * len(nodes), 3.5)])
    _arrows(left, edges, nodes, study.target)
    _table(right, edges, nodes, receivers)
    return figure


def _arrows(axes: Axes, edges: pd.DataFrame, nodes: list[str], unit: str) -> None:
    """Draw the nodes on a circle, the first at the top, and an arrow from each sender to its receiver."""
    angles = math.pi / 2 - 2 * math.pi * np.arange(len(nodes)) / len(nodes)
    places = dict(zip(nodes, np.column_stack([np.cos(angles), np.sin(angles)]), strict=True))
    largest = float(edges["amplitude"].max()) or 1.0
    for edge in edges.sort_values("probability").itertuples():
        likely = edge.probability >= LIKELY
        width = THIN + likely * (THICK - THIN) * edge.amplitude / largest
        faint = LIGHT * (1 - edge.probability) / (1 - LIKELY) if likely else LIGHT
        begin, end = places[edge.sender], places[edge.receiver]
        side = APART * np.array([begin[1] - end[1], end[0] - begin[0]])
        toward, onward = end - begin + side, end - begin - side
        arrow = FancyArrowPatch(
            begin + NODE * toward / np.linalg.norm(toward),
            end - (NODE + 0.02) * onward / np.linalg.norm(onward),
            connectionstyle=f"arc3,rad={-APART * 2}",
            arrowstyle=f"-|>,head_length={3 + width},head_width={2 + 0.7 * width}",
            mutation_scale=1,
            linewidth=width,
            linestyle="-" if likely else (0, (1, 2)),
            color=_paler(BLUE if likely else GREY, faint),
            shrinkA=0,
            shrinkB=0,
            zorder=1 + edge.probability,
        )
        axes.add_patch(arrow)
    for name, (x, y) in places.items():
        axes.add_patch(Circle((x, y), NODE, facecolor=_paler(SKY, 0.6), edgecolor=BLACK, linewidth=0.9, zorder=3))
        if len(name) <= 3:
            axes.text(x, y, name, ha="center", va="center", fontsize=11, zorder=4)
        else:  # beside the disc, outward
            align = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
            axes.text(1.2 * x, 1.2 * y, name, ha=align, va="center", fontsize=9, zorder=4)
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        f"widest arrow: sd of the coupling {largest:.2g} [{unit}]\npaler: in doubt; dotted: more likely absent"
    )


def _table(axes: Axes, edges: pd.DataFrame, nodes: list[str], receivers: list[str]) -> None:
    """Draw a cell for each edge: its probability, as dark as its amplitude."""
    size = edges.pivot(index="receiver", columns="sender", values="amplitude").reindex(receivers, columns=nodes)
    chance = edges.pivot(index="receiver", columns="sender", values="probability").reindex(receivers, columns=nodes)
    largest = float(edges["amplitude"].max()) or 1.0
    axes.imshow(np.ones((len(receivers), len(nodes), 3)), aspect="equal")
    for i, row in enumerate(chance.to_numpy()):
        for j, probability in enumerate(row):
            if not np.isfinite(probability):
                continue
            share = size.iat[i, j] / largest
            colour = _paler(BLUE, 1 - share)
            cell = Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=colour, edgecolor=GREY, linewidth=0.5)
            axes.add_patch(cell)
            text = ">.999" if probability > 0.9995 else f"{probability:.3f}".removeprefix("0")
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if share > 0.55 else BLACK)
    axes.set_xticks(range(len(nodes)), nodes, rotation=0 if max(map(len, nodes)) <= 3 else 45)
    axes.set_yticks(range(len(receivers)), receivers)
    axes.tick_params(length=0)
    axes.set(xlabel="from", ylabel="to", title="probability, at even odds before\ndarker: larger coupling")
    axes.spines[:].set_visible(False)


def _paler(colour: str, share: float) -> tuple[float, ...]:
    """Return a colour a share of the way to white."""
    return tuple(part + share * (1 - part) for part in to_rgb(colour))


FIGURES: dict[str, Plot] = {"network": network}
