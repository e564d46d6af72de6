"""Exact inference over one input in time and memory that grow as the number of rows: Markov processes, filtered."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ...matrices.cholesky import NotPositiveDefinite
from ...model.model import GaussianProcess
from ...model.noise.heteroscedastic import HeteroscedasticNoise
from ...parallel import one_thread
from ...spec import InputError
from ..exact import Exact
from ..method import Method
from ..profile import Profile, profile_of
from ..refusals import refuse_noise_by_row
from ..waves import bounded, names_bounded
from .filtered import Filtered
from .forms import LEFT, MOST, blocks_of, column_of
from .level import settled, unsettled
from .space import Space

FEW_ROWS = 500  # up to which a dense matrix is as quick


class Markov(Method):
    """Exact inference in O(n) time and memory, for kernels of one input with a state space (gp.inference.markov.space).

    Likelihood, gradient, posterior and leave-one-out are those of `exact`.  An evaluation takes three passes of a
    Kalman filter over the rows in order (gp.inference.markov.lanes); its time grows as the square of the number of
    states: 1 to 3 for a matern kernel, 1 + 2 for each harmonic of a periodic one, their product for a product.

    Rows that share their inputs are one row (gp.model.repeats).
    """

    profiles: ClassVar[bool] = True
    groups: ClassVar[bool] = True
    is_exact: ClassVar[bool] = True
    flattens: ClassVar[bool] = True

    kind: Literal["markov"] = "markov"

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError if the kernel has no state space of one input, or the noise has parameters of each row.

        But for noise whose level has a kernel with a state space: it is settled (gp.inference.markov.level).
        """
        for where, kernel in zip(("inference", "noise.kernel"), kernels_of(gp), strict=False):
            column_of(kernel, where)
        if not isinstance(gp.noise, HeteroscedasticNoise):
            refuse_noise_by_row(gp, self.kind, "gaussian, known or heteroscedastic")

    def prepare(self, gp: GaussianProcess, seed: int | None) -> GaussianProcess:
        """Return `gp` with lengthscales of periodic kernels bounded where their harmonics run out.

        And without the parameters of rows by which other methods learn how the level of noise changes.
        """
        return bounded(unsettled(gp), MOST, LEFT)

    def n_auxiliary(self, gp: GaussianProcess) -> int:
        """Return minus the number of parameters of rows, which `prepare` takes away."""
        return -sum(parameter.size for parameter in gp.parameters.free if parameter.auxiliary)

    def limits(self, gp: GaussianProcess) -> dict[str, tuple[str, str]]:
        """Return which lengthscales are bounded by the number of harmonics, by name, and what to write."""
        told = f"the shortest that {MOST} harmonics show", "write inference: {kind: exact}"
        return dict.fromkeys(names_bounded(gp, MOST, LEFT), told)

    def for_rows(self, n: int) -> Method:
        """Return exact inference by a dense matrix where that is as quick; to it noise that changes has one level."""
        return Exact() if n <= FEW_ROWS else self

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the internal targets (nats), and its gradient by the raw vector.

        With a `profile`, the model's scale and mean coefficients are first moved to their optimum.  Raises
        NotPositiveDefinite.
        """
        with one_thread():
            filtered = _filtered(gp.distinct, partial(Filtered.of, profile=profile), gradient=gradient)
            value = filtered.log_likelihood
            slope = filtered.pull_back() if gradient else np.zeros(0)
        if profile:
            gp.parameters.set(filtered.vector)
            slope = profile.gradient(slope, filtered.stopped) if gradient else slope
        return value, slope

    def condition(self, gp: GaussianProcess) -> Filtered:
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        with one_thread():
            return _filtered(gp.distinct, partial(Filtered.of, profile=None))

    def integrating(self, gp: GaussianProcess) -> tuple[Method, np.ndarray]:
        """Return this method with those mean coefficients integrated out that have neither bounds nor a prior."""
        places = profile_of(gp).positions
        return (_Integrated(), places) if len(places) else (self, places)


class _Integrated(Markov):
    """Markov inference whose mean coefficients are integrated out (gp.inference.flat_mean)."""

    profiles: ClassVar[bool] = False

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the restricted log likelihood, nats, and its raw gradient: zero for what is integrated out."""
        with one_thread():
            filtered = _filtered(gp.distinct, Filtered.of_flat_mean, gradient=gradient)
            return filtered.log_likelihood, filtered.pull_back() if gradient else np.zeros(0)

    def condition(self, gp: GaussianProcess) -> Filtered:
        """Return the model conditioned on its rows; it is left at the estimate of its mean coefficients."""
        with one_thread():
            return _filtered(gp.distinct, Filtered.of_flat_mean)


def _filtered(gp: GaussianProcess, of: Callable[..., Filtered], *, gradient: bool = False) -> Filtered:
    """Return the model conditioned `of` its rows, its noise settled."""
    return of(settled(gp, partial(of, gradient=False), gradient=gradient), gradient=gradient)


def kernels_of(gp: GaussianProcess) -> list[Kernel]:
    """Return the kernel of the function, and that of the log variance of noise that changes."""
    return [gp.kernel, gp.noise.kernel] if isinstance(gp.noise, HeteroscedasticNoise) else [gp.kernel]


def states_of(gp: GaussianProcess) -> int | None:
    """Return the number of states of a model at its hyperparameters, those of its noise too; None: not for markov."""
    try:
        Markov().check_model(gp)
        with torch.no_grad():
            return sum(Space(blocks_of(kernel)).size for kernel in kernels_of(gp))
    except (InputError, NotPositiveDefinite):
        return None
