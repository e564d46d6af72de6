"""Figures of predictions against held-out observations."""

import math

import numpy as np
from matplotlib.figure import Figure
from scipy.special import bdtr, bdtrik

from gp.plots.canvas import (
    BLACK,
    BLUE,
    DRAWN_AT_MOST,
    GREY,
    SKY,
    VERMILLION,
    Plot,
    chosen,
    legend_below,
    new_figure,
    percent,
    point_size,
    quantile,
    scatter,
    styled,
)
from gp.plots.study import Study

BARS_AT_MOST = 500  # error bars that can be told apart


@styled
def predicted(study: Study) -> Figure | None:
    """Return held-out observations against their predictions, which have their bands as bars.

    An observation is outside its band where the bar misses the diagonal.
    """
    held_out = _held_out(study)
    if held_out is None:
        return None
    observed, mean, sd_y = held_out
    band = quantile(study) * sd_y
    figure = new_figure(study, 5.6, 6.4)
    axes = figure.subplots()
    outside = np.abs(observed - mean) > band
    points, bars = (chosen(len(mean), at_most) for at_most in (DRAWN_AT_MOST, BARS_AT_MOST))
    for side, color, name in ((~outside, BLUE, "inside"), (outside, VERMILLION, "outside")):
        label = f"{name} the {percent(study)} band: {side.sum()} of {len(side)}"
        rows, barred = points[side[points]], bars[side[bars]]
        scatter(axes, mean[rows], observed[rows], label=label, color=color, s=point_size(len(points)))
        ends = (mean - band)[barred], (mean + band)[barred]
        axes.hlines(observed[barred], *ends, colors=color, alpha=0.3, linewidth=1, zorder=1)
    if len(bars) < len(mean):
        axes.set_title(f"{len(points)} points and {len(bars)} bars drawn of {len(mean)}", fontsize=10)
    limits = min(*axes.get_xlim(), *axes.get_ylim()), max(*axes.get_xlim(), *axes.get_ylim())
    axes.plot(limits, limits, color=BLACK, linewidth=1, label="observed = predicted")
    axes.set(xlabel=f"predicted {study.target}", ylabel=f"observed {study.target}")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    legend_below(figure, axes, n_columns=1)
    return figure


@styled
def residuals(study: Study) -> Figure | None:
    """Return (observed − mean)/sd_y against the prediction, their histogram and N(0, 1)."""
    held_out = _held_out(study)
    if held_out is None or not held_out[2].all():  # an sd of 0 standardizes nothing
        return None
    observed, mean, sd_y = held_out
    residual, z = (observed - mean) / sd_y, quantile(study)
    figure = new_figure(study, 7.5, 4.4)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    scatter(left, mean, residual, label="held-out data", color=BLUE)
    left.axhline(0, color=BLACK, linewidth=1)
    left.axhline(z, color=VERMILLION, linestyle="--", linewidth=1, label=f"±{z:.3g}: {percent(study)} of N(0, 1)")
    for axes, side in ((left, -z), (right, z), (right, -z)):
        axes.axhline(side, color=VERMILLION, linestyle="--", linewidth=1)
    n_bins = int(np.clip(math.sqrt(len(residual)), 8, 40))
    right.hist(residual, bins=n_bins, density=True, orientation="horizontal", color=SKY, label="their histogram")
    normal = np.linspace(-4, 4, 400)
    right.plot(np.exp(-0.5 * normal**2) / math.sqrt(2 * math.pi), normal, color=BLACK, label="N(0, 1)")
    left.set(xlabel=f"predicted {study.target}", ylabel="standardized residual\n(observed − predicted) / sd_y")
    right.set_xlabel("density")
    legend_below(figure, left, right)
    return figure


@styled
def calibration(study: Study) -> Figure | None:
    """Return observed against nominal coverage, with where calibrated forecasts would be.

    That band is binomial: it takes the points for independent, which neighbours and left-out points are not quite.
    """
    if study.calibration is None:
        return None
    y_test = None if study.test is None else study.test.y
    n, rows = (study.train.n, "left-out") if y_test is None else (len(y_test), "held-out")
    figure = new_figure(study, 5, 5.4)
    axes = figure.subplots()
    nominal, observed = (study.calibration[name].to_numpy() for name in ("nominal", "observed"))
    lower, upper = (np.r_[0, _binomial_quantile(tail, n, nominal) / n, 1] for tail in (0.025, 0.975))
    label = f"where 95 % of calibrated forecasts lie (n = {n})"
    axes.fill_between(np.r_[0, nominal, 1], lower, upper, color=GREY, alpha=0.25, linewidth=0, label=label)
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=1, label="calibrated")
    axes.plot(nominal, observed, color=BLUE, marker="o", markersize=4, label=f"observed on {rows} data")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="nominal coverage", ylabel=f"observed coverage of {study.target}")
    legend_below(figure, axes, n_columns=1)
    return figure


def _held_out(study: Study) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return held-out y with mean and sd_y of its prediction, where there are any."""
    if study.test is None or study.test.y is None or study.prediction is None:
        return None
    return study.test.y, study.prediction.mean, study.prediction.sd_y


def _binomial_quantile(tail: float, n: int, p: np.ndarray) -> np.ndarray:
    """Return the smallest count k with P(K ≤ k) ≥ tail for K ~ Binomial(n, p)."""
    count = np.ceil(bdtrik(tail, n, p))
    # bdtrik inverts a function that is continuous in k; below its first step one less may do.
    less = np.maximum(count - 1, 0)
    return np.where(bdtr(less, n, p) >= tail, less, count)


FIGURES: dict[str, Plot] = {"predicted": predicted, "residuals": residuals, "calibration": calibration}
