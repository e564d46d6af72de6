"""The prior density of hyperparameters in the raw vector, where predictions integrate over them.

The user's priors are of θ; in the raw vector they gain the factor |dθ/draw|.  What has none gets a weak normal about
its data-driven start, which keeps what the data do not determine finite.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..parameters.vector import Parameters

WIDTH = 3.0  # sd of a hyperparameter about its start, in units of the raw vector, where the user gave no prior


@dataclass(frozen=True, eq=False)
class WeakPrior:
    """N(start, WIDTH²) of what has no prior of the user's, at `places` of the raw vector; what has one is flat."""

    places: np.ndarray
    start: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, parameters: Parameters, places: np.ndarray) -> "WeakPrior":
        """Return the weak prior at `places` of the raw vector, those that are not integrated out."""
        widths = np.concatenate([np.full(p.size, math.inf if p.prior else WIDTH) for p in parameters.free])[places]
        return cls(places, parameters.start[places], 1 / widths**2)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return the log density (S,) at `vectors` (S, P), but for a constant."""
        return np.asarray(-0.5 * ((vectors[:, self.places] - self.start) ** 2 * self.precision).sum(axis=1))

    def slope(self, vector: np.ndarray) -> np.ndarray:
        """Return the derivatives (P,) of the log density at `vector` (P,)."""
        slope = np.zeros(len(vector))
        slope[self.places] = -(vector[self.places] - self.start) * self.precision
        return slope


def log_prior(parameters: Parameters, vector: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the log density of the user's priors in the raw vector, and its derivatives (P,)."""
    value, slope = parameters.log_prior(vector)
    factor, by_raw = log_factor(parameters, vector)
    return value + factor, slope + by_raw


def log_factor(parameters: Parameters, vector: np.ndarray) -> tuple[float, np.ndarray]:
    """Return log |dθ/draw| of what has a prior of the user's, but for a constant, and its derivatives (P,)."""
    by_raw = np.concatenate(
        [np.full(p.size, float(bool(p.prior) and p.positive)) for p in parameters.free] or [np.zeros(0)]
    )
    return float(by_raw @ vector), by_raw
