"""Averages over models: others of the same rows that the data hardly tell from the best one, by their evidence.

Each integrates over its own hyperparameters; a forecast is the mixture of theirs  (Hoeting, Madigan, Raftery &
Volinsky 1999, "Bayesian model averaging", eq. 1).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..forecast import Forecast
from ..inference.method import Conditioned
from ..transforms import mixed
from .mixture import Forecasts, LeftOut
from .pareto import smoothed

if TYPE_CHECKING:
    from .asked import Chosen
    from .fitted import Fitted

LITTLE = 0.05  # weight of a model below which its draws hardly change what is predicted


class Alternative(NamedTuple):
    """Another model of the same rows, its kernel in words, and how probable it is beside the best (log odds, nats)."""

    fitted: "Fitted"
    name: str
    log_odds: float


def left_out(parts: Sequence[LeftOut], log_weights: np.ndarray) -> Forecast:
    """Return the forecast of each row from all others by K models, whose log weights with all rows are (K,)."""
    logs = np.concatenate([part.logs + log for part, log in zip(parts, log_weights, strict=True)])
    weights = np.exp(np.array([smoothed(column)[0] for column in logs.T])).T
    means, sds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "sds"))
    return Forecast(means, sds, weights, mixed([each for part in parts for each in part.transforms]))


def pooled(parts: Sequence[Forecasts], weights: np.ndarray) -> Forecasts:
    """Return the mixture of what K models forecast, with `weights` (K,); the terms of a sum are those of the first."""
    if len(parts) == 1:
        return parts[0]
    f, y = (_pooled([getattr(part, name) for part in parts], weights) for name in ("f", "y"))
    return Forecasts(f, y, parts[0].components)


def _pooled(parts: Sequence[Forecast], weights: np.ndarray) -> Forecast:
    means, sds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "sds"))
    shares = np.concatenate([weight * part.weights for part, weight in zip(parts, weights, strict=True)])
    of = [part.transform and part.transform.each(s) for part in parts for s in range(len(part.means))]
    return Forecast(means, sds, shares, mixed(of))


def joined(
    parts: Iterable[tuple[Iterable[Conditioned], np.ndarray]], weights: np.ndarray
) -> tuple[Iterator[Conditioned], np.ndarray]:
    """Return K models conditioned at all settings of their hyperparameters, one after the other, and their weights."""
    each, shares = zip(*parts, strict=True)
    scaled = [weight * share for weight, share in zip(weights, shares, strict=True)]
    return chain.from_iterable(each), np.concatenate(scaled)


def said(alternatives: Sequence[Alternative]) -> str:
    """Return in words that predictions average over several models."""
    return f", averaged over {1 + len(alternatives)} structures" if alternatives else ""


def alarms(alternatives: Sequence[Alternative], weights: np.ndarray, hyperparameters: "Chosen") -> tuple[str, ...]:
    """Return the alarms about the draws of `alternatives` with `weights` (K,), each with its model's name.

    Of those with little weight there are none.
    """
    found = list[str]()
    for each, weight in zip(alternatives, weights.tolist(), strict=True):
        mixture = each.fitted.mixture(hyperparameters) if weight >= LITTLE else None
        raised = mixture.draws.alarms(plateaus=False) if mixture else []  # one input is never irrelevant
        found += [f"structure {each.name} (weight {weight:.2f}): {alarm}" for alarm in raised]
    return tuple(found)
