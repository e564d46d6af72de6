"""Chooses an inference method: exact if time and memory allow, else by what a fit to some of the rows finds."""

import math
from typing import Literal

import numpy as np
import torch

from ..matrices.tiles import diagonal, matrix
from ..model.model import GaussianProcess
from ..parallel import one_thread
from ..parameters.scope import spread
from ..spec import InputError
from .exact import Exact
from .inducing.sgpr import Sgpr
from .inducing.svgp import Svgp
from .markov.markov import Markov, states_of
from .method import Choice, Method, Optimizer
from .nearest.vecchia import Vecchia
from .orderings import pairs

# Up to this number of rows the exact method is used: at that size an evaluation takes about 3 s of one core (ARD-RBF, d
# = 8; it grows as n³) and 0.25 GB, and a fit a minute or two.
EXACT_ROWS = 5000
# Up to this number of rows, hyperparameters are fitted to EXACT_ROWS rows, and all rows are factorised: a factor takes
# 40 s of one core and 3.2 GB, the stages train and predict about five times that time; it predicts better than inducing
# inputs do (benchmarks/README.md, UCI tables).
FACTOR_ROWS = 20_000
# A state space takes over from a dense matrix above this number of rows, and this number for each state: below, a fit
# by a dense matrix, which knows its average information, is about as quick.
MARKOV_ROWS, ROWS_A_STATE = 1000, 60
STATES = 10**8  # rows · states², up to which it does: an evaluation then takes some 10 s of one core
FEW_INPUTS = 4  # up to which approximations lose little, and the factor of all rows is not worth its cost
# Up to this number of inputs, neighbours beside inducing inputs predicted better than inducing inputs alone on every
# table of real data measured; with more, no row is near, and inducing inputs had better be moved.
MORE_INPUTS = 20
# Up to this number of rows, every step uses all of them: an evaluation of sgpr then takes about 8 s of one core.  With
# more rows and many inputs, the tree search for neighbours is slow.
SGPR_ROWS = 200_000

SURVEYED = 1000  # rows of the fit that a choice rests on
SAMPLED = 2000  # rows, in which inducing inputs are counted
EXPLAINED = 0.01  # of the noise variance: what inducing inputs may leave of the function's, on average
FEWEST, USUAL, MOST = 50, 200, 500  # inducing inputs; the usual number where the function is rougher than MOST resolve
WIDE = 40  # neighbours of the second attempt
SEED = 0


