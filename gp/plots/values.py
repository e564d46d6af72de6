"""The content of figures as arrays, which matplotlib (in this folder) and Vega (in the review's pages) draw.

Every function takes a Study, and returns None or an empty result if the figure does not apply to it.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtr, bdtrik

from ..forecast import Forecast
from ..posterior import Posterior
from .study import Study

PANELS_AT_MOST = 24  # inputs in a figure that still fits on a printed page
CYCLES_AT_MOST, FEW_CYCLES = 16, 3  # that can be told apart in a panel, and that are shown where there are more
TAILS = (0.025, 0.975)  # tail probabilities of a band that contains 95 % of calibrated forecasts


@dataclass(frozen=True, eq=False)
class Curve:
    """A posterior along sorted `x`: `mean`, and the bands (lower, upper) of function and observation, (m,) each.

    Along a categorical input `x` are the numbers of its `levels`.
    """

    x: np.ndarray
    mean: np.ndarray
    f: tuple[np.ndarray, np.ndarray]
    y: tuple[np.ndarray, np.ndarray]
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Component:
    """One term of a posterior along sorted `x`: its `mean`, and its `band` (lower, upper), (m,) each."""

    x: np.ndarray
    mean: np.ndarray
    band: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Surface:
    """A posterior over a lattice: its two `sides` (n1,) and (n2,), and `mean` and `sd_f` (n2, n1)."""

    sides: tuple[np.ndarray, np.ndarray]
    mean: np.ndarray
    sd_f: np.ndarray


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows by which the fit is judged, "held-out" or "left-out": what was `observed` (m,), and its forecast."""

    rows: str
    observed: np.ndarray
    forecast: Forecast

    @property
    def residuals(self) -> np.ndarray | None:
        """Return (observed − mean) / sd_y, of mixtures the normal score of the observation; None if an sd is 0."""
        return self.forecast.normal_score(self.observed) if self.forecast.sds.all() else None

    @property
    def residual(self) -> str:
        """Return what a residual is, in words."""
        return "(observed − predicted) / sd_y" if self.forecast.is_normal else "normal score of the observation"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Coverage `observed` at `nominal` levels on `n` rows, and a band with 95 % of calibrated forecasts.

    The band has 0 and 1 as additional `levels`.  It is binomial, and so assumes independent rows; neighbouring and
    left-out rows are not quite independent.
    """

    rows: str
    n: int
    nominal: np.ndarray
    observed: np.ndarray
    levels: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def n_beyond(self) -> int:
        """Return how many levels are outside the band."""
        lower, upper = self.lower[1:-1], self.upper[1:-1]
        return int(((self.observed < lower) | (self.observed > upper)).sum())


def chosen(n: int, at_most: int) -> np.ndarray:
    """Return a selection of at most `at_most` of the rows 0 … n − 1, always the same."""
    if n <= at_most:
        return np.arange(n)
    # Random instead of every k-th row, because rows may be periodic.
    return np.sort(np.random.default_rng(0).choice(n, at_most, replace=False))


def along(x: np.ndarray, at_most: int) -> np.ndarray:
    """Return at most `at_most` rows of a curve over `x` (m,), from left to right."""
    order = np.argsort(x, kind="stable")
    return order[np.linspace(0, len(x) - 1, min(len(x), at_most)).round().astype(int)]


def posterior(study: Study, at_most: int) -> Curve | None:
    """Return the posterior over one input: at the test rows if the truth is known there, else on the grid."""
    found = _over_one_input(study)
    return None if found is None else _curve(study, found, at_most)


def truth(study: Study, at_most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return x and the true function there, from left to right (d = 1)."""
    test = study.test
    if test is None or test.f is None or test.d > 1:
        return None
    rows = along(test.x[:, 0], at_most)
    return test.x[rows, 0], test.f[rows]


def components(study: Study, at_most: int) -> dict[str, Component]:
    """Return each named component of the posterior over one input."""
    candidates = (_over_one_input(study), study.grid, study.prediction)
    found = next((candidate for candidate in candidates if candidate is not None and candidate.components), None)
    if found is None or study.train.d > 1:
        return {}
    rows = along(found.x[:, 0], at_most)
    return {
        name: Component(found.x[rows, 0], part.mean[rows], part.at(rows).interval(study.interval))
        for name, part in found.components.items()
    }


def few_cycles(study: Study, name: str, x: np.ndarray) -> tuple[float, float] | None:
    """Return a part of the component's range that holds a few of its many cycles; None where it has not so many.

    It ends where the training data do.  A component is as periodic as its kernel, whose longest period counts.
    """
    values = study.hyperparameters.items()
    periods = [value for key, value in values if key.startswith(f"kernel.{name}.") and key.endswith(".period_length")]
    if not periods or np.ptp(x) <= CYCLES_AT_MOST * max(periods):
        return None
    end = min(float(x.max()), float(study.train.x.max()))
    return end - FEW_CYCLES * max(periods), end


