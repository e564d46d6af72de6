"""What one log marginal likelihood with gradient costs, in units of the two LAPACK calls that it cannot avoid.

    python -m benchmarks.evaluation 500 1000 2000

A unit is dpotrf + dpotri of a matrix of the same size, measured in turn with the evaluations: CPU seconds, as
many threads, medians over the repeats.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from scipy.linalg import lapack

from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.model.model import Model
from gp.parallel import lapack_threads, one_thread
from gp.spec import parse

ARD = {"ard": True}
KERNELS: dict[str, tuple[int, dict[str, Any]]] = {  # columns, kernel
    "rbf": (8, {"kind": "rbf", **ARD}),
    "matern 1/2": (8, {"kind": "matern", "nu": 0.5, **ARD}),
    "matern 3/2": (8, {"kind": "matern", "nu": 1.5, **ARD}),
    "matern 5/2": (8, {"kind": "matern", "nu": 2.5, **ARD}),
    "rbf + periodic, d=8": (
        8,
        {"kind": "sum", "terms": {"a": {"kind": "rbf", **ARD}, "b": {"kind": "periodic", **ARD}}},
    ),
    "rbf + periodic, d=1": (1, {"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "periodic"}}}),
}


def measure(n: int, repeats: int) -> list[dict[str, Any]]:
    """Return for each kernel CPU seconds of an evaluation and of the bare LAPACK pair, and their ratio (medians)."""
    tasks = {"": _pair(n), **{name: evaluation(n, d, kernel) for name, (d, kernel) in KERNELS.items()}}
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            seconds[name].append(task())
    unit = seconds.pop("")
    return [
        {
            "n": n,
            "kernel": name,
            "seconds": median(times),
            "unit_seconds": median(unit),
            # Of neighbours in time: what else the machine does changes both.
            "units": median(one / other for one, other in zip(times, unit, strict=True)),
            "least_units": min(times) / min(unit),
        }
        for name, times in seconds.items()
    ]


def _pair(n: int) -> Callable[[], float]:
    """Return a task that factorises and inverts a well-conditioned matrix in place, and returns its CPU seconds."""
    factor = np.random.default_rng(0).standard_normal((n, n))
    matrix = np.asfortranarray(factor @ factor.T / n + np.eye(n))

    def run() -> float:
        buffer = matrix.copy(order="F")
        with one_thread(), lapack_threads(n):
            start = time.process_time()
            # The upper triangle, as in gp.inference.exact.
            factorised, _ = lapack.dpotrf(buffer, lower=0, clean=0, overwrite_a=1)
            lapack.dpotri(factorised, lower=0, overwrite_c=1)
            return time.process_time() - start

    return run


def evaluation(n: int, d: int, kernel: dict[str, Any]) -> Callable[[], float]:
    """Return a task that evaluates once, and returns its CPU seconds."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    y = np.sin(x).sum(axis=1) + 0.1 * rng.standard_normal(n)
    data = Dataset(x=x, y=y, columns=tuple(f"x{j}" for j in range(d)))
    gp = parse(Model, {"kernel": kernel, "noise": {"sd": 0.3}}).build(data)
    exact = Exact()

    def run() -> float:
        start = time.process_time()
        exact.evaluate(gp)
        return time.process_time() - start

    return run


def main() -> None:
    """Print a table for each number of rows named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="*", default=[500, 1000, 2000])
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    for n in arguments.rows:
        for row in measure(n, arguments.repeats):
            print(
                f"n={n:5d}  {row['kernel']:20s} {row['units']:5.2f} units (least {row['least_units']:.2f})  "
                f"{row['seconds'] * 1e3:8.1f} ms, pair {row['unit_seconds'] * 1e3:8.1f} ms"
            )


if __name__ == "__main__":
    main()
