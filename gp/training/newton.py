"""Climbing to an optimum in few evaluations, from a start whose curvature is known: Newton steps with BFGS updates.

Everything is in the raw vector (logs of hyperparameters) and in nats.  `curvature` is −∂²(objective), (p, p).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gp.matrices.cholesky import NotPositiveDefinite


class Objective(Protocol):
    """What is maximised: raw vector → (nats, gradient), over `n` rows."""

    n: int

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient."""
        ...


STEP = 1.0  # longest step along a direction; a quadratic is not to be trusted beyond a factor of e
FLAT = 1e-3  # curvature (nats per squared unit of log θ) below which a direction counts as flat


@dataclass(frozen=True, eq=False)
class Peak:
    """Where a climb ended: the vector, the objective there and at every evaluation, the curvature as it is known.

    `n` is the number of rows, in proportion to which curvature grows.
    """

    vector: np.ndarray
    value: float
    values: tuple[float, ...]
    curvature: np.ndarray
    n: int


def climb(
    objective: Objective,
    start: np.ndarray,
    curvature: np.ndarray,
    bounds: list[tuple[float, float]],
    *,
    tolerance: float,
    max_steps: int = 100,
) -> Peak:
    """Return the optimum near `start`: stops when a step promises less than `tolerance` nats.

    Steps are H⁻¹g within a reach that shrinks where they disappoint; H is updated by BFGS (Nocedal & Wright 2006,
    eq. 6.19) from every evaluation, those that disappoint too.
    Raises NotPositiveDefinite only where `start` itself is at fault.
    """
    lower, upper = np.array(bounds).reshape(-1, 2).T
    vector, (value, gradient), reach = start, objective(start), STEP
    values = [value]
    for _ in range(max_steps):
        free = ~held(vector, gradient, bounds)
        step = np.zeros_like(vector)
        step[free] = newton_step(gradient[free], curvature[np.ix_(free, free)], reach)
        promise = 0.5 * float(gradient @ step)
        if promise < tolerance:
            break
        ahead = np.clip(vector + step, lower, upper)
        ahead_value, ahead_gradient = _try(objective, ahead)
        if not np.isfinite(ahead_value):
            reach *= 0.1
            continue
        values.append(ahead_value)
        curvature = _updated(curvature, ahead - vector, gradient - ahead_gradient)
        if ahead_value - value < 0.1 * promise:
            reach = 0.25 * float(np.abs(step).max())
        if ahead_value > value:
            vector, value, gradient = ahead, ahead_value, ahead_gradient
    return Peak(vector, value, tuple(values), curvature, objective.n)


def newton_step(gradient: np.ndarray, curvature: np.ndarray, reach: float = STEP) -> np.ndarray:
    """Return H⁻¹g, H's negative directions taken as curving down, and along each no more than `reach`."""
    if not len(gradient):
        return gradient
    values, directions = np.linalg.eigh(curvature)
    lengths = (directions.T @ gradient) / np.maximum(np.abs(values), FLAT)
    # Held one by one: a flat direction must not shorten the step along the others.
    return directions @ np.clip(lengths, -reach, reach)


def newton_gain(gradient: np.ndarray, curvature: np.ndarray) -> float:
    """Return how many nats a Newton step promises."""
    return 0.5 * float(gradient @ newton_step(gradient, curvature))


def held(vector: np.ndarray, gradient: np.ndarray, bounds: list[tuple[float, float]]) -> np.ndarray:
    """Return for each element whether it lies at a bound that the gradient pushes it against."""
    lower, upper = np.array(bounds).reshape(-1, 2).T
    return ((vector <= lower + 1e-9) & (gradient <= 0)) | ((vector >= upper - 1e-9) & (gradient >= 0))


def measure_curvature(objective: Objective, vector: np.ndarray, *, central: bool = True) -> np.ndarray:
    """Return −∂²(objective) at `vector`, (p, p), by differences of the gradient: 2p evaluations `central`, else p + 1.

    An element whose neighbours have no value (the matrix there has no factor) counts as flat.
    """
    step = 1e-4  # balances truncation against the rounding of gradients
    here, rows = None if central else _try(objective, vector), []
    for shift in step * np.eye(len(vector)):
        ahead, width = _try(objective, vector + shift), step
        behind = here
        if behind is None:
            behind, width = _try(objective, vector - shift), 2 * step
        known = np.isfinite(ahead[0]) and np.isfinite(behind[0])
        rows.append((behind[1] - ahead[1]) / width if known else np.zeros_like(vector))
    curvature = np.array(rows).reshape(len(vector), len(vector))
    return 0.5 * (curvature + curvature.T)


def _try(objective: Objective, vector: np.ndarray) -> tuple[float, np.ndarray]:
    try:
        return objective(vector)
    except NotPositiveDefinite:
        return -np.inf, np.zeros_like(vector)


def _updated(curvature: np.ndarray, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return the BFGS update of H, for a `step` along which the gradient fell by `fall`."""
    along = curvature @ step
    if step @ fall <= 1e-10 * np.linalg.norm(step) * np.linalg.norm(fall) or step @ along <= 0:
        return curvature
    return curvature + np.outer(fall, fall) / (step @ fall) - np.outer(along, along) / (step @ along)
