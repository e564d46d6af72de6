"""What is computed: seeded data, and the hyperparameters to evaluate at or to start from."""

from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
COLUMNS = 8
FEATURES = 2000
NOISE_SD = 0.2
SINE, DRAW = "sine", "draw"


def draw(n: int, m: int = 0) -> dict[str, np.ndarray]:
    """Return x (n, 8), y (n,) and x_new (m, 8): a draw from an ARD-RBF process, y brought to mean 0 and sd 1.

    By random Fourier features (Rahimi & Recht 2007), so at a cost of n; lengthscales from 1/2 to 5 over the unit cube.
    """
    rng = np.random.default_rng(SEED)
    frequencies = rng.standard_normal((FEATURES, COLUMNS)) / np.geomspace(0.5, 5, COLUMNS)
    phases, weights = rng.uniform(0, 2 * np.pi, FEATURES), rng.standard_normal(FEATURES)
    x, x_new = rng.uniform(size=(n, COLUMNS)), rng.uniform(size=(m, COLUMNS))
    f = np.sqrt(2 / FEATURES) * np.cos(x @ frequencies.T + phases) @ weights
    y = f + NOISE_SD * rng.standard_normal(n)
    return {"x": x, "y": (y - y.mean()) / y.std(), "x_new": x_new}


def sine(n: int = 100) -> dict[str, np.ndarray]:
    """Return the one-dimensional example of many tutorials: sin(2πx) and noise of sd 0.1, as it is."""
    x = np.linspace(0, 1, n)
    y = np.sin(2 * np.pi * x) + 0.1 * np.random.default_rng(SEED).standard_normal(n)
    return {"x": x[:, None], "y": y, "x_new": np.empty((0, 1))}


def series(n: int) -> dict[str, np.ndarray]:
    """Return a sine over one input in order, at unequal steps, fifty rows to the unit, and noise of sd 0.2."""
    rng = np.random.default_rng(SEED)
    x = np.sort(rng.uniform(0, n / 50, n))
    return {"x": x[:, None], "y": np.sin(x) + NOISE_SD * rng.standard_normal(n), "x_new": np.empty((0, 1))}


def settings(d: int = COLUMNS) -> list[dict[str, Any]]:
    """Return two settings near each other: called with them in turn, no library can give an earlier result again."""
    one = {"lengthscale": np.linspace(0.8, 2.2, d), "outputscale": 1.3, "noise_sd": 0.3}
    return [
        {
            "lengthscale": (one["lengthscale"] * c).tolist(),
            **{k: one[k] * c for k in ("outputscale", "noise_sd")},
            "mean": 0.0,
        }
        for c in (1.0, 1.01)
    ]


def start(x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    """Return the setting that every library's fit starts from, unless it has a rule of its own."""
    lengthscale = 0.5 * np.sqrt(x.shape[1]) * x.std(axis=0)
    return [
        {
            "lengthscale": lengthscale.tolist(),
            "outputscale": float(y.var()),
            "noise_sd": float(0.3 * y.std()),
            "mean": float(y.mean()),
        }
    ]


def save(arrays: dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """Return the path of a file of the arrays, which every library reads."""
    path = folder / f"{name}.npz"
    np.savez(path, **arrays)
    return path
