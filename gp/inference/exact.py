"""Exact inference: the marginal likelihood and its gradient at the cost of one Cholesky factor and one inverse."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from ..model.model import GaussianProcess
from ..parallel import available_memory, one_thread
from ..parameters.scope import spread
from ..spec import Fault, InputError
from .information import average_information
from .method import ByNoise, Method, Optimizer, Search
from .orderings import pairs
from .profile import Profile, profile_of
from .solved import Solved, solve, solve_flat

MATRICES = 1.2  # the peak memory of an evaluation, in n×n matrices
BY_ROW = 8.0  # the same where noise learns something for each row: Newton steps need second derivatives by all of them
INSTEAD = "write inference: {kind: auto}, which takes an approximation (its gap to exact stands among the metrics)"
MOST = 20_000  # rows that hyperparameters are learnt on unasked: an evaluation then takes a minute or two of a core
ON_SOME = "write inference: {kind: exact, rows: 4000}, to learn on as many (all rows predict), or {kind: auto}"
CHANGING = (
    "write noise of kind gaussian; or, of one input, kernels of kind matern, noise: {kind: heteroscedastic, kernel: "
    "{kind: matern}} and inference: {kind: markov}"
)
FEWEST = 20  # that hyperparameters are learnt on
SEED = 0  # of the rows that hyperparameters are learnt on: a saved model has the same as the fitted one


class Exact(Method):
    """The exact Gaussian process: Cholesky in float64, no jitter, no approximation.

    Rows that share their inputs are one row of its matrix (gp.model.repeats), which changes nothing but the cost.

    With `rows`, where there are more, hyperparameters are fitted and certified on a subset of that size: a seeded half,
    and the row nearest to each.  The full covariance is factorised once, for the likelihood, predictions and
    leave-one-out of all rows.
    """

    profiles: ClassVar[bool] = True
    groups: ClassVar[bool] = True
    averages: ClassVar[bool] = True

    kind: Literal["exact"] = "exact"
    rows: Annotated[int, Field(ge=FEWEST)] | None = None

    is_exact: ClassVar[bool] = True
    is_dense: ClassVar[bool] = True
    flattens: ClassVar[bool] = True

    def check(self, n: int) -> None:
        """Raise InputError where n rows need more memory than this machine has."""
        _refuse_memory(n, MATRICES, INSTEAD)

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where some of the rows cannot stand for all, or noise of each row needs too much memory."""
        if gp.noise.by_row and self._chosen(gp) is not None:
            raise InputError(
                Fault(
                    "inference.rows",
                    f"noise of this kind learns something for every row, and rows is {self.rows} of n={gp.n}",
                    "remove inference.rows, or take noise of kind gaussian or known",
                )
            )
        if gp.noise.by_row:
            _refuse_memory(gp.distinct.n, BY_ROW, CHANGING)

    def learnt_on(self, gp: GaussianProcess) -> GaussianProcess:
        """Return the model over the rows that hyperparameters are learnt on."""
        chosen = self._chosen(gp)
        return gp if chosen is None else gp.subset(chosen)

    def learn(
        self, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None
    ) -> Search | None:
        """Return where learning on all rows, or on those chosen, ends; None where nothing is free.

        Raises InputError where it would take a day, and nobody wrote `rows`.
        """
        some = self.learnt_on(gp)
        n, by_row = gp.distinct.n, gp.noise.by_row
        if self.rows is None and gp.parameters.free and n > MOST:
            why = f"exact inference over n={n} rows: each of a hundred evaluations and more takes n³ = {n**3:.0e} steps"
            why += ", many times, as noise of this kind learns something for every row" if by_row else ""
            fix = CHANGING if by_row else ON_SOME
            raise InputError(Fault("inference", why, fix))
        if some is gp or not gp.parameters.free:
            return super().learn(gp, optimizer, seed, checkpoints)
        return replace(optimizer(self, some), rows=some.n)

    def _chosen(self, gp: GaussianProcess) -> np.ndarray | None:
        """Return the rows that hyperparameters are learnt on: those at `rows` distinct inputs; None: all."""
        distinct = gp.distinct
        if self.rows is None or distinct.n <= self.rows:
            return None
        chosen = pairs(distinct.scope.x / spread(distinct.scope.x), self.rows, SEED)
        return np.flatnonzero(np.isin(distinct.repeats.group, chosen)) if distinct.repeats else chosen

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets (nats), and its gradient by the raw vector.

        R&W 2006 Alg. 2.1 and eq. 5.9.  With a `profile`, the model's scale and mean coefficients are first moved to
        their optimum.  Raises NotPositiveDefinite.
        """
        return self._evaluate(gp, gradient=gradient, profile=profile)[:2]

    def is_informed(self, gp: GaussianProcess) -> bool:
        """Return whether the average information of this model is known: not where noise bounds the likelihood."""
        return gp.noise.slopes(np.zeros(0)) is not None

    def evaluate_informed(self, gp: GaussianProcess, *, profile: Profile) -> tuple[float, np.ndarray, np.ndarray]:
        """Return what `evaluate` does, and the average information (p, p) of the profiled likelihood."""
        return self._evaluate(gp, profile=profile, information=True)

    def _evaluate(
        self,
        gp: GaussianProcess,
        *,
        gradient: bool = True,
        profile: Profile | None = None,
        information: bool = False,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        curvature = np.zeros((0, 0))
        with one_thread(), torch.set_grad_enabled(gradient):
            solved = solve(gp.distinct, profile.design if profile else None)
            if profile:
                solved.refuse_rounding()
            moved = None if profile is None else _profiled(solved, profile)
            solved = moved.solved if moved else solved
            value = solved.log_likelihood
            slope = solved.pull_back() if gradient else np.zeros(0)
            if information and moved and profile:
                curvature = average_information(solved, profile, moved.stopped)
        if moved and profile:
            gp.parameters.set(moved.vector)
            slope = profile.gradient(slope, moved.stopped) if gradient else slope
        return value, slope, curvature

    def evaluate_by_noise(self, gp: GaussianProcess) -> ByNoise:
        """Return the log marginal likelihood, and its first and second derivatives by the logs of the rows' noise."""
        with one_thread():
            return self.condition(gp).by_log_noise()

    def condition(self, gp: GaussianProcess, factor: np.ndarray | None = None) -> Solved:
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite.

        `factor` (n, n) is the Cholesky factor of K + noise, where it is known.
        """
        with one_thread(), torch.no_grad():
            return solve(gp.distinct, factor=factor)

    def integrating(self, gp: GaussianProcess) -> tuple[Method, np.ndarray]:
        """Return exact inference with those mean coefficients integrated out that have neither bounds nor a prior."""
        if type(self) is not Exact:  # another's `evaluate` and `condition` are not those of `_Integrated`
            return super().integrating(gp)
        places = profile_of(gp).positions
        return (_Integrated(rows=self.rows), places) if len(places) else (self, places)


class _Integrated(Exact):
    """Exact inference whose mean coefficients are integrated out (gp.inference.flat_mean)."""

    profiles: ClassVar[bool] = False

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the restricted log likelihood, nats, and its raw gradient: zero for what is integrated out."""
        with one_thread(), torch.set_grad_enabled(gradient):
            solved = solve_flat(gp)
            return solved.log_likelihood, solved.pull_back() if gradient else np.zeros(0)

    def condition(self, gp: GaussianProcess, factor: np.ndarray | None = None) -> Solved:
        """Return the model conditioned on its rows; it is left at the estimate of its mean coefficients."""
        with one_thread(), torch.no_grad():
            return solve_flat(gp, factor)


