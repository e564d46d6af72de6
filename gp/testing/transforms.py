"""`check_transform`: the laws of every transform of y."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.integrate import quad

from ..forecast import Forecast
from ..spec import parse
from ..transforms import Transform
from ..transforms.base import Base
from .laws import differences, require, require_equal

Z = np.array([-1.3, -0.4, 0.05, 0.6, 1.7])  # places, as far as they are among the values of z
SD = 0.3


def check_transform(transform: Any) -> None:
    """Check a transform (a spec, or what params.yaml would say).

    The laws: `backward` undoes `forward`; `forward` increases; `log_slope` is the log of its derivative; at an end of
    the domain it is the end of z; each number is transformed on its own.  Forecasts of y have a density that
    integrates to one but for what is below the lowest z, quantiles where the distribution function says, and mean, sd
    and CRPS that are the integrals of their definitions.  Raises AssertionError with the law that failed.
    """
    spec: Base = transform if isinstance(transform, Base) else parse(Transform, transform)
    name = f"transform {spec.label('y')}"
    # Half the places above the lowest value of z, where it has one.
    z = Z if np.isinf(spec.lowest) else spec.lowest + 1 + 0.5 * Z
    y = spec.backward(z)
    low, high = spec.domain
    require(bool(((y > low) & (y < high)).all()), f"{name}: `backward` leads into the domain (got {y})")
    require_equal(f"{name}: `forward` undoes `backward`", spec.forward(y), z, rtol=1e-9, atol=1e-9)
    require(bool((np.diff(spec.forward(np.sort(y))) > 0).all()), f"{name}: `forward` increases")
    expected = [float(differences(spec.backward, np.array([v]), np.ones(1))[0]) for v in z]
    law = f"{name}: `log_slope` is log dz/dy, minus that of the derivative of `backward`"
    require_equal(law, -spec.log_slope(y), np.log(expected), rtol=1e-6, atol=1e-6)
    for part in (spec.forward, spec.log_slope):
        law = f"{name}: each number is transformed on its own"
        require_equal(law, [part(y[i : i + 1])[0] for i in range(len(y))], part(y), rtol=1e-14)
    if np.isfinite(low):
        end = float(spec.forward(np.array([low]))[0])
        law = f"{name}: at {low:g} z is its lowest value, {spec.lowest:g} (got {end:g})"
        require(bool(np.isclose(end, spec.lowest)), law)
    _check_forecast(name, spec, z)


def _check_forecast(name: str, spec: Base, z: np.ndarray) -> None:
    means, weights = np.stack([z, z + SD]), np.array([[0.4], [0.6]])
    forecast = Forecast(means, np.array([[SD], [0.5 * SD]]) * np.ones_like(means), weights, spec)  # type: ignore[arg-type]
    observed = spec.of(z + 0.7 * SD)
    require_equal(
        f"{name}: a quantile has its probability", forecast.cdf(forecast.quantile(0.3)), np.full(len(z), 0.3), rtol=1e-9
    )
    for i in range(0, len(z), 2):
        _check_integrals(name, spec, forecast.at(slice(i, i + 1)), observed[i])


def _check_integrals(name: str, spec: Base, forecast: Forecast, observed: float) -> None:
    """Check the density of one forecast, its moments and its CRPS at `observed` by numerical integration."""
    shares = (1e-12, 1e-4, 0.1, 0.5, 0.9, 1 - 1e-4, 1 - 1e-12)
    cuts = sorted([*(float(forecast.quantile(share)[0]) for share in shares), observed])

    def integral(value: Callable[[float], float]) -> float:
        return float(sum(quad(value, a, b, epsabs=1e-10)[0] for a, b in pairwise(cuts) if b > a))

    def density(t: float) -> float:
        return float(np.exp(forecast.log_density(np.array([t]))[0]))

    def squared(t: float) -> float:
        return float((forecast.cdf(np.array([t]))[0] - (t >= observed)) ** 2)

    below = float(forecast.inner.cdf(np.array([spec.lowest]))[0])
    lowest = float(spec.of(np.array([spec.lowest]))[0]) if below else 0.0
    mean = integral(lambda t: t * density(t)) + below * lowest
    variance = integral(lambda t: (t - mean) ** 2 * density(t)) + below * (lowest - mean) ** 2
    require_equal(f"{name}: the density integrates to one", integral(density) + below, 1.0, atol=1e-7)
    require_equal(f"{name}: the mean is that of the density", forecast.mean[0], mean, rtol=1e-6, atol=1e-6)
    require_equal(f"{name}: the sd is that of the density", forecast.sd[0], np.sqrt(variance), rtol=1e-5)
    law = f"{name}: the CRPS is the integral of (F − 1)²"
    require_equal(law, forecast.crps(np.array([observed]))[0], integral(squared), rtol=1e-5)
