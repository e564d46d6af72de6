"""Systems of coupled oscillators.  `System` is the registry.

To add one, write a class here with a `kind` and its constants as fields, and add its name to `System`.  A planar pair
defines `flow`, `jacobian` and `interaction` (gp.data.oscillators.planar.Pair), one of phases what
gp.data.oscillators.networks.PhaseModel names.  Any other system defines `n_oscillators`, `is_phase`, `frequencies`,
`coupling` and `phases` itself.  `dt`, `every` and `noise_sd` are its defaults.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...spec import FiniteFloat, OneOf, PositiveFloat
from .networks import Network, PhaseModel
from .neurons import Neurons
from .planar import Pair, Plane

Pairwise = Field(min_length=2, max_length=2)
Trio = Field(min_length=3, max_length=3)


class VanDerPol(Pair):
    """x' = y, y' = ε(1 − x²)y − x; coupled as in the setting of the author's precursor work to arXiv:2504.09110."""

    kind: Literal["van_der_pol"] = "van_der_pol"
    epsilon: Annotated[list[PositiveFloat], Pairwise] = Field(default=[0.3, 0.7])
    strength: FiniteFloat = 0.01
    dt: ClassVar[float] = 0.01
    every: ClassVar[float] = 0.2
    noise_sd: ClassVar[float] = 0.03

    def flow(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> Plane:
        """Return x' and y'."""
        return v, self.epsilon[oscillator] * (1 - u * u) * v - u

    def jacobian(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the derivatives of `flow`."""
        e = self.epsilon[oscillator]
        return np.zeros_like(u), np.ones_like(u), -2 * e * u * v - 1, e * (1 - u * u)

    def interaction(self, receiver: int, own: Plane, other: Plane) -> Plane:
        """Return K(x₂ − x₁), K x₂² y₂ for the first; −K x₁² y₁, K x₁ y₁² for the second."""
        (u, _), (u2, v2), k = own, other, self.strength
        if receiver == 0:
            return k * (u2 - u), k * u2 * u2 * v2
        return -k * u2 * u2 * v2, k * u2 * v2 * v2


class FitzHughNagumo(Pair):
    """u' = δ(a + v − bu), v' = v − v³/3 − u + I, coupled through v."""

    kind: Literal["fitzhugh_nagumo"] = "fitzhugh_nagumo"
    a: FiniteFloat = 0.7
    b: FiniteFloat = 0.8
    current: Annotated[list[FiniteFloat], Pairwise] = Field(default=[1.0, 0.8])
    delta: Annotated[list[PositiveFloat], Pairwise] = Field(default=[0.1, 0.075])
    strength: FiniteFloat = 0.02
    dt: ClassVar[float] = 0.05
    every: ClassVar[float] = 1.0
    noise_sd: ClassVar[float] = 0.02

    def flow(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> Plane:
        """Return u' and v'."""
        return self.delta[oscillator] * (self.a + v - self.b * u), v - v * v * v / 3 - u + self.current[oscillator]

    def jacobian(self, oscillator: int, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the derivatives of `flow`."""
        d, one = self.delta[oscillator], np.ones_like(u)
        return -d * self.b * one, d * one, -one, 1 - v * v

    def interaction(self, receiver: int, own: Plane, other: Plane) -> Plane:
        """Return K(v₂² u₁ − v₁² u₂) on v for the first, K(v₁ u₂ − v₂ u₁) for the second."""
        (u, v), (u2, v2), k = own, other, self.strength
        felt = k * (v2 * v2 * u - v * v * u2) if receiver == 0 else k * (v2 * u - v * u2)
        return np.zeros_like(felt), felt


class Phase(PhaseModel):
    """Three oscillators, φ_i' = ω_i + Σ_j Γ_ij(φ_j − φ_i): up to three harmonics, one von-Mises-like, one zero."""

    kind: Literal["phase"] = "phase"
    omega: Annotated[list[FiniteFloat], Trio] = Field(default=[1.0, 1.25, 0.8])
    strength: FiniteFloat = 0.05

    @property
    def n_oscillators(self) -> int:
        """Return 3."""
        return 3

    @property
    def frequencies(self) -> np.ndarray:
        """Return ω."""
        return np.array(self.omega)

    def coupling(self, receiver: int, sender: int, difference: np.ndarray) -> np.ndarray:
        """Return Γ at ψ = φ_sender − φ_receiver."""
        return self.strength * SHAPES[receiver, sender](difference)

    def _drift(self, phase: np.ndarray) -> np.ndarray:
        slope = np.repeat(self.frequencies[:, None], phase.shape[1], axis=1)
        for i, j in SHAPES:
            slope[i] += self.coupling(i, j, phase[j] - phase[i])
        return slope


# Couplings of `Phase`: (receiver, sender) → shape.
SHAPES = {
    (0, 1): lambda psi: np.sin(psi) + 0.4 * np.cos(2 * psi),
    (0, 2): lambda psi: np.exp(2 * (np.cos(psi - 1) - 1)),  # von Mises's shape: all harmonics
    (1, 0): lambda psi: 0.8 * np.sin(psi + 0.5) + 0.3 * np.sin(3 * psi),
    (1, 2): lambda psi: np.zeros_like(psi),
    (2, 0): lambda psi: np.cos(psi) - 0.5 * np.sin(2 * psi),
    (2, 1): lambda psi: 0.6 * np.sin(psi) + 0.3 * np.cos(2 * psi) - 0.2 * np.sin(3 * psi),
}

System = Annotated[VanDerPol | FitzHughNagumo | Phase | Network | Neurons, OneOf()]
