"""`check_train`: the laws of every optimizer."""

from typing import Any

import numpy as np

from ..inference.exact import Exact
from ..model.model import Model
from ..training import Problem, Train
from . import models
from .laws import require, require_equal
from .specs import as_spec, with_values


def check_train(train: Any, *, converges: bool = True, columns: tuple[str, ...] = ("a", "b")) -> None:
    """Check an optimizer (a spec, or what params.yaml would say) on 30 rows and the default model.

    The laws: it ends within the bounds of the search, above its start, and at the value that it reports; it counts its
    evaluations; the same seed gives the same bits, and y in another unit the same hyperparameters; fixed
    hyperparameters do not change.  If it `converges`, a further step uphill of any length gains almost nothing.  Raises
    AssertionError with the law that failed.
    """
    spec, data, model = as_spec(Train, train), models.rows(columns, n=30), Model()
    name = f"optimizer {spec.kind}"
    problem = Problem(model.build(data), Exact())
    start = problem.parameters.start
    search = spec.run(problem, 0)
    end = search.vector
    require(end.shape == start.shape and bool(np.isfinite(end).all()), f"{name}: it ends at finite numbers (got {end})")
    lower, upper = np.array(problem.parameters.bounds).T
    inside = bool((end >= lower - 1e-9).all() and (end <= upper + 1e-9).all())
    require(inside, f"{name}: it ends within the bounds of the search (got {end}, of {lower} … {upper})")
    plain = Problem(model.build(data), Exact())
    before, after = plain(start)[0], plain(end)[0]
    require(after > before, f"{name}: it ends higher than it began ({after:.6g} nats, from {before:.6g})")
    law = f"{name}: the highest value that it reports is the likelihood near where it ended"
    require_equal(law, max(search.values), after, atol=0.5)
    require(search.evaluations >= len(search.values), f"{name}: it counts as many evaluations as it has values")
    again = spec.run(Problem(model.build(data), Exact()), 0)
    require(np.array_equal(again.vector, end), f"{name}: the same seed ends at the same bits")
    scaled = spec.run(Problem(model.build(models.scaled(data, y=1024.0)), Exact()), 0)
    require_equal(f"{name}: y in another unit ends at the same place", scaled.vector, end, rtol=1e-9, atol=1e-9)
    _check_fixed(name, spec)
    if converges:
        _check_converged(name, plain, end, lower, upper)


def _check_fixed(name: str, spec: Any) -> None:
    data = models.rows(("a",), n=30)
    model = with_values(Model(), {"noise.sd": {"fixed": 0.7}})
    problem = Problem(model.build(data), Exact())
    problem.parameters.set(spec.run(problem, 0).vector)
    law = f"{name}: a fixed hyperparameter stays where it is put"
    require_equal(law, problem.parameters.in_data_units()["noise.sd"], 0.7, rtol=1e-9)


def _check_converged(name: str, problem: Problem, end: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    value, gradient = problem(end)
    for length in (1e-3, 1e-2, 1e-1):
        step = length * gradient / max(float(np.linalg.norm(gradient)), 1e-12)
        ahead = problem(np.clip(end + step, lower, upper))[0]
        law = f"{name}: it converges, so a step of {length} uphill gains no 0.01 nats (it gains {ahead - value:.3g})"
        require(ahead - value < 0.01, law)
