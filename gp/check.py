"""The check of predictions: what speaks against them, each finding with a remedy by its key.

CHECKS is the registry.  A finding needs both an effect that matters and a test: all tests of one check together raise a
false alarm in one of a hundred data sets at most (LEVEL, shared out among them).  The certificate of a fit judges its
training; this judges what it predicts.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, ndtr, ndtri, pdtrc

from .autocorrelation import FOLLOWS, Order, is_ordered
from .baselines import features
from .dataset import Dataset
from .far_means import far_means, summary
from .forecast import Forecast
from .parts import along, parts
from .row_scores import nlpd, squared_error
from .scores import autocorrelation_time

LEVEL = 0.01  # of all tests of one check together
FEWEST = 20  # rows; fewer are not judged
COVERAGES = (0.5, 0.8, 0.95)
OFF = 0.04  # of a coverage
OF_FUNCTION = 0.9  # share of forecasts' variance, from which on another noise hardly changes bands
FAR = 4.0  # sd
SHIFTED = 0.5  # mean residual of a bin, in sd
WORSE = 0.02  # nats a row
PLACES = 6  # decimal places of what may be near zero, whatever a machine's rounding
MANY = 2000  # rows, beyond which noise that learns something for each takes an hour and more by exact inference
CHANGES, OUTLIERS = "the noise changes", "a few rows are far"
LEVELS = 4  # distinct values below which an input has no gaps to speak of


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows that predictions are judged on, held-out or left-out, and what else the checks need.

    `observed` (m,) of the rows at `x` (m, d) have the `forecast`, and by other methods (gp.baselines) the `baselines`.
    `shared` (m,) is the share of each forecast's variance that is the function's, which near rows have in common; zero
    for left-out rows.  `left_out` is the forecast of each row of `train` from all others.  `inference` is what
    fit.json says of the method that made them.  `ahead` are further forecasts, of rows whose y is not known, in the
    form of gp.far_means.
    """

    rows: str  # what they are called: "held-out", "cross-validated" or "left-out"
    x: np.ndarray
    observed: np.ndarray
    forecast: Forecast
    shared: np.ndarray
    train: Dataset
    left_out: Forecast
    baselines: Mapping[str, Forecast]
    target: str = "y"
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=lambda: {"kind": "exact"})
    ahead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def by_exact(self) -> str:
        """Return what must be written beside a remedy that exact inference on all rows alone takes."""
        has_it = self.inference["kind"] == "exact" and self.inference.get("rows") is None
        written = "" if has_it else ", with `inference: {kind: exact}`"
        if (n := self.train.n) > MANY:
            return f"{written}: hours of {n} rows, so try it on a table of some {MANY} of them"
        return written and f"{written}, whose time grows as n³"

    def other_noise(self, *likeliest: str) -> str:
        """Return the remedy where bands of one level of normal noise are too narrow or wide, kinds in order."""
        is_markov = self.inference["kind"] == "markov"
        kernel = ", kernel: {kind: matern}" if is_markov else ""  # it takes this one itself
        kinds = {CHANGES: f"{{kind: heteroscedastic{kernel}}}", OUTLIERS: "{kind: student_t}"}
        whens = {CHANGES: CHANGES, OUTLIERS: f"{OUTLIERS} (that one{self.by_exact})" if is_markov else OUTLIERS}
        first, second = likeliest
        both = "" if is_markov else self.by_exact
        return (
            f"write `noise: {kinds[first]}` below model if {whens[first]}, `{kinds[second]}` if {whens[second]}{both}"
        )

    @property
    def by_auto(self) -> str:
        """Return what must be written beside a remedy that inference over one input may refuse."""
        one_input = self.inference["kind"] in ("markov", "harmonic")
        return ", with `inference: {kind: auto}`" if one_input else ""

    @property
    def effective(self) -> float:
        """Return how many independent rows the rows are worth.

        Among training rows, τ rows count as one: the autocorrelation time of their normal scores, in the order along
        the data.  Beyond them, errors of the function may be one and the same error.
        """
        m = len(self.observed)
        low, high = self.train.x.min(axis=0), self.train.x.max(axis=0)
        if ((self.x < low) | (self.x > high)).any(axis=1).mean() > 0.5:
            return m / (1 + (m - 1) * float(self.shared.mean()))
        return m / autocorrelation_time(self.forecast.normal_score(self.observed)[along(features(self.train, self.x))])


@dataclass(frozen=True)
class Result:
    """The numbers of one check, and the sentence where something is found."""

    values: Mapping[str, float]
    sentence: str = ""


