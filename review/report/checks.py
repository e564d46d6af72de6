"""Figures that judge a study: observations against predictions, residuals, calibration, and how training went."""

import altair as alt
import numpy as np
from scipy.stats import beta, binom, norm

from review import page
from review.draw import HEIGHT, PANEL, Draw, Figure, Key, along, chosen, drawn, layered, points, tips
from review.page import BAND_OF_CHANCE, BLUE, INK, VERMILLION, records
from review.results import Results

BARS_AT_MOST = 1000  # observations with error bars that can be told apart
QUANTILES_AT_MOST = 500  # of a normal-quantile plot


def predicted(results: Results) -> list[Figure]:
    """Return observations against their predictions, which have their bands as bars (d > 1)."""
    judged = results.checked_on
    if judged is None or results.train is None or results.train.d == 1:
        return []
    rows, observed, mean, sd = judged
    band = results.quantile * sd
    some = chosen(len(mean), BARS_AT_MOST)
    o, m, half = observed[some], mean[some], band[some]
    outside = np.abs(observed - mean) > band
    data = records(o=o, m=m, low=m - half, high=m + half, c=np.where(outside[some], VERMILLION, BLUE))
    ends = [float(min((m - half).min(), o.min())), float(max((m + half).max(), o.max()))]
    x, y, color = alt.X("m:Q").scale(domain=ends), alt.Y("o:Q").scale(domain=ends), alt.Color("c:N").scale(None)
    told = tips(o="observed", m="predicted", low="from", high="to")
    layers = [
        alt.Chart(data).mark_rule(opacity=0.3, clip=True).encode(alt.X("low:Q"), y, x2="high", color=color),
        alt.Chart(records(m=np.array(ends), o=np.array(ends)))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x, y),
        alt.Chart(data).mark_circle(size=34, opacity=0.9, clip=True).encode(x, y, color=color, tooltip=told),
    ]
    titles = f"predicted {results.target}", f"observed {results.target}"
    chart = layered(layers, *titles, f"observed against predicted {results.target}, {rows} rows", HEIGHT + 60)
    keys = [
        Key("dot", color, f"{side} the {results.percent} band: {page.number(int(of.sum()))} of {page.number(len(of))}")
        for color, side, of in ((BLUE, "inside", ~outside), (VERMILLION, "outside", outside))
    ]
    keys.append(Key("line", INK, f"observed = predicted{drawn(some, len(mean))}"))
    note = "A bar is the band of a new observation; one that misses the line is outside."
    return [Figure("predicted", f"Observed and predicted, {rows} rows", chart, tuple(keys), note)]


def calibration(results: Results) -> list[Figure]:
    """Return observed against nominal coverage, with where calibrated forecasts would be.

    That band is binomial: it takes the points for independent, which neighbours and left-out points are not quite.
    """
    table, judged = results.calibration, results.checked_on
    if table is None or judged is None:
        return []
    rows, n = judged[0], len(judged[1])
    nominal, observed = (table[name].to_numpy() for name in ("nominal", "observed"))
    p = np.r_[0, nominal, 1]
    lower, upper = (np.r_[0, binom.ppf(tail, n, nominal) / n, 1] for tail in (0.025, 0.975))
    layers = [
        alt.Chart(records(x=p, low=lower, high=upper))
        .mark_area(color=BAND_OF_CHANCE, clip=True)
        .encode(x="x:Q", y="low:Q", y2="high:Q"),
        alt.Chart(records(x=[0.0, 1.0], y=[0.0, 1.0]))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x="x:Q", y="y:Q"),
        alt.Chart(records(x=nominal, y=observed))
        .mark_line(color=BLUE, point={"color": BLUE, "size": 30}, clip=True)
        .encode(x="x:Q", y="y:Q", tooltip=tips(x="nominal", y="observed")),
    ]
    keys = (
        Key("line", BLUE, f"observed on {rows} rows"),
        Key("line", INK, "calibrated"),
        Key("band", BAND_OF_CHANCE, f"where 95 % of calibrated forecasts lie, point by point (n = {page.number(n)})"),
    )
    chart = layered(layers, "nominal coverage", f"observed coverage of {results.target}", "calibration")
    beyond = int(((observed < lower[1:-1]) | (observed > upper[1:-1])).sum())
    note = f"{beyond} of {len(nominal)} levels lie outside the band."
    return [Figure("calibration", "Calibration", chart, keys, note)]


