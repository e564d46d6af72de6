"""Series: rows at equal steps of time, the simple methods that forecasters compare with, and forecasters' scores.

Times are numbers, dates decimal years.  A step may be missing: values are looked up by their step, not by their row.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .calendar import decimal_year, month
from .dataset import Dataset
from .forecast import Forecast
from .spec import Fault, InputError

NEAR = 0.2  # of a step, within which a time is at one: months differ by a tenth
# Steps of a year that are told by name, and how many of them are a season.
NAMED = {"month": 12, "quarter": 4, "week": 52, "day": 7, "hour": 24}
PER_YEAR = {"month": 12.0, "quarter": 4.0, "week": 365.25 / 7, "day": 365.25, "hour": 24 * 365.25, "year": 1.0}
INTERVALS = (0.50, 0.80, 0.95)  # whose coverage is given by horizon


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps at which times (n,) are: `at` = round((x − x₀)/step), (n,) integers, and the `step` in x's units."""

    step: float
    at: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Steps | None":
        """Return the steps of times x (n,); None where they are at no equal steps, or some of them are equal.

        The step is the median difference of successive times; months and quarters of decimal years differ a little.
        """
        if len(x) < 3:
            return None
        typical, extent = float(np.median(np.diff(np.sort(x)))), float(np.ptp(x))
        if typical <= 0:
            return None
        for step in (extent / max(round(extent / typical), 1), *(1 / rate for rate in PER_YEAR.values())):
            exact = (x - x.min()) / step
            at = exact.round().astype(np.int64)
            if np.abs(exact - at).max() <= NEAR and abs(step / typical - 1) <= NEAR and len(np.unique(at)) == len(at):
                return cls(step, at)
        return None

    @property
    def name(self) -> str:
        """Return the step of decimal years in words: month, week, …; "" where it is none of these."""
        close = [name for name, rate in PER_YEAR.items() if abs(self.step * rate - 1) < 0.02]
        return close[0] if close else ""

    @property
    def missing(self) -> int:
        """Return how many steps between the first and the last have no row."""
        return int(np.ptp(self.at)) + 1 - len(self.at)


def season_of(steps: Steps, *, is_date: bool) -> int:
    """Return how many steps a season has, where the steps are those of dates; 1 where there is no season."""
    return NAMED.get(steps.name, 1) if is_date else 1


def future(x: np.ndarray, count: int, *, is_date: bool) -> np.ndarray:
    """Return the times (count,) of the steps after the last of x (n,).  Raises InputError where x has no equal steps.

    Months and quarters begin at the first of a month, as rows of them do.
    """
    steps = Steps.of(x)
    if steps is None:
        why = "the times are at no equal steps, so that the next ones are not known"
        raise InputError(Fault("predict.horizon", why, "name the rows to predict: `data.new`"))
    last = float(x.max())
    months = {"month": 1, "quarter": 3, "year": 12}.get(steps.name) if is_date else None
    if months is None:
        return last + steps.step * np.arange(1, count + 1)
    begin = round((last - math.floor(last)) * 12) + 12 * math.floor(last)
    offset = last - decimal_year(month(begin))
    return np.array([decimal_year(month(begin + months * k)) + offset for k in range(1, count + 1)])


@dataclass(frozen=True, eq=False)
class History:
    """What was observed until an origin: `y` (n,) at the integer steps `at` (n,), in order; `season` steps repeat."""

    at: np.ndarray
    y: np.ndarray
    season: int

    def changes(self, lag: int) -> np.ndarray:
        """Return y at each step less that `lag` steps before, where both are known."""
        before = np.searchsorted(self.at, self.at - lag)
        known = (before < len(self.at)) & (self.at[np.minimum(before, len(self.at) - 1)] == self.at - lag)
        return np.asarray(self.y[known] - self.y[before[known]])

    @property
    def scale(self) -> float:
        """Return the mean absolute change from one season to the next: the unit of MASE.

        Hyndman & Koehler 2006, sec. 3, with the seasonal naive forecast.  From one step to the next without a season.
        """
        changes = self.changes(self.season)
        return float(np.abs(changes if len(changes) else self.changes(1)).mean())


def naive(history: History, at: np.ndarray) -> Forecast:
    """Return the last value, with a random walk's variance  (Hyndman & Athanasopoulos 2021, table 5.2)."""
    ahead = at - history.at[-1]
    return Forecast.normal(np.full(len(at), history.y[-1]), _sd(history.changes(1)) * np.sqrt(ahead))


def drift(history: History, at: np.ndarray) -> Forecast:
    """Return the line through the first and the last value  (Hyndman & Athanasopoulos 2021, table 5.2)."""
    ahead, span = at - history.at[-1], max(int(history.at[-1] - history.at[0]), 1)
    slope = (history.y[-1] - history.y[0]) / span
    sd = _sd(history.changes(1) - slope) * np.sqrt(ahead * (1 + ahead / span))
    return Forecast.normal(history.y[-1] + slope * ahead, sd)


def seasonal_naive(history: History, at: np.ndarray) -> Forecast:
    """Return the value of the same step of the last season  (Hyndman & Athanasopoulos 2021, table 5.2).

    Where that step is missing, the season before it is taken.
    """
    season, ahead = history.season, at - history.at[-1]
    passed = (ahead - 1) // season + 1
    mean = np.empty(len(at))
    for i, (step, seasons) in enumerate(zip(at.tolist(), passed.tolist(), strict=True)):
        same = np.flatnonzero((history.at <= step - seasons * season) & ((step - history.at) % season == 0))
        mean[i] = history.y[same[-1]] if len(same) else history.y[-1]
    return Forecast.normal(mean, _sd(history.changes(season)) * np.sqrt(passed))


