"""The noise of new observations, where inducing inputs leave some of the function unexplained.

With u_i = k_ii − |a_i|² what they leave of a row, and r_i, h_i residual and variance of q(u)'s mean there, the bound is
highest at the noise variance σ² = mean(r_i² + u_i + h_i)  (Titsias 2009 eq. 9).  r_i² holds u_i too, so σ² is above the
noise by about twice the mean of u, and the variance of a prediction adds u(x) to it.  How much of that is too much,
rows that are left out say.
"""

import numpy as np
from scipy.optimize import brentq

TWICE = 2.0  # the mean of u, by which σ² is too large at most
MOST = 0.99  # of σ²


def kept_of_noise(residual: np.ndarray, variance: np.ndarray, unexplained: np.ndarray, noise: float) -> float:
    """Return the share of the learnt `noise` variance σ² that new observations have.

    It is σ² − δ, δ from 0 to twice the mean of u, with the best log density of left-out rows, N(0, variance_i − δ) at
    `residual_i`.  `variance`, with σ² in it, and `unexplained`, u, are those of left-out rows, (n,) each.
    """

    def slope(delta: float) -> float:
        """Return twice the derivative of the rows' mean log density by δ."""
        left = variance - delta
        return float(np.mean((1 - residual**2 / left) / left))

    most = min(TWICE * float(unexplained.mean()), MOST * noise)
    if most <= 0 or slope(0.0) <= 0:
        return 1.0
    return 1 - (most if slope(most) >= 0 else brentq(slope, 0.0, most, xtol=1e-12 * noise)) / noise
