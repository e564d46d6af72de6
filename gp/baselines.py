"""Baselines: the standard methods that a model is compared with.  BASELINES is the registry."""

import importlib  # scikit-learn takes a second to load, which a study of few rows need not wait for
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .dataset import Dataset
from .forecast import Forecast

TREES = 100
FOLDS = 5
MOST = 4000  # rows that trees learn from: some seconds
_PENALTIES = (0.0, *np.logspace(-3, 3, 13))  # of coefficients of standardised inputs, beside n
_PLENTY = 5  # rows for each coefficient, from which no penalty is needed


class Baseline(Protocol):
    """A method fitted to training rows."""

    def predict(self, x: np.ndarray) -> Forecast:
        """Return the forecast of new observations at x (m, d), in y's units."""
        ...

    def leave_one_out(self) -> Forecast:
        """Return the forecast of each training row from all others, in y's units."""
        ...


def by_fold(method: Callable[[Dataset], Baseline], train: Dataset, folds: np.ndarray) -> Forecast:
    """Return the forecast of each row by the method fitted to the rows of other `folds` (n,)."""
    mean, sd = np.empty(train.n), np.empty(train.n)
    for fold in np.unique(folds):
        out = folds == fold
        found = method(train.at(~out)).predict(train.x[out])
        mean[out], sd[out] = found.mean, found.sd
    return Forecast.normal(mean, sd)


def features(train: Dataset, x: np.ndarray) -> np.ndarray:
    """Return inputs x (m, d) as numbers (m, q): of L levels L − 1 columns, which say how each differs from their mean.

    The last level is −1 in all of its columns, and a level that `train` does not have 0.
    """
    columns = []
    for name, column in zip(train.columns, x.T, strict=True):
        if name not in train.levels:
            columns.append(column[:, None])
            continue
        most = len(train.levels[name])
        is_level = (column[:, None] == np.arange(most)).astype(np.float64)
        columns.append(is_level[:, :-1] - is_level[:, -1:])
    return np.hstack(columns)


