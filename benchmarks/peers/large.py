"""What every library's process needs for tables too large for a Cholesky factor: data, and the scores of a fit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Problem, in_blocks

BATCH = 1024  # rows of a minibatch, as in the peers' tutorials


def scores(problem: Problem, predict: Callable[[np.ndarray], tuple[Any, Any]]) -> dict[str, float]:
    """Return how the forecasts N(mean, sd²) of new observations do on the test rows, y's own units."""
    with np.load(problem.options["test"]) as test:
        x, y = test["x"], test["y"]
    found = in_blocks(predict, x)
    z = (y - found["mean"]) / found["sd"]
    return {
        "rmse": float(np.sqrt(np.mean((y - found["mean"]) ** 2))),
        "nlpd": float(np.mean(0.5 * np.log(2 * np.pi) + np.log(found["sd"]) + 0.5 * z**2)),
        "coverage_95": float(np.mean(np.abs(z) < 1.96)),
    }


def clock(problem: Problem) -> Callable[[], bool]:
    """Return what tells whether the CPU seconds that a fit may take are over, from now."""
    end = time.process_time() + problem.options["seconds"]
    return lambda: time.process_time() >= end
