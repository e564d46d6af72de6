"""Oscillators: the phase velocity of one oscillator as a function of phase differences to the others."""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ...dataset import Dataset
from ...spec import Count, Fault, FiniteFloat, InputError, PositiveFloat
from .fourier import FourierSeries, fit_fourier
from .phases import TURN, names_of_differences, others, velocity_rows
from .source import PhaseSource
from .systems import System

SIMULATED = 600  # trials from which the truth is known: their noise is a fifth of that of 20


class Oscillators(PhaseSource):
    """Rows of a simulation: x_j = φ_j − φ_receiver (mod 2π) of each other oscillator j, y = Δφ_receiver/Δt.

    y is a mean of the velocity over an interval, in which x_j moves by its `step`; x is the middle.  The true function
    is ω + Σ_j Γ_j(x_j), where couplings are known to first order (a system's `coupling`).  With `truth: simulation`,
    what SIMULATED trials differ from that theory by is added, as a Fourier series.

    `trials` runs of `cycles` turns of the first oscillator, in steps of `dt`, are sampled at intervals `every` (both in
    the system's time; `every` is a multiple of `dt`).  With an `arc` [low, high] in radians, only rows with every x on
    the arc are kept.  `noise_sd` is the sd of the white noise on each variable.
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
    truth: Literal["simulation", "theory"] = "simulation"
    test: Count | None = None  # points along each difference; 200 for one, 40 for two; of more, in all; 1000

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
        return names_of_differences(self.system.n_oscillators, self.receiver - 1)

    @property
    def names(self) -> list[str]:
        """Return the oscillators' numbers."""
        return [str(i + 1) for i in range(self.system.n_oscillators)]

    @property
    def _others(self) -> list[int]:
        return others(self.system.n_oscillators, self.receiver - 1)

    def sample(self, seed: int) -> tuple[Dataset, Dataset]:
        """Return the simulated rows, and the true function on a regular grid of differences."""
        train = self._rows(np.random.default_rng(seed))
        if self.arc:
            kept = ((train.x - self.arc[0]) % TURN <= self.arc[1] - self.arc[0]).all(axis=1)
            if not kept.any():
                raise InputError(Fault("data.arc", f"no sample lies on {self.arc}", "widen it, or simulate longer"))
            train = train.at(np.flatnonzero(kept))
        grid = self._grid()
        return train, Dataset(x=grid, columns=self.columns, f=self.true_function(grid)[0])

    def _rows(self, rng: np.random.Generator) -> Dataset:
        """Return all rows, trial after trial, each a run."""
        dt, every = self.dt or self.system.dt, self.every or self.system.every
        noise_sd = self.system.noise_sd if self.noise_sd is None else self.noise_sd
        stride, i = round(every / dt), self.receiver - 1
        steps = int(self.cycles * TURN / self.system.frequencies[0] / every) * stride
        phases = self.system.phases(rng, self.trials, steps, stride, dt, noise_sd)
        return velocity_rows(list(phases.transpose(2, 0, 1)), i, every)

    def true_function(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ω + Σ_j Γ_j(x_j) at differences x (m, N − 1), and its standard error by simulation, (m,) each."""
        theory = self._theory(x)
        if self.truth == "theory" or self.system.is_phase:
            return theory, np.zeros(len(x))
        mean, sd = _beyond_theory(
            self.model_copy(update={"arc": None, "test": None, "trials": SIMULATED}).model_dump_json()
        ).predict(x)
        return theory + mean, sd

    def truth_error(self, x: np.ndarray) -> float:
        """Return the standard error of the simulated truth, root mean square over differences x (m, N − 1)."""
        return float(np.sqrt(np.mean(self.true_function(x)[1] ** 2)))

    def beyond_theory(self) -> FourierSeries:
        """Return what the velocity is beyond theory, in rows that no study draws."""
        rows = self._rows(np.random.default_rng([self.trials, self.receiver]))
        return fit_fourier(rows.x, rows.observed - self._theory(rows.x), step=rows.step)

    def _theory(self, x: np.ndarray) -> np.ndarray:
        i = self.receiver - 1
        parts = [self.system.coupling(i, j, column) for j, column in zip(self._others, x.T, strict=True)]
        return np.asarray(self.system.frequencies[i] + np.sum(parts, axis=0))

    def _grid(self) -> np.ndarray:
        """Return the midpoints of even steps around the circle, for each difference; of more than two, even points."""
        d = len(self._others)
        if d > 2:
            return TURN * (np.arange(1, (self.test or 1000) + 1)[:, None] * _irrationals(d) % 1.0)
        n = self.test or (200 if d == 1 else 40)
        axes = np.meshgrid(*([(np.arange(n) + 0.5) * TURN / n] * d), indexing="ij")
        return np.column_stack([axis.ravel() for axis in axes])


def _irrationals(d: int) -> np.ndarray:
    """Return d numbers whose multiples, modulo 1, are even over the unit cube (Kronecker's sequence).

    They are the powers of 1/g, g^(d + 1) = g + 1: of the golden ratio for d = 1.
    """
    g = 2.0
    for _ in range(60):
        g = (1 + g) ** (1 / (d + 1))
    return np.asarray(g ** -np.arange(1.0, d + 1))


@lru_cache(maxsize=16)
def _beyond_theory(written: str) -> FourierSeries:
    """Return `beyond_theory` of a source written as JSON; equal sources share it, as it takes seconds."""
    return Oscillators.model_validate_json(written).beyond_theory()
