"""Charts of two revisions in one picture: colours are revisions, vermillion the base and blue the head."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import altair
import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.row_scores import nlpd
from gp.scores import BLOCKS
from review.compare.paired import FEWEST
from review.compare.scores import Rows, pairs
from review.draw import along, chosen, tips
from review.lock.revisions import NotHere, Revision
from review.page import BLUE, DRAWN_AT_MOST, INK, QUIET, VERMILLION, records, zoom

QUANTILE_95 = 1.959964
HEIGHT = 260  # pixels
BAND = 0.2  # opacity
ZERO, UNIT = altair.Scale(zero=False), altair.Scale(domain=[0, 1])


def pictures(base: Revision, head: Revision, study: str) -> tuple[dict[str, Any], list[str]]:
    """Return the study's charts by caption, and why others are missing."""
    charts: dict[str, Any] = {}
    missing = []
    for caption, draw in PICTURES.items():
        try:
            chart = draw(base, head, study)
        except NotHere as error:
            missing.append(str(error))
        else:
            charts |= {} if chart is None else {caption: chart}
    return charts, list(dict.fromkeys(missing))


def posteriors(base: Revision, head: Revision, study: str) -> Any:
    """Return both posteriors over one input: mean, and the 95 % band of new observations; head's training rows."""
    grids = {revision.name: revision.output(study, "predict/grid.csv") for revision in (base, head)}
    tables = {name: Posterior.load(path) for name, path in grids.items() if path is not None}
    if len(tables) < 2 or any(grid.x.shape[1] != 1 for grid in tables.values()):
        return None
    target = _target(head, study)
    bands = [_band(name, grid, _colour(base, head), target) for name, grid in tables.items()]
    columns = next(iter(tables.values())).columns
    described = f"{study}: mean and 95 % band of new observations over {columns[0]}, at {base.name} and at {head.name}"
    return _sized(altair.layer(*bands, *_seen(head, study)).add_params(zoom()), described)


def _band(name: str, grid: Posterior, colour: Any, target: str) -> Any:
    rows = along(grid.x[:, 0])
    mean, half = grid.mean[rows], QUANTILE_95 * grid.sd_y[rows]
    data = records(x=grid.x[rows, 0], mean=mean, low=mean - half, high=mean + half, revision=[name] * len(rows))
    x = altair.X("x:Q", title=grid.columns[0], scale=altair.Scale(zero=False, nice=False))
    chart = altair.Chart(data).encode(x=x, color=colour)
    band = chart.mark_area(opacity=BAND, clip=True).encode(y=altair.Y("low:Q", title=target), y2="high:Q")
    tooltip = [altair.Tooltip("revision:N"), *tips(x=grid.columns[0], mean="mean", low="band from", high="to")]
    return band + chart.mark_line(strokeWidth=1.8, clip=True).encode(y="mean:Q", tooltip=tooltip)


def _seen(revision: Revision, study: str) -> Iterator[Any]:
    """Yield the training rows, and the true function where it is known."""
    train, test = (revision.output(study, f"synthesize/{name}.csv") for name in ("train", "test"))
    if train is not None:
        data = Dataset.load(train)
        some = chosen(data.n)
        points = altair.Chart(records(x=data.x[some, 0], y=data.observed[some]))
        yield points.mark_circle(size=14, opacity=0.6, color=INK, clip=True).encode(x="x:Q", y="y:Q")
    known = Dataset.load(test) if test is not None else None
    if known is not None and known.f is not None:
        rows = along(known.x[:, 0])
        line = altair.Chart(records(x=known.x[rows, 0], f=known.f[rows]))
        yield line.mark_line(color=INK, strokeDash=[6, 4], strokeWidth=1, clip=True).encode(x="x:Q", y="f:Q")


def _target(revision: Revision, study: str) -> str:
    path = revision.output(study, "synthesize/names.json")
    return str(json.loads(path.read_text(encoding="utf-8"))["target"]) if path else "y"


