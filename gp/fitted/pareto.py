"""Pareto smoothed importance sampling: weights whose largest few are replaced by what their tail says.

Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto smoothed importance sampling", JMLR 25(72).
"""

import math

import numpy as np

FEWEST = 5  # weights in a tail to which a distribution can be fitted
LARGEST = 700.0  # exponent, of what is a float
PLAUSIBLE = 10.0  # nats; of a normal of 11 dimensions, 95 % lie within so much of the mode
RELIABLE = 0.7  # shape k̂ above which a mean by these weights cannot be trusted (sec. 3)


def smoothed(logs: np.ndarray) -> tuple[np.ndarray, float]:
    """Return log weights (S,) that sum to one, smoothed, and the shape k̂ of the tail of the given `logs` (S,).

    k̂ is −inf where the tail has no spread or too few weights.
    """
    logs = logs - logs.max()
    s, k = len(logs), -math.inf
    tail = math.ceil(min(0.2 * s, 3 * math.sqrt(s)))  # sec. 2.2
    order = np.argsort(logs, kind="stable")
    last = order[s - tail :]
    if tail >= FEWEST and np.ptp(logs[last]) > 1e-12:
        cut = float(np.exp(logs[order[s - tail - 1]]))
        k, sigma = fit(np.exp(logs[last]) - cut)
        probabilities = (np.arange(tail) + 0.5) / tail
        # A tail of all but one or two weights, as without noise, has a shape that overflows.
        scores = np.minimum(-np.log1p(-probabilities), LARGEST / max(k, 1.0))
        ends = scores if abs(k) < 1e-8 else np.expm1(k * scores) / k
        logs[last] = np.minimum(np.log(cut + sigma * ends), 0.0)  # none above the largest
    return logs - np.logaddexp.reduce(logs), k


def tempered(logs: np.ndarray, enough: float | None = None) -> np.ndarray:
    """Return log weights (S,), of sum one, raised to the largest power up to 1 that leaves `enough` of them effective.

    By default half of those within PLAUSIBLE of the largest: others are not of the posterior, and no power is to bring
    them back.  With many hyperparameters a few draws would have all of the weight, and say little of the rest.
    """
    enough = enough if enough is not None else 0.5 * np.count_nonzero(logs > logs.max() - PLAUSIBLE)
    low, high = 0.0, 1.0
    if effective(logs) < enough:
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if effective(middle * logs) < enough else (middle, high)
    powered = (high if high == 1.0 else low) * logs
    return np.asarray(powered - np.logaddexp.reduce(powered))


def effective(logs: np.ndarray) -> float:
    """Return the effective number of draws by their log weights (S,), (Σw)²/Σw²."""
    weights = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def fit(values: np.ndarray) -> tuple[float, float]:
    """Return shape k and scale σ of the generalised Pareto distribution that `values` (m,) > 0, sorted, come from.

    Zhang & Stephens 2009, Technometrics 51(3): the posterior mean of θ = −k/σ under their prior.  The shape is drawn
    towards ½ as by ten more values (Vehtari et al. 2024, appendix G).
    """
    m = len(values)
    values = np.maximum(values, 1e-300)
    n = 30 + math.isqrt(m)
    theta = 1 / values[-1] + (1 - np.sqrt(n / (np.arange(1, n + 1) - 0.5))) / (3 * values[(m + 2) // 4 - 1])
    shapes = np.log1p(-np.outer(theta, values)).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = m * (np.log(-theta / shapes) - shapes - 1)
    weights = 1 / np.exp(np.clip(likelihood[None] - likelihood[:, None], -700, 700)).sum(axis=1)
    best = float((theta * weights).sum() / weights.sum())
    k = float(np.log1p(-best * values).mean())
    return (m * k + 10 * 0.5) / (m + 10), -k / best
