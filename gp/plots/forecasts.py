"""Figures of forecasts against observations: on held-out rows, or else by leave-one-out."""

import math

import numpy as np
from matplotlib.figure import Figure

from ..autocorrelation import Order, is_ordered
from . import values
from .canvas import (
    BLACK,
    BLUE,
    DRAWN_AT_MOST,
    GREEN,
    GREY,
    SKY,
    VERMILLION,
    Plot,
    legend_below,
    new_figure,
    point_size,
    scatter,
    styled,
)
from .study import Study
from .values import chosen

LAGS, FEWEST = 40, 20  # rows, up to which residuals are compared; fewer are not
CHANCE = 0.01  # that independent residuals are taken for such that follow each other
BARS_AT_MOST = 500  # error bars; more could not be told apart


@styled
def predicted(study: Study) -> Figure | None:
    """Return observations against predictions, with intervals as error bars.

    An observation is outside its interval if its bar does not cross the diagonal.
    """
    judged = values.judged(study)
    if judged is None:
        return None
    observed, forecast = judged.observed, judged.forecast
    mean, (low, high) = forecast.mean, forecast.interval(study.interval)
    figure = new_figure(study, 5.6, 6.4, f"observed and predicted {study.target}")
    axes = figure.subplots()
    outside = forecast.outside(observed, study.interval)
    points, bars = (chosen(len(mean), at_most) for at_most in (DRAWN_AT_MOST, BARS_AT_MOST))
    for side, color, name in ((~outside, BLUE, "inside"), (outside, VERMILLION, "outside")):
        label = f"{name} the {study.percent} band: {side.sum()} of {len(side)}"
        rows, barred = points[side[points]], bars[side[bars]]
        scatter(axes, mean[rows], observed[rows], label=label, color=color, s=point_size(len(points)))
        ends = low[barred], high[barred]
        axes.hlines(observed[barred], *ends, colors=color, alpha=0.3, linewidth=1, zorder=1)
    if len(bars) < len(mean):
        axes.set_title(f"{len(points)} points and {len(bars)} bars drawn of {len(mean)}", fontsize=10)
    limits = min(*axes.get_xlim(), *axes.get_ylim()), max(*axes.get_xlim(), *axes.get_ylim())
    axes.plot(limits, limits, color=BLACK, linewidth=1, label="observed = predicted")
    axes.set(xlabel=f"predicted {study.target}", ylabel=f"observed {study.target}, {judged.rows} data")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    legend_below(figure, axes, n_columns=1, title=study.integrated)
    return figure


@styled
def residuals(study: Study) -> Figure | None:
    """Return standardized residuals against the prediction, their histogram and N(0, 1)."""
    judged = values.judged(study)
    residual = None if judged is None else judged.residuals
    if judged is None or residual is None:
        return None
    z = study.quantile
    figure = new_figure(study, 7.5, 4.4, f"residuals of {judged.rows} data")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    scatter(left, judged.forecast.mean, residual, label=f"{judged.rows} data", color=BLUE)
    left.axhline(0, color=BLACK, linewidth=1)
    left.axhline(z, color=VERMILLION, linestyle="--", linewidth=1, label=f"±{z:.3g}: {study.percent} of N(0, 1)")
    for axes, side in ((left, -z), (right, z), (right, -z)):
        axes.axhline(side, color=VERMILLION, linestyle="--", linewidth=1)
    n_bins = int(np.clip(math.sqrt(len(residual)), 8, 40))
    right.hist(residual, bins=n_bins, density=True, orientation="horizontal", color=SKY, label="their histogram")
    normal = np.linspace(-4, 4, 400)
    right.plot(np.exp(-0.5 * normal**2) / math.sqrt(2 * math.pi), normal, color=BLACK, label="N(0, 1)")
    left.set(xlabel=f"predicted {study.target}", ylabel=f"standardized residual\n{judged.residual}")
    right.set_xlabel("density")
    legend_below(figure, left, right)
    return figure


