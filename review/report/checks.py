"""Figures that judge a study: observations against predictions, residuals, calibration, and how training went."""

import altair as alt
import numpy as np
from scipy.stats import beta, norm

from gp.plots import values
from gp.plots.study import Study
from gp.plots.values import TAILS, chosen
from review import page
from review.draw import HEIGHT, PANEL, Draw, Figure, Key, drawn, layered, points, tips
from review.page import BAND_OF_CHANCE, BLUE, DRAWN_AT_MOST, INK, LINE_POINTS, VERMILLION, records

BARS_AT_MOST = 1000  # observations; more error bars could not be told apart
QUANTILES_AT_MOST = 500  # points in a normal-quantile plot


def predicted(study: Study) -> list[Figure]:
    """Return observations against predictions, with error bars (d > 1)."""
    judged = values.judged(study)
    if judged is None or study.train.d == 1:
        return []
    rows, n = judged.rows, len(judged.observed)
    some, outside = chosen(n, BARS_AT_MOST), judged.forecast.outside(judged.observed, study.interval)
    o, m, (low, high) = (
        judged.observed[some],
        judged.forecast.mean[some],
        judged.forecast.at(some).interval(study.interval),
    )
    data = records(o=o, m=m, low=low, high=high, c=np.where(outside[some], VERMILLION, BLUE))
    ends = [float(min(low.min(), o.min())), float(max(high.max(), o.max()))]
    x, y, color = alt.X("m:Q").scale(domain=ends), alt.Y("o:Q").scale(domain=ends), alt.Color("c:N").scale(None)
    tooltip = tips(o="observed", m="predicted", low="from", high="to")
    layers = [
        alt.Chart(data).mark_rule(opacity=0.3, clip=True).encode(alt.X("low:Q"), y, x2=alt.X2("high"), color=color),
        alt.Chart(records(m=np.array(ends), o=np.array(ends)))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x, y),
        alt.Chart(data).mark_circle(size=34, opacity=0.9, clip=True).encode(x, y, color=color, tooltip=tooltip),
    ]
    titles = f"predicted {study.target}", f"observed {study.target}"
    chart = layered(layers, *titles, f"observed against predicted {study.target}, {rows} rows", HEIGHT + 60)
    keys = [
        Key("dot", color, f"{side} the {study.percent} band: {page.number(int(of.sum()))} of {page.number(len(of))}")
        for color, side, of in ((BLUE, "inside", ~outside), (VERMILLION, "outside", outside))
    ]
    keys.append(Key("line", INK, f"observed = predicted{drawn(some, n)}"))
    note = f"A bar is the band of a new observation; one that misses the line is outside; {study.integrated}."
    title = f"Observed and predicted, {rows} rows"
    return [Figure("predicted", title, chart, ("predicted",), tuple(keys), note)]


def calibration(study: Study) -> list[Figure]:
    """Return observed against nominal coverage, with the 95 % band of calibrated forecasts."""
    found = values.calibration(study)
    if found is None:
        return []
    layers = [
        alt.Chart(records(x=found.levels, low=found.lower, high=found.upper))
        .mark_area(color=BAND_OF_CHANCE, clip=True)
        .encode(x=alt.X("x:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        alt.Chart(records(x=[0.0, 1.0], y=[0.0, 1.0]))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
        alt.Chart(records(x=found.nominal, y=found.observed))
        .mark_line(color=BLUE, point={"color": BLUE, "size": 30}, clip=True)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), tooltip=tips(x="nominal", y="observed")),
    ]
    keys = (
        Key("line", BLUE, f"observed on {found.rows} rows"),
        Key("line", INK, "calibrated"),
        Key(
            "band",
            BAND_OF_CHANCE,
            f"where 95 % of calibrated forecasts lie, point by point (n = {page.number(found.n)})",
        ),
    )
    chart = layered(layers, "nominal coverage", f"observed coverage of {study.target}", "calibration")
    note = f"{found.n_beyond} of {len(found.nominal)} levels lie outside the band."
    return [Figure("calibration", "Calibration", chart, ("calibration",), keys, note)]