class Auto(Method):
    """Chooses a method by the data; the fit reports which one, and why.

    markov for more than MARKOV_ROWS rows of one input, if the kernels have state spaces of few states.  Otherwise exact
    for up to EXACT_ROWS rows if memory allows, and for noise with parameters for each row.  With more than
    FEW_INPUTS inputs, up to FACTOR_ROWS rows exact too, with hyperparameters from EXACT_ROWS rows.  Otherwise vecchia
    (up to MORE_INPUTS inputs) or sgpr; of more inputs than FEW_INPUTS and rows than SGPR_ROWS, svgp.  An exact fit to
    SURVEYED rows says how many inducing inputs the function needs at its noise.

    If the gap to exact of the first method is more than gp.fitted.gap.WORSE nats a row, another is tried, and the
    better one taken; not beyond FACTOR_ROWS rows, where it would take hours.
    """

    kind: Literal["auto"] = "auto"

    def choices(self, gp: GaussianProcess, optimizer: Optimizer | None = None) -> list[Choice]:
        """Return the methods for the model's rows, best first, each with the reason.

        Hyperparameters are those that the optimizer finds on some of the rows; without one, the model's own.
        """
        n, d, noise = gp.distinct.n, gp.x.shape[1], gp.spec.noise
        states = states_of(gp)
        in_order = states and n > max(MARKOV_ROWS, ROWS_A_STATE * states) and n * states**2 <= STATES
        if noise.by_row and (not in_order or gp.scope.step is not None):
            why = f"noise of kind {noise.kind} learns something for each row, which exact alone takes"
            return [Choice(Exact(), why)]
        if gp.scope.levels or gp.scope.step is not None:
            why = "a categorical input" if gp.scope.levels else "rows that are means along steps"
            why = f"{why}, which exact alone takes"
            return [Choice(Exact(rows=EXACT_ROWS if n > EXACT_ROWS else None), why)]
        if in_order:
            why = f"n={n} is more than {MARKOV_ROWS}, of one input, and the kernel has a state space of {states} states"
            return [Choice(Markov(), f"{why}: exact in a time that grows as n")]
        fits = _fits_in_memory(n)
        if n <= EXACT_ROWS and fits:
            return [Choice(Exact(), f"n={n} is at most {EXACT_ROWS}")]
        too_large = f"n={n} is more than {EXACT_ROWS}"
        if not fits and n <= (EXACT_ROWS if d <= FEW_INPUTS else FACTOR_ROWS):
            too_large = f"exact inference over n={n} rows needs more memory than there is"
        if d > FEW_INPUTS and n <= FACTOR_ROWS and fits:
            why = f"{too_large}, on which hyperparameters are learnt; the posterior is of all, as up to {FACTOR_ROWS}"
            return [Choice(Exact(rows=EXACT_ROWS), why)]
        if d > FEW_INPUTS and n > SGPR_ROWS:
            why = f"{too_large}, and than {SGPR_ROWS}: minibatches, as {d} inputs are more than {FEW_INPUTS}"
            return [Choice(Svgp(), why)]
        rank, said = _survey(gp.distinct, optimizer)
        # Inducing inputs at centres of clusters do a little worse than those that the count chose one by one.
        inducing = USUAL if rank is None else min(max(FEWEST, math.ceil(1.5 * rank / 50) * 50), MOST)
        if d <= MORE_INPUTS:
            first = Choice(Vecchia(inducing=inducing), f"{too_large}; {said}: {inducing}, beside nearest neighbours")
        else:
            first = Choice(Sgpr(), f"{too_large}; {said}; of {d} inputs, more than {MORE_INPUTS}, no rows are near")
        second = Choice(
            Vecchia(neighbours=WIDE, inducing=MOST), f"{too_large}; {said}; {MOST}, beside {WIDE} nearest neighbours"
        )
        return [first, second] if n <= FACTOR_ROWS else [first]


def _survey(gp: GaussianProcess, optimizer: Optimizer | None) -> tuple[int | None, str]:
    """Return how many inducing inputs the function needs, None for more than MOST; and that in words.

    The model's hyperparameters are left as they were.
    """
    at, before = gp.scope.x / spread(gp.scope.x), gp.parameters.vector
    if optimizer is not None and gp.parameters.free:
        some = gp.subset(pairs(at, min(SURVEYED, gp.n), SEED))
        gp.parameters.set(optimizer(Exact(), some).vector)
    rank = count_inducing(gp)
    share = float(np.mean(gp.noise_variance(gp.x)) / np.var(gp.observed))
    gp.parameters.set(before)
    need = f"more than {MOST}" if rank is None else f"about {rank}"
    return rank, f"with {share:.1%} of the variance noise, the function needs {need} inducing inputs"


def count_inducing(gp: GaussianProcess) -> int | None:
    """Return the number of inducing inputs that explain the function to EXPLAINED of the noise; None: more than MOST.

    They are chosen one by one among SAMPLED rows, each where the most variance is left (a pivoted Cholesky factor;
    Burt, Rasmussen & van der Wilk 2020, "Convergence of sparse variational inference in Gaussian processes regression",
    sec. 4), at the model's hyperparameters.
    """
    rows = np.random.default_rng(SEED).choice(gp.n, size=min(SAMPLED, gp.n), replace=False)
    x = gp.x[np.sort(rows)]
    with one_thread(), torch.no_grad():
        left, noise = diagonal(gp.kernel, x).numpy().copy(), float(gp.noise_variance(x).mean())
        factor = np.empty((MOST, len(x)))
        for count in range(min(MOST, len(x))):
            if left.mean() <= EXPLAINED * noise:
                return count
            pivot = int(left.argmax())
            row = matrix(gp.kernel, x[pivot : pivot + 1], x).numpy()[0] - factor[:count, pivot] @ factor[:count]
            factor[count] = row / math.sqrt(left[pivot])
            left = np.maximum(left - factor[count] ** 2, 0.0)
    return None


def _fits_in_memory(n: int) -> bool:
    try:
        Exact().check(n)
    except InputError:
        return False
    return True
