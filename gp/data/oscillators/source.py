"""PhaseSource: what simulated oscillators and recordings of such have in common."""

import numpy as np

from ...dataset import Dataset
from ..source import Baseline, Source
from .fourier import fourier_baseline
from .phases import TURN


class PhaseSource(Source):
    """A source whose inputs are phase differences, and whose target is the velocity of the receiver's phase."""

    @property
    def target(self) -> str:
        """Return the target's name."""
        return "phase_velocity"

    @property
    def periods(self) -> dict[str, float]:
        """Return 2π for each difference."""
        return dict.fromkeys(self.columns, TURN)

    def baseline(self, train: Dataset, x: np.ndarray) -> Baseline:
        """Return a Fourier series, fitted to `train`, at differences x (m, N − 1)."""
        return fourier_baseline(train, x)
