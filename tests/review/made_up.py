"""Results of studies that nobody ran, for the tests of pages."""

import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.forecast import Forecast
from gp.plots import Study
from gp.posterior import Posterior
from review.results import Results

NASTY = "</script><script>document.title='stolen'</script>"
INTERVALS = {"kernel.lengthscale": {"lower": 0.2, "upper": 0.4}}
FIT = {
    "fit": {"log_marginal_likelihood": 75.87, "hyperparameters": {"kernel.lengthscale": 0.298, "noise.sd": 0.1}},
    "certificate": {
        "converged": 1,
        "shortfall": 0.002,
        "evaluations": 100,
        "starts": 5,
        "starts_at_best": 4,
        "noise_share": 0.02,
        "signal": 180.0,
        "condition_number": 6000.0,
        "jitter": 0.0,
        "intervals": INTERVALS,
    },
    "inference": {"kind": "exact"},
    "alarms": [],
}
N, M = 30, 50


def posterior(x, columns, components=()):
    """Return sin of the first column with bands that grow."""
    mean, sd = np.sin(x[:, 0]), 0.1 + 0.01 * np.arange(len(x))
    parts = dict.fromkeys(components, (0.5 * mean, 0.5 * sd))
    return Posterior.normal(x, tuple(columns), mean, sd, np.hypot(sd, 0.1), parts)


def study(name="sine", d=1, columns=None, target="height", held_out=True, **changes):
    """Return a study of d inputs with every file that such a study has."""
    rng = np.random.default_rng(0)
    columns = columns or [f"in{j}" for j in range(d)]
    x, tested = rng.uniform(0, 6, size=(N, d)), rng.uniform(0, 6, size=(M, d))
    if d == 2:
        side = np.linspace(0, 6, 5)
        grid = np.array([(a, b) for a in side for b in side])
    else:
        grid = np.linspace(0, 6, 40)[:, None] if d == 1 else None
    y = np.sin(x[:, 0]) + 0.1 * rng.standard_normal(N)
    seen = {"y": np.sin(tested[:, 0]) + 0.1 * rng.standard_normal(M)} if held_out else {"f": np.sin(tested[:, 0])}
    lines = np.repeat(np.full((1, d), 3.0), 10 * d, axis=0)
    for j in range(d):
        lines[10 * j : 10 * (j + 1), j] = np.linspace(0, 6, 10)
    scores = {"n": N, "rmse": 0.1, "nlpd": -0.9, "msll": -1.5, "coverage_95": 0.96}
    drawn = {
        "target": target,
        "train": Dataset(x, tuple(columns), y=y),
        "test": Dataset(tested, tuple(columns), **seen),
        "prediction": posterior(tested, columns),
        "grid": None if grid is None else posterior(grid, columns, components=("trend", "season") if d == 1 else ()),
        "slices": posterior(lines, columns) if d > 2 else None,
        "loo": Forecast.normal(np.sin(x[:, 0]), np.full(N, 0.12)),
        "trace": pd.DataFrame({"evaluation": range(20), "nats_per_datum": np.exp(-np.arange(20.0))}),
        "calibration": pd.DataFrame({"nominal": [0.25, 0.5, 0.75], "observed": [0.3, 0.5, 0.7]}),
    }
    given = {
        "fit": FIT,
        "metrics": {"loo": scores} | ({"test": scores, "trivial": scores | {"rmse": 0.7}} if held_out else {}),
        "parameters": {"seed": 0, "model": {"kernel": {"kind": "rbf"}}},
        "current": {"seed": 0, "model": {"kernel": {"kind": "rbf"}}},
        "versions": {"torch": "2.13.0"},
    }
    return Results(name, study=Study(**drawn), **given | changes)
