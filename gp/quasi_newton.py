"""Climbing to an optimum in few evaluations, from a start whose curvature is known: Newton steps with BFGS updates.

Everything is in the raw vector (logs of hyperparameters) and in nats.  `curvature` is −∂²(objective), (p, p).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gp.inference.exact import NotPositiveDefinite

# raw vector → (what is maximised, nats; its gradient)
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

STEP = 2.0  # longest step of an element; a quadratic is not to be trusted beyond a factor of e²
FLAT = 1e-3  # curvature (nats per squared unit of log θ) below which a direction counts as flat


@dataclass(frozen=True, eq=False)
class Peak:
    """Where a climb ended: the vector, the objective there, every evaluation's value, the curvature as it is known."""

    vector: np.ndarray
    value: float
    values: tuple[float, ...]
    curvature: np.ndarray
    converged: bool


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

    Steps are H⁻¹g, halved until the objective rises enough (Armijo); H is updated by BFGS (Nocedal & Wright 2006,
    eq. 6.19).    Raises NotPositiveDefinite only where `start` itself is at fault.
    """
    lower, upper = np.array(bounds).reshape(-1, 2).T
    vector, (value, gradient) = start, objective(start)
    values = [value]
    for _ in range(max_steps):
        free = ~held(vector, gradient, bounds)
        step = np.zeros_like(vector)
        step[free] = newton_step(gradient[free], curvature[np.ix_(free, free)])
        if 0.5 * gradient @ step < tolerance:
            return Peak(vector, value, tuple(values), curvature, True)
        for _ in range(20):
            ahead = np.clip(vector + step, lower, upper)
            ahead_value, ahead_gradient = _try(objective, ahead)
            if np.isfinite(ahead_value):
                values.append(ahead_value)
            if ahead_value >= value + 1e-4 * gradient @ (ahead - vector):
                break
            step = 0.5 * step if np.isfinite(ahead_value) else 0.1 * step
        else:
            return Peak(vector, value, tuple(values), curvature, False)
        curvature = _updated(curvature, ahead - vector, gradient - ahead_gradient)
        vector, value, gradient = ahead, ahead_value, ahead_gradient
    return Peak(vector, value, tuple(values), curvature, False)


def newton_step(gradient: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return H⁻¹g, H's negative and flat directions taken as curving gently down, held to STEP."""
    if not len(gradient):
        return gradient
    values, directions = np.linalg.eigh(curvature)
    step = directions @ ((directions.T @ gradient) / np.maximum(np.abs(values), FLAT))
    return step * min(1.0, STEP / max(float(np.abs(step).max()), 1e-300))


def newton_gain(gradient: np.ndarray, curvature: np.ndarray) -> float:
    """Return how many nats a Newton step promises."""
    return 0.5 * float(gradient @ newton_step(gradient, curvature))


def held(vector: np.ndarray, gradient: np.ndarray, bounds: list[tuple[float, float]]) -> np.ndarray:
    """Return for each element whether it lies at a bound that the gradient pushes it against."""
    lower, upper = np.array(bounds).reshape(-1, 2).T
    return ((vector <= lower + 1e-9) & (gradient <= 0)) | ((vector >= upper - 1e-9) & (gradient >= 0))


def measure_curvature(objective: Objective, vector: np.ndarray, *, central: bool = True) -> np.ndarray:
    """Return −∂²(objective) at `vector`, (p, p), by differences of the gradient: 2p evaluations, or p + 1."""
    step = 1e-4  # balances truncation against the rounding of gradients
    base = None if central else objective(vector)[1]
    rows = []
    for i in range(len(vector)):
        shift = np.zeros_like(vector)
        shift[i] = step
        ahead = objective(vector + shift)[1]
        rows.append((base - ahead) / step if base is not None else (objective(vector - shift)[1] - ahead) / (2 * step))
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