@styled
def autocorrelation(study: Study) -> Figure | None:
    """Return correlations of left-out residuals with those some rows later, where rows have an order.

    They have one in recordings, along an input, or where residuals show that the table's own order matters.
    """
    run = study.train.run
    if study.loo is None or not study.loo.sds.all() or study.train.n < FEWEST:
        return None
    z = study.loo.normal_score(study.train.observed)
    order = Order.of(z - z.mean(), run, min(LAGS, study.train.n // 4))
    if not len(order.pairs) or (run is None and not is_ordered(study.train.x) and not order.matters(CHANCE)):
        return None
    where = "one recording" if run is not None else "successive rows"
    figure = new_figure(study, 7, 3.8, f"do residuals of {where} follow each other?")
    found, axes, lags = order.correlations, figure.subplots(), np.arange(1, len(order.pairs) + 1)
    half = 1.96 / np.sqrt(order.pairs)
    label = f"where 95 % of independent residuals lie; {order.n} rows count as {order.effective:.0f}"
    axes.fill_between(lags, -half, half, color=GREY, alpha=0.25, linewidth=0, label=label)
    axes.vlines(lags, 0, found, colors=BLUE, linewidth=1.5)
    axes.plot(lags, found, "o", color=BLUE, markersize=4, label=f"correlation of {study.target}'s residuals")
    axes.axhline(0, color=BLACK, linewidth=1)
    axes.set(xlabel="rows later", ylabel="correlation")
    axes.locator_params(axis="x", integer=True)
    legend_below(figure, axes, n_columns=1)
    return figure


@styled
def calibration(study: Study) -> Figure | None:
    """Return observed against nominal coverage, with the 95 % band of calibrated forecasts."""
    found = values.calibration(study)
    if found is None:
        return None
    figure = new_figure(study, 5, 5.4, f"calibration on {found.rows} data")
    axes = figure.subplots()
    label = f"where 95 % of calibrated forecasts lie (n = {found.n})"
    axes.fill_between(found.levels, found.lower, found.upper, color=GREY, alpha=0.25, linewidth=0, label=label)
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=1, label="calibrated")
    label = f"observed on {found.rows} data"
    axes.plot(found.nominal, found.observed, color=BLUE, marker="o", markersize=4, label=label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="nominal coverage", ylabel=f"observed coverage of {study.target}")
    legend_below(figure, axes, n_columns=1, title=study.integrated)
    return figure


@styled
def horizons(study: Study) -> Figure | None:
    """Return the errors of forecasts from rolling origins by their horizon, beside simple methods', and coverage."""
    table = study.horizons
    if table is None or table.empty:
        return None
    figure = new_figure(study, 7.5, 4.2, f"forecasts of {study.target} from rolling origins")
    left, right = figure.subplots(1, 2)
    colors = {"model": BLUE, "naive": GREY, "seasonal_naive": GREEN, "drift": VERMILLION}
    for name, rows in table.groupby("method", sort=False):
        look = {"color": colors[str(name)], "marker": "o", "markersize": 4, "label": str(name).replace("_", " ")}
        left.plot(rows["ahead"], rows["mase"], **look)
        right.plot(rows["ahead"], 100 * rows["coverage_95"], **look)
    left.axhline(1, color=BLACK, linewidth=1, linestyle="--")
    right.axhline(95, color=BLACK, linewidth=1, linestyle="--")
    left.set(xlabel="rows ahead", ylabel="mean absolute scaled error", ylim=(0, None))
    right.set(xlabel="rows ahead", ylabel="inside 95 % intervals [%]", ylim=(0, 103))
    for axes in (left, right):
        axes.locator_params(axis="x", integer=True)
    legend_below(figure, left, n_columns=4)
    return figure


FIGURES: dict[str, Plot] = {
    "predicted": predicted,
    "residuals": residuals,
    "autocorrelation": autocorrelation,
    "calibration": calibration,
    "horizons": horizons,
}
