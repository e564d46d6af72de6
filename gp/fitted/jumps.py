"""Jumps between far parts of a density: proposals from a smooth picture of the draws that chains began with.

The picture is a mixture of Student's t about draws, each as wide as its nearest draws are apart, so that it follows
arms that are thin and bent, where no one normal would  (Givens & Raftery 1996, "Local adaptive importance sampling for
multivariate densities with strong nonlinear relationships").  A proposal from it is accepted as that of an independence
chain is (Tierney 1994, sec. 2.3.3), so that the density stays what it is however bad the picture; it then costs an
evaluation.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

POINTS = 400  # at most: each jump looks at all of them
NEAR, FEWEST = 0.1, 2  # share of the points that are a point's nearest, and how many more than twice the dimension
FREEDOM = 5.0  # degrees of Student's t: tails longer than those of most densities
LEAST = 1e-4  # of the variance of all points, which each one's has at least


@dataclass(frozen=True, eq=False)
class Jumps:
    """Student's t about each of m `points` (m, k), whose scale matrices have the `roots` (m, k, k)."""

    points: np.ndarray
    roots: np.ndarray
    inverses: np.ndarray
    log_volumes: np.ndarray

    @classmethod
    def of(cls, seen: np.ndarray) -> "Jumps | None":
        """Return the picture of the draws `seen` (n, k); None: they are too few, or in fewer dimensions than k."""
        points = np.unique(seen, axis=0)
        points = points[np.linspace(0, len(points) - 1, min(len(points), POINTS)).round().astype(int)]
        m, k = points.shape
        near = max(2 * k + FEWEST, round(NEAR * m))
        if m <= near:
            return None
        whole = np.cov(points.T).reshape(k, k)
        try:
            far = np.linalg.solve(np.linalg.cholesky(whole), points.T).T
            nearest = np.argsort(((far[:, None] - far) ** 2).sum(axis=-1), axis=1, kind="stable")[:, :near]
            apart = points[nearest] - points[:, None]
            roots = np.linalg.cholesky(apart.swapaxes(1, 2) @ apart / near + LEAST * whole)
        except np.linalg.LinAlgError:
            return None
        return cls.at(points, roots)

    @classmethod
    def at(cls, points: np.ndarray, roots: np.ndarray) -> "Jumps":
        """Return the picture of such `points` (m, k) and `roots` (m, k, k), triangular ones."""
        return cls(points, roots, np.linalg.inv(roots), np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1))

    @cached_property
    def _whitening(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all `inverses` as one matrix (k, m · k), and what each makes of its own point, (m, k)."""
        side_by_side = self.inverses.transpose(2, 0, 1).reshape(self.points.shape[1], -1)
        return side_by_side, np.einsum("mij,mj->mi", self.inverses, self.points)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return a proposal (k,)."""
        which, k = int(rng.integers(len(self.points))), self.points.shape[1]
        z = rng.normal(size=k) * math.sqrt(FREEDOM / rng.chisquare(FREEDOM))
        return np.asarray(self.points[which] + self.roots[which] @ z)

    def log_density(self, position: np.ndarray) -> float:
        """Return the log density of proposals at a position (k,), but for a constant of FREEDOM and k."""
        return float(self.log_densities(position[None])[0])

    def log_densities(self, positions: np.ndarray) -> np.ndarray:
        """Return it (n,) at positions (n, k)."""
        inverses, centres = self._whitening
        z = (positions @ inverses).reshape(len(positions), *centres.shape) - centres
        squares = (z**2).sum(axis=2)
        logs = -0.5 * (FREEDOM + positions.shape[1]) * np.log1p(squares / FREEDOM) - self.log_volumes
        return np.asarray(np.logaddexp.reduce(logs, axis=1)) - math.log(len(self.points))
