"""Neurons: seven spiking cells, five excitatory Hodgkin–Huxley and two inhibitory fast-spiking, with kinetic synapses.

The equations, constants and connections are those of the thesis that precedes arXiv:2504.09110 (yonesuke/phd_defence,
thesis/paper06/appendix.tex; the connections are read off the picture of the network in its slides).  The cells are
those of Hodgkin & Huxley (1952) and Erisir et al. (1999), the synapses those of Destexhe et al. (1994).  Two slips of
print are read as what these papers have: β_h multiplies h, and a synapse's current is G r (E − V).  Potentials are in
mV, times in ms, currents in µA/cm², conductances in mS/cm².

A spike, an upward crossing of SPIKE, releases transmitter for RELEASE ms.  All synapses of a cell have one kinetic
variable r, as their constants are its own.
"""

import math
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from ...spec import PositiveFloat, Spec
from .phases import TURN

EXCITATORY, INHIBITORY = (0, 1, 4, 5, 6), (2, 3)
BIAS = np.array([30.0, 32.0, 6.0, 6.5, 34.0, 36.0, 38.0])
# Sender → receivers, from 0.
TARGETS = {0: (1,), 1: (2,), 2: (0, 3), 3: (2, 4, 5, 6), 4: (0,), 5: (1, 4, 6), 6: (2,)}
SPIKE, RELEASE = 0.0, 1.0
SETTLED = 150.0  # ms, in which a cell alone comes to its cycle
POINTS = 4096  # on a cycle, evenly spaced in time
GATES_NOISE = 5e-6  # of each gate; the noise of a potential is `noise_sd`
KINDS = np.array([i in INHIBITORY for i in range(7)])
RISE, DECAY = np.where(KINDS, 9.8, 1.1), np.where(KINDS, 0.2, 0.67)  # of r, by sender
REVERSAL, CONDUCTANCE = np.where(KINDS, -75.0, 0.0), np.where(KINDS, 0.4, 0.5)  # by sender
CONNECTED = np.array([[i in TARGETS[j] for j in range(7)] for i in range(7)])  # receiver, sender


# Shifts and scales of the potential in the gates' rates, by the rates' form.
HODGKIN_HUXLEY = {
    "ramps": np.array([[-40.0, -55.0], [10.0, 10.0]]),
    "exponentials": np.array([[-65.0, -65.0, -35.0, -65.0], [-20.0, -18.0, -10.0, -80.0]]),
}
FAST_SPIKING = {
    "ramps": np.array([[75.0, 95.0, -51.25], [13.5, 11.8, 5.2]]),
    "exponentials": np.array([[0.0, 0.0, 0.0], [-24.186, -42.248, -22.222]]),
}
Gates = tuple[np.ndarray, np.ndarray, np.ndarray]  # of m, h, n


