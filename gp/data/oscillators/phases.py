"""Phases: from signals to the phases of oscillators, and from these to rows of phase velocity by phase difference."""

import math
from collections.abc import Sequence

import numpy as np

from ...dataset import Dataset

TURN = 2 * math.pi
HARMONICS = 50  # of the transform from protophase to phase


def protophase(z: np.ndarray) -> np.ndarray:
    """Return the angle of the states z (samples, …), complex, about their mean."""
    return np.angle(z - z.mean())


def to_phases(theta: np.ndarray) -> np.ndarray:
    """Return the phases of protophases `theta` of any shape, radians: an angle that grows evenly in the mean.

    φ = θ + 2 Σ_m Im[S_m/m (e^{imθ} − 1)], S_m = ⟨e^{−imθ}⟩ over all samples (Kralemann et al. 2008, "Phase dynamics of
    coupled oscillators reconstructed from data", eq. 16).
    """
    turn = np.exp(1j * theta)
    power, even = np.ones_like(turn), theta.copy()
    for m in range(1, HARMONICS + 1):
        power = power * turn
        even += 2 * np.imag(np.conj(power).mean() / m * (power - 1))
    return even


def others(n: int, receiver: int) -> list[int]:
    """Return the oscillators, of n numbered from 0, that the receiver is coupled to."""
    return [j for j in range(n) if j != receiver]


def names_of_differences(n: int, receiver: int) -> tuple[str, ...]:
    """Return the names of the phase differences from oscillator `receiver`, from 0, to each of the n − 1 others."""
    if n == 2:
        return ("phase_difference",)
    between = "_" if n > 9 else ""  # 1 and 11, or 11 and 1
    return tuple(f"phase_difference_{receiver + 1}{between}{j + 1}" for j in others(n, receiver))


def velocity_rows(runs: Sequence[np.ndarray], receiver: int, every: float) -> Dataset:
    """Return the rows of `runs`, one after the other: of each, unwrapped phases (samples, n) at intervals `every`.

    y is the receiver's mean velocity over an interval, x the differences φ_j − φ_receiver (mod 2π) in its middle, and
    `step` what they move in it.
    """
    n = runs[0].shape[1]
    y, x, step, run = [], [], [], []
    for i, phases in enumerate(runs):
        ahead = phases[:, others(n, receiver)] - phases[:, [receiver]]
        moved = np.diff(ahead, axis=0)
        y.append(np.diff(phases[:, receiver]) / every)
        x.append((ahead[:-1] + 0.5 * moved) % TURN)
        step.append(moved)
        run.append(np.full(len(moved), float(i)))
    return Dataset(
        x=np.vstack(x),
        columns=names_of_differences(n, receiver),
        y=np.concatenate(y),
        run=np.concatenate(run),
        step=np.vstack(step),
    )
