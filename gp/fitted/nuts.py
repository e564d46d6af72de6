"""The No-U-Turn sampler: draws from a density by its log and slope, along Hamiltonian trajectories.

Multinomial draws along a trajectory that doubles until it turns back (Hoffman & Gelman 2014; Betancourt 2017,
appendix A), with the additional checks between halves, the dual averaging of the step and the windows of the metric of
Stan (reference manual 2.36, "HMC algorithm parameters").  Chains learn one metric from the draws of all: where a
density has two thin arms, one chain would learn the metric of its arm, in which the other is a needle (Zhang et al.
2020, "Dynamic sampling using cross-chain warmup").  Each trajectory is followed by a jump (gp.fitted.jumps), as few
trajectories turn from one arm into the other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .jumps import Jumps

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]  # position (k,) → log density (−inf: impossible), slope (k,)

DEEPEST = 10  # doublings of a trajectory at most
DIVERGENT = 1000.0  # nats by which the energy may err; beyond, the trajectory has left the density
ACCEPTED = 0.8  # mean acceptance along a trajectory that the step aims at
FIRST, WINDOW, LAST = 0.15, 25, 0.1  # of warmup: the step alone; the first window of the metric; the step alone again


class Chains(NamedTuple):
    """Draws (c, n, k) of c chains in order, after warmup; how many of their trajectories diverged; evaluations."""

    draws: np.ndarray
    divergences: int
    evaluations: int


class _Point(NamedTuple):
    position: np.ndarray
    momentum: np.ndarray
    value: float
    slope: np.ndarray

    @property
    def energy(self) -> float:
        return 0.5 * float(self.momentum @ self.momentum) - self.value


@dataclass(frozen=True, eq=False)
class _Path:
    """A piece of a trajectory, in the order of time: its ends, the sum of its momenta, and a point drawn from it."""

    first: _Point
    last: _Point
    total: np.ndarray
    log_weight: float
    drawn: _Point
    ended: bool  # whether it turns back, or diverges, anywhere within
    diverged: bool
    accepted: float
    steps: int


def sample(
    density: Density,
    starts: np.ndarray,
    root: np.ndarray,
    *,
    draws: int,
    warmup: int,
    rngs: Sequence[np.random.Generator],
    done: Callable[[], object] = lambda: None,
) -> Chains:
    """Return chains of `draws` from the `density` (its log, nats), after `warmup` transitions that are thrown away.

    They start at `starts` (c, k), whose density must not be zero, with the metric of the covariance root rootᵀ (k, k);
    `done` is called after each transition.  Raises ValueError where the density is zero at a start.
    """
    count = _Counted(density)
    walks = [_Walk.of(count, start, root, rng, done) for start, rng in zip(starts, rngs, strict=True)]
    ends, begin, seen = _windows(warmup), 0, list[np.ndarray]()
    for stop in sorted({_begin(warmup), *ends, warmup}):
        window = [walk.warm() for walk in walks for _ in range(begin, stop)]
        seen += window if begin else []
        if stop in ends:
            root = _metric(np.array(window), root)
            for walk in walks:
                walk.restart(root)
        begin = stop
    jumps = Jumps.of(np.array(seen)) if seen else None
    found = np.array([[walk.draw(jumps) for _ in range(draws)] for walk in walks])
    return Chains(found, sum(walk.divergences for walk in walks), count.evaluations)


@dataclass
class _Walk:
    """One chain as it moves."""

    count: "_Counted"
    here: _Point
    root: np.ndarray
    step: "_Step"
    rng: np.random.Generator
    done: Callable[[], object]
    divergences: int = 0

    @classmethod
    def of(
        cls,
        count: "_Counted",
        start: np.ndarray,
        root: np.ndarray,
        rng: np.random.Generator,
        done: Callable[[], object],
    ) -> "_Walk":
        value, slope = count(start)
        if not math.isfinite(value):
            raise ValueError("the chain's start has a density of zero")
        here = _Point(start, np.zeros_like(start), value, slope)
        return cls(count, here, root, _Step(_first_step(count, here, root, rng)), rng, done)

    def restart(self, root: np.ndarray) -> None:
        """Go on with another metric, and look for its step."""
        self.root, self.step = root, _Step(_first_step(self.count, self.here, root, self.rng))

    def warm(self) -> np.ndarray:
        """Return the next position (k,), and learn the step."""
        path = self._transition(learning=True)
        self.step.learn(path.accepted / path.steps)
        return self.here.position

    def draw(self, jumps: Jumps | None) -> np.ndarray:
        """Return the next position (k,): after a trajectory, and a jump."""
        self.divergences += self._transition(learning=False).diverged
        if jumps:
            to = jumps.draw(self.rng)
            value, slope = self.count(to)
            gained = value - self.here.value + jumps.log_density(self.here.position) - jumps.log_density(to)
            if math.log(self.rng.uniform()) < _nats(gained):
                self.here = _Point(to, np.zeros_like(to), value, slope)
        return self.here.position

    def _transition(self, *, learning: bool) -> _Path:
        path = _transition(self.count, self.here, self.root, self.step.size(learning), self.rng)
        self.here = path.drawn
        self.done()
        return path


@dataclass
class _Counted:
    density: Density
    evaluations: int = 0

    def __call__(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        return self.density(position)


def _begin(warmup: int) -> int:
    """Return how many transitions of warmup come before the first window."""
    return math.ceil(FIRST * warmup)


def _windows(warmup: int) -> list[int]:
    """Return the transitions of warmup after which the metric is learnt: windows that double, the last to the end."""
    begin, last = _begin(warmup), math.floor((1 - LAST) * warmup)
    ends, size = [], WINDOW
    while begin + size <= last:
        begin, size = begin + size, 2 * size
        if begin + size > last:  # what is left is too short for the next
            begin = last
        ends.append(begin)
    return ends


def _metric(window: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return a root of the covariance of a window (n, k), drawn towards the metric before it as by WINDOW draws."""
    n, before = len(window), root @ root.T
    return np.linalg.cholesky((n * np.cov(window.T).reshape(before.shape) + WINDOW * before) / (n + WINDOW))


