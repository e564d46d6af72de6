"""Oscillators: the phase velocity of one oscillator as a function of phase differences to the others."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from gp.data.oscillators.fourier import fit_fourier
from gp.data.oscillators.systems import System
from gp.data.source import Baseline, Source
from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import Count, Fault, FiniteFloat, InputError, PositiveFloat

TURN = 2 * math.pi


class Oscillators(Source):
    """Rows of a simulation: x_j = φ_j − φ_receiver (mod 2π) of each other oscillator j, y = Δφ_receiver/Δt.

    The true function is ω + Σ_j Γ_j(x_j).  `trials` runs of `cycles` turns of the first oscillator, in steps of `dt`,
    are sampled at intervals `every` (both in the system's time; `every` is a multiple of `dt`).  With an `arc`
    [low, high] in radians, only rows with every x on the arc are kept.  `noise_sd` is the sd of the white noise on each
    variable.
    """

    kind: Literal["oscillators"] = "oscillators"
    system: System
    receiver: Count = 1
    noise_sd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    trials: Count = 20
    cycles: Count = 20
    dt: PositiveFloat | None = None
    every: PositiveFloat | None = None
    arc: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None = None
    test: Count | None = None  # points along each difference; 200 for one, 40 for two

    @model_validator(mode="after")
    def _is_consistent(self) -> "Oscillators":
        if self.receiver > self.system.n_oscillators:
            raise InputError(
                Fault("", f"receiver must be one of 1 … {self.system.n_oscillators} (got {self.receiver})")
            )
        if self.arc and not 0 < self.arc[1] - self.arc[0] <= TURN:
            raise InputError(Fault("", f"arc must be [low, high] in radians, at most a turn (got {self.arc})"))
        dt, every = self.dt or self.system.dt, self.every or self.system.every
        if abs(every / dt - round(every / dt)) > 1e-9 or every < dt:
            raise InputError(Fault("", f"every must be a multiple of dt (got {every:g} and {dt:g})"))
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the differences' names."""
        if len(self._others) == 1:
            return ("phase_difference",)
        return tuple(f"phase_difference_{self.receiver}{j + 1}" for j in self._others)

    @property
    def target(self) -> str:
        """Return the target's name."""
        return "phase_velocity"

    @property
    def periods(self) -> dict[str, float]:
        """Return 2π for each difference."""
        return dict.fromkeys(self.columns, TURN)

    @property
    def _others(self) -> list[int]:
        return [j for j in range(self.system.n_oscillators) if j != self.receiver - 1]

    def sample(self, seed: int) -> tuple[Dataset, Dataset]:
        """Return the simulated rows, and the true function on a regular grid of differences."""
        dt, every = self.dt or self.system.dt, self.every or self.system.every
        noise_sd = self.system.noise_sd if self.noise_sd is None else self.noise_sd
        stride, i = round(every / dt), self.receiver - 1
        steps = int(self.cycles * TURN / self.system.frequencies[0] / every) * stride
        phases = self.system.phases(np.random.default_rng(seed), self.trials, steps, stride, dt, noise_sd)
        velocity = np.diff(phases[:, i], axis=0) / every  # (samples, trials)
        ahead = [(phases[:-1, j] - phases[:-1, i]) % TURN for j in self._others]
        x = np.column_stack([difference.T.ravel() for difference in ahead])  # trial after trial
        y = velocity.T.ravel()
        if self.arc:
            kept = ((x - self.arc[0]) % TURN <= self.arc[1] - self.arc[0]).all(axis=1)
            if not kept.any():
                raise InputError(Fault("data.arc", f"no sample lies on {self.arc}", "widen it, or simulate longer"))
            x, y = x[kept], y[kept]
        grid = self._grid()
        return Dataset(x=x, columns=self.columns, y=y), Dataset(x=grid, columns=self.columns, f=self.truth(grid))

    def baseline(self, train: Dataset, x: np.ndarray) -> Baseline:
        """Return a Fourier series, fitted to `train`, at differences x (m, N − 1)."""
        series = fit_fourier(train.x, train.observed)
        mean, sd_f = series.predict(x)
        posterior = Posterior.normal(x, train.columns, mean, sd_f, np.hypot(sd_f, series.noise_sd))
        return Baseline("Fourier series, its order by evidence", posterior, {"order": series.order})

    def truth(self, x: np.ndarray) -> np.ndarray:
        """Return ω + Σ_j Γ_j(x_j) at differences x (m, N − 1), shape (m,)."""
        i = self.receiver - 1
        parts = [self.system.coupling(i, j, column) for j, column in zip(self._others, x.T, strict=True)]
        return self.system.frequencies[i] + np.sum(parts, axis=0)

    def _grid(self) -> np.ndarray:
        """Return the midpoints of even steps around the circle, for each difference."""
        d = len(self._others)
        n = self.test or (200 if d == 1 else 40)
        axes = np.meshgrid(*([(np.arange(n) + 0.5) * TURN / n] * d), indexing="ij")
        return np.column_stack([axis.ravel() for axis in axes])
