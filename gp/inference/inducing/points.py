"""Where inducing inputs start: at centres of clusters of the training inputs."""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2

ROUNDS = 20  # of Lloyd's algorithm; more rounds change the centres little, and they are only a start


def cluster_centres(x: np.ndarray, m: int, seed: int, *, sample: int | None = None) -> np.ndarray:
    """Return m cluster centres (m, d) of the rows of x (n, d), or all rows if n is at most m.

    k-means (Lloyd 1982) starts at m random rows (by the seed), in units of each column's sd.  If there are more than
    `sample` rows, it uses a random sample of that size.  If x has fewer than m distinct rows, some centres are equal.
    """
    rng = np.random.default_rng(seed)
    if sample is not None and len(x) > max(sample, m):
        x = x[np.sort(rng.choice(len(x), size=max(sample, m), replace=False))]
    if len(x) <= m:
        return x.copy()
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    rows = x / scale
    start = rows[np.sort(rng.choice(len(rows), size=m, replace=False))]
    with warnings.catch_warnings():
        # A cluster without rows keeps its centre.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, _ = kmeans2(rows, start, iter=ROUNDS, minit="matrix")
    return centres * scale
