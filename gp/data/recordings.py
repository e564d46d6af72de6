"""Phases: rows from recordings of oscillators, whose signals or phases are columns of a table."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..dataset import Dataset
from ..spec import Count, Fault, InputError, PositiveFloat, Seed, Spec
from .oscillators.phases import TURN, names_of_differences, to_phases, velocity_rows
from .oscillators.source import PhaseSource
from .table import READERS
from .table.cells import Role
from .table.files import check_file, check_path
from .table.format import Format
from .table.lines import ending
from .table.names import Column

CYCLES = 10  # of each oscillator over all trials, at least: from fewer, its phase is not known
SAMPLES = 8  # of a cycle, at least
ROWS = 30  # of a cycle, where `every` is not given
BACK = math.pi / 2  # a protophase that goes back by more does not turn about a centre
UNEVEN = 0.25  # of a step: how far times may be from even ones

Pair = Annotated[list[Column], Field(min_length=2, max_length=2)]


class HeldOut(Spec):
    """A fraction of the trials, drawn at random; of one trial, its end."""

    fraction: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed | None = None  # the study's where none is given


class Phases(Format, PhaseSource):
    """Rows of a recording: x_j = φ_j − φ_receiver (mod 2π) of each other oscillator j, y = Δφ_receiver/Δt.

    The table at `path` has a column `time`, with even steps, and one for each oscillator: `phases`, in radians, wrapped
    or not, or `signals`, of which the phases are found.  One signal of an oscillator is made a plane by its Hilbert
    transform, whose first and last cycles are left out, as its ends are wrong; two (`[u, v]`) are taken as they are.
    Signals should have one rhythm each: filter others out before.  The angle in the plane about its mean, 0 where a
    single signal is highest, becomes a phase by Kralemann's transform (gp.data.oscillators.phases) over all trials.

    `trial` is a column that numbers or names the recordings; rows of each are in the order of time.  Each y is over
    an interval `every`, a multiple of the step of time; by default a ROWS-th of a cycle of the receiver.
    """

    kind: Literal["phases"] = "phases"
    path: str
    time: Column
    signals: Annotated[list[Column | Pair], Field(min_length=2)] | None = None
    phases: Annotated[list[Column], Field(min_length=2)] | None = None
    trial: Column | None = None
    receiver: Count = 1
    every: PositiveFloat | None = None
    holdout: HeldOut | None = None

    @field_validator("path")
    @classmethod
    def _check_path(cls, text: str) -> str:
        return check_path(text, READERS)

    @field_validator("signals", mode="before")
    @classmethod
    def _check_signals(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        for one in value:
            names = one if isinstance(one, list) else [one]
            if not 1 <= len(names) <= 2 or not all(isinstance(name, str) for name in names):
                fix = "write `signals: [left, right]`, or two columns of an oscillator as [u, v]"
                raise InputError(Fault("", f"each must be a column, or two of them (got {one!r:.60})", fix))
        return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in value]

    @model_validator(mode="after")
    def _check_columns(self) -> "Phases":
        if (self.signals is None) == (self.phases is None):
            given = "neither" if self.signals is None else "both"
            fix = "`signals: [left, right]` to have their phases found, or `phases: […]` of phases in radians"
            raise InputError(Fault("", f"signals or phases, one of the two, is needed (got {given})", fix))
        used = [self.time, *self._recorded, *([self.trial] if self.trial else [])]
        if twice := next((name for i, name in enumerate(used) if name in used[:i]), None):
            raise InputError(Fault("", f"names column {twice!r} twice", "give each of them a column of its own"))
        if self.receiver > self._n:
            raise InputError(Fault("", f"receiver must be one of 1 … {self._n} (got {self.receiver})"))
        return self

    @property
    def _n(self) -> int:
        return len(self.signals or self.phases or [])

    @property
    def _recorded(self) -> list[str]:
        """Return the columns of signals or phases."""
        parts = self.signals or self.phases or []
        return [name for part in parts for name in ([part] if isinstance(part, str) else part)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the differences' names."""
        return names_of_differences(self._n, self.receiver - 1)

    @property
    def names(self) -> list[str]:
        """Return the columns of each oscillator."""
        return [self._name(i) for i in range(self._n)]

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the training rows and the held-out ones; raises InputError where no phase can be found."""
        runs, dt = self._runs()
        cycles = [sum(abs(float(run[-1, i] - run[0, i])) for run in runs) / TURN for i in range(self._n)]
        if min(cycles) < CYCLES:
            i = int(np.argmin(cycles))
            why = f"oscillator {i + 1} ({self._name(i)}) turns {cycles[i]:.1f} times in all: too few cycles"
            raise self._fault(why, f"record {CYCLES} or more, or check that the signal has this oscillator's rhythm")
        spans = sum(len(run) - 1 for run in runs) * dt / np.array(cycles)
        if (shortest := float(spans.min()) / dt) < SAMPLES:
            why = f"a cycle of oscillator {int(spans.argmin()) + 1} has {shortest:.1f} samples"
            raise self._fault(why, f"record {SAMPLES} or more a cycle, so that turns can be told")
        stride = self._stride(dt, float(spans[self.receiver - 1]))
        parts = [run[::stride] for run in runs if len(run) > stride]
        if not parts:
            raise self._fault(f"every: {self.every:g} is longer than each trial", "write a shorter one")
        rows = velocity_rows(parts, self.receiver - 1, stride * dt)
        return self._parted(rows, seed)

    def _parted(self, rows: Dataset, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the rows to train on and those held out."""
        if self.holdout is None or rows.run is None:
            return rows, None
        trials = int(rows.run[-1]) + 1
        if trials == 1:
            first = rows.n - round(self.holdout.fraction * rows.n)
            held_out = np.arange(rows.n) >= first
        else:
            rng = np.random.default_rng(seed if self.holdout.seed is None else self.holdout.seed)
            count = min(max(round(self.holdout.fraction * trials), 1), trials - 1)
            held_out = np.isin(rows.run, rng.permutation(trials)[:count])
        if held_out.all() or not held_out.any():
            raise self._fault(f"holdout keeps {held_out.sum()} of {rows.n} rows", "leave some on both sides")
        return rows.at(~held_out), rows.at(held_out)

    def _stride(self, dt: float, cycle: float) -> int:
        """Return how many steps of time an interval has."""
        if self.every is None:
            return max(round(cycle / ROWS / dt), 1)
        steps = self.every / dt
        if round(steps) < 1 or abs(steps - round(steps)) > 0.01 * round(steps):
            nearest = max(round(steps), 1) * dt
            why = f"every must be a multiple of the step of time, {dt:g} (got {self.every:g})"
            raise self._fault(why, f"write {nearest:g}")
        return round(steps)

    def _runs(self) -> tuple[list[np.ndarray], float]:
        """Return the unwrapped phases of each trial, (samples, n), and the step of time."""
        path = Path(self.path)
        check_file(path)
        roles: dict[str, Role] = dict.fromkeys((self.time, *self._recorded), "value")
        if self.trial:
            roles[self.trial] = "level"
        read = READERS[ending(path)[0]](path, roles, "drop", self)
        for name, values in read.values.items():
            if np.isnan(values).any():
                why = f"{name}: row {int(np.flatnonzero(np.isnan(values))[0]) + 1} has no value"
                fix = "fill it in, or take the row out and give the rows before and after it a `trial` each"
                raise self._fault(why, fix)
        trials = read.values[self.trial].astype(int) if self.trial else np.zeros(len(read.values[self.time]), int)
        chosen = [np.flatnonzero(trials == i) for i in range(trials.max() + 1)]
        called = [f"trial {read.levels[self.trial][i]}: " if self.trial else "" for i in range(len(chosen))]
        times = [read.values[self.time][rows] for rows in chosen]
        dt = self._step(times, called)
        recorded = [{name: read.values[name][rows] for name in self._recorded} for rows in chosen]
        parts = [self._part(i, recorded, called, times) for i in range(self._n)]
        runs = [np.column_stack(columns) for columns in zip(*parts, strict=True)]
        if self.signals and any(isinstance(part, str) for part in self.signals):
            runs = [run for one in runs if len(run := _inner(one)) > 1]
        if not runs:
            raise self._fault("no trial has a whole cycle between its first and its last", "record longer ones")
        return runs, dt

    def _step(self, times: list[np.ndarray], called: list[str]) -> float:
        """Return the step of time; raises InputError unless it is even, and the same in all trials."""
        for time, name in zip(times, called, strict=True):
            if len(time) < 2:
                raise self._fault(f"{name}it has one row", "take it out, or name another column as `trial`")
            if (np.diff(time) <= 0).any():
                why = f"{name}{self.time} does not grow after {time[int(np.argmin(np.diff(time)))]:g}"
                raise self._fault(why, "sort the rows, and name the column that tells recordings apart as `trial`")
        dt = float(np.median([(time[-1] - time[0]) / (len(time) - 1) for time in times]))
        for time, name in zip(times, called, strict=True):
            gaps = np.diff(time)
            if gaps.max() > 1.5 * dt:
                at = time[int(np.argmax(gaps))]
                why = f"{name}{self.time} has a gap of {gaps.max():g} after {at:g}, where steps are {dt:g}"
                raise self._fault(why, "give the rows before and after it a `trial` each, or fill it in")
            even = np.linspace(time[0], time[-1], len(time))
            if np.abs(time - even).max() > UNEVEN * dt or abs(even[1] - even[0] - dt) > 0.01 * dt:
                raise self._fault(f"{name}{self.time} has uneven steps (about {dt:g})", "resample at even times")
        return dt

    def _part(
        self, i: int, trials: list[dict[str, np.ndarray]], called: list[str], times: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the unwrapped phase of oscillator i in each trial."""
        if self.phases:
            name = self.phases[i]
            return [self._unwrapped(name, values[name]) for values in trials]
        from scipy.signal import hilbert  # noqa: PLC0415 - its import takes 0.5 s

        part = (self.signals or [])[i]
        planes = []
        for values, trial in zip(trials, called, strict=True):
            parts = [values[name] - values[name].mean() for name in ([part] if isinstance(part, str) else part)]
            if any(not np.any(one) for one in parts):
                raise self._fault(f"{trial}{self._name(i)} is constant", "give a signal that oscillates")
            planes.append(hilbert(parts[0]) if isinstance(part, str) else parts[0] + 1j * parts[1])
        turned = sum(float(np.sum(np.diff(np.unwrap(np.angle(z))))) for z in planes)
        angles = [np.angle(z if turned > 0 else np.conj(z)) for z in planes]
        inner = [slice(None)] * len(angles) if not isinstance(part, str) else [_cut(np.unwrap(a)) for a in angles]
        for angle, cut, trial, time in zip(angles, inner, called, times, strict=True):
            along = np.unwrap(angle)[cut]
            back = np.maximum.accumulate(along) - along
            if along.size and back.max() > BACK:
                at = time[cut][int(np.argmax(back))]
                why = f"{trial}{self._name(i)} goes back by {back.max():.1f} rad at {at:g}: no turn about a centre"
                raise self._fault(why, "filter the signal to one rhythm, or give two signals `[u, v]` that turn")
        even = to_phases(np.concatenate(angles))
        return [np.unwrap(one) for one in np.split(even, np.cumsum([len(a) for a in angles])[:-1])]

    def _unwrapped(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return phases without their jumps; raises InputError where these are not of 2π."""
        jumps = np.abs(np.diff(values))
        extent = float(np.ptp(values))
        wrapped = jumps[jumps > 0.5 * extent]
        if len(wrapped) > 2 and extent > 0 and not 0.8 * TURN < extent < 1.1 * TURN:
            why = f"{name} jumps back by {float(np.median(wrapped)):.3g}, not by a turn of 2π = {TURN:.4f}"
            raise self._fault(why, "give phases in radians, wrapped at 2π or not at all")
        return np.unwrap(values)

    def _name(self, i: int) -> str:
        part = (self.signals or self.phases or [])[i]
        return part if isinstance(part, str) else " and ".join(part)

    def _fault(self, why: str, fix: str) -> InputError:
        return InputError(Fault("", why, fix, source=self.path))


def _cut(angle: np.ndarray) -> slice:
    """Return the samples of an unwrapped angle but its first and last cycle."""
    inside = np.flatnonzero((angle >= angle[0] + TURN) & (angle <= angle[-1] - TURN))
    return slice(inside[0], inside[-1] + 1) if inside.size else slice(0, 0)


def _inner(phases: np.ndarray) -> np.ndarray:
    """Return the samples that are neither in the first nor in the last cycle of any oscillator."""
    cuts = [_cut(phase) for phase in phases.T]
    return phases[max(cut.start for cut in cuts) : min(cut.stop for cut in cuts)]
