"""Stochastic training: natural gradients for q(v) beside Adam for hyperparameters and inducing inputs, by minibatches.

At each minibatch both gradients are evaluated at the same point.  q(v) takes a natural-gradient step
(gp.inference.inducing.bound), the other parameters a step of Adam (Salimbeni, Eleftheriadis & Hensman 2018, "Natural
gradients in practice").  If the held-out bound no longer rises, step sizes are reduced; after DROPS reductions,
training ends.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...adam import adam_step
from ...matrices.tiles import slices
from ...model.model import GaussianProcess
from ...parameters.scope import spread
from .bound import BLOCK, Inducing, Natural
from .checkpoint import Arrays, Checkpoint
from .rows import Batch, ModelRows, Rows, draw, gather, minibatches, total

CHECK = 100  # steps between evaluations of the held-out bound
DROPS = 3  # reductions of the step sizes
DROP = 0.3  # factor of each reduction
FEW_HELD, MANY_HELD = 100, 5000  # minimum (at most a quarter of the rows) and maximum of held-out rows
TOLERANCE = 1e-4  # nats per row; a smaller rise does not count


@dataclass(frozen=True)
class Minibatches:
    """The settings of training by minibatches; `Svgp` explains each."""

    batch_size: int
    epochs: int
    learning_rate: float
    natural_step: float
    holdout: float
    patience: int


@dataclass
class State:
    """The state of training: all that the next step depends on, except the rows and the seed.

    `place` has the raw hyperparameters, then the inducing inputs in units of their spread.  `first` and `second` are
    Adam's moments.  `values` has the held-out bounds (nats, scaled to all rows) so far; `best_place` had the best one.
    """

    place: np.ndarray
    linear: np.ndarray
    precision: np.ndarray
    first: np.ndarray
    second: np.ndarray
    best_place: np.ndarray
    values: np.ndarray
    started: int  # evaluations used by the search for the start
    step: int = 0
    epoch: int = 0
    batch: int = 0  # finished minibatches of this epoch
    waited: int = 0  # held-out evaluations since the last rise or reduction of step sizes
    drops: int = 0

    def arrays(self) -> Arrays:
        """Return the state as arrays."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def of(cls, arrays: Arrays) -> "State":
        """Return the state whose method `arrays` returned these."""
        named: dict[str, Any] = {f.name: arrays[f.name] for f in fields(cls)}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in named.items()})


