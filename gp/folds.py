"""Folds: each row predicted by a fit, hyperparameters and all, to the rows of the other folds."""

from dataclasses import replace
from typing import Any

import numpy as np

from .dataset import Dataset, varied
from .fitted.asked import Chosen
from .fitted.averaged import Alternative
from .fitted.fit import fit_beside, fit_dataset
from .fitted.fitted import Fitted
from .fitted.structures import evidence_of
from .forecast import Forecast
from .parallel import fan_out


def predict_folds(fitted: Fitted, folds: np.ndarray, *, seed: int, hyperparameters: Chosen = None) -> Forecast:
    """Return the forecast of each row's y by the model refitted without the row's fold, in y's units.

    `folds` (n,) numbers each row's fold from 0.  Kernels (of several structures; their weights are by the evidence of
    the rows that are fitted), the inference method and the power of a transform are those of `fitted`, where they were
    chosen for it.  `hyperparameters` as in `Fitted.predict`.  Fits run side by side (gp.parallel.fan_out).
    """
    tasks = [(fitted, folds == fold, seed, hyperparameters) for fold in range(int(folds.max()) + 1)]
    parts = fan_out(_predict, tasks, label="folds")
    return _joined(parts, folds)


def _predict(fitted: Fitted, out: np.ndarray, seed: int, hyperparameters: Chosen) -> Forecast:
    """Return the forecast of the rows `out` (n,) by a fit to the others."""
    train, test = varied(fitted.data.at(~out)), fitted.data.at(out)
    method: Any = fitted.inference  # a spec of the union
    again = fit_dataset(train, model=fitted.model, inference=method, train=fitted.train, seed=seed)
    alternatives = fitted.alternatives if fitted.mixture(hyperparameters) else ()  # else they take no part
    others = [(each, fit_beside(train, each.fitted.model, method, fitted.train, seed)) for each in alternatives]
    beside = tuple(each._replace(fitted=other) for each, other in others if other)
    again = replace(again, alternatives=_weighted(train, fitted, beside) if beside else ())
    return again.predict(test.x, test.noise_sd, hyperparameters=hyperparameters).y


def _weighted(train: Dataset, fitted: Fitted, beside: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    """Return structures `beside` the best with log odds by the rows of `train`; all as they were where one has none."""
    best, *found = (evidence_of(train, model) for model in (fitted.model, *(each.fitted.model for each in beside)))
    if best is None or None in found:
        return beside
    return tuple(
        each._replace(log_odds=nats - best) for each, nats in zip(beside, found, strict=True) if nats is not None
    )


def _joined(parts: list[Forecast], folds: np.ndarray) -> Forecast:
    """Return the forecasts of all rows; a part of fewer normals than another has more of weight zero."""
    most = max(len(part.means) for part in parts)
    means, sds, weights, powers = (np.zeros((most, len(folds))) for _ in range(4))
    transform, several = parts[0].transform, any(part.transform and part.transform.is_mixed for part in parts)
    for fold, part in enumerate(parts):
        rows, s = np.flatnonzero(folds == fold), len(part.means)
        for made, given in ((means, part.means), (sds, part.sds)):
            made[:, rows] = given[0]
            made[:s, rows] = given
        weights[:s, rows] = np.broadcast_to(part.weights, part.means.shape)
        if several:
            powers[:, rows] = part.transform.reference.power  # type: ignore[union-attr]
            powers[:s, rows] = part.transform.power  # type: ignore[union-attr]
    if several and transform:
        transform = transform.model_copy(update={"power": powers})
    return Forecast(means, sds, weights if most > 1 else np.ones((1, 1)), transform)
