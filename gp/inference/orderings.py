"""Orderings of points, and each point's nearest ones: among those before it, among all others, or near new ones.

Distances are Euclidean, in the units of the points as given.  SciPy's trees find them; where distances are equal, the
same points give the same neighbours every time.
"""

import numpy as np
from scipy.spatial import KDTree

from gp.matrices.tiles import slices

FEW_ROWS = 10_000  # up to which the max-min order is exact: it takes n² distances
ROUNDS = 2  # after which that of more rows is hardly better
TOGETHER = 16  # points of a neighbourhood
AT_ONCE = 2**20  # neighbours that are looked for at a time


def random_order(n: int, seed: int) -> np.ndarray:
    """Return the numbers below n in a seeded order."""
    return np.random.default_rng(seed).permutation(n)


def max_min_order(points: np.ndarray, seed: int) -> np.ndarray:
    """Return the order in which each of the points (n, d) is as far as can be from all those before it.

    It begins with the one nearest to their mean (Guinness 2018, "Permutation and grouping methods for sharpening
    Gaussian process approximations", sec. 3).  Of more than FEW_ROWS points it is nearly that order: a seeded one,
    sorted by each point's distance to those before it, ROUNDS times.
    """
    return _max_min(points) if len(points) <= FEW_ROWS else _thinned(points, random_order(len(points), seed))


def _thinned(points: np.ndarray, order: np.ndarray) -> np.ndarray:
    # Of two points nearer than r, the later one was given a distance below r: those of all larger ones, which now come
    # first, lie at least r apart.
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
    nearest = np.full(len(points), np.inf)  # squared distance to the chosen ones
    for k in range(len(points)):
        order[k] = chosen
        np.minimum(nearest, ((columns - columns[:, chosen, None]) ** 2).sum(axis=0), out=nearest)
        nearest[chosen] = -1.0  # below what duplicates have
        chosen = int(nearest.argmax())
    return order


def nearest_before(points: np.ndarray, m: int) -> np.ndarray:
    """Return for each of the points (n, d) but the first m the m nearest ones before it, (n − m, m), nearest first."""
    n = len(points)
    found = np.empty((max(n - m, 0), m), dtype=np.int32)
    start = m
    while start < n:
        # About half of twice as many points come before each: of somewhat more than m nearest ones, mostly m do.
        end = min(2 * start, n)
        tree, rows, k = KDTree(points[:end]), np.arange(start, end), min(3 * m // 2 + 8, end)
        while len(rows):
            left = []
            for part in slices(len(rows), max(AT_ONCE // k, 1)):
                some = rows[part]
                near = nearest(tree, points[some], k)
                before = near < some[:, None]
                enough = before.sum(axis=1) >= m
                # Sorted by whether they come before, and otherwise as they were: by distance.
                first = np.argsort(~before[enough], axis=1, kind="stable")[:, :m]
                found[some[enough] - m] = np.take_along_axis(near[enough], first, axis=1)
                left.append(some[~enough])
            rows, k = np.concatenate(left), min(2 * k, end)
        start = end
    return found


def pairs(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the numbers of `count` of the points (n, d), sorted: a seeded half, the point nearest to each, and more.

    Points far from each other tell a function's length scales, pairs of near ones its noise: of a random few among many
    no two may be near enough for that.
    """
    order = random_order(len(points), seed)
    half = order[: count // 2]
    near = nearest_others(KDTree(points), half, 1)[:, 0]
    # Each at its first place: some points are nearest to several, others among the half itself.
    wanted = np.concatenate([half, near, order[count // 2 :]])
    _, first = np.unique(wanted, return_index=True)
    return np.sort(wanted[np.sort(first)[:count]])


def neighbourhoods_first(points: np.ndarray, seed: int) -> np.ndarray:
    """Return an order of the points (n, d) whose beginnings are half whole neighbourhoods, half scattered points.

    Of a scattered few no two may be as near as a function's shortest lengthscale, and that would be taken for noise; in
    neighbourhoods of TOGETHER points it shows, as the longest ones do between scattered points.
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
    """Return which m other points of the tree are nearest to its points `rows` (b,), (b, m), nearest first."""
    near = nearest(tree, tree.data[rows], m + 1)
    itself = near == rows[:, None]
    itself[~itself.any(axis=1), m] = True  # of many duplicates it need not be among the nearest
    return near[~itself].reshape(len(rows), m)


def nearest(tree: KDTree, points: np.ndarray, m: int) -> np.ndarray:
    """Return which m of the tree's points are nearest to each of `points` (b, d), (b, m), nearest first."""
    return np.asarray(tree.query(points, k=np.arange(1, m + 1))[1])
