"""`check_prior`: the laws of every prior of a hyperparameter."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.integrate import quad

from ..parameters.priors import PositivePrior, RealPrior
from ..spec import kinds
from .laws import differences, require, require_equal
from .specs import as_spec

TAIL = 40.0  # log θ (or θ, if it may be negative) is integrated over ± this


def check_prior(prior: Any, *, positive: bool | None = None) -> None:
    """Check a prior (a spec, or what params.yaml would say) of a hyperparameter that is `positive`, or may be negative.

    The laws: its density integrates to one over all θ; `slope` is the derivative of its log density; both work element
    by element.  Raises AssertionError with the law that failed.
    """
    spec = _parsed(prior)
    name = f"prior {spec.kind}"
    positive = spec.kind in kinds(PositivePrior) if positive is None else positive
    values = np.array([0.3, 0.9, 1.0, 2.7]) if positive else np.array([-3.1, -0.2, 0.0, 1.4])
    density, slope = spec.log_density(values), spec.slope(values)
    for what, seen in (("log_density", density), ("slope", slope)):
        good = np.shape(seen) == values.shape and bool(np.isfinite(seen).all())
        require(good, f"{name}: `{what}` of four values is four finite numbers (got {seen!r})")
    one_by_one = [float(spec.log_density(values[i : i + 1])[0]) for i in range(len(values))]
    require_equal(f"{name}: the density of each value is its own", density, one_by_one, rtol=1e-14)
    expected = [float(differences(spec.log_density, np.array([v]), np.ones(1))[0]) for v in values]
    require_equal(f"{name}: `slope` is the derivative of the log density", slope, expected, rtol=1e-6, atol=1e-6)

    def mass(t: float) -> float:
        # A positive θ is integrated over t = log θ; the density of t is θ times that of θ.
        at = np.array([np.exp(t) if positive else t])
        return float(np.exp(spec.log_density(at)[0] + (t if positive else 0.0)))

    # In pieces, so that the quadrature cannot miss a narrow density.
    ends = np.linspace(-TAIL, TAIL, 161)
    total = sum(quad(mass, low, high, epsabs=1e-12)[0] for low, high in pairwise(ends))
    require_equal(f"{name}: the density integrates to one", total, 1.0, atol=1e-6)


def _parsed(prior: Any) -> Any:
    kind = prior.get("kind") if isinstance(prior, dict) else None
    return as_spec(RealPrior if kind in kinds(RealPrior) else PositivePrior, prior)
