"""Draws of the hyperparameters, and how well they stand for the posterior: what a model file keeps of it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .convergence import Convergence
from .pareto import RELIABLE

FEW = 0.25  # share of the draws
MANY = 1 / 3  # share of the draws: of 32, those left then have too short a tail for a Pareto k̂
TAILS = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Draws:
    """Raw vectors (S, P) at which the model predicts, each with its log weight (S,); the weights sum to one.

    Where these are importance weights, `pareto_k` says how far they can be trusted (−inf: nothing is against them), and
    `effective` is the share of draws that had the weight before it was tempered.  Where they come from chains, `chains`
    says whether these agree, and `sampled` (N, P) are all of their draws, of which the vectors are some.  `dropped` is
    how many had no Cholesky factor.  Where the power of a transform of y was drawn too, `units` (S, 3) are each draw's
    power, offset and scale of z (gp.model.powers).
    """

    vectors: np.ndarray
    log_weights: np.ndarray
    pareto_k: float
    effective: float
    dropped: int
    chains: Convergence | None = None
    sampled: np.ndarray | None = None
    units: np.ndarray | None = None

    def alarms(self, *, plateaus: bool) -> list[str]:
        """Return a line for each reason to doubt the draws, with what to do about it.

        `plateaus`: whether an input is irrelevant; its lengthscale lies on a plateau, which is no normal either, and
        does no harm.
        """
        alarms, drawn = self.chains.alarms if self.chains else [], self.dropped + len(self.vectors)
        if self.dropped > MANY * drawn:
            alarms.append(
                f"{self.dropped} of {drawn} draws of the hyperparameters have no likelihood that can be computed, and "
                "the rest may not stand for what is known of them: bands of predictions are rough: state priors or a "
                "`lower` of lengthscales and noise, or raise inference.harmonics where inference is harmonic"
            )
        if self.effective < FEW and self.pareto_k > RELIABLE and not plateaus:
            alarms.append(
                f"what is known of the hyperparameters is not near normal in their logs (Pareto k̂ {self.pareto_k:.2f}, "
                f"{self.effective:.0%} of the draws have the weight): their intervals, and bands of predictions, are "
                "rough: sample them (predict.hyperparameters: {kind: nuts}), take fewer, or state priors"
            )
        return alarms

    def numbers(self) -> dict[str, Any]:
        """Return what fit.json says of them."""
        if self.chains:
            return asdict(self.chains)
        k = {"pareto_k": float(f"{self.pareto_k:.3g}")} if math.isfinite(self.pareto_k) else {}
        return {**k, "effective": float(f"{self.effective:.3g}")}


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, at: Sequence[float] = TAILS) -> list[float]:
    """Return the quantiles `at` some levels of weighted draws (S,)."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    places = [min(int(np.searchsorted(below, level)), len(values) - 1) for level in at]
    return [float(values[order][place]) for place in places]