def check(judged: Judged) -> tuple[dict[str, float], list[str]]:
    """Return the numbers of all checks by name, those found counted as `findings`, and a sentence for each finding."""
    values: dict[str, float] = {}
    sentences = []
    are_many = len(judged.observed) >= FEWEST and judged.train.n >= FEWEST
    level = LEVEL / (len(CHECKS) - len(NO_TESTS))
    for name, run in CHECKS.items():
        if are_many or name == "average":
            result = run(judged, level)
            values |= {**result.values, name: int(bool(result.sentence))}
            sentences += [result.sentence] if result.sentence else []
    return {"findings": len(sentences), **values}, sentences


def calibration(judged: Judged, level: float) -> Result:
    """Judge how many rows are inside their 50, 80 and 95 % intervals."""
    values, off, n = {}, list[float](), judged.effective
    for nominal in COVERAGES:
        share = float((~judged.forecast.outside(judged.observed, nominal)).mean())
        few = bdtr(math.ceil(share * n), round(n), nominal)
        tail = few if share < nominal else bdtrc(math.floor(share * n) - 1, round(n), nominal)
        values[f"inside_{round(100 * nominal)}"] = share
        if abs(share - nominal) > OFF and tail < level / 2 / len(COVERAGES):
            off.append(share - nominal)
    if not off:
        return Result(values)
    shares, levels = (" / ".join(f"{100 * each:.0f}" for each in of) for of in (values.values(), COVERAGES))
    said = f"{shares} % of the {judged.rows} rows are inside their {levels} % bands: these are too "
    if off[-1] < 0:
        return Result(values, f"{said}narrow: {judged.other_noise(CHANGES, OUTLIERS)}")
    if judged.shared.mean() > OF_FUNCTION:
        return Result(values, f"{said}wide for most rows: {_ROUGH}{judged.by_auto}")
    return Result(values, f"{said}wide for most rows: {judged.other_noise(OUTLIERS, CHANGES)}")


def tails(judged: Judged, level: float) -> Result:
    """Judge how many rows are beyond four standard deviations, and the furthest; outliers do not follow one another."""
    score = judged.forecast.normal_score(judged.observed)
    ordered, z = score[along(features(judged.train, judged.x))], np.abs(score)
    follows = Order.of(ordered - score.mean()).follows
    count, m, furthest = int((z > FAR).sum()), len(z), float(z.max())
    expected = 2 * m * float(ndtr(-FAR))
    one = -math.expm1(m * math.log1p(-2 * float(ndtr(-furthest))))
    values = {"furthest": furthest, "beyond_4_sd": count}
    if count and min(one, float(pdtrc(count - 1, expected))) < level / 2:
        what = f"{count} of {m} {judged.rows} rows are beyond 4 sd ({expected:.1g} expected), one at {furthest:.1f} sd"
        remedy = f"write `noise: {{kind: student_t}}` below model{judged.by_exact}"
        if follows > FOLLOWS and follows * math.sqrt(m) > -ndtri(level):
            return Result(values, f"{what}, beside rows like them: forecasts drift away, {_DRIFT}{judged.by_auto}")
        return Result(values, f"{what}: there are outliers: {remedy}")
    return Result(values)


def structure(judged: Judged, level: float) -> Result:
    """Judge whether left-out rows lie above or below their forecasts in some part of an input's range.

    Left-out residuals of a model that is right are uncorrelated, or negatively so between neighbours: the mean of k
    standardised ones has a variance of 1/k at most.
    """
    z = judged.left_out.normal_score(judged.train.observed)
    columns = zip(judged.train.columns, judged.train.x.T, strict=True)
    each = [(name, rows) for name, column in columns for rows in parts(judged.train, name, column)]
    if not each:
        return Result({"shift": 0.0})
    means = np.array([z[rows].mean() for _, rows in each])
    tests = np.abs(means) * np.sqrt([len(rows) for _, rows in each])
    tests[np.abs(means) <= SHIFTED] = 0
    worst = int(np.argmax(tests if tests.any() else np.abs(means)))
    (name, rows), mean = each[worst], float(means[worst])
    values = {"shift": round(mean, PLACES)}
    if tests[worst] <= -ndtri(level / 2 / len(each)):
        return Result(values)
    at = judged.train.x[rows, judged.train.columns.index(name)]
    side, levels = "above" if mean > 0 else "below", judged.train.levels.get(name)
    where = levels[int(at[0])] if levels else f"{at.min():.4g} to {at.max():.4g}"
    what = f"where {name} is {where}, rows are {abs(mean):.1f} sd {side} forecasts on average"
    return Result(values, f"{what}: the kernel misses a shape: {_SHAPE}{judged.by_auto}")


def order(judged: Judged, level: float) -> Result:
    """Judge whether residuals of rows follow those of the rows before them, in the table or in their recording.

    Harmonic inference allows for this in recordings, whose rows have runs.
    """
    z, run = judged.left_out.normal_score(judged.train.observed), judged.train.run
    found = Order.of(z - z.mean(), run)
    values = {"follows": round(found.follows, PLACES), "effective_rows": found.effective}
    allowed_for = run is not None and judged.inference["kind"] == "harmonic"
    if allowed_for or not found.matters(level):
        return Result(values)
    what = f"residuals follow those of the row before (correlation {found.follows:.2f}), and {found.n} rows count as "
    what = f"{what}{found.effective:.0f}, so that time or order matters"
    known = "recorded" if run is not None else "ordered" if is_ordered(judged.train.x) else "unknown"
    return Result(values, f"{what}: {_IN_ORDER[known]}{judged.by_auto if run is None else ''}")


