"""Where inducing inputs start: at centres of clusters of the training inputs."""

import numpy as np

ROUNDS = 20  # of Lloyd's: more move the centres by little, and they are only a start


def cluster_centres(x: np.ndarray, m: int, seed: int, *, sample: int | None = None) -> np.ndarray:
    """Return m centres (m, d) of the rows of x (n, d): all rows where n is m.

    k-means (Lloyd 1982) in units of each column's sd, from m seeded rows, among `sample` seeded rows if that is fewer.
    """
    rng = np.random.default_rng(seed)
    if sample is not None and len(x) > max(sample, m):
        x = x[np.sort(rng.choice(len(x), size=max(sample, m), replace=False))]
    if len(x) <= m:
        return x.copy()
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    rows = x / scale
    centres = rows[np.sort(rng.choice(len(rows), size=m, replace=False))]
    for _ in range(ROUNDS):
        # |row|² is the same for all centres
        nearest = ((centres**2).sum(axis=1) - 2 * rows @ centres.T).argmin(axis=1)
        sums, counts = np.zeros_like(centres), np.bincount(nearest, minlength=m)
        np.add.at(sums, nearest, rows)
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres * scale
