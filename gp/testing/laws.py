"""How a law is stated: it holds, or an AssertionError says which law failed, for what, and with which numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Step (in log hyperparameters) of fourth-order differences.  The truncation error stays small for kernels with about
# thirty cycles, and rounding stays below 1e-6 for a likelihood of a hundred nats.
STEP = 2e-4
_WEIGHTS = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}


def require(holds: bool, law: str) -> None:
    """Raise AssertionError with the sentence `law` unless `holds`."""
    if not holds:
        raise AssertionError(law)


def require_equal(law: str, seen: Any, expected: Any, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise AssertionError if an element has |seen − expected| > atol + rtol |expected|, and name the worst element.

    Values that are not finite are refused too.
    """
    got, wanted = np.asarray(seen, dtype=float), np.asarray(expected, dtype=float)
    require(got.shape == wanted.shape, f"{law}: the shape is {got.shape}, and should be {wanted.shape}")
    if not got.size:
        return
    with np.errstate(invalid="ignore"):
        excess = np.abs(got - wanted) - (atol + rtol * np.abs(wanted))
    excess = np.where(np.isfinite(excess), excess, np.inf)
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    place = f" at {tuple(map(int, worst))}" if worst else ""
    require(
        bool(excess[worst] <= 0),
        f"{law}: {got[worst]:.12g}{place}, and should be {wanted[worst]:.12g} (within {atol:g} + {rtol:g} of it)",
    )


def differences(value: Callable[[np.ndarray], Any], at: np.ndarray, direction: np.ndarray, step: float = STEP) -> Any:
    """Return the derivative of `value` at `at` along `direction`, by central differences of fourth order."""
    return sum(weight * np.asarray(value(at + k * step * direction)) for k, weight in _WEIGHTS.items()) / step


def require_slope(
    law: str,
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    at: np.ndarray,
    directions: np.ndarray,
    *,
    names: Sequence[str] = (),
    rtol: float = 1e-6,
) -> None:
    """Raise AssertionError unless the gradient of `objective` at `at` equals finite differences along each direction.

    `objective` returns (value, gradient).  The tolerance is `rtol` times the largest derivative, or times 1 if larger.
    """
    _, gradient = objective(at)
    require(
        gradient.shape == at.shape, f"{law}: the gradient's shape is {gradient.shape}, that of its vector {at.shape}"
    )
    expected = np.array([float(differences(lambda vector: objective(vector)[0], at, d)) for d in directions])
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    for i, (direction, slope) in enumerate(zip(directions, expected, strict=True)):
        by = f" by {names[i]}" if i < len(names) else f" along direction {i}"
        require_equal(f"{law}:{by}", float(gradient @ direction), slope, atol=rtol * size)
