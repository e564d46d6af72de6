"""celerite2, by its NumPy interface."""

import math
from typing import Any

from celerite2 import GaussianProcess, terms

from benchmarks.peers.protocol import Call, Problem, serve

EPS = 1e-3  # of its approximation: ten times closer than its default


def series(problem: Problem) -> Call:
    """Return the log marginal likelihood at the settings in turn."""
    if problem.kernel != "matern32":
        raise ValueError(f"it has no {problem.kernel}")
    x, y = problem.x[:, 0].copy(), problem.y

    def call(i: int) -> dict[str, Any]:
        setting = problem.settings[i % len(problem.settings)]
        scale = {"sigma": math.sqrt(setting["outputscale"]), "rho": setting["lengthscale"][0]}
        gp = GaussianProcess(terms.Matern32Term(**scale, eps=EPS), mean=setting["mean"])
        gp.compute(x, diag=setting["noise_sd"] ** 2, check_sorted=False)
        return {"value": float(gp.log_likelihood(y))}

    return call


if __name__ == "__main__":
    serve({"series": series}, ("celerite2", "numpy"))
