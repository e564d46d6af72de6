"""Charts of two revisions in one picture: the base is vermillion, the head is blue."""

from collections.abc import Callable, Iterator
from typing import Any

import altair
import numpy as np
import pandas as pd

from gp.plots import values
from gp.plots.study import Study
from gp.plots.values import Curve, chosen
from gp.row_scores import nlpd
from gp.scores import BLOCKS
from review.compare.paired import FEWEST
from review.compare.scores import Rows, Two
from review.draw import tips
from review.lock.revisions import Revision
from review.page import BLUE, DRAWN_AT_MOST, INK, LINE_POINTS, QUIET, VERMILLION, records, zoom

HEIGHT = 260  # pixels
BAND = 0.2  # opacity
ZERO, UNIT = altair.Scale(zero=False), altair.Scale(domain=[0, 1])


def pictures(base: Revision, head: Revision, name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the charts of the study `name` by caption, and a line for each file that is missing for others."""
    two = Two.open(base, head, name)
    charts = {caption: chart for caption, draw in PICTURES.items() if (chart := draw(two)) is not None}
    return charts, list(two.missing)


def posteriors(two: Two) -> Any:
    """Return both posteriors of one input: mean and 95 % band of new observations, with head's training rows."""
    if two.before is None or two.after is None:
        return None
    old, new = values.posterior(two.before, LINE_POINTS), values.posterior(two.after, LINE_POINTS)
    if old is None or new is None:
        return None
    label, target, colour = two.after.train.columns[0], two.after.target, _colour(two)
    bands = [_band(two.base.name, old, colour, label, target), _band(two.head.name, new, colour, label, target)]
    described = f"mean and 95 % band of new observations over {label}, at {two.base.name} and at {two.head.name}"
    return _sized(altair.layer(*bands, *_seen(two.after)).add_params(zoom()), f"{two.name}: {described}")


def _band(name: str, curve: Curve, colour: Any, label: str, target: str) -> Any:
    data = records(x=curve.x, mean=curve.mean, low=curve.y[0], high=curve.y[1], revision=[name] * len(curve.x))
    x = altair.X("x:Q", title=label, scale=altair.Scale(zero=False, nice=False))
    chart = altair.Chart(data).encode(x=x, color=colour)
    band = chart.mark_area(opacity=BAND, clip=True).encode(y=altair.Y("low:Q", title=target), y2=altair.Y2("high:Q"))
    tooltip = [altair.Tooltip("revision:N"), *tips(x=label, mean="mean", low="band from", high="to")]
    return band + chart.mark_line(strokeWidth=1.8, clip=True).encode(y=altair.Y("mean:Q"), tooltip=tooltip)


def _seen(study: Study) -> Iterator[Any]:
    """Yield layers for the training rows, and for the true function if it is known."""
    some = chosen(study.train.n, DRAWN_AT_MOST)
    points = altair.Chart(records(x=study.train.x[some, 0], y=study.train.observed[some]))
    yield points.mark_circle(size=14, opacity=0.6, color=INK, clip=True).encode(x=altair.X("x:Q"), y=altair.Y("y:Q"))
    if truth := values.truth(study, LINE_POINTS):
        line = altair.Chart(records(x=truth[0], f=truth[1]))
        yield line.mark_line(color=INK, strokeDash=[6, 4], strokeWidth=1, clip=True).encode(
            x=altair.X("x:Q"), y=altair.Y("f:Q")
        )


def predicted(two: Two) -> Any:
    """Return observed against predicted values of the judged rows, with the diagonal, for several inputs."""
    title, rows = _judged(two)
    if rows is None or rows[0].x.shape[1] == 1:
        return None
    some = chosen(len(rows[0].x), DRAWN_AT_MOST // 2)
    names = np.repeat([two.base.name, two.head.name], len(some))
    mean = np.concatenate([side.scored.forecast.mean[some] for side in rows])
    observed = np.concatenate([side.scored.observed[some] for side in rows])
    ends = [float(min(mean.min(), observed.min())), float(max(mean.max(), observed.max()))]
    diagonal = altair.Chart(records(x=np.array(ends), y=np.array(ends))).mark_line(color=QUIET, strokeDash=[4, 3])
    points = altair.Chart(records(x=mean, y=observed, revision=names)).mark_circle(size=36, opacity=0.7)
    x = altair.X("x:Q", title="predicted", scale=ZERO)
    y = altair.Y("y:Q", title="observed", scale=ZERO)
    layers = diagonal.encode(x=x, y=y) + points.encode(x=x, y=y, color=_colour(two))
    return _sized(layers.add_params(zoom()), f"{two.name}: observed against predicted, {title}")


def gains(two: Two) -> Any:
    """Return a histogram of the differences in NLPD row by row, with their mean."""
    (title, rows), base, head = _judged(two), two.base, two.head
    if rows is None:
        return None
    before, after = (nlpd(row.scored.observed, row.scored.forecast) for row in rows)
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
        .encode(
            x=x, x2=altair.X2("high:Q"), y=altair.Y("count:Q", title="rows"), color=altair.Color("side:N", scale=scale)
        )
    )
    mean = (
        altair.Chart(records(x=[float(change.mean())]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(x=altair.X("x:Q"))
    )
    return _sized(bars + mean, f"{two.name}: how each row's NLPD changed, {title}; dashed: the mean")


def calibrations(two: Two) -> Any:
    """Return observed against nominal coverage for both revisions, with the diagonal."""
    names = two.base.name, two.head.name
    tables = [
        study.calibration.assign(revision=name)
        for name, study in zip(names, (two.before, two.after), strict=True)
        if study is not None and study.calibration is not None
    ]
    if len(tables) < 2:
        return None
    table = pd.concat(tables)
    x = altair.X("x:Q", title="nominal coverage", scale=UNIT)
    y = altair.Y("y:Q", title="observed coverage", scale=UNIT)
    ends = records(x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]))
    data = records(x=table["nominal"], y=table["observed"], revision=table["revision"])
    line = altair.Chart(data).mark_line(point=altair.OverlayMarkDef(size=18)).encode(x, y, _colour(two))
    diagonal = altair.Chart(ends).mark_line(color=QUIET, strokeDash=[4, 3]).encode(x, y)
    return _sized(diagonal + line, f"{two.name}: calibration, {names[0]} and {names[1]}; dashed: the ideal")


def _judged(two: Two) -> tuple[str, tuple[Rows, Rows] | None]:
    """Return the name of the judged rows (held-out, else by folds or leave-one-out) and both forecasts of them."""
    key = next((key for key in ("test", "folds") if all(two.block(key))), "loo")
    return BLOCKS[key], two.rows(key)[0]


def _colour(two: Two) -> Any:
    """Return the encoding that shows revisions by colour."""
    scale = altair.Scale(domain=[two.base.name, two.head.name], range=[VERMILLION, BLUE])
    return altair.Color("revision:N", scale=scale)


def _sized(chart: Any, description: str) -> Any:
    return chart.properties(width="container", height=HEIGHT, description=description)


# Caption → function that draws the chart, or returns None if it does not apply.
PICTURES: dict[str, Callable[[Two], Any]] = {
    "Posteriors: mean and 95 % band of new observations; dots: training rows; dashed: the true function": posteriors,
    "Observed against predicted": predicted,
    "How each row's NLPD changed (left of zero is better); dashed: the mean": gains,
    "Calibration; dashed: the ideal": calibrations,
}
