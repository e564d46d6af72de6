"""Stochastic variational inference: minibatches and inducing inputs, for more rows than a factor or memory can take."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from ...model.model import GaussianProcess
from ...parallel import one_thread
from ...spec import Count, Fault, InputError, PositiveFloat
from ..exact import Exact
from ..method import Method, Optimizer, Search
from ..profile import Profile
from ..refusals import refuse_noise_by_row
from .bound import BLOCK, JITTER, Gaussian, Inducing, optimum
from .checkpoint import Checkpoint
from .minibatches import Minibatches, State, Training, key_of
from .points import cluster_centres
from .posterior import SparsePosterior, bound_at, suit_noise
from .rows import ModelRows, Rows, blocks, draw, total

START_ROWS = 1000  # on which the hyperparameters' start is found, exactly
PER_INDUCING = 20  # rows for each inducing input, at most, in which k-means looks for clusters
FEWEST = 20  # rows


class Svgp(Method):
    """A sparse variational Gaussian process by minibatches (Hensman et al. 2013), whitened, in float64.

    Hyperparameters start where `train` ends on a seeded subset of START_ROWS rows, but for a noise that suits the
    bound, the `inducing` inputs at centres of clusters. Then Adam moves both, by `learning_rate`, and natural gradients
    of length `natural_step` move q(u), over minibatches of `batch_size` rows, until the bound on a seeded `holdout` of
    the rows no longer rises: `patience` looks, 100 steps apart, without a rise make all steps smaller, three times, and
    end it the fourth; so do `epochs`. Of all looks the best is kept, and q(u) is then its optimum over all rows, the
    held-out ones too.
    """

    kind: Literal["svgp"] = "svgp"
    inducing: Count = 200
    batch_size: Count = 1000
    epochs: Count = 1000
    learning_rate: PositiveFloat = 0.02
    natural_step: Annotated[float, Field(gt=0, le=1)] = 0.1
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    patience: Count = 5

    jitter: ClassVar[float] = JITTER
    flattens: ClassVar[bool] = True

    def check(self, n: int) -> None:
        """Raise InputError where there are too few rows to hold some out."""
        if n < FEWEST:
            raise InputError(Fault("inference", f"svgp needs at least {FEWEST} rows (got {n})", "write {kind: exact}"))

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where the noise has parameters for each row."""
        refuse_noise_by_row(gp, self.kind)

    def prepare(self, gp: GaussianProcess, seed: int | None) -> GaussianProcess:
        """Return `gp` with inducing inputs at centres of clusters of its distinct inputs, and q(u) at its optimum."""
        if seed is None:
            m = min(self.inducing, gp.distinct.n)
            return _with(gp, torch.zeros(m, gp.x.shape[1]), Gaussian(torch.zeros(m), torch.eye(m)))
        with one_thread():
            z = torch.from_numpy(self._start(gp, seed))
            best, _ = optimum(gp, z, blocks(ModelRows(gp), BLOCK))
            return _with(gp, z, best.gaussian())

    def restrict(self, gp: GaussianProcess, rows: np.ndarray) -> GaussianProcess:
        """Return the model over some of its rows, with its inducing inputs and the q(u) that is best for these."""
        z, some = _inducing_inputs(gp).detach(), gp.subset(rows)
        with one_thread():
            return _with(some, z, optimum(some, z, blocks(ModelRows(some), BLOCK))[0].gaussian())

    def n_auxiliary(self, gp: GaussianProcess) -> int:
        """Return how many numbers inducing inputs, mean and factor of q(v) are."""
        m = min(self.inducing, gp.distinct.n)
        return m * gp.x.shape[1] + m + m * (m + 1) // 2

    def learn(self, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None) -> Search:
        """Return where minibatches of the model's rows lead, begun where the optimizer ended on a subset."""
        return self.learn_from(ModelRows(gp), gp, optimizer, seed, checkpoints)

    def learn_from(
        self, rows: Rows, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None
    ) -> Search:
        """Return the `Search` over `rows`, of which those of the model are a sample if they are not the same.

        Training goes on from its file in the folder `checkpoints`, if there is one, and writes it every few seconds.
        """
        kept = Checkpoint(checkpoints, key_of(gp, rows, self.model_dump_json(), optimizer.key, seed))
        arrays = kept.read()
        start = self._start(gp, seed)
        if arrays is None:
            evaluations = self._find_start(gp, optimizer, seed, start)
        with one_thread():
            training = Training(gp, start, rows, self.minibatches, seed)
            state = State.of(arrays) if arrays else training.initial_state(evaluations)
            if arrays is None:
                kept.write(state.arrays())
            training.run(state, kept)
            z = training.at_best(state)
            best, bound = optimum(gp, z, blocks(rows, BLOCK))
            vector = _with(gp, z, best.gaussian()).parameters.vector
        bound += gp.parameters.log_prior(gp.parameters.vector)[0]
        evaluations = state.started + len(state.values) + 1
        return Search(vector, tuple(state.values.tolist()), ((total(rows), bound),), 1, evaluations)

    @property
    def minibatches(self) -> Minibatches:
        """Return how training by minibatches goes."""
        return Minibatches(
            self.batch_size, self.epochs, self.learning_rate, self.natural_step, self.holdout, self.patience
        )

    def _find_start(self, gp: GaussianProcess, optimizer: Optimizer, seed: int, z: np.ndarray) -> int:
        """Move the model's hyperparameters to where the optimizer ends on a subset, and the noise to what suits z.

        Return how many evaluations that took.
        """
        if not gp.parameters.free:
            return 0
        rng = np.random.default_rng([seed, 0])
        search = optimizer(Exact(), gp.subset(draw(gp.n, min(gp.n, START_ROWS), rng)))
        gp.parameters.set(search.vector)
        some = gp.subset(draw(gp.n, self.sample_size(gp.n), rng))
        return search.evaluations + suit_noise(some, torch.from_numpy(z))

    def sample_size(self, n: int) -> int:
        """Return how many rows stand for all n where a start is looked for."""
        return min(n, max(START_ROWS, PER_INDUCING * min(self.inducing, n)))

    def _start(self, gp: GaussianProcess, seed: int) -> np.ndarray:
        """Return the inducing inputs' start (m, d)."""
        x = gp.distinct.scope.x
        return cluster_centres(x, min(self.inducing, len(x)), seed, sample=self.sample_size(gp.n))

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the bound (nats) with q(u) as it is, and its raw gradient (p,); profiles are not asked of it.

        Where the model's rows are a sample, it is what they say of the bound over all.  Raises NotPositiveDefinite.
        """
        q = _q(gp)
        with one_thread(), torch.set_grad_enabled(gradient):
            inducing = Inducing(gp, _inducing_inputs(gp))
            value = bound_at(gp, inducing, q, with_q=True)
            if gradient:
                inducing.pull_back()
                _pull_q(gp, q, inducing)
        return value, gp.parameters.gradient() if gradient else np.zeros(0)

    def condition(self, gp: GaussianProcess) -> SparsePosterior:
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        with one_thread(), torch.no_grad():
            return SparsePosterior(gp, Inducing(gp, _inducing_inputs(gp).detach()), _q(gp)).with_new_noise()


def _with(gp: GaussianProcess, z: torch.Tensor, q: Gaussian) -> GaussianProcess:
    """Return the model with z (m, d) and q(v) as auxiliary parameters, of the factor its lower triangle."""
    rows, columns = np.tril_indices(len(z))
    parts = {"inducing_inputs": z, "variational_mean": q.mean, "variational_factor": q.factor[rows, columns]}
    return gp.with_auxiliary({name: torch.nn.Parameter(part.clone()) for name, part in parts.items()})


def _inducing_inputs(gp: GaussianProcess) -> torch.Tensor:
    return gp.auxiliary["inducing_inputs"]


def _q(gp: GaussianProcess) -> Gaussian:
    """Return q(v), outside autograd's graph."""
    mean = gp.auxiliary["variational_mean"].detach()
    factor = torch.zeros(len(mean), len(mean))
    factor[np.tril_indices(len(mean))] = gp.auxiliary["variational_factor"].detach()
    return Gaussian(mean, factor)


def _pull_q(gp: GaussianProcess, q: Gaussian, inducing: Inducing) -> None:
    """Give q(v)'s parameters the bound's gradient, the divergence's in it."""
    by_factor = inducing.by_factor - q.factor + torch.diag(1 / q.factor.diagonal())
    gp.auxiliary["variational_mean"].grad = inducing.by_mean - q.mean
    gp.auxiliary["variational_factor"].grad = by_factor[np.tril_indices(len(q.mean))]
