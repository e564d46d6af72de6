"""Titsias' collapsed bound over inducing inputs, by blocked sums: for rows too many for a factor of their own."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.optimize import minimize
from tqdm import tqdm

from ...matrices.cholesky import NotPositiveDefinite
from ...model.model import GaussianProcess
from ...parallel import one_thread
from ...spec import Count
from ..exact import Exact
from ..method import Method, Optimizer, Search
from ..profile import Profile
from ..refusals import refuse_noise_by_row
from .bound import BLOCK, JITTER, Inducing, optimum
from .points import cluster_centres
from .posterior import SparsePosterior, suit_noise
from .rows import ModelRows, blocks, draw

START_ROWS = 1000  # on which the hyperparameters' start is found, exactly
LOOK = 10  # steps; where they together gain less than ENOUGH, or ENOUGH_ROW a row if that is more, they are the last
ENOUGH, ENOUGH_ROW = 0.1, 1e-4  # nats
PER_INDUCING = 20  # rows for each inducing input, at most, in which k-means looks for clusters, and steps are cheap


class Sgpr(Method):
    """A sparse Gaussian process with the best q(u) at every setting (Titsias 2009, "Variational learning of inducing
    variables in sparse Gaussian processes"), in float64.

    Hyperparameters start where `train` ends on a seeded subset of START_ROWS rows, but for a noise that suits the
    bound, the `inducing` inputs at centres of clusters. Then L-BFGS-B moves both, on PER_INDUCING rows for each
    inducing input, where there are more than twice as many, and on all rows: until LOOK steps gain next to nothing, or
    for `steps` steps; the certificate then says that it had not converged. An evaluation costs rows · inducing², and
    memory that does not grow with the rows.
    """

    kind: Literal["sgpr"] = "sgpr"
    inducing: Count = 500
    steps: Count = 500

    jitter: ClassVar[float] = JITTER
    flattens: ClassVar[bool] = True

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where the noise has parameters for each row."""
        refuse_noise_by_row(gp, self.kind)

    def prepare(self, gp: GaussianProcess, seed: int | None) -> GaussianProcess:
        """Return `gp` with inducing inputs at centres of clusters of its distinct inputs."""
        x = gp.distinct.scope.x
        m = min(self.inducing, len(x))
        sample = max(START_ROWS, PER_INDUCING * m)
        z = np.zeros((m, gp.x.shape[1])) if seed is None else cluster_centres(x, m, seed, sample=sample)
        return _with(gp, torch.from_numpy(z))

    def n_auxiliary(self, gp: GaussianProcess) -> int:
        """Return how many numbers the inducing inputs are."""
        return min(self.inducing, gp.distinct.n) * gp.x.shape[1]

    def learn(self, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None) -> Search:
        """Return where steps in hyperparameters and inducing inputs together end, begun where the optimizer ended."""
        evaluations, rng = 0, np.random.default_rng([seed, 0])
        if gp.parameters.free:
            search = optimizer(Exact(), gp.subset(draw(gp.n, min(gp.n, START_ROWS), rng)))
            evaluations = search.evaluations
            gp.parameters.set(search.vector)
        full, few = self.prepare(gp, seed), PER_INDUCING * min(self.inducing, gp.distinct.n)
        if gp.n > 2 * few:
            part = _with(gp.subset(draw(gp.n, few, rng)), _inducing_inputs(full).detach())
            evaluations += suit_noise(part, _inducing_inputs(part).detach())
            vector, values, _ = self._climb(part)
            evaluations += len(values)
            full.parameters.set(vector)
        else:
            evaluations += suit_noise(full, _inducing_inputs(full).detach())
        vector, values, gaining = self._climb(full)
        ends = ((gp.n, max(values)),)
        return Search(vector, tuple(values), ends, 1, evaluations + len(values), gaining=gaining)

    def _climb(self, gp: GaussianProcess) -> tuple[np.ndarray, list[float], float | None]:
        """Return the raw vector that L-BFGS-B comes to, and the objective (nats) at each evaluation on the way.

        And what the last LOOK steps gained, where they were the last that `steps` allows.
        """
        values: list[float] = []
        reached: list[float] = []  # the best value at the end of each step
        best: list[np.ndarray] = []

        def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
            gp.parameters.set(vector)
            prior, slope = gp.parameters.log_prior(vector)
            try:
                value, gradient = self.evaluate(gp)
            except NotPositiveDefinite:
                if not values:
                    raise
                # Worse than all that was seen, and flat: the line search then steps back.
                return 1 + abs(min(values)), np.zeros_like(vector)
            if not values or value + prior > max(values):
                best[:] = [vector.copy()]
            values.append(value + prior)
            # Nats per row: SciPy's first step has the length of the gradient's.
            return -values[-1] / gp.n, -(gradient + slope) / gp.n

        def gain() -> float:
            return reached[-1] - (reached[-1 - LOOK] if len(reached) > LOOK else values[0])

        def look(_: np.ndarray) -> None:
            progress.update()
            reached.append(max(values))
            if len(reached) > LOOK and gain() < max(ENOUGH, ENOUGH_ROW * gp.n):
                raise StopIteration

        options = {"maxiter": self.steps, "maxfun": 2 * self.steps, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-9}
        with tqdm(total=self.steps, desc=f"sgpr, {gp.n} rows", disable=None, leave=False) as progress:
            minimize(
                loss,
                gp.parameters.vector,
                jac=True,
                method="L-BFGS-B",
                bounds=gp.parameters.bounds,
                options=options,
                callback=look,
            )
        gp.parameters.set(best[0])
        return best[0], values, gain() if len(reached) >= self.steps else None

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the bound (nats) at the best q(u), and its raw gradient (p,); profiles are not asked of it.

        Raises NotPositiveDefinite.
        """
        z = _inducing_inputs(gp)
        with one_thread():
            best, value = optimum(gp, z.detach(), blocks(ModelRows(gp), BLOCK))
            if not gradient:
                return value, np.zeros(0)
            Inducing(gp, z).pull_collapsed(best, blocks(ModelRows(gp), BLOCK))
        return value, gp.parameters.gradient()

    def condition(self, gp: GaussianProcess) -> SparsePosterior:
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        z = _inducing_inputs(gp).detach()
        with one_thread(), torch.no_grad():
            best, value = optimum(gp, z, blocks(ModelRows(gp), BLOCK))
            return SparsePosterior(gp, Inducing(gp, z), best.gaussian(), value).with_new_noise()


def _with(gp: GaussianProcess, z: torch.Tensor) -> GaussianProcess:
    """Return the model with z (m, d) as auxiliary parameters."""
    return gp.with_auxiliary({"inducing_inputs": torch.nn.Parameter(z.clone())})


def _inducing_inputs(gp: GaussianProcess) -> torch.Tensor:
    return gp.auxiliary["inducing_inputs"]
