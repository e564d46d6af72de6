"""Neighbours and orderings: judged by brute force."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from gp.inference import orderings
from gp.inference.orderings import max_min_order, nearest_before, nearest_others, pairs, random_order


def _points(kind, n, d):
    rng = np.random.default_rng(n + d)
    points = rng.uniform(size=(n, d))
    if kind == "sorted":  # no point before another lies beyond it
        return points[np.argsort(points[:, 0])]
    return np.round(4 * points) / 4 if kind == "duplicated" else points


def _brute(points, row, others, m):
    """Return the m smallest distances from a row to `others`."""
    return np.sort(np.linalg.norm(points[others] - points[row], axis=1))[:m]


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kind", ["random", "sorted", "duplicated"])
@pytest.mark.parametrize(("n", "m"), [(200, 1), (200, 7), (200, 199), (9, 8)])
@pytest.mark.parametrize("at_once", [2**20, 100])
def test_the_nearest_before_are_those_that_brute_force_finds(d, kind, n, m, at_once, monkeypatch):
    monkeypatch.setattr(orderings, "AT_ONCE", at_once)
    points = _points(kind, n, d)
    found = nearest_before(points, m)
    assert found.shape == (n - m, m)
    for row, near in enumerate(found, start=m):
        assert len(set(near.tolist())) == m
        assert near.max() < row
        distances = np.linalg.norm(points[near] - points[row], axis=1)
        np.testing.assert_allclose(distances, _brute(points, row, np.arange(row), m), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", [3, 4])
def test_of_no_more_points_than_neighbours_none_is_looked_for(n):
    assert nearest_before(_points("random", n, 2), 4).shape == (0, 4)


@pytest.mark.parametrize("kind", ["random", "duplicated"])
@pytest.mark.parametrize(("n", "m"), [(200, 1), (200, 7), (60, 59)])
def test_the_nearest_others_are_those_that_brute_force_finds(kind, n, m):
    points, rows = _points(kind, n, 2), np.arange(0, n, 3)
    for row, near in zip(rows.tolist(), nearest_others(KDTree(points), rows, m), strict=True):
        assert len({row, *near.tolist()}) == m + 1
        distances = np.linalg.norm(points[near] - points[row], axis=1)
        others = np.delete(np.arange(n), row)
        np.testing.assert_allclose(distances, _brute(points, row, others, m), rtol=1e-12, atol=1e-15)


def test_the_max_min_order_is_greedy():
    points = _points("random", 80, 2)
    order = max_min_order(points, 0).tolist()
    assert order[0] == int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
    for k in range(1, 80):
        to_chosen = {
            row: np.linalg.norm(points[order[:k]] - points[row], axis=1).min()
            for row in set(range(80)) - set(order[:k])
        }
        assert to_chosen[order[k]] == pytest.approx(max(to_chosen.values()), rel=1e-12)


@pytest.mark.parametrize("kind", ["random", "duplicated"])
def test_an_order_has_every_point_once(kind, monkeypatch):
    points = _points(kind, 300, 2)
    for few_rows in (1000, 100):
        monkeypatch.setattr(orderings, "FEW_ROWS", few_rows)
        assert np.array_equal(np.sort(max_min_order(points, 0)), np.arange(300))


def _apart(points, order, k):
    """Return the least distance between two of the first k points."""
    first = points[order[:k]]
    return np.linalg.norm(first[:, None] - first, axis=2)[np.triu_indices(k, 1)].min()


def test_of_many_points_the_max_min_order_is_seeded_and_spreads_nearly_as_wide(monkeypatch):
    points = _points("random", 2000, 2)
    exact = max_min_order(points, 0)
    monkeypatch.setattr(orderings, "FEW_ROWS", 100)
    near, again, other = (max_min_order(points, seed) for seed in (0, 0, 1))
    assert np.array_equal(near, again)
    assert not np.array_equal(near, other)
    for k in (30, 200, 1000):
        half = 0.5 * _apart(points, exact, k)
        assert _apart(points, near, k) > half > _apart(points, random_order(2000, 0), k)


def test_a_random_order_is_seeded():
    assert np.array_equal(random_order(50, 3), random_order(50, 3))
    assert not np.array_equal(random_order(50, 3), random_order(50, 4))
    assert np.array_equal(np.sort(random_order(50, 3)), np.arange(50))


@pytest.mark.parametrize("kind", ["random", "sorted", "duplicated"])
@pytest.mark.parametrize("count", [1, 2, 51, 199, 200])
def test_pairs_are_so_many_points_and_most_have_their_nearest_among_them(kind, count):
    points = _points(kind, 200, 2)
    rows = pairs(points, count, 0)
    assert len(set(rows.tolist())) == len(rows) == count
    assert (np.diff(rows) > 0).all()
    near = nearest_others(KDTree(points), rows, 1)[:, 0]
    distance = np.linalg.norm(points[rows] - points[near], axis=1)
    among = [_brute(points, row, np.setdiff1d(rows, row), 1) for row in rows] if count > 1 else []
    has_nearest = [own[0] <= least + 1e-12 for own, least in zip(among, distance, strict=False)]
    assert sum(has_nearest) >= count // 2