def support(judged: Judged, level: float) -> Result:
    """Judge whether forecasts reach below zero where y never does."""
    below = judged.forecast.cdf(np.zeros(len(judged.observed)))
    expected = float(below.sum())
    if min(judged.observed.min(), judged.train.observed.min()) < 0:
        return Result({})
    values = {"below_zero": round(expected, PLACES)}
    none = float(np.log1p(-np.minimum(below, 1 - 1e-12)).sum()) * judged.effective / len(below)
    if none >= math.log(level):
        return Result(values)
    what = f"{judged.target} is never below 0, and forecasts expect {expected:.1f} of {len(below)} rows there"
    fix = "write `transform: log` below model, with an `offset` where y is 0"
    return Result(values, f"{what}: bands are no use near 0: {fix}")


def between(judged: Judged, level: float) -> Result:
    """Judge whether a lengthscale is below the smallest gap between an input's values."""
    for name, value, column, gap in _gaps(judged):
        if value < gap:
            what = f"{name} is {value:.3g}, below the smallest gap between values of {column}, {gap:.3g}"
            key = f"`lengthscale: {{lower: {gap:.3g}}}`"
            return Result({}, f"{what}: nothing is known between them: write {key}, or leave {column} out of `data.x`")
    return Result({})


def linear(judged: Judged, level: float) -> Result:
    """Judge whether least squares predict better; say which share of y's variance is explained, and by others."""
    other = judged.baselines["linear"]
    worse = nlpd(judged.observed, judged.forecast) - nlpd(judged.observed, other)
    mean, m = float(worse.mean()), len(worse)
    trivial = judged.observed - judged.train.observed.mean()
    values = {
        name: 1 - float(squared_error(judged.observed, each).sum() / max(float(trivial @ trivial), 1e-300))
        for name, each in (
            ("explained", judged.forecast),
            *((f"explained_by_{name}", each) for name, each in judged.baselines.items()),
        )
    }
    error = float(worse.std(ddof=1)) / math.sqrt(max(min(judged.effective, m / autocorrelation_time(worse)), 1))
    if mean <= WORSE or mean <= -ndtri(level) * error:
        return Result(values)
    what = f"a linear model predicts the {judged.rows} rows better, by {mean:.2g} nats a row"
    return Result(values, f"{what}: write `mean: {{kind: linear}}` below model")


def average(judged: Judged, level: float) -> Result:
    """Judge whether means of forecasts are where y will be."""
    return Result({}, far_means({f"{judged.rows} rows": summary(judged.forecast), **judged.ahead}))


def _gaps(judged: Judged) -> Iterator[tuple[str, float, str, float]]:
    """Yield name and value of each lengthscale of one input in its units, the input, and its smallest gap."""
    known = judged.hyperparameters
    for name, value in known.items():
        steps = name.split(".")
        if "lengthscale" not in steps:
            continue
        at = steps.index("lengthscale")
        if any(other.startswith(".".join([*steps[:at], "period_length"])) for other in known):
            continue  # a periodic kernel's has no unit
        column = ".".join(steps[at + 1 :]) or (judged.train.columns[0] if judged.train.d == 1 else "")
        if column in judged.train.columns and column not in judged.train.levels:
            found = np.unique(judged.train.x[:, judged.train.columns.index(column)])
            if len(found) >= LEVELS:
                yield name, float(value), column, float(np.diff(found).min())


_ROUGH = "they are the function's, hardly noise: try a smoother kernel, as `nu: 2.5` or `kind: rbf` (`model.search`)"
_DRIFT = (
    "which no noise mends: try a `sum` with a `linear` or `periodic` term, or `transform: log` if y grows by shares"
)
_SHAPE = "try a smaller lengthscale's start, another kernel, or a `sum` of two (`model.search` compares several)"
_IN_ORDER = {
    "recorded": "write `inference: {kind: harmonic}`, which counts such rows as fewer",
    "ordered": "add what they follow to the kernel, as a term `{kind: matern, nu: 0.5}` of a `sum`",
    "unknown": "name the date or the row's number as an input in `data.x`",
}
# To add a check, write a function and add an entry here.  Metrics, table and report read this registry.
CHECKS: dict[str, Callable[[Judged, float], Result]] = {
    "calibration": calibration,
    "tails": tails,
    "structure": structure,
    "order": order,
    "support": support,
    "between": between,
    "linear": linear,
    "average": average,
}
NO_TESTS = ("between", "average")  # of those