def predicted(base: Revision, head: Revision, study: str) -> Any:
    """Return observed against predicted of the judged rows, beside the diagonal, where there are several inputs."""
    title, rows = _judged(base, head, study)
    if rows is None or rows[0].x.shape[1] == 1:
        return None
    some = chosen(len(rows[0].x), DRAWN_AT_MOST // 2)
    names = np.repeat([base.name, head.name], len(some))
    mean, observed = (np.concatenate([getattr(r.forecast, part)[some] for r in rows]) for part in ("mean", "observed"))
    ends = [float(min(mean.min(), observed.min())), float(max(mean.max(), observed.max()))]
    diagonal = altair.Chart(records(x=np.array(ends), y=np.array(ends))).mark_line(color=QUIET, strokeDash=[4, 3])
    points = altair.Chart(records(x=mean, y=observed, revision=names)).mark_circle(size=36, opacity=0.7)
    x = altair.X("x:Q", title="predicted", scale=ZERO)
    y = altair.Y("y:Q", title="observed", scale=ZERO)
    layers = diagonal.encode(x=x, y=y) + points.encode(x=x, y=y, color=_colour(base, head))
    return _sized(layers.add_params(zoom()), f"{study}: observed against predicted, {title}")


def gains(base: Revision, head: Revision, study: str) -> Any:
    """Return a histogram of the rows' differences of NLPD, and their mean."""
    title, rows = _judged(base, head, study)
    if rows is None:
        return None
    before, after = (nlpd(row.forecast.observed, row.forecast.mean, row.forecast.sd) for row in rows)
    change = after - before
    if len(change) < FEWEST or not change.any():
        return None
    counts, edges = np.histogram(change, bins=min(40, max(10, int(np.sqrt(len(change)) * 2))))
    sides = np.where(edges[:-1] + edges[1:] < 0, f"{head.name} better", f"{base.name} better")
    data = records(low=edges[:-1], high=edges[1:], count=counts, side=sides)
    x = altair.X("low:Q", bin="binned", title="row's NLPD, new − old [nats]", scale=ZERO, axis=altair.Axis(tickCount=6))
    scale = altair.Scale(domain=[f"{base.name} better", f"{head.name} better"], range=[VERMILLION, BLUE])
    bars = (
        altair.Chart(data)
        .mark_bar()
        .encode(x=x, x2="high:Q", y=altair.Y("count:Q", title="rows"), color=altair.Color("side:N", scale=scale))
    )
    mean = altair.Chart(records(x=[float(change.mean())])).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="x:Q")
    return _sized(bars + mean, f"{study}: how each row's NLPD changed, {title}; dashed: the mean")


def calibrations(base: Revision, head: Revision, study: str) -> Any:
    """Return observed against nominal coverage of both revisions, beside the diagonal."""
    paths = {revision.name: revision.output(study, "evaluate/calibration.csv") for revision in (base, head)}
    tables = [pd.read_csv(path).assign(revision=name) for name, path in paths.items() if path is not None]
    if len(tables) < 2:
        return None
    table = pd.concat(tables)
    x = altair.X("x:Q", title="nominal coverage", scale=UNIT)
    y = altair.Y("y:Q", title="observed coverage", scale=UNIT)
    ends = records(x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]))
    data = records(x=table["nominal"], y=table["observed"], revision=table["revision"])
    line = altair.Chart(data).mark_line(point=altair.OverlayMarkDef(size=18)).encode(x, y, _colour(base, head))
    diagonal = altair.Chart(ends).mark_line(color=QUIET, strokeDash=[4, 3]).encode(x, y)
    return _sized(diagonal + line, f"{study}: calibration, {base.name} and {head.name}; dashed: the ideal")


def _judged(base: Revision, head: Revision, study: str) -> tuple[str, tuple[Rows, Rows] | None]:
    """Return what the rows are called that a verdict is over, held-out or else left out, and both forecasts of them."""
    metrics = [revision.metrics(study) or {} for revision in (base, head)]
    key = "test" if all("test" in values for values in metrics) else "loo"
    return BLOCKS[key], pairs(base, head, study, key)[0]


def _colour(base: Revision, head: Revision) -> Any:
    return altair.Color("revision:N", scale=altair.Scale(domain=[base.name, head.name], range=[VERMILLION, BLUE]))


def _sized(chart: Any, description: str) -> Any:
    return chart.properties(width="container", height=HEIGHT, description=description)


# Caption → what draws it, where it applies.
PICTURES: dict[str, Callable[[Revision, Revision, str], Any]] = {
    "Posteriors: mean and 95 % band of new observations; dots: training rows; dashed: the true function": posteriors,
    "Observed against predicted": predicted,
    "How each row's NLPD changed (left of zero is better); dashed: the mean": gains,
    "Calibration; dashed: the ideal": calibrations,
}