def _sd(changes: np.ndarray) -> float:
    """Return the root mean square of changes, never zero."""
    return max(float(np.sqrt(np.mean(changes**2))) if len(changes) else 0.0, 1e-12)


# The simple methods that forecasts are compared with.
NAIVE: dict[str, Callable[[History, np.ndarray], Forecast]] = {
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "drift": drift,
}


def row_scores(observed: np.ndarray, forecast: Forecast, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores (m,) of each forecast by name; `scale` (m,) is the unit of MASE at its origin.

    Errors in `mase` and `smape` are those of the median, which minimises them.  sMAPE is 200 |y − ŷ|/(|y| + |ŷ|), in
    per cent  (Makridakis & Hibon 2000); MASE is Hyndman & Koehler's (2006).
    """
    median = forecast.quantile(0.5)
    error, size = np.abs(observed - median), np.abs(observed) + np.abs(median)
    return {
        "mase": error / scale,
        "smape": 200 * error / np.where(size > 0, size, 1.0),
        "crps": forecast.crps(observed),
        "nlpd": -forecast.log_density(observed),
        **{f"coverage_{100 * p:.0f}": (~forecast.outside(observed, p)).astype(float) for p in INTERVALS},
    }


@dataclass(frozen=True, eq=False)
class Rolling:
    """Rows to be forecast from rolling origins: pairs of an origin and a row, (m,) each.

    `rows` are places among the held-out rows, which are in order of time; those before place `origin` are known then.
    `ahead` (m,) counts the rows from the origin, from 1.
    """

    origin: np.ndarray
    rows: np.ndarray
    ahead: np.ndarray

    @classmethod
    def of(cls, count: int, origins: int, horizon: int, step: int) -> "Rolling":
        """Return the pairs over `count` held-out rows: `origins`, each `step` rows after the one before it."""
        starts = np.repeat(np.arange(origins) * step, horizon)
        ahead = np.tile(np.arange(1, horizon + 1), origins)
        rows = starts + ahead - 1
        kept = rows < count
        return cls(starts[kept], rows[kept], ahead[kept])


@dataclass(frozen=True, eq=False)
class Plan:
    """What names.json says of forecasts from rolling origins, over the held-out rows `test` in order of time.

    `order` (m,) are their places in the study's files, and `along` is the input that is time.
    """

    test: Dataset
    order: np.ndarray
    along: int
    rolling: Rolling
    season: int | None
    is_date: bool

    @classmethod
    def of(cls, names: Mapping[str, Any], test: Dataset) -> "Plan":
        """Return the plan for the rows `test` in the order of their file."""
        written = names["forecast"]
        along = test.columns.index(written["along"])
        order = np.argsort(test.x[:, along], kind="stable")
        rolling = Rolling.of(test.n, written["origins"], written["horizon"], written["step"])
        is_date = written["along"] in names.get("dates", [])
        return cls(test.at(order), order, along, rolling, written.get("season"), is_date)

    @property
    def observed(self) -> np.ndarray:
        """Return what was observed of each pair (m,)."""
        return self.test.observed[self.rolling.rows]

    def score(self, train: Dataset, forecast: Forecast) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
        """Return the season, and method → score → (m,) of the model's `forecast` of each pair and of simple methods.

        Raises InputError where the times are at no equal steps.
        """
        steps = Steps.of(np.concatenate([train.x[:, self.along], self.test.x[:, self.along]]))
        if steps is None:
            why = "the times are at no equal steps, so that seasons and naive forecasts have no meaning"
            raise InputError(Fault("data.holdout", why, "write `holdout: {last: …}` instead of origins"))
        season = self.season or season_of(steps, is_date=self.is_date)
        order = np.argsort(steps.at[: train.n], kind="stable")
        at = np.concatenate([steps.at[: train.n][order], steps.at[train.n :]])
        y = np.concatenate([train.observed[order], self.test.observed])
        methods = {name: method for name, method in NAIVE.items() if season > 1 or name != "seasonal_naive"}
        scale, found = np.empty(len(self.observed)), dict[str, list[Forecast]]()
        for start in np.unique(self.rolling.origin):
            pairs = self.rolling.origin == start
            history = History(at[: train.n + start], y[: train.n + start], season)
            scale[pairs] = history.scale
            for name, method in methods.items():
                found.setdefault(name, []).append(method(history, at[train.n + self.rolling.rows[pairs]]))
        if not (scale > 0).all():
            why = "y repeats itself from season to season, so that MASE has no unit"
            raise InputError(Fault("data.holdout", why, "write another `season`, or `holdout: {last: …}`"))
        simple = {
            name: Forecast.normal(*(np.concatenate([getattr(part, of) for part in parts]) for of in ("mean", "sd")))
            for name, parts in found.items()
        }
        scores = {name: row_scores(self.observed, each, scale) for name, each in {"model": forecast, **simple}.items()}
        return season, scores

    def by_horizon(self, scores: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
        """Return a table of the mean scores of each `method` at each number of rows `ahead`."""
        tables = [
            pd.DataFrame({"ahead": self.rolling.ahead, **of}).groupby("ahead").mean().reset_index().assign(method=name)
            for name, of in scores.items()
        ]
        return pd.concat(tables)[["method", *tables[0].columns[:-1]]]


def summary(scores: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Return the means of the model's scores by name, and those of each simple method in a mapping of its own."""
    means = {name: {of: float(values.mean()) for of, values in each.items()} for name, each in scores.items()}
    return {**means.pop("model"), **means}
