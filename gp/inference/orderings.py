"""Orderings of points, and nearest neighbours: among earlier points, among all others, or of new points.

Distances are Euclidean, in the units of the given points.  SciPy's trees find neighbours.  With equal distances, the
same points give the same neighbours every time.
"""

import numpy as np
from scipy.spatial import KDTree

from ..matrices.tiles import slices

FEW_ROWS = 10_000  # up to so many rows the max-min order is exact; it takes n² distances
ROUNDS = 2  # of refinement for more rows; further rounds hardly improve the order
TOGETHER = 16  # points in a neighbourhood
AT_ONCE = 2**20  # neighbours searched at a time


def random_order(n: int, seed: int) -> np.ndarray:
    """Return the numbers below n in a random order, given by the seed."""
    return np.random.default_rng(seed).permutation(n)


def max_min_order(points: np.ndarray, seed: int) -> np.ndarray:
    """Return the max-min order of points (n, d): each point is as far as possible from all earlier ones.

    It begins with the point nearest to the mean (Guinness 2018, "Permutation and grouping methods for sharpening
    Gaussian process approximations", sec. 3).  For more than FEW_ROWS points the order is approximate: a random order,
    sorted ROUNDS times by each point's distance to the earlier points.
    """
    return _max_min(points) if len(points) <= FEW_ROWS else _thinned(points, random_order(len(points), seed))


def _thinned(points: np.ndarray, order: np.ndarray) -> np.ndarray:
    # If two points are nearer than r, the later one has a distance below r.  So the points with distances of at least
    # r, which now come first, are at least r apart.
    for _ in range(ROUNDS):
        ordered = points[order]
        steps = ordered[1:] - ordered[nearest_before(ordered, 1)[:, 0]]
        apart = np.concatenate([[np.inf], (steps**2).sum(axis=1)])
        order = order[np.argsort(-apart, kind="stable")]
    return order


def _max_min(points: np.ndarray) -> np.ndarray:
    columns = np.ascontiguousarray(points.T)
    centre = columns - columns.mean(axis=1, keepdims=True)
    chosen, order = int((centre**2).sum(axis=0).argmin()), np.empty(len(points), dtype=np.int64)
    nearest = np.full(len(points), np.inf)  # squared distance to the chosen points
    for k in range(len(points)):
        order[k] = chosen
        np.minimum(nearest, ((columns - columns[:, chosen, None]) ** 2).sum(axis=0), out=nearest)
        nearest[chosen] = -1.0  # less than duplicates have, which is 0
        chosen = int(nearest.argmax())
    return order


def nearest_before(points: np.ndarray, m: int) -> np.ndarray:
    """Return the m nearest earlier points of each of the points (n, d) after the first m, (n − m, m), nearest first."""
    n = len(points)
    found = np.empty((max(n - m, 0), m), dtype=np.int32)
    start = m
    while start < n:
        # Among twice as many points, about half are earlier; so somewhat more than m nearest ones mostly suffice.
        end = min(2 * start, n)
        tree, rows, k = KDTree(points[:end]), np.arange(start, end), min(3 * m // 2 + 8, end)
        while len(rows):
            left = []
            for part in slices(len(rows), max(AT_ONCE // k, 1)):
                some = rows[part]
                near = nearest(tree, points[some], k)
                before = near < some[:, None]
                enough = before.sum(axis=1) >= m
                # A stable sort: earlier points first, each group still by distance.
                first = np.argsort(~before[enough], axis=1, kind="stable")[:, :m]
                found[some[enough] - m] = np.take_along_axis(near[enough], first, axis=1)
                left.append(some[~enough])
            rows, k = np.concatenate(left), min(2 * k, end)
        start = end
    return found


def pairs(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the sorted numbers of `count` of the points (n, d): a random half, the point nearest to each, and others.

    Distant points determine lengthscales, and pairs of near points the noise.  In a small random sample, no two points
    may be near enough to determine the noise.
    """
    order = random_order(len(points), seed)
    half = order[: count // 2]
    near = nearest_others(KDTree(points), half, 1)[:, 0]
    # Duplicates are removed: a point may be nearest to several, or belong to the half itself.
    wanted = np.concatenate([half, near, order[count // 2 :]])
    _, first = np.unique(wanted, return_index=True)
    return np.sort(wanted[np.sort(first)[:count]])


def neighbourhoods_first(points: np.ndarray, seed: int) -> np.ndarray:
    """Return an order of the points (n, d) whose first points are, by halves, neighbourhoods and scattered points.

    In a small scattered sample, no two points may be as near as the shortest lengthscale, and variation on that scale
    would look like noise.  Neighbourhoods of TOGETHER points show it; scattered points show the longest lengthscales.
    """
    order = random_order(len(points), seed)
    rounds = len(points) // (2 * TOGETHER)
    if not rounds:
        return order
    together = nearest(KDTree(points), points[order[:rounds]], TOGETHER)
    scattered = order[rounds : rounds * (1 + TOGETHER)].reshape(rounds, TOGETHER)
    wanted = np.concatenate([np.hstack([together, scattered]).ravel(), order])
    _, first = np.unique(wanted, return_index=True)
    return wanted[np.sort(first)]


def nearest_others(tree: KDTree, rows: np.ndarray, m: int) -> np.ndarray:
    """Return the m other points of the tree nearest to each of its points `rows` (b,), (b, m), nearest first."""
    near = nearest(tree, tree.data[rows], m + 1)
    itself = near == rows[:, None]
    itself[~itself.any(axis=1), m] = True  # with many duplicates, the point itself need not be among the nearest
    return near[~itself].reshape(len(rows), m)


def nearest(tree: KDTree, points: np.ndarray, m: int) -> np.ndarray:
    """Return the m points of the tree nearest to each of `points` (b, d), (b, m), nearest first."""
    return np.asarray(tree.query(points, k=np.arange(1, m + 1))[1])
