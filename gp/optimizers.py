"""How hyperparameters are learnt: `Train` is the registry.

To add one: a class here with a `kind` and `run(objective, gp, seed) -> Search`, and its name in `Train` at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from tqdm import tqdm

from gp.hyperparameters import Parameter, Parameters
from gp.inference.exact import NotPositiveDefinite
from gp.spec import Count, InputError, OneOf, PositiveFloat, Spec

# raw vector → (what is maximised, nats; its gradient)
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search for hyperparameters ended: the raw `vector`, every evaluation's value (nats), each start's end."""

    vector: np.ndarray
    values: tuple[float, ...]
    ends: tuple[float, ...]
    converged: bool | None  # None: the method has no such notion


class Adam(Spec):
    """Adam (Kingma & Ba 2015) over gpytorch's raw form of the hyperparameters: a softplus, above a floor for noise."""

    kind: Literal["adam"] = "adam"
    steps: Count = 100
    learning_rate: PositiveFloat = 0.1

    def run(self, objective: Objective, parameters: Parameters, n: int, seed: int) -> Search:
        """Return where `steps` steps end, on the objective per datum, as gpytorch's loss is."""
        raw = _to_softplus(parameters)
        first, second = np.zeros_like(raw), np.zeros_like(raw)
        values = []
        for step in tqdm(range(1, self.steps + 1), desc="adam", disable=None, leave=False):
            vector, slope = _from_softplus(parameters, raw)
            value, gradient = _evaluate(objective, vector, parameters)
            values.append(value)
            gradient = -gradient * slope / n
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            size = self.learning_rate / (1 - 0.9**step)
            raw = raw - size * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        vector, _ = _from_softplus(parameters, raw)
        return Search(vector, tuple(values), (), None)


class Lbfgs(Spec):
    """L-BFGS-B (SciPy) over log hyperparameters, from the starts and `restarts` seeded draws around them."""

    kind: Literal["lbfgs"] = "lbfgs"
    restarts: Annotated[int, Field(ge=0)] = 4
    max_iterations: Count = 500

    def run(self, objective: Objective, parameters: Parameters, n: int, seed: int) -> Search:
        """Return the best end of all starts."""
        values: list[float] = []

        def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
            try:
                value, gradient = objective(vector)
            except NotPositiveDefinite:
                # Worse than all that was seen, and flat: the line search then steps back.
                return (abs(min(values)) if values else 0.0) + 1e10, np.zeros_like(vector)
            values.append(value)
            return -value, -gradient

        _evaluate(objective, parameters.start, parameters)
        starts = [parameters.start, *_draws(parameters, self.restarts, seed)]
        options: dict[str, Any] = {"maxiter": self.max_iterations, "ftol": 1e-12, "gtol": 1e-5}
        ends = [
            minimize(loss, start, jac=True, method="L-BFGS-B", bounds=parameters.bounds, options=options)
            for start in tqdm(starts, desc="lbfgs", disable=None, leave=False)
        ]
        best = min(ends, key=lambda end: end.fun)
        return Search(best.x, tuple(values), tuple(-float(end.fun) for end in ends), bool(best.success))


def polish(objective: Objective, parameters: Parameters, vector: np.ndarray) -> float:
    """Return the value (nats) of the optimum that L-BFGS-B finds from `vector`."""

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, gradient = objective(at)
        except NotPositiveDefinite:
            return 1e10, np.zeros_like(at)
        return -value, -gradient

    return -float(minimize(loss, vector, jac=True, method="L-BFGS-B", bounds=parameters.bounds).fun)


def _evaluate(objective: Objective, vector: np.ndarray, parameters: Parameters) -> tuple[float, np.ndarray]:
    """Return the objective, where a failure is the user's to mend and not a step to take back."""
    try:
        return objective(vector)
    except NotPositiveDefinite:
        parameters.set(vector)
        noise = parameters.in_data_units().get("noise.sd")
        raise InputError(
            f"the kernel matrix is not positive definite at noise.sd={noise}: "
            "raise model.noise.sd or remove duplicate inputs"
        ) from None


def _draws(parameters: Parameters, count: int, seed: int) -> list[np.ndarray]:
    """Return seeded starts: log-normal about the positive hyperparameters' starts, a factor of e being one sd."""
    rng = np.random.default_rng(seed)
    lower, upper = np.array(parameters.bounds).reshape(-1, 2).T
    positive = np.concatenate([np.full(p.size, p.positive) for p in parameters.free])
    return [np.clip(parameters.start + rng.normal(size=len(lower)) * positive, lower, upper) for _ in range(count)]


class _SoftplusForm:
    """gpytorch's own form of one hyperparameter θ: θ^power = lower + softplus(raw), or a sigmoid between two bounds."""

    def __init__(self, parameter: Parameter) -> None:
        has_lower, has_upper = parameter.bounded
        power = parameter.power
        floor = parameter.floor if parameter.positive else -np.inf
        if has_upper and not has_lower and not parameter.positive:
            raise InputError(f"{parameter.name}: adam needs a lower bound beside the upper one: give both, or neither")
        self.parameter, self.power = parameter, power
        self.lower = np.maximum(parameter.lower**power, floor) if has_lower else np.full(parameter.size, floor)
        self.upper = parameter.upper**power if has_upper else np.full(parameter.size, np.inf)

    def inverse(self, start: np.ndarray) -> np.ndarray:
        """Return gpytorch's raw value of θ = start (size,)."""
        value = start**self.power
        if (value <= self.lower).any() or (value >= self.upper).any():
            name = self.parameter.name
            seen = self.parameter.in_data_units(self.parameter.raw(start)).tolist()
            raise InputError(
                f"{name}: adam cannot start at {seen}, on or beyond a bound (a noise variance has gpytorch's floor, "
                "1e-4 in the model's units): move the start inside, or train with lbfgs"
            )
        if np.isfinite(self.upper).all():
            return np.log(value - self.lower) - np.log(self.upper - value)
        if np.isfinite(self.lower).all():
            above = value - self.lower
            return above + np.log(-np.expm1(-above))
        return value

    def forward(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return our raw value (log θ, or θ) and its derivative by gpytorch's, each (size,)."""
        sigmoid = 1 / (1 + np.exp(-raw))
        if np.isfinite(self.upper).all():
            width = self.upper - self.lower
            value, slope = self.lower + width * sigmoid, width * sigmoid * (1 - sigmoid)
        elif np.isfinite(self.lower).all():
            value, slope = self.lower + np.logaddexp(0, raw), sigmoid
        else:
            value, slope = raw, np.ones_like(raw)
        if not self.parameter.positive:
            return value, slope
        return np.log(value) / self.power, slope / (self.power * value)


def _to_softplus(parameters: Parameters) -> np.ndarray:
    """Return the starts in gpytorch's raw form."""
    return np.concatenate([_SoftplusForm(p).inverse(p.start) for p in parameters.free])


def _from_softplus(parameters: Parameters, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gpytorch's raw form as our raw vector, and the derivative of the one by the other, elementwise."""
    parts = zip(parameters.free, parameters.split(raw), strict=True)
    pairs = [_SoftplusForm(parameter).forward(part) for parameter, part in parts]
    return np.concatenate([value for value, _ in pairs]), np.concatenate([slope for _, slope in pairs])


Train = Annotated[Any, OneOf(Adam, Lbfgs, default="lbfgs")]