@dataclass
class _Step:
    """The step's size by dual averaging  (Hoffman & Gelman 2014, sec. 3.2.1, their γ, t₀ and κ)."""

    first: float
    now: float = field(init=False)  # log
    mean: float = 0.0
    error: float = 0.0
    n: int = 0

    def __post_init__(self) -> None:
        self.now = math.log(self.first)

    def learn(self, accepted: float) -> None:
        self.n += 1
        share = 1 / (self.n + 10)
        self.error += share * (ACCEPTED - accepted - self.error)
        self.now = math.log(10 * self.first) - math.sqrt(self.n) / 0.05 * self.error
        share = self.n**-0.75
        self.mean += share * (self.now - self.mean)

    def size(self, learning: bool) -> float:
        return math.exp(self.now if learning or not self.n else self.mean)


def _first_step(density: Density, here: _Point, root: np.ndarray, rng: np.random.Generator) -> float:
    """Return a step that is accepted about half of the time  (Hoffman & Gelman 2014, Alg. 4)."""
    size, begin = 1.0, here._replace(momentum=rng.normal(size=len(here.position)))

    def gained() -> float:
        return _nats(begin.energy - _leap(density, begin, root, size).energy)

    up = gained() > math.log(0.5)
    for _ in range(50):
        size *= 2.0 if up else 0.5
        if (gained() > math.log(0.5)) != up:
            break
    return size if not up else 0.5 * size


def _leap(density: Density, at: _Point, root: np.ndarray, size: float) -> _Point:
    """Return where a leapfrog step leads; momenta are in the coordinates in which the metric is the identity."""
    momentum = at.momentum + 0.5 * size * (root.T @ at.slope)
    position = at.position + size * (root @ momentum)
    value, slope = density(position)
    return _Point(position, momentum + 0.5 * size * (root.T @ slope), value, slope)


def _nats(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _transition(density: Density, here: _Point, root: np.ndarray, size: float, rng: np.random.Generator) -> _Path:
    """Return the trajectory from `here` with a fresh momentum; `drawn` is the chain's next point."""
    begin = here._replace(momentum=rng.normal(size=len(here.position)))
    path, accepted, steps, diverged = (
        _Path(begin, begin, begin.momentum, 0.0, begin, False, False, 0.0, 0),
        0.0,
        0,
        False,
    )

    def grow(end: _Point, depth: int, forwards: bool) -> _Path:
        """Return the piece of 2^depth steps beyond `end`."""
        if depth == 0:
            ahead = _leap(density, end, root, size if forwards else -size)
            gained = _nats(begin.energy - ahead.energy)
            lost = -gained > DIVERGENT
            return _Path(
                ahead, ahead, ahead.momentum, gained, ahead, lost, lost, min(1.0, math.exp(min(gained, 0.0))), 1
            )
        near = grow(end, depth - 1, forwards)
        if near.ended:
            return near
        far = grow(near.last if forwards else near.first, depth - 1, forwards)
        log_weight = np.logaddexp(near.log_weight, far.log_weight)
        from_far = math.log(rng.uniform()) < far.log_weight - log_weight
        return _joined(*((near, far) if forwards else (far, near)), far.drawn if from_far else near.drawn)

    for depth in range(DEEPEST):
        forwards = rng.uniform() < 0.5
        new = grow(path.last if forwards else path.first, depth, forwards)
        accepted, steps, diverged = accepted + new.accepted, steps + new.steps, diverged or new.diverged
        if new.ended:
            break
        moves = math.log(rng.uniform()) < new.log_weight - path.log_weight  # biased to what is new (Betancourt A.3.2)
        path = _joined(*((path, new) if forwards else (new, path)), new.drawn if moves else path.drawn)
        if path.ended:
            break
    return _Path(path.first, path.last, path.total, path.log_weight, path.drawn, path.ended, diverged, accepted, steps)


def _joined(before: _Path, after: _Path, drawn: _Point) -> _Path:
    """Return two pieces as one; it has ended where the whole, or either half and the next point, turns back."""
    total = before.total + after.total
    ended = (
        before.ended
        or after.ended
        or _turns(total, before.first, after.last)
        or _turns(before.total + after.first.momentum, before.first, after.first)
        or _turns(after.total + before.last.momentum, before.last, after.last)
    )
    return _Path(
        before.first,
        after.last,
        total,
        float(np.logaddexp(before.log_weight, after.log_weight)),
        drawn,
        ended,
        before.diverged or after.diverged,
        before.accepted + after.accepted,
        before.steps + after.steps,
    )


def _turns(total: np.ndarray, first: _Point, last: _Point) -> bool:
    return bool(total @ first.momentum <= 0 or total @ last.momentum <= 0)