@dataclass(frozen=True, eq=False)
class Linear:
    """Least squares of y on the inputs, with its normal predictive density; ridge where rows are few.

    The penalty is the one of the least error of left-out rows, by generalised cross-validation (Golub et al. 1979).
    """

    train: Dataset

    def predict(self, x: np.ndarray) -> Forecast:
        """Return the forecast of new observations at x (m, d), in y's units."""
        design, y, penalty = self._design(self.train.x), self.train.observed, self._penalty
        gram = self._gram(design, penalty)
        coefficients = np.linalg.solve(gram, design.T @ y)
        at = self._design(x)
        leverage = np.einsum("ij,ji->i", at, np.linalg.solve(gram, at.T))
        return Forecast.normal(at @ coefficients, np.sqrt(self._variance(penalty) * (1 + leverage)))

    def leave_one_out(self) -> Forecast:
        """Return the forecast of each training row from all others, in y's units, the penalty being that of all rows.

        With the residual r and the leverage h of a row, its error is r / (1 − h), and the others' sum of squares is
        less by r² / (1 − h).
        """
        y, n = self.train.observed, self.train.n
        fitted, leverage, freedom, squares = self._fit(self._penalty)
        room = np.maximum(1 - leverage, 1e-12)
        error = (y - fitted) / room
        variance = np.maximum(squares - (y - fitted) * error, 0) / max(n - 1 - freedom, 1.0)
        floor = 1e-12 * float(np.var(y))
        return Forecast.normal(y - error, np.sqrt(np.maximum(variance, floor) / room))

    def _design(self, x: np.ndarray) -> np.ndarray:
        """Return the constant and the standardised `features`, (m, 1 + q)."""
        own, x = features(self.train, self.train.x), features(self.train, x)
        mean, sd = own.mean(axis=0), own.std(axis=0)
        return np.column_stack([np.ones(len(x)), (x - mean) / np.where(sd > 0, sd, 1)])

    def _gram(self, design: np.ndarray, penalty: float) -> np.ndarray:
        """Return XᵀX + penalty (not of the constant), kept off singularity."""
        weights = np.r_[0, np.full(design.shape[1] - 1, penalty + 1e-9 * len(self.train.x))]
        return np.asarray(design.T @ design + np.diag(weights))

    def _fit(self, penalty: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Return the fitted values and leverages of the training rows, degrees of freedom, and the sum of squares."""
        design = self._design(self.train.x)
        inverse = np.linalg.inv(self._gram(design, penalty))
        fitted, leverage = (
            design @ (inverse @ (design.T @ self.train.observed)),
            ((design @ inverse) * design).sum(axis=1),
        )
        return fitted, leverage, float(leverage.sum()), float(((self.train.observed - fitted) ** 2).sum())

    @property
    def _penalty(self) -> float:
        n, q = self._design(self.train.x).shape
        if n >= _PLENTY * q:
            return 0.0

        def error(penalty: float) -> float:
            _, _, freedom, squares = self._fit(penalty)
            return squares / max(1 - freedom / n, 1e-6) ** 2

        return float(min(_PENALTIES, key=error))

    def _variance(self, penalty: float) -> float:
        """Return the variance of the noise."""
        _, _, freedom, squares = self._fit(penalty)
        return max(squares / max(self.train.n - freedom, 1.0), 1e-12 * float(np.var(self.train.observed)))


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble of trees, with its errors on rows that it has not seen as the sd of every forecast.

    It learns from at most MOST rows, drawn at random.  `unseen` has an error for each of these.
    """

    train: Dataset
    learner: Any  # scikit-learn's, fitted
    rows: np.ndarray  # that it has learnt from, (k,)
    unseen: np.ndarray  # predictions of these rows by trees that have not seen them, (k,)

    def predict(self, x: np.ndarray) -> Forecast:
        """Return the forecast of new observations at x (m, d), in y's units."""
        errors = self.train.observed[self.rows] - self.unseen
        sd = max(float(np.sqrt(np.mean(errors**2))), 1e-6 * float(self.train.observed.std()))
        return Forecast.normal(self.learner.predict(features(self.train, x)), np.full(len(x), sd))

    def leave_one_out(self) -> Forecast:
        """Return the forecast of each training row, in y's units, by trees that have not seen it."""
        found = self.predict(self.train.x)
        mean = found.mean.copy()
        mean[self.rows] = self.unseen
        return Forecast.normal(mean, found.sd)


def forest(train: Dataset) -> Trees:
    """Return a random forest (Breiman 2001), judged on rows outside the bags of its trees."""
    ensemble = importlib.import_module("sklearn.ensemble")
    rows = _some(train.n)
    learner = ensemble.RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1)
    learner.fit(features(train, train.x[rows]), train.observed[rows])
    return Trees(train, learner, rows, learner.oob_prediction_)


def boosting(train: Dataset) -> Trees:
    """Return gradient boosting of trees (Friedman 2001), judged by cross-validation in FOLDS folds."""
    ensemble, selection = (importlib.import_module(f"sklearn.{name}") for name in ("ensemble", "model_selection"))
    rows = _some(train.n)
    learner = ensemble.GradientBoostingRegressor(n_estimators=TREES, random_state=0)
    x, y = features(train, train.x[rows]), train.observed[rows]
    folds = selection.KFold(FOLDS, shuffle=True, random_state=0)
    unseen = selection.cross_val_predict(learner, x, y, cv=folds)
    return Trees(train, learner.fit(x, y), rows, unseen)


def baselines_of(train: Dataset) -> dict[str, Callable[[Dataset], Baseline]]:
    """Return the baselines that rows so many are enough for, by name."""
    return {name: method for name, method in BASELINES.items() if train.n >= ENOUGH.get(name, 0)}


def _some(n: int) -> np.ndarray:
    return np.arange(n) if n <= MOST else np.sort(np.random.default_rng(0).choice(n, MOST, replace=False))


# To add a baseline, write a class of the form `Baseline`, or a function that returns one, and add an entry here.
BASELINES: dict[str, Callable[[Dataset], Baseline]] = {"linear": Linear, "forest": forest, "boosting": boosting}
ENOUGH = {"forest": 60, "boosting": 60}  # rows: trees of fewer say little
