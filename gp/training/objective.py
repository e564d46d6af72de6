"""What training maximises."""

from typing import Any

import numpy as np
import torch

from ..inference.method import Method
from ..inference.profile import profile_of
from ..inference.solved import solve
from ..inference.spectrum import Spectrum
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..parameters.vector import Parameters


class Problem:
    """What training maximises: raw vector → log marginal likelihood plus log prior (nats), and its gradient."""

    def __init__(self, gp: GaussianProcess, inference: Method, *, profiled: bool = False) -> None:
        gp = gp.distinct if inference.groups else gp
        self.gp, self.inference = gp, inference
        self.parameters: Parameters = gp.parameters
        self.n = gp.n
        self.evaluations = 0
        self._options: dict[str, Any] = {"profile": profile_of(gp)} if profiled and inference.profiles else {}

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective at `vector`, and set the model to it.  Raises NotPositiveDefinite.

        If it is profiled, the objective is maximised over scale and mean coefficients, and the model gets these.
        """
        self.evaluations += 1
        self.parameters.set(vector)
        value, gradient = self.inference.evaluate(self.gp, **self._options)
        prior, slope = self.parameters.log_prior(vector)
        return value + prior, gradient + slope

    @property
    def is_informed(self) -> bool:
        """Return whether an evaluation also gives the curvature."""
        return bool(self._options) and self.inference.is_informed(self.gp)

    def informed(self, vector: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the objective at `vector`, its gradient, and the average information (p, p) as its curvature −∂²."""
        self.evaluations += 1
        self.parameters.set(vector)
        value, gradient, curvature = self.inference.evaluate_informed(self.gp, **self._options)
        prior, slope = self.parameters.log_prior(vector)
        if self.parameters.has_prior:
            curvature = curvature - np.diag(self._prior_curvature(vector))
        return value + prior, gradient + slope, curvature

    def _prior_curvature(self, vector: np.ndarray) -> np.ndarray:
        """Return the second derivatives (p,) of the log prior, which is a sum over elements."""
        ahead, behind = (self.parameters.log_prior(vector + step)[1] for step in (1e-4, -1e-4))
        return (ahead - behind) / 2e-4

    def at_levels(self, vector: np.ndarray, noise: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return the objective at `vector` with its elements `noise` at each of the `levels` (k, len(noise)), (k,).

        −inf if the covariance has no Cholesky factor.
        """
        vectors = np.repeat(vector[None], len(levels), axis=0)
        vectors[:, noise] = levels
        if not self.has_spectrum or len(levels) < 2:
            return np.array([self._value(each) for each in vectors])
        self.evaluations += 1
        self.parameters.set(vector)
        spectrum = Spectrum(self.gp, self._options.get("profile"))
        values = spectrum.values(vectors, np.exp(2 * levels[:, 0]))
        if not self.parameters.has_prior:
            return values
        return values + [self.parameters.log_prior(each)[0] for each in vectors]

    def _value(self, vector: np.ndarray) -> float:
        self.evaluations += 1
        self.parameters.set(vector)
        try:
            value, _ = self.inference.evaluate(self.gp, gradient=False, **self._options)
        except NotPositiveDefinite:
            return -np.inf
        return value + self.parameters.log_prior(vector)[0]

    def factored(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return y − m (n,) and the lower Cholesky factor (n, n) of the covariance at `vector`; None: unknown."""
        if not self.inference.is_dense:
            return None
        self.evaluations += 1
        self.parameters.set(vector)
        try:
            with torch.no_grad():
                solved = solve(self.gp)
        except NotPositiveDefinite:
            return None
        return solved.residual, solved.factor

    @property
    def has_spectrum(self) -> bool:
        """Return whether one reduction of the kernel matrix gives the objective at all levels of noise."""
        return self.inference.is_dense and self.gp.noise.one_level

    @property
    def profiles_scale(self) -> bool:
        """Return whether every evaluation sets the scale of the covariance to its optimum."""
        return bool(self._options) and bool(self._options["profile"].amplitude.any())

    def subset(self, rows: np.ndarray) -> "Problem":
        """Return the problem without auxiliary parameters on some of the rows, by the method for that many."""
        return Problem(self.gp.subset(rows), self.inference.for_rows(len(rows)), profiled=bool(self._options))

    @property
    def settles_rows(self) -> bool:
        """Return whether there are parameters of each row whose optimum is known (gp.training.rows)."""
        return self.has_auxiliary and self.gp.noise.by_row and self.inference.is_dense

    @property
    def has_auxiliary(self) -> bool:
        """Return whether there are auxiliary parameters."""
        return any(parameter.auxiliary for parameter in self.parameters.free)

    def maximise_profiled(self, vector: np.ndarray) -> np.ndarray:
        """Return `vector` with scale and mean coefficients at their optimum, if the problem is profiled."""
        if self._options:
            self.parameters.set(vector)
            self.inference.evaluate(self.gp, gradient=False, **self._options)
            return self.parameters.vector
        return vector