class Training:
    """Training of one model over `rows`, from inducing inputs z (m, d) and the model's present hyperparameters."""

    def __init__(self, gp: GaussianProcess, z: np.ndarray, rows: Rows, settings: Minibatches, seed: int) -> None:
        self._gp, self._rows, self._settings, self._seed = gp, rows, settings, seed
        self._parameters = gp.parameters.without_auxiliary
        self._z = torch.nn.Parameter(torch.from_numpy(z.copy()))
        self._unit = spread(z)
        self._n = total(rows)
        # At most one row in four, if there are few rows.
        count = min(MANY_HELD, max(math.ceil(settings.holdout * self._n), min(FEW_HELD, self._n // 4)))
        self._held = draw(self._n, count, np.random.default_rng([seed, 1]))
        self._held_rows = gather(rows, self._held)

    def initial_state(self, evaluations: int) -> State:
        """Return the state before the first step."""
        place = np.concatenate([self._parameters.vector, (self._z.detach().numpy() / self._unit).reshape(-1)])
        prior, zero = Natural.prior(len(self._z)), np.zeros_like(place)
        linear, precision = prior.linear.numpy(), prior.precision.numpy()
        return State(place, linear, precision, zero, zero, place, np.zeros(0), evaluations)

    def run(self, state: State, checkpoint: Checkpoint) -> None:
        """Train from `state` to the end."""
        bar = tqdm(desc="svgp", unit=" steps", initial=state.step, disable=None, leave=False)
        while state.epoch < self._settings.epochs and state.drops <= DROPS:
            for batch in self._rest_of_epoch(state):
                self._step(state, batch)
                bar.update()
                if state.step % CHECK == 0:
                    self._check_progress(state)
                    bar.set_postfix(held_out_nats=f"{state.values[-1] / self._n:.4f}")
                    if state.drops > DROPS:
                        break
                checkpoint.offer(state.arrays)
            state.epoch, state.batch = state.epoch + 1, 0
        if state.step % CHECK != 0:
            self._check_progress(state)
        bar.close()

    def at_best(self, state: State) -> torch.Tensor:
        """Put the best hyperparameters into the model; return the best inducing inputs."""
        self._set_model(state.best_place)
        return self._z.detach().clone()

    def _rest_of_epoch(self, state: State) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, 2, state.epoch])
        done = state.batch
        for k, batch in enumerate(minibatches(self._rows, self._held, self._settings.batch_size, rng)):
            if k >= done:
                yield batch

    def _set_model(self, place: np.ndarray) -> None:
        p = len(place) - self._z.numel()
        self._parameters.set(place[:p])
        with torch.no_grad():
            self._z.copy_(torch.from_numpy(place[p:].reshape(self._z.shape) * self._unit))

    def _step(self, state: State, batch: Batch) -> None:
        """Take one step, at one minibatch."""
        weight = (self._n - len(self._held)) / len(batch.y)
        shrunk = DROP**state.drops
        self._set_model(state.place)
        natural = Natural(torch.from_numpy(state.linear), torch.from_numpy(state.precision))
        state.step += 1
        with torch.enable_grad():
            inducing = Inducing(self._gp, self._z)
            rows = inducing.project(batch)
            sites = rows.sites(weight)
            # The first steps average over the minibatches so far.
            natural_step = max(self._settings.natural_step * shrunk, 1 / state.step)
            moved = natural.towards(sites, natural_step)
            # The first minibatch alone knows of a q(v): from then on rows meet one that others have made.
            q = (moved if state.step == 1 else natural).gaussian()
            inducing.expected(q, rows, weight)
            inducing.pull_back()
        self._descend(state, self._gradient(state) / -self._n, self._settings.learning_rate * shrunk)
        state.linear, state.precision = moved.linear.numpy(), moved.precision.numpy()
        state.batch += 1

    def _gradient(self, state: State) -> np.ndarray:
        """Return the accumulated gradient with respect to `place`, including that of the prior."""
        p = len(state.place) - self._z.numel()
        _, by_prior = self._parameters.log_prior(state.place[:p])
        by_z = self._z.grad if self._z.grad is not None else torch.zeros_like(self._z)
        self._z.grad = None
        return np.concatenate([self._parameters.gradient() + by_prior, (by_z.numpy() * self._unit).reshape(-1)])

    def _descend(self, state: State, gradient: np.ndarray, rate: float) -> None:
        """Take Adam's step, within the hyperparameters' bounds."""
        moments = state.first, state.second
        place, (state.first, state.second) = adam_step(state.place, gradient, moments, state.step, rate)
        low, high = np.array(self._parameters.bounds).reshape(-1, 2).T
        place[: len(low)] = np.clip(place[: len(low)], low, high)
        state.place = place

    def _check_progress(self, state: State) -> None:
        """Evaluate the held-out bound; keep the best place; without a rise for long, reduce the step sizes."""
        value, best = self._held_out(state), max(state.values, default=-np.inf)
        state.values = np.append(state.values, value)
        if value > best:
            state.best_place = state.place
        state.waited = 0 if value > best + TOLERANCE * self._n else state.waited + 1
        if state.waited >= self._settings.patience:
            state.waited, state.drops = 0, state.drops + 1

    def _held_out(self, state: State) -> float:
        """Return the bound estimated from the held-out rows, plus the log prior (nats)."""
        self._set_model(state.place)
        q = Natural(torch.from_numpy(state.linear), torch.from_numpy(state.precision)).gaussian()
        with torch.no_grad():
            inducing, weight = Inducing(self._gp, self._z), self._n / len(self._held)
            parts = (self._held_rows.at(part) for part in slices(len(self._held), BLOCK))
            value = sum(inducing.expected(q, inducing.project(part), weight) for part in parts)
        log_prior, _ = self._parameters.log_prior(self._parameters.vector)
        return value - q.divergence() + log_prior


def key_of(gp: GaussianProcess, rows: Rows, method: str, optimizer: str, seed: int) -> str:
    """Return a key that identifies this training, among those by the same code.

    It covers the model, its rows, all rows, the settings of the method and the optimizer, and the seed.
    """
    specs = [gp.spec.model_dump_json(), method, optimizer]
    return hashlib.sha256(repr([*specs, seed, ModelRows(gp).digest, rows.digest]).encode()).hexdigest()
