"""PhaseSource: what simulated oscillators and recordings of such have in common."""

from typing import Any

import numpy as np

from ...dataset import Dataset
from ..source import Baseline, Source
from .fourier import fourier_baseline
from .phases import TURN, others


class PhaseSource(Source):
    """A source whose inputs are phase differences, and whose target is the velocity of the receiver's phase.

    It has a field `receiver`, from 1.
    """

    @property
    def names(self) -> list[str]:
        """Return the oscillators' names."""
        raise NotImplementedError

    @property
    def network(self) -> dict[str, Any]:
        """Return the oscillators as nodes, and of which of them each difference tells."""
        nodes, receiver = self.names, self.receiver - 1  # type: ignore[attr-defined]
        senders = [nodes[j] for j in others(len(nodes), receiver)]
        return {
            "nodes": nodes,
            "receiver": nodes[receiver],
            "senders": dict(zip(self.columns, senders, strict=True)),
        }

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