def residuals(results: Results) -> list[Figure]:
    """Return (observed − mean)/sd_y against the prediction, and their quantiles against those of N(0, 1)."""
    judged = results.checked_on
    if judged is None or not (judged[3] > 0).all():  # an sd of 0 standardizes nothing
        return []
    rows, observed, mean, sd = judged
    residual, z = (observed - mean) / sd, norm.ppf((1 + results.interval) / 2)
    some = chosen(len(mean))
    rules = alt.Chart(records(y=np.array([-z, z]))).mark_rule(color=VERMILLION, strokeDash=[6, 4], clip=True)
    span = alt.X("x:Q").scale(zero=False, padding=10)
    layers = [
        points(mean[some], residual[some], "dot", BLUE, ("predicted", "standardized residual")).encode(x=span),
        rules.encode(x=alt.value(0), x2=alt.value("width"), y="y:Q"),
        alt.Chart(records(y=[0.0]))
        .mark_rule(color=INK, clip=True)
        .encode(x=alt.value(0), x2=alt.value("width"), y="y:Q"),
    ]
    title = "(observed − predicted) / sd_y"
    against = layered(layers, f"predicted {results.target}", title, "standardized residuals against predictions")
    keys = (
        Key("dot", BLUE, f"{rows} rows{drawn(some, len(mean))}"),
        Key("dashed", VERMILLION, f"±{z:.3g}: {results.percent} of N(0, 1)"),
    )
    return [Figure("residuals", "Residuals", against, keys), _quantiles(residual, rows)]


def _quantiles(residual: np.ndarray, rows: str) -> Figure:
    """Return ordered residuals against normal quantiles at (k − ½)/n, with the band of each order statistic.

    The k-th of n independent uniform numbers is Beta(k, n + 1 − k); the band takes rows for independent.
    """
    n = len(residual)
    # All of few; of many both tails in full and every so many between.
    kept = np.unique(np.r_[:50, np.linspace(0, n - 1, QUANTILES_AT_MOST).round(), n - 50 : n]).astype(int)
    kept = kept[(kept >= 0) & (kept < n)]
    k = kept + 1
    x, y = norm.ppf((k - 0.5) / n), np.sort(residual)[kept]
    low, high = (norm.ppf(beta.ppf(tail, k, n + 1 - k)) for tail in (0.025, 0.975))
    base = alt.Chart(records(x=x, y=y, low=low, high=high)).encode(x="x:Q")
    layers = [
        base.mark_area(color=BAND_OF_CHANCE, clip=True).encode(y="low:Q", y2="high:Q"),
        alt.Chart(records(x=x[[0, -1]], y=x[[0, -1]]))
        .mark_line(color=INK, strokeWidth=1, clip=True)
        .encode(x="x:Q", y="y:Q"),
        base.mark_circle(color=BLUE, size=20, opacity=0.9, clip=True).encode(
            y="y:Q", tooltip=tips(x="normal", y="residual")
        ),
    ]
    chart = layered(layers, "quantile of N(0, 1)", "standardized residual", "normal quantiles of residuals")
    keys = (
        Key("dot", BLUE, f"{rows} rows{drawn(kept, n)}"),
        Key("line", INK, "N(0, 1)"),
        Key("band", BAND_OF_CHANCE, "where 95 % of each lie, were they normal"),
    )
    return Figure("quantiles", "Normal quantiles of residuals", chart, keys)


def loss(results: Results) -> list[Figure]:
    """Return what training minimised against the evaluation."""
    trace = results.trace
    if trace is None or len(trace) < 2:  # nothing was trained
        return []
    trace = trace.iloc[along(trace["evaluation"].to_numpy())]
    told = tips(x="evaluation", y="nats per datum")
    line = alt.Chart(records(x=trace["evaluation"].astype(int), y=trace["nats_per_datum"]))
    drawn_line = line.mark_line(color=BLUE, point={"size": 12, "color": BLUE}, clip=True)
    layers = [drawn_line.encode(alt.X("x:Q"), alt.Y("y:Q").scale(zero=False, padding=6), tooltip=told)]
    chart = layered(layers, "evaluation", "nats per datum", "what training minimised", PANEL)
    return [Figure("loss", "What training minimised: negative log marginal likelihood", chart)]


CHECKS: tuple[Draw, ...] = (calibration, residuals)