@dataclass(frozen=True, eq=False)
class _Profiled:
    """What is solved at the optimal scale and mean coefficients, the raw vector with them, and the bound in the way.

    With K + noise = c K₁, it is K₁'s factor beside (y − m)/√c and K₁⁻¹(y − m)/√c: in the gradient by log θ the c of ∂K
    cancels that of K⁻¹, and the mean's is zero.
    """

    solved: Solved
    vector: np.ndarray
    stopped: int | None


def _profiled(solved: Solved, profile: Profile) -> _Profiled:
    """Return `solved` with scale and mean coefficients at their optimum; the model keeps those it has."""
    gp = solved.gp
    residual, alpha, change = profile.residual(solved.residual, solved.alpha, solved.whitened)
    vector = gp.parameters.vector
    vector[profile.positions] += change
    # Noise within groups of equal inputs is scaled too: all of the data's rows count.
    quadratic, n = float(residual @ alpha) + solved.within_groups, gp.total
    shift, stopped = profile.log_scale(vector, quadratic, n)
    root, volume = math.exp(0.5 * shift), solved.log_determinant + n * shift
    scatter = None if solved.scatter is None else solved.scatter / root**2
    scaled = replace(solved, log_determinant=volume, residual=residual / root, alpha=alpha / root, scatter=scatter)
    return _Profiled(scaled, vector + shift * profile.amplitude, stopped)


def _refuse_memory(n: int, matrices: float, fix: str) -> None:
    """Raise InputError where that many n×n matrices are more than this machine's memory."""
    needed, available = matrices * 8 * n**2, available_memory()
    if needed > available:
        why = f"exact inference over n={n} rows needs {needed / 2**30:.1f} GiB of memory"
        raise InputError(Fault("", f"{why}, and this machine has {available / 2**30:.1f} GiB", fix))
