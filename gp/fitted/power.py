"""The power of a transform of y (gp.transforms), learnt by the likelihood of the whole model.

What is maximised over hyperparameters θ and power λ is log p(z(λ) | θ) + Σ log dz/dy + log prior(θ)  (Box & Cox 1964,
eq. 8, for a Gaussian process).  λ and θ are improved in turn: λ at the internal θ, of standardised z, which hardly
depends on it, then θ.  Both derivatives vanish where neither improves, so that the end is an optimum of both.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from ..dataset import Dataset
from ..inference.exact import Exact
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import Model
from ..model.noise import Gaussian
from ..training import Problem, Seeded, Train
from ..training.newton import climb, measure_curvature
from ..transforms import POWERS, is_learnt

ROWS = 1000  # to learn from, at most
ROUNDS = 10
DECIMALS = 3  # of λ, which machines agree on; the likelihood is flat about its optimum
ARRIVED = 1e-3  # nats below which a step of θ is not taken
LOWEST = -1e300  # where the covariance has no factor


def with_power(data: Dataset, model: Model, train: Train, seed: int) -> Model:
    """Return the model with the power of its transform, learnt where it is not given.

    It is learnt by exact inference from ROWS of the rows, drawn by the seed, with noise of one level where that of the
    model has parameters for each row.  Raises InputError where y is outside the transform's domain.
    """
    if not is_learnt(model.transform):
        return model
    model.transformed(data)
    if data.n > ROWS:
        data = data.at(np.sort(np.random.default_rng([seed, 7]).choice(data.n, ROWS, replace=False)))
    tried = model.model_copy(update={"noise": Gaussian()}) if model.noise.by_row else model
    method, power = Exact(), 1.0
    search = method.learn(_at(tried, power).build(data), Seeded(train, seed), seed, None)
    vector = search.vector if search else np.zeros(0)
    for _ in range(ROUNDS):
        last, power = power, _best_power(data, tried, vector)
        if round(power, DECIMALS) == round(last, DECIMALS):
            break
        if len(vector):
            problem = Problem(_at(tried, power).build(data), method)
            curvature = measure_curvature(problem, vector)
            vector = climb(problem, vector, curvature, problem.parameters.bounds, tolerance=ARRIVED).vector
    return _at(model, round(power, DECIMALS), learnt=True)


def _best_power(data: Dataset, model: Model, vector: np.ndarray) -> float:
    """Return the λ of the highest likelihood at the raw vector of hyperparameters."""

    def loss(power: float) -> float:
        gp = _at(model, power).build(data)
        try:
            return -Problem(gp, Exact())(vector)[0] - gp.log_jacobian
        except NotPositiveDefinite:
            return -LOWEST

    found = minimize_scalar(loss, bounds=POWERS, method="bounded", options={"xatol": 0.1 * 10.0**-DECIMALS})
    return float(found.x)


def _at(model: Model, power: float, *, learnt: bool = False) -> Model:
    """Return the model with the power λ."""
    transform = model.transform and model.transform.model_copy(update={"power": power, "learnt": learnt})
    return model.model_copy(update={"transform": transform})
