"""What of a model has its optimum in closed form, whatever the other hyperparameters: scale and mean coefficients.

With K = c K₁, the likelihood is largest at c = rᵀK₁⁻¹r / n, r = y − Φβ, and β = (ΦᵀK⁻¹Φ)⁻¹ΦᵀK⁻¹y  (R&W 2006 eq. 2.42;
a search over what is left is one of the same optima in fewer dimensions, Rao 1973 sec. 4a).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ..model.model import GaussianProcess


@dataclass(frozen=True, eq=False)
class Profile:
    """Directions of the raw vector (p,) with closed-form optima.

    `amplitude` (p,): adding log c times it multiplies K + noise by c; zero where it cannot be moved as a whole.
    `positions` (q,) are the mean's free coefficients, `design` (n, q) their columns Φ.
    """

    amplitude: np.ndarray
    positions: np.ndarray
    design: np.ndarray
    reference: np.ndarray  # (q,) what one raw unit of a coefficient is
    bounds: np.ndarray  # (p, 2)
    tensors: tuple[torch.Tensor, ...]  # that hold the coefficients, in the order of their columns

    @cached_property
    def _moved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the elements that move with the scale, by how much, and their bounds (2, m)."""
        moved = np.flatnonzero(self.amplitude)
        return moved, self.amplitude[moved], self.bounds[moved].T

    def residual(self, residual: np.ndarray, alpha: np.ndarray, whitened: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return y − m, α = K⁻¹(y − m) and the raw coefficients' change, (q,), at the best coefficients.

        `whitened` is K⁻¹Φ (n, q).
        """
        if not len(self.positions):
            return residual, alpha, np.zeros(0)
        change = least_squares(self.design.T @ whitened, self.design.T @ alpha)
        return residual - self.design @ change, alpha - whitened @ change, change / self.reference

    def log_scales(self, vectors: np.ndarray, quadratics: np.ndarray, n: int) -> np.ndarray:
        """Return log c, (k,), for rᵀK⁻¹r = `quadratics` (k,) of n rows, at each of the raw `vectors` (k, p)."""
        moved, amplitude, bounds = self._moved
        if not len(moved):
            return np.zeros(len(vectors))
        low, high = (bounds[:, None] - vectors[:, moved]) / amplitude
        best = np.log(np.maximum(quadratics, 1e-300) / n)  # a constant y leaves no residual
        return np.maximum(np.minimum(best, high.min(axis=1)), low.max(axis=1))

    def log_scale(self, vector: np.ndarray, quadratic: float, n: int) -> tuple[float, int | None]:
        """Return log c at one raw vector, and the element at whose bound it had to stop, if at any."""
        moved, amplitude, (lower, upper) = (part.tolist() for part in self._moved)
        if not moved:
            return 0.0, None
        rows = list(zip(vector[moved].tolist(), amplitude, lower, upper, moved, strict=True))
        low, first = max((((low - at) / a, i) for at, a, low, _, i in rows), key=lambda pair: pair[0])
        high, last = min((((high - at) / a, i) for at, a, _, high, i in rows), key=lambda pair: pair[0])
        best = math.log(max(quadratic, 1e-300) / n)
        if best < low:
            return low, first
        return (high, last) if best > high else (best, None)

    def gradient(self, gradient: np.ndarray, stopped: int | None) -> np.ndarray:
        """Return the gradient of the profiled likelihood from that of the likelihood where the model was moved to.

        They differ only where the scale stopped at a bound: it then moves with the `stopped` element.
        """
        if stopped is None:
            return gradient
        along = (gradient @ self.amplitude) / self.amplitude[stopped]
        return gradient - along * (np.arange(len(gradient)) == stopped)


def least_squares(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the least x with matrix · x = right (q,) or (q, k), the matrix (q, q) of full rank or not."""
    if (
        len(matrix) == 1 and matrix[0, 0] > 0
    ):  # a constant mean: NumPy's own takes as long as factorising a hundred rows
        return right / matrix[0, 0]
    return np.linalg.lstsq(matrix, right, rcond=None)[0]


def profile_of(gp: GaussianProcess) -> Profile:
    """Return what can be profiled: all amplitudes, if all are free of priors and users' bounds; likewise the mean's.

    Its design matrix has a row for each distinct input.
    """
    gp = gp.distinct
    # It is asked for at every setting of the hyperparameters, and takes as long to find as to factorise 50 rows.
    if (known := _PROFILES.get(gp)) is None:
        known = _PROFILES[gp] = _profile_of(gp)
    return known


_PROFILES: WeakKeyDictionary[GaussianProcess, Profile] = WeakKeyDictionary()  # it depends on no current value


def _profile_of(gp: GaussianProcess) -> Profile:
    free, parameters = gp.parameters.free, gp.parameters.all
    scales = [p for p in parameters if p.amplitude]
    bound = not gp.noise.scalable or any(p.fixed or p.prior or any(p.bounded) for p in scales)
    amplitude = np.concatenate([np.zeros(0), *(np.full(p.size, 0.0 if bound else p.amplitude) for p in free)])
    columns = gp.design
    linear = [p.tensor in columns and not any(p.bounded) and not p.prior for p in free]
    positions = np.flatnonzero(np.repeat(linear, [p.size for p in free])) if free else np.zeros(0, dtype=int)
    parts = [columns[p.tensor] for p, yes in zip(free, linear, strict=True) if yes]
    design = np.hstack(parts) if parts else np.zeros((gp.n, 0))
    if any(p.tensor in columns and not yes for p, yes in zip(free, linear, strict=True)):
        amplitude = np.zeros_like(amplitude)  # the scale's optimum would depend on a mean that is none
    sizes = [p.units.reference for p, yes in zip(free, linear, strict=True) if yes]
    reference = np.concatenate(sizes) if sizes else np.zeros(0)
    tensors = tuple(p.tensor for p, yes in zip(free, linear, strict=True) if yes)
    return Profile(amplitude, positions, design, reference, np.array(gp.parameters.bounds).reshape(-1, 2), tensors)
