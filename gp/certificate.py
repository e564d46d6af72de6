"""What a fit can say for itself: whether training arrived, what the data determine, what should alarm a reader."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from gp.hyperparameters import Parameter, Parameters
from gp.optimizers import SAME, Search
from gp.quasi_newton import Objective, held, measure_curvature, newton_gain

CONVERGED = 0.05  # nats that a Newton step would still gain, below which a search has arrived
ALL_NOISE = 0.99  # share of y's variance
SIGNAL = 3.0  # nats over noise alone, which two needless hyperparameters gain one time in twenty
ILL_CONDITIONED = 1e12  # condition number from which solutions keep fewer than four digits
IRRELEVANT = 30.0  # lengthscale of an input, in its extents, from which the input changes nothing


@dataclass(frozen=True)
class Certificate:
    """What can be said of a fit at its learnt hyperparameters θ; nats are of the marginal likelihood (plus prior).

    `gradient_norm` is the largest derivative by a log hyperparameter that is not held at a bound, `shortfall` what a
    Newton step from there would gain.  `intervals` are 95 % intervals, θ exp(±1.96 se), or θ ± 1.96 se for what may be
    negative, from the inverse Hessian (asymptotic; `undetermined` names those it cannot bound).  `signal` is how many
    nats the model is better than noise about a level.
    """

    converged: bool
    gradient_norm: float
    shortfall: float
    evaluations: int
    starts: int
    starts_at_best: int
    jitter: float
    condition_number: float
    noise_share: float
    signal: float
    intervals: dict[str, tuple[float, float]]
    undetermined: tuple[str, ...]
    at_bound: tuple[str, ...]
    irrelevant_inputs: tuple[str, ...]
    adam_gap: float | None  # nats from where Adam stopped to the optimum; None where Adam was not asked for

    @property
    def alarms(self) -> list[str]:
        """Return a line for each thing that makes this fit doubtful, and what to do about it."""
        alarms = []
        if not self.converged:
            alarms.append(f"training stopped {self.shortfall:.2g} nats short of an optimum: more steps, or lbfgs")
        if self.adam_gap is not None and self.adam_gap > CONVERGED:
            alarms.append(
                f"an optimum {self.adam_gap:.2g} nats better is near where adam stopped: more steps, or lbfgs"
            )
        if self.starts > 2 and self.starts_at_best == 1:
            alarms.append(f"only one of {self.starts} starts reached the best optimum: raise train.restarts")
        if self.at_bound:
            names = ", ".join(self.at_bound)
            alarms.append(f"{names} ended at a bound of the search: the data do not say, or the bound is too narrow")
        if self.noise_share > ALL_NOISE or self.signal < SIGNAL:
            alarms.append(
                f"{self.noise_share:.1%} of the variance is noise, and the model is {self.signal:.1f} nats better than "
                "noise alone: it found no signal in these inputs"
            )
        if self.condition_number > ILL_CONDITIONED:
            alarms.append(f"the covariance's condition number is {self.condition_number:.1e}: raise the noise")
        return alarms

    def to_dict(self) -> dict[str, Any]:
        """Return what metrics.json says: numbers and names; what does not apply is absent."""
        names = ("gradient_norm", "shortfall", "evaluations", "starts", "starts_at_best", "jitter", "condition_number")
        said: dict[str, Any] = {name: getattr(self, name) for name in (*names, "noise_share", "signal")}
        said["converged"] = int(self.converged)  # a number, so that `dvc metrics diff` shows a change
        said["alarms"] = len(self.alarms)
        said["intervals"] = {name: {"lower": low, "upper": high} for name, (low, high) in self.intervals.items()}
        if self.adam_gap is not None:
            said["adam_gap"] = self.adam_gap
        return said

    def __str__(self) -> str:
        arrived = "converged" if self.converged else "NOT converged"
        starts = f", {self.starts_at_best} of {self.starts} starts reached the best" if self.starts > 1 else ""
        lines = [
            f"{arrived}: {self.evaluations} evaluations{starts}; gradient {self.gradient_norm:.1e}, "
            f"{self.shortfall:.1e} nats short",
            f"{self.noise_share:.1%} of the variance is noise; condition number {self.condition_number:.0e}; no jitter",
        ]
        if self.irrelevant_inputs:
            lines.append(f"irrelevant inputs (lengthscale far beyond their range): {', '.join(self.irrelevant_inputs)}")
        if self.undetermined:
            lines.append(f"not determined by the data: {', '.join(self.undetermined)}")
        return "\n".join([*lines, *(f"ALARM: {alarm}" for alarm in self.alarms)])


def certify(
    *,
    objective: Objective,
    parameters: Parameters,
    vector: np.ndarray,
    search: Search | None,
    factor: np.ndarray,
    noise_share: float,
    noise_alone: float,
    extents: dict[str, float],
    optimum: Callable[[], float] | None,
) -> Certificate:
    """Return the certificate of the fit at `vector`.

    `factor` is the lower Cholesky factor (n, n), `noise_alone` the largest log likelihood of noise about a level,
    `extents` each input column's range in the data's units, and `optimum`, where Adam was asked for, finds the optimum
    (nats) nearby.
    """
    value, gradient = objective(vector)
    at_bound = held(vector, gradient, parameters.bounds)
    inside = np.flatnonzero(~at_bound)
    hessian = measure_curvature(objective, vector)[np.ix_(inside, inside)]
    intervals, undetermined = _intervals(parameters, vector, inside, hessian)
    irrelevant = _irrelevant(parameters, vector, extents)
    names = parameters.names
    ends = search.ends if search else ()
    best = max(ends, default=0.0)
    shortfall = newton_gain(gradient[inside], hessian)
    return Certificate(
        converged=shortfall <= CONVERGED,
        gradient_norm=float(np.abs(gradient[inside]).max(initial=0.0)),
        shortfall=shortfall,
        evaluations=search.evaluations if search else 0,
        starts=search.starts if search else 0,
        starts_at_best=sum(end >= best - SAME for end in ends),
        jitter=0.0,  # exact inference adds none: a matrix without a factor is refused
        condition_number=_condition_number(factor),
        noise_share=noise_share,
        signal=value - noise_alone,
        intervals=intervals,
        undetermined=tuple(undetermined),
        at_bound=tuple(name for name, bound in zip(names, at_bound, strict=True) if bound and name not in irrelevant),
        irrelevant_inputs=tuple(irrelevant.values()),
        adam_gap=max(0.0, optimum() - value) if optimum else None,
    )


def _intervals(
    parameters: Parameters, vector: np.ndarray, inside: np.ndarray, hessian: np.ndarray
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Return 95 % intervals in the data's units by name, and the names of what has none."""
    curvature, directions = np.linalg.eigh(hessian) if len(inside) else (np.zeros(0), np.zeros((0, 0)))
    # A standard error of more than three units of log θ, a factor of 20, says nothing.
    flat = curvature < 1 / 9
    variance = (directions[:, ~flat] ** 2 / curvature[~flat]).sum(axis=1)
    loose = (directions[:, flat] ** 2).sum(axis=1) > 0.05
    half = 1.96 * np.sqrt(variance)
    low, high = vector.copy(), vector.copy()
    low[inside] -= half
    high[inside] += half
    ends = [_natural(parameters, raw) for raw in (low, high)]
    names = parameters.names
    intervals = {names[i]: (ends[0][i], ends[1][i]) for i, free in zip(inside, loose, strict=True) if not free}
    return intervals, [names[i] for i, free in zip(inside, loose, strict=True) if free]


