"""Networks of phase oscillators, φ_i' = ω_i + Σ_j Γ_ij(φ_j − φ_i): simulation, and one whose edges are drawn."""

import math
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...spec import Count, Fault, FiniteFloat, InputError, Seed, Spec

HARMONICS = 3  # of a drawn coupling, at most
WEAKEST = 0.3  # of the strength: rms of the weakest coupling
LOWEST, HIGHEST = 0.7, 1.6  # frequencies


class PhaseModel(Spec):
    """Oscillators that are phases.  A system defines `n_oscillators`, `frequencies`, `coupling` and `_drift`."""

    is_phase: ClassVar[bool] = True
    dt: ClassVar[float] = 0.01
    every: ClassVar[float] = 0.2
    noise_sd: ClassVar[float] = 0.03

    @property
    def n_oscillators(self) -> int:
        """Return how many oscillators there are."""
        raise NotImplementedError

    @property
    def frequencies(self) -> np.ndarray:
        """Return ω, (n,)."""
        raise NotImplementedError

    def coupling(self, receiver: int, sender: int, difference: np.ndarray) -> np.ndarray:
        """Return Γ at ψ = φ_sender − φ_receiver."""
        raise NotImplementedError

    def phases(
        self, rng: np.random.Generator, trials: int, steps: int, stride: int, dt: float, noise_sd: float
    ) -> np.ndarray:
        """Return simulated phases, shape (steps // stride + 1, n, trials), from random initial phases."""
        n = self.n_oscillators
        phase = rng.uniform(0, 2 * math.pi, (n, trials))
        seen, size = np.empty((steps // stride + 1, n, trials)), noise_sd * math.sqrt(dt)
        for step in range(steps + 1):
            if step % stride == 0:
                seen[step // stride] = phase
            kick = size * rng.normal(size=phase.shape)
            slope = self._drift(phase)
            phase = phase + 0.5 * dt * (slope + self._drift(phase + dt * slope + kick)) + kick
        return seen

    def _drift(self, phase: np.ndarray) -> np.ndarray:
        """Return dφ/dt of phases (n, trials) without noise."""
        raise NotImplementedError


class Network(PhaseModel):
    """`n` oscillators with `edges` of the n(n − 1) couplings, drawn with the seed `draw`.

    Couplings have one to three harmonics, and an rms between WEAKEST and 1 times the `strength`.  Frequencies are about
    even from LOWEST to HIGHEST.
    """

    kind: Literal["network"] = "network"
    n: Annotated[int, Field(ge=2, le=50)] = 6
    edges: Count = 10
    draw: Seed = 0
    strength: FiniteFloat = 0.03

    @model_validator(mode="after")
    def _has_room(self) -> "Network":
        if self.edges > (most := self.n * (self.n - 1)):
            raise InputError(Fault("edges", f"{self.n} oscillators have {most} (got {self.edges})", "give fewer"))
        return self

    @property
    def n_oscillators(self) -> int:
        """Return n."""
        return self.n

    @property
    def frequencies(self) -> np.ndarray:
        """Return ω, (n,)."""
        return self._drawn[0]

    @property
    def present(self) -> np.ndarray:
        """Return the receivers and the senders, from 0, of the edges that there are, (2, edges)."""
        return self._drawn[1]

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return frequencies (n,), edges (2, edges), and c (edges, HARMONICS): Γ(ψ) = Re Σ_m c_m e^{imψ}."""
        rng = np.random.default_rng(self.draw)
        step = (HIGHEST - LOWEST) / self.n
        omega = LOWEST + step * (np.arange(self.n) + rng.uniform(0.25, 0.75, self.n))
        pairs = np.array([(i, j) for i in range(self.n) for j in range(self.n) if i != j]).T
        chosen = pairs[:, np.sort(rng.permutation(pairs.shape[1])[: self.edges])]
        orders = np.arange(1, HARMONICS + 1)
        shape = (self.edges, HARMONICS)
        waves = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / orders
        waves[orders > rng.integers(1, HARMONICS + 1, self.edges)[:, None]] = 0.0
        rms = np.sqrt(0.5 * (np.abs(waves) ** 2).sum(axis=1))
        size = self.strength * rng.uniform(WEAKEST, 1.0, self.edges)
        return rng.permutation(omega), chosen, waves * (size / rms)[:, None]

    def coupling(self, receiver: int, sender: int, difference: np.ndarray) -> np.ndarray:
        """Return Γ at ψ = φ_sender − φ_receiver."""
        own = (self.present == [[receiver], [sender]]).all(axis=0)
        waves, orders = self._drawn[2][own].sum(axis=0), np.arange(1, HARMONICS + 1)
        return np.asarray((np.exp(1j * np.asarray(difference)[..., None] * orders) @ waves).real)

    def _drift(self, phase: np.ndarray) -> np.ndarray:
        omega, (receivers, senders), waves = self._drawn
        first, second, third = waves.T[:, :, None]
        turn = np.exp(1j * phase)
        ahead = turn[senders] * turn[receivers].conj()
        felt = ahead * (first + ahead * (second + ahead * third))
        slope = np.empty_like(phase)
        slope[:] = omega[:, None]
        np.add.at(slope, receivers, felt.real)
        return slope
