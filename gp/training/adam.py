"""Adam over gpytorch's own form of the hyperparameters."""

from typing import Literal

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from ..adam import adam_step
from ..inference.method import Search
from ..parameters.vector import Learnt, Parameters
from ..spec import Count, Fault, InputError, PositiveFloat, Spec
from .objective import Problem


class Adam(Spec):
    """Adam (Kingma & Ba 2015) over gpytorch's raw form of the hyperparameters: a softplus, above a floor for noise."""

    kind: Literal["adam"] = "adam"
    steps: Count = 100
    learning_rate: PositiveFloat = 0.1

    def run(self, problem: Problem, seed: int) -> Search:
        """Return the result of `steps` steps on the objective per datum, which is gpytorch's loss."""
        parameters = problem.parameters
        raw = _to_softplus(parameters)
        moments = np.zeros_like(raw), np.zeros_like(raw)
        values = []
        for step in tqdm(range(1, self.steps + 1), desc="adam", disable=None, leave=False):
            vector, slope = _from_softplus(parameters, raw)
            value, gradient = problem(vector)
            values.append(value)
            raw, moments = adam_step(raw, -gradient * slope / problem.gp.total, moments, step, self.learning_rate)
        vector, _ = _from_softplus(parameters, raw)
        return Search(vector, tuple(values), (), 1, self.steps)


class _SoftplusForm:
    """gpytorch's own form of one hyperparameter θ: θ^power = lower + softplus(raw), or a sigmoid between two bounds."""

    def __init__(self, parameter: Learnt) -> None:
        has_lower, has_upper = parameter.bounded
        power = parameter.form.power
        floor = parameter.form.floor if parameter.positive else -np.inf
        if has_upper and not has_lower and not parameter.positive:
            raise InputError(
                Fault(parameter.name, "adam needs a lower bound beside the upper one", "give both, or neither")
            )
        self.parameter, self.power = parameter, power
        self.lower = np.maximum(parameter.bounds.lower**power, floor) if has_lower else np.full(parameter.size, floor)
        self.upper = parameter.bounds.upper**power if has_upper else np.full(parameter.size, np.inf)

    def inverse(self, start: np.ndarray) -> np.ndarray:
        """Return gpytorch's raw value of θ = start (size,)."""
        value = start**self.power
        if (value <= self.lower).any() or (value >= self.upper).any():
            name = self.parameter.name
            seen = self.parameter.in_data_units(self.parameter.raw(start)).tolist()
            raise InputError(
                Fault(
                    name,
                    f"adam cannot start at {seen}, on or beyond a bound (a noise variance has gpytorch's floor, 1e-4 "
                    "in the model's units)",
                    "move the start inside, or train with lbfgs",
                )
            )
        if np.isfinite(self.upper).all():
            return np.log(value - self.lower) - np.log(self.upper - value)
        if np.isfinite(self.lower).all():
            above = value - self.lower
            return above + np.log(-np.expm1(-above))
        return value

    def forward(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return this project's raw value (log θ, or θ), and its derivative by gpytorch's raw value, (size,) each."""
        sigmoid = expit(raw)
        if np.isfinite(self.upper).all():
            width = self.upper - self.lower
            value, slope = self.lower + width * sigmoid, width * sigmoid * (1 - sigmoid)
        elif np.isfinite(self.lower).all():
            value, slope = self.lower + np.logaddexp(0, raw), sigmoid
        else:
            value, slope = raw, np.ones_like(raw)
        if not self.parameter.positive:
            return value / self.parameter.units.reference, slope / self.parameter.units.reference
        return np.log(value) / self.power, slope / (self.power * value)


def _to_softplus(parameters: Parameters) -> np.ndarray:
    """Return the starts in gpytorch's raw form."""
    return np.concatenate([_SoftplusForm(p).inverse(p.start) for p in parameters.free])


def _from_softplus(parameters: Parameters, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return this project's raw vector, given gpytorch's, and its elementwise derivative by gpytorch's."""
    parts = zip(parameters.free, parameters.split(raw), strict=True)
    pairs = [_SoftplusForm(parameter).forward(part) for parameter, part in parts]
    return np.concatenate([value for value, _ in pairs]), np.concatenate([slope for _, slope in pairs])
