"""Pairs of coupled planar oscillators: limit cycles, phase response, simulation, and phases from observed states.

States are (u, v).  The angle of −u + iv about its mean over a cycle grows along the cycle; the phase is zero where this
angle is zero.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ...spec import Spec
from .phases import protophase, to_phases

Plane = tuple[np.ndarray, np.ndarray]  # u and v
POINTS = 1024  # on a cycle, evenly spaced in time


class Pair(Spec):
    """Two oscillators, numbered from 0.  A system defines the flow of each alone, and the interaction.

    A field `strength` is of the interaction alone.
    """

    is_phase: ClassVar[bool] = False  # whether `coupling` is exact

    def flow(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> Plane:
        """Return du/dt and dv/dt of an oscillator alone."""
        raise NotImplementedError

    def jacobian(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the derivatives of `flow`: ∂u'/∂u, ∂u'/∂v, ∂v'/∂u, ∂v'/∂v."""
        raise NotImplementedError

    def interaction(self, receiver: int, own: Plane, other: Plane) -> Plane:
        """Return the terms that the other oscillator adds to the receiver's du/dt and dv/dt."""
        raise NotImplementedError

    @property
    def n_oscillators(self) -> int:
        """Return 2."""
        return 2

    @property
    def frequencies(self) -> np.ndarray:
        """Return the frequency of each oscillator without coupling, 2π/T, radians per unit of time."""
        return np.array([2 * math.pi / cycle.period for cycle in self._cycles])

    def coupling(self, receiver: int, sender: int, difference: np.ndarray) -> np.ndarray:
        """Return Γ(ψ) at ψ = φ_sender − φ_receiver: (1/2π) ∫ Z(θ)·G(X_receiver(θ), X_sender(θ + ψ)) dθ.

        Z is the receiver's phase response, the periodic solution of dZ/dt = −Jᵀ Z with Z·F = ω (Ermentrout & Terman
        2010, sec. 8.2).
        """
        own, other = self._cycles[receiver], self._cycles[sender]
        shifted = (np.arange(POINTS)[:, None] + np.arange(POINTS)) % POINTS  # ψ by θ
        du, dv = self.interaction(receiver, (own.u, own.v), (other.u[shifted], other.v[shifted]))
        gamma = (own.response[0] * du + own.response[1] * dv).mean(axis=1)
        return np.interp(difference, np.linspace(0, 2 * math.pi, POINTS + 1), [*gamma, gamma[0]], period=2 * math.pi)

    def phases(
        self, rng: np.random.Generator, trials: int, steps: int, stride: int, dt: float, noise_sd: float
    ) -> np.ndarray:
        """Return the unwrapped phases of both oscillators in `states`, shape (steps // stride + 1, 2, trials)."""
        seen = self.states(rng, trials, steps, stride, dt, noise_sd)
        return np.stack([_phases_of(seen[:, 0, i], seen[:, 1, i]) for i in range(2)], axis=1)

    def states(
        self, rng: np.random.Generator, trials: int, steps: int, stride: int, dt: float, noise_sd: float
    ) -> np.ndarray:
        """Return a noisy simulation: u and v of both oscillators, shape (steps // stride + 1, 2, 2, trials).

        Each trial begins at random phases, one cycle before the first sample.
        """
        start = [cycle.points(rng.uniform(0, POINTS, trials)) for cycle in self._cycles]
        state: np.ndarray = np.array(start).transpose(1, 0, 2)
        settle = round(self._cycles[0].period / dt)
        seen = np.empty((steps // stride + 1, 2, 2, trials))
        size = noise_sd * math.sqrt(dt)
        for step in range(-settle, steps + 1):
            if step >= 0 and step % stride == 0:
                seen[step // stride] = state
            # Heun's method: at these dt, Euler's method would shift the frequencies by more than all other errors.
            kick = size * rng.normal(size=(2, 2, trials))
            slope = self._drift(state)
            ahead = self._drift(state + dt * slope + kick)
            state = state + 0.5 * dt * (slope + ahead) + kick
        return seen

    def _drift(self, state: np.ndarray) -> np.ndarray:
        """Return the flow of the coupled pair, d/dt of u and v: (2, 2, trials), as is `state`."""
        (u1, u2), (v1, v2) = state
        made = np.empty_like(state)
        for i, own, other in ((0, (u1, v1), (u2, v2)), (1, (u2, v2), (u1, v1))):
            alone, felt = self.flow(i, *own), self.interaction(i, own, other)
            np.add(alone[0], felt[0], out=made[0, i])
            np.add(alone[1], felt[1], out=made[1, i])
        return made

    @property
    def _cycles(self) -> tuple["Cycle", "Cycle"]:
        return _cycles_of(type(self), self.model_dump_json(exclude={"strength"}))


@lru_cache(maxsize=16)
def _cycles_of(kind: type[Pair], written: str) -> tuple["Cycle", "Cycle"]:
    """Return both limit cycles of a system written as JSON; systems of equal flows share them, as they take seconds."""
    system = kind.model_validate_json(written)
    return Cycle(system, 0), Cycle(system, 1)


class Cycle:
    """The limit cycle of one oscillator without coupling, from phase zero on.

    `period`, the states `u` and `v` (POINTS,), and `response`, the phase's derivatives by u and v (2, POINTS).
    """

    def __init__(self, system: Pair, oscillator: int) -> None:
        def flow(_: float, state: np.ndarray) -> Plane:
            return system.flow(oscillator, *state)

        def rises(_: float, state: np.ndarray, level: float = 0.0) -> float:
            return state[1] - level

        rises.direction = 1  # type: ignore[attr-defined]
        run = _solve(flow, (0, 500), [0.1, 0.5], events=rises)
        times = run.t_events[0]
        self.period = float(times[-1] - times[-2])
        once = _solve(flow, (0, self.period), run.y_events[0][-1], dense_output=True)
        u, v = once.sol(np.arange(POINTS) * self.period / POINTS)
        # Advance from v = 0 to phase zero, where v crosses its mean over the cycle.
        mean = v.mean()
        later = _solve(flow, (0, 1.5 * self.period), [u[0], v[0]], events=lambda t, state: rises(t, state, mean))
        crossings = zip(later.t_events[0], later.y_events[0], strict=True)
        begin = next(state for _, state in crossings if flow(0, state)[1] > 0 and state[0] < u.mean())
        once = _solve(flow, (0, self.period), begin, dense_output=True)
        self.u, self.v = once.sol(np.arange(POINTS) * self.period / POINTS)
        self.response = self._response(system, oscillator, once.sol)

    def points(self, at: np.ndarray) -> Plane:
        """Return the states at fractional positions `at` in 0 … POINTS."""
        ring = np.arange(POINTS + 1)
        return np.interp(at, ring, [*self.u, self.u[0]]), np.interp(at, ring, [*self.v, self.v[0]])

    def _response(self, system: Pair, oscillator: int, orbit: object) -> np.ndarray:
        """Return Z at the cycle's points; backward in time, all solutions converge to the periodic one."""

        def backward(s: float, z: np.ndarray) -> Plane:
            uu, uv, vu, vv = system.jacobian(oscillator, *orbit(-s % self.period))  # type: ignore[operator]
            return uu * z[0] + vu * z[1], uv * z[0] + vv * z[1]

        times = np.arange(POINTS) * self.period / POINTS
        cycles = 6
        ends = cycles * self.period - times[::-1]
        run = _solve(backward, (0, cycles * self.period), [1.0, 1.0], t_eval=ends)
        z = run.y[:, ::-1]  # at `times`
        du, dv = system.flow(oscillator, self.u, self.v)
        return z * (2 * math.pi / self.period) / (z[0] * du + z[1] * dv)


def _solve(flow: Callable, span: tuple[float, float], begin: Sequence[float] | np.ndarray, **options: Any) -> Any:
    """Return SciPy's solution of an initial value problem, to tight tolerances."""
    from scipy.integrate import solve_ivp  # noqa: PLC0415 - its import takes 0.4 s

    return solve_ivp(flow, span, begin, rtol=1e-10, atol=1e-12, **options)


def _phases_of(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the phase of one oscillator's states u and v (samples, trials), unwrapped along the first axis."""
    return np.unwrap(to_phases(protophase(-u + 1j * v)), axis=0)
