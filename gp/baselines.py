"""Baselines: the standard methods that a model is compared with.  BASELINES is the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gp.dataset import Dataset
from gp.forecast import Forecast

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
        """Return the constant and the standardised inputs, (m, 1 + d)."""
        mean, sd = self.train.x.mean(axis=0), self.train.x.std(axis=0)
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
        n, d = self.train.x.shape
        if n >= _PLENTY * (d + 1):
            return 0.0

        def error(penalty: float) -> float:
            _, _, freedom, squares = self._fit(penalty)
            return squares / max(1 - freedom / n, 1e-6) ** 2

        return float(min(_PENALTIES, key=error))

    def _variance(self, penalty: float) -> float:
        """Return the variance of the noise."""
        _, _, freedom, squares = self._fit(penalty)
        return max(squares / max(self.train.n - freedom, 1.0), 1e-12 * float(np.var(self.train.observed)))


# To add a baseline, write a class of the form `Baseline` and add an entry here.
BASELINES: dict[str, Callable[[Dataset], Baseline]] = {"linear": Linear}