class Neurons(Spec):
    """The network; synapses have `strength` times their conductances."""

    kind: Literal["neurons"] = "neurons"
    strength: PositiveFloat = 1.0
    is_phase: ClassVar[bool] = False
    dt: ClassVar[float] = 0.01
    every: ClassVar[float] = 0.3
    noise_sd: ClassVar[float] = 0.5

    @property
    def n_oscillators(self) -> int:
        """Return 7."""
        return 7

    @property
    def frequencies(self) -> np.ndarray:
        """Return 2π/T of each cell without synapses, radians per ms."""
        return TURN / np.array([cycle.period for cycle in _cycles()])

    @property
    def present(self) -> np.ndarray:
        """Return the receivers and the senders, from 0, of the synapses, (2, 13)."""
        return np.argwhere(CONNECTED).T

    def coupling(self, receiver: int, sender: int, difference: np.ndarray) -> np.ndarray:
        """Return Γ(ψ) = (1/2π) ∫ Z(θ) G r_sender(θ + ψ) (E − V_receiver(θ)) dθ, radians per ms.

        Z is the derivative of the receiver's phase by its potential, whose capacitance is 1.
        """
        if not CONNECTED[receiver, sender]:
            return np.zeros_like(np.asarray(difference, dtype=float))
        own, other = _cycles()[receiver], _cycles()[sender]
        size = self.strength * CONDUCTANCE[sender]
        felt = np.fft.fft(own.response * size * (REVERSAL[sender] - own.states[0]))
        gamma = np.fft.ifft(felt.conj() * np.fft.fft(other.bound)).real / POINTS  # at each shift ψ
        return np.interp(difference, np.linspace(0, TURN, POINTS + 1), [*gamma, gamma[0]], period=TURN)

    def phases(
        self, rng: np.random.Generator, trials: int, steps: int, stride: int, dt: float, noise_sd: float
    ) -> np.ndarray:
        """Return the unwrapped phases read off potential and gate n, shape (steps // stride + 1, 7, trials)."""
        seen = self.states(rng, trials, steps, stride, dt, noise_sd)
        found = []
        for i, cycle in enumerate(_cycles()):
            found.append(np.unwrap(cycle.phase_of(seen[:, 0, i], seen[:, 3, i]), axis=0))
        return np.stack(found, axis=1)

    def states(
        self, rng: np.random.Generator, trials: int, steps: int, stride: int, dt: float, noise_sd: float
    ) -> np.ndarray:
        """Return a noisy simulation: V, m, h, n of each cell, shape (steps // stride + 1, 4, 7, trials).

        Each trial begins at random phases, five cycles before the first sample.
        """
        begun = rng.uniform(0, POINTS, (7, trials)).astype(int)
        cycles = _cycles()
        state = np.stack([cycle.states[:, at] for cycle, at in zip(cycles, begun, strict=True)], axis=1)
        bound = np.stack([cycle.bound[at] for cycle, at in zip(cycles, begun, strict=True)])
        since = np.full((7, trials), math.inf)
        seen, sizes = np.empty((steps // stride + 1, 4, 7, trials)), math.sqrt(dt) * np.full((4, 1, 1), GATES_NOISE)
        sizes[0] = math.sqrt(dt) * noise_sd
        for step in range(-round(5 * cycles[0].period / dt), steps + 1):
            if step >= 0 and step % stride == 0:
                seen[step // stride] = state
            current = BIAS[:, None] + self._synapses(bound, state[0])
            kick = sizes * rng.normal(size=state.shape)
            slope = flow(state, current)
            ahead = state + dt * slope + kick
            moved = state + 0.5 * dt * (slope + flow(ahead, current)) + kick
            since = np.where((state[0] < SPIKE) & (moved[0] >= SPIKE), 0.0, since + dt)
            bound = _bound_after(bound, since < RELEASE, dt)
            state = moved
        return seen

    def _synapses(self, bound: np.ndarray, potential: np.ndarray) -> np.ndarray:
        """Return the current into each cell, (7, trials), from the r of each sender."""
        open_ = self.strength * CONDUCTANCE[:, None] * bound
        return np.asarray(CONNECTED @ (open_ * REVERSAL[:, None]) - (CONNECTED @ open_) * potential)


def _bound_after(bound: np.ndarray, releasing: np.ndarray, dt: float) -> np.ndarray:
    """Return r (7, …) after dt of r' = αT(1 − r) − βr, exactly: T is 1 or 0 all along."""
    shape = (-1, *[1] * (bound.ndim - 1))
    rise, decay = RISE.reshape(shape) * releasing, DECAY.reshape(shape)
    goal = rise / (rise + decay)
    return np.asarray(goal + (bound - goal) * np.exp(-(rise + decay) * dt))


def flow(state: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return d/dt of V, m, h, n (4, 7, …) of all cells, the `current` (7, …) being all that flows in."""
    made = np.empty_like(state)
    for cells, kind in ((list(EXCITATORY), _hodgkin_huxley), (list(INHIBITORY), _fast_spiking)):
        made[:, cells] = kind(state[:, cells], current[cells])
    return made


# Rates of the gates, opening and closing, are a factor times exp(x) or `_ramp(x)`, x = (V − shift)/scale.  A step is of
# few cells, so that what it costs is the number of NumPy's calls: rates of one form go through one.


def _hodgkin_huxley(state: np.ndarray, current: np.ndarray) -> np.ndarray:
    v, m, h, n = state
    ramps = _ramp(_scaled(v, HODGKIN_HUXLEY["ramps"]))
    waves = np.exp(_scaled(v, HODGKIN_HUXLEY["exponentials"]))
    opening = (0.1 * 10 * ramps[0], 0.07 * waves[0], 0.01 * 10 * ramps[1])
    closing = (4 * waves[1], 1 / (1 + waves[2]), 0.125 * waves[3])
    ions = 120 * m**3 * h * (50 - v) + 36 * n**4 * (-77 - v) + 0.3 * (-54.4 - v)
    return _slopes(ions + current, (m, h, n), opening, closing)


def _fast_spiking(state: np.ndarray, current: np.ndarray) -> np.ndarray:
    v, m, h, n = state
    ramps = _ramp(_scaled(v, FAST_SPIKING["ramps"]))
    waves = np.exp(_scaled(v, FAST_SPIKING["exponentials"]))
    opening = (40 * 13.5 * ramps[0], 0.0035 * waves[0], 11.8 * ramps[1])
    closing = (1.2262 * waves[1], 0.017 * 5.2 * ramps[2], 0.025 * waves[2])
    ions = 112 * m**3 * h * (55 - v) + 224 * n**2 * (-97 - v) + 0.1 * (-70 - v)
    return _slopes(ions + current, (m, h, n), opening, closing)


def _scaled(v: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return (V − shift)/scale for each shift and scale of `pairs` (2, k), along a new first axis."""
    shifts, scales = pairs.reshape(2, -1, *[1] * v.ndim)
    return np.asarray((v - shifts) / scales)


def _slopes(first: np.ndarray, gates: Gates, opening: Gates, closing: Gates) -> np.ndarray:
    """Return `first`, then opening · (1 − x) − closing · x of each gate x."""
    made = np.empty((4, *np.shape(first)))
    made[0] = first
    for i in range(3):
        made[i + 1] = opening[i] * (1 - gates[i]) - closing[i] * gates[i]
    return made


def _ramp(x: np.ndarray) -> np.ndarray:
    """Return x/(1 − e^{−x})."""
    small = np.abs(x) < 1e-6
    if not small.any():
        return np.asarray(x / -np.expm1(-x))
    return np.where(small, 1 + 0.5 * x, x / np.where(small, 1.0, -np.expm1(-x)))


class Cycle:
    """The limit cycle of a cell without synapses, from the spike on, at which its phase is zero.

    `period` (ms), `states` V, m, h, n (4, POINTS), `bound` r (POINTS,) of its own synapses, and `response`, the
    phase's derivative by V (POINTS,).
    """

    def __init__(self, cell: int) -> None:
        from scipy.integrate import solve_ivp  # noqa: PLC0415 - its import takes 0.4 s

        kind = _fast_spiking if KINDS[cell] else _hodgkin_huxley

        def slope(_: float, state: np.ndarray) -> np.ndarray:
            return kind(state, BIAS[cell])

        def spikes(_: float, state: np.ndarray) -> float:
            return float(state[0] - SPIKE)

        spikes.direction = 1  # type: ignore[attr-defined]
        tight: dict[str, Any] = {"method": "LSODA", "rtol": 1e-9, "atol": 1e-11}
        run = solve_ivp(slope, (0, SETTLED), [-60, 0.05, 0.6, 0.3], events=spikes, **tight)
        times = run.t_events[0]
        self.period = float(times[-1] - times[-2])
        at = np.arange(POINTS) * self.period / POINTS
        once = solve_ivp(slope, (0, self.period), run.y_events[0][-1], t_eval=at, **tight)
        self.states = once.y
        self.response = self._response(kind, BIAS[cell])
        self.bound = self._bound(cell)

    def phase_of(self, v: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Return phases of recorded V and n of this cell, of any shape: an angle that grows evenly in the mean.

        The angle in the plane of V and n, about the mean of the cycle, is spread evenly by its distribution over all
        samples.  (Kralemann's transform to 50 harmonics is too smooth for spikes.)
        """
        angle = self._angle(v, n)
        order = np.sort(angle.ravel())
        share = np.searchsorted(order, angle.ravel(), side="left") + 0.5
        spike = float(np.searchsorted(order, self._angle(self.states[0, 0], self.states[3, 0])))
        return np.asarray(TURN * ((share - spike) / len(order) % 1.0)).reshape(angle.shape)

    def _angle(self, v: Any, n: Any) -> np.ndarray:
        """Return the angle of V and n about the cycle's mean, each in units of its sd, from just after the spike on."""
        mean, sd = self.states[[0, 3]].mean(axis=1), self.states[[0, 3]].std(axis=1)
        return np.asarray(np.angle((v - mean[0]) / sd[0] + 1j * (n - mean[1]) / sd[1]))

    def _response(self, kind: Any, current: float) -> np.ndarray:
        """Return dφ/dV by the adjoint method: dZ/dt = −JᵀZ backward in time, by the trapezium rule; Z·F = ω."""
        step, change = self.period / POINTS, 1e-6
        jacobian = np.empty((POINTS, 4, 4))
        for j in range(4):
            size = np.zeros((4, 1))
            size[j] = change * (100.0 if j == 0 else 1.0)
            ends = [kind(self.states + side * size, current) for side in (1, -1)]
            jacobian[:, :, j] = ((ends[0] - ends[1]) / (2 * size[j])).T
        flip, eye = jacobian.transpose(0, 2, 1), np.eye(4)
        back = np.linalg.solve(eye - 0.5 * step * flip, eye + 0.5 * step * np.roll(flip, -1, axis=0))
        backward, z = list(back[::-1]), np.ones(4)
        for _ in range(7):  # backward in time, all solutions come to the periodic one
            for one in backward:
                z = one @ z
            z = z / np.abs(z).max()
        found = np.array([z := one @ z for one in backward])[::-1]
        slope = kind(self.states, current).T
        return np.asarray(found[:, 0] * TURN / self.period / (found * slope).sum(axis=1))

    def _bound(self, cell: int) -> np.ndarray:
        """Return r of the cell's synapses along the cycle (POINTS,): it rises for RELEASE, then decays."""
        at, rise, decay = np.arange(POINTS) * self.period / POINTS, RISE[cell], DECAY[cell]
        goal, open_ = rise / (rise + decay), math.exp(-(rise + decay) * RELEASE)
        closed = math.exp(-decay * (self.period - RELEASE))
        first = closed * goal * (1 - open_) / (1 - open_ * closed)  # r at the spike, the same a period later
        rising = goal + (first - goal) * np.exp(-(rise + decay) * np.minimum(at, RELEASE))
        return np.asarray(rising * np.exp(-decay * np.maximum(at - RELEASE, 0.0)))


@lru_cache(maxsize=1)
def _cycles() -> tuple[Cycle, ...]:
    """Return the cycles of all cells; they take seconds."""
    return tuple(Cycle(cell) for cell in range(7))