def _natural(parameters: Parameters, vector: np.ndarray) -> list[float]:
    """Return each element of the raw vector in the data's units."""
    parts = zip(parameters.free, parameters.split(vector), strict=True)
    return [value for parameter, part in parts for value in parameter.in_data_units(part).tolist()]


def _irrelevant(parameters: Parameters, vector: np.ndarray, extents: dict[str, float]) -> dict[str, str]:
    """Return name → column of each ARD lengthscale that ran far beyond its input's range."""

    def columns(parameter: Parameter, part: np.ndarray) -> list[tuple[str, str, float]]:
        if parameter.labels is None or not parameter.name.endswith(".lengthscale"):
            return []
        return list(zip(parameter.names, parameter.labels, parameter.in_data_units(part).tolist(), strict=True))

    parts = zip(parameters.free, parameters.split(vector), strict=True)
    found = [item for parameter, part in parts for item in columns(parameter, part)]
    return {name: column for name, column, value in found if value > IRRELEVANT * extents[column]}


def _condition_number(factor: np.ndarray) -> float:
    """Return an estimate of the 2-norm condition number of L Lᵀ by power and inverse iteration, from below."""
    rng = np.random.default_rng(0)
    lower = np.tril(factor)
    largest = smallest = rng.normal(size=len(lower))
    for _ in range(20):
        largest = lower @ (lower.T @ (largest / np.linalg.norm(largest)))
        half = solve_triangular(lower, smallest / np.linalg.norm(smallest), lower=True, check_finite=False)
        smallest = solve_triangular(lower, half, lower=True, trans=1, check_finite=False)
    return float(np.linalg.norm(largest) * np.linalg.norm(smallest))