def end_of_data(study: Study) -> float | None:
    """Return where the training rows of a time series end, if curves go on; None for any other study."""
    if study.train.d > 1 or study.train.columns[0] not in study.dates or study.grid is None:
        return None
    end = float(study.train.x.max())
    return end if study.grid.x.max() > end else None


def slices(study: Study, at_most: int) -> dict[str, Curve]:
    """Return the posterior along each of the first PANELS_AT_MOST inputs, the others at their medians.

    Empty where the posterior over all inputs is shown (gp.grid.has_slices).  An input of two values has no others: its
    slice is of these two, as of two levels.
    """
    lines, d = study.slices, study.train.d
    if lines is None or len(lines.x) % d:
        return {}
    size, found = len(lines.x) // d, {}
    for j, name in enumerate(study.train.columns[:PANELS_AT_MOST]):
        levels = study.train.levels.get(name, ())
        points = min(size, len(levels)) or size  # the levels are there again and again
        curve = _curve(study, lines, at_most, j, slice(j * size, j * size + points))
        two = np.unique(study.train.x[:, j])
        if not levels and len(two) == 2:
            f, y, ends = curve.f, curve.y, [0, -1]
            curve = Curve(np.arange(2.0), curve.mean[ends], (f[0][ends], f[1][ends]), (y[0][ends], y[1][ends]))
            levels = tuple(f"{value:.6g}" for value in two)
        found[name] = replace(curve, levels=levels)
    return found


def surface(study: Study) -> Surface | None:
    """Return the posterior over a lattice of two inputs; None if the inputs are scattered."""
    grid = study.grid
    if study.train.d != 2 or grid is None:
        return None
    first, second = (np.unique(column) for column in grid.x.T)
    if len(grid.x) != len(first) * len(second):
        return None
    order, shape = np.lexsort((grid.x[:, 0], grid.x[:, 1])), (len(second), len(first))
    return Surface((first, second), grid.mean[order].reshape(shape), grid.sd_f[order].reshape(shape))


def judged(study: Study) -> Judged | None:
    """Return the held-out rows with their forecasts, or else the training rows, each by its fold or from all others."""
    if study.test is not None and study.test.y is not None:
        p = study.prediction
        return None if p is None else Judged("held-out", study.test.y, p.y)
    if study.folds is not None:
        return Judged("cross-validated", study.train.observed, study.folds)
    return None if study.loo is None else Judged("left-out", study.train.observed, study.loo)


def calibration(study: Study) -> Calibration | None:
    """Return observed against nominal coverage of the rows by which the fit is judged."""
    if study.calibration is None:
        return None
    held_out = study.test is not None and study.test.y is not None
    n = study.test.n if study.test is not None and held_out else study.train.n
    nominal, observed = (study.calibration[name].to_numpy(dtype=np.float64) for name in ("nominal", "observed"))
    lower, upper = (np.r_[0, binomial_quantile(tail, n, nominal) / n, 1] for tail in TAILS)
    rows = "held-out" if held_out else "left-out" if study.folds is None else "cross-validated"
    return Calibration(rows, n, nominal, observed, np.r_[0, nominal, 1], lower, upper)


def training(study: Study, at_most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the numbers of evaluations and the nats per datum there; None if nothing was trained."""
    if study.trace is None or len(study.trace) < 2:
        return None
    trace = study.trace.iloc[along(study.trace["evaluation"].to_numpy(), at_most)]
    return trace["evaluation"].to_numpy(), trace["nats_per_datum"].to_numpy(dtype=np.float64)


def binomial_quantile(tail: float, n: int, p: np.ndarray) -> np.ndarray:
    """Return the smallest count k with P(K ≤ k) ≥ tail for K ~ Binomial(n, p)."""
    count = np.ceil(bdtrik(tail, n, p))
    # bdtrik inverts a continuous function of k, so the smallest integer k may be one less.
    less = np.maximum(count - 1, 0)
    return np.where(bdtr(less, n, p) >= tail, less, count)


def _over_one_input(study: Study) -> Posterior | None:
    if study.train.d > 1:
        return None
    knows_truth = study.test is not None and study.test.f is not None
    return study.prediction if knows_truth and study.prediction is not None else study.grid


def _curve(study: Study, found: Posterior, at_most: int, j: int = 0, part: slice = slice(None)) -> Curve:
    """Return the rows `part` of a posterior along input j, from left to right."""
    rows = np.arange(len(found.x))[part]
    rows = rows[along(found.x[rows, j], at_most)]
    f, y = (of.at(rows).interval(study.interval) for of in (found.f, found.y))
    return Curve(found.x[rows, j], found.mean[rows], f, y)