def residuals(study: Study) -> list[Figure]:
    """Return standardized residuals against the prediction, and their quantiles against those of N(0, 1)."""
    judged = values.judged(study)
    residual = None if judged is None else judged.residuals
    if judged is None or residual is None:
        return []
    rows, z, some = judged.rows, study.quantile, chosen(len(residual), DRAWN_AT_MOST)
    rules = alt.Chart(records(y=np.array([-z, z]))).mark_rule(color=VERMILLION, strokeDash=[6, 4], clip=True)
    span = alt.X("x:Q").scale(zero=False, padding=10)
    layers = [
        points(judged.forecast.mean[some], residual[some], "dot", BLUE, ("predicted", "standardized residual")).encode(
            x=span
        ),
        rules.encode(x=alt.value(0), x2=alt.value("width"), y=alt.Y("y:Q")),
        alt.Chart(records(y=[0.0]))
        .mark_rule(color=INK, clip=True)
        .encode(x=alt.value(0), x2=alt.value("width"), y=alt.Y("y:Q")),
    ]
    against = layered(
        layers, f"predicted {study.target}", judged.residual, "standardized residuals against predictions"
    )
    keys = (
        Key("dot", BLUE, f"{rows} rows{drawn(some, len(residual))}"),
        Key("dashed", VERMILLION, f"±{z:.3g}: {study.percent} of N(0, 1)"),
    )
    return [Figure("residuals", "Residuals", against, ("residuals",), keys), _quantiles(residual, rows)]


def _quantiles(residual: np.ndarray, rows: str) -> Figure:
    """Return ordered residuals against normal quantiles at (k − ½)/n, with the band of each order statistic.

    The k-th smallest of n independent uniform numbers is Beta(k, n + 1 − k); the band assumes independent rows.
    """
    n = len(residual)
    # Few points are all shown.  Of many, both tails are shown in full, and the rest is thinned.
    kept = np.unique(np.r_[:50, np.linspace(0, n - 1, QUANTILES_AT_MOST).round(), n - 50 : n]).astype(int)
    kept = kept[(kept >= 0) & (kept < n)]
    k = kept + 1
    x, y = norm.ppf((k - 0.5) / n), np.sort(residual)[kept]
    low, high = (norm.ppf(beta.ppf(tail, k, n + 1 - k)) for tail in TAILS)
    base = alt.Chart(records(x=x, y=y, low=low, high=high)).encode(x=alt.X("x:Q"))
    layers = [
        base.mark_area(color=BAND_OF_CHANCE, clip=True).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        alt.Chart(records(x=x[[0, -1]], y=x[[0, -1]]))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q")),
        base.mark_circle(color=BLUE, size=20, opacity=0.9, clip=True).encode(
            y=alt.Y("y:Q"), tooltip=tips(x="normal", y="residual")
        ),
    ]
    chart = layered(layers, "quantile of N(0, 1)", "standardized residual", "normal quantiles of residuals")
    keys = (
        Key("dot", BLUE, f"{rows} rows{drawn(kept, n)}"),
        Key("line", INK, "N(0, 1)"),
        Key("band", BAND_OF_CHANCE, "where 95 % of each lie, were they normal"),
    )
    return Figure("quantiles", "Normal quantiles of residuals", chart, (), keys)


def loss(study: Study) -> list[Figure]:
    """Return the training loss against the number of the evaluation."""
    trained = values.training(study, LINE_POINTS)
    if trained is None:
        return []
    line = alt.Chart(records(x=trained[0].astype(int), y=trained[1]))
    drawn_line = line.mark_line(color=BLUE, point={"size": 12, "color": BLUE}, clip=True)
    tooltip = tips(x="evaluation", y="nats per datum")
    layers = [drawn_line.encode(alt.X("x:Q"), alt.Y("y:Q").scale(zero=False, padding=6), tooltip=tooltip)]
    chart = layered(layers, "evaluation", "nats per datum", "what training minimised", PANEL)
    return [Figure("loss", "What training minimised: negative log marginal likelihood", chart, ("loss",))]


CHECKS: tuple[Draw, ...] = (calibration, residuals)
