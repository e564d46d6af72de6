"""Priors of hyperparameters, over θ in the data's own units.

To add one, write a class here with a `kind`, `log_density` and `slope`; add its name to the union it belongs to.
"""

import math
from typing import Annotated, Literal

import numpy as np

from ..spec import FiniteFloat, OneOf, PositiveFloat, Spec


class LogNormal(Spec):
    """log θ ~ N(log median, sigma²), θ in the data's units."""

    kind: Literal["log_normal"] = "log_normal"
    median: PositiveFloat
    sigma: PositiveFloat

    def log_density(self, value: np.ndarray) -> np.ndarray:
        """Return log p(θ) elementwise."""
        z = np.log(value / self.median) / self.sigma
        return -0.5 * z**2 - np.log(value * self.sigma * math.sqrt(2 * math.pi))

    def slope(self, value: np.ndarray) -> np.ndarray:
        """Return d log p(θ) / dθ elementwise."""
        return (-1 - np.log(value / self.median) / self.sigma**2) / value


class Gamma(Spec):
    """θ ~ Gamma(shape, rate), mean shape/rate, θ in the data's units."""

    kind: Literal["gamma"] = "gamma"
    shape: PositiveFloat
    rate: PositiveFloat

    def log_density(self, value: np.ndarray) -> np.ndarray:
        """Return log p(θ) elementwise."""
        constant = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        return constant + (self.shape - 1) * np.log(value) - self.rate * value

    def slope(self, value: np.ndarray) -> np.ndarray:
        """Return d log p(θ) / dθ elementwise."""
        return (self.shape - 1) / value - self.rate


class Normal(Spec):
    """θ ~ N(mean, sd²), θ in the data's units; for hyperparameters that may be negative."""

    kind: Literal["normal"] = "normal"
    mean: FiniteFloat
    sd: PositiveFloat

    def log_density(self, value: np.ndarray) -> np.ndarray:
        """Return log p(θ) elementwise."""
        return -0.5 * ((value - self.mean) / self.sd) ** 2 - math.log(self.sd * math.sqrt(2 * math.pi))

    def slope(self, value: np.ndarray) -> np.ndarray:
        """Return d log p(θ) / dθ elementwise."""
        return (self.mean - value) / self.sd**2


PositivePrior = Annotated[LogNormal | Gamma, OneOf()]
RealPrior = Annotated[Normal, OneOf()]
Prior = PositivePrior | RealPrior
