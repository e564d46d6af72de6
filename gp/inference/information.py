"""Average information: an approximate curvature of the exact likelihood, at the cost of a few products.

The mean of the observed and the expected information is ½ αᵀ K_i P K_j α, with K_i = ∂(K + noise)/∂θ_i: the traces in
them cancel (Gilmour, Thompson & Cullis 1995, "Average information REML").  It has no negative direction, and needs no
second derivative of the kernel.
"""

import numpy as np

from .profile import Profile, least_squares
from .solved import Solved


def average_information(solved: Solved, profile: Profile, stopped: int | None) -> np.ndarray:
    """Return −∂² of the profiled log likelihood by the raw vector, (p, p), as the average information has it.

    `solved` was pulled back: its factor is now the inverse.  It may be that of K₁, where K + noise = c K₁, with α = √c
    (K + noise)⁻¹(y − m).  `stopped` is the element of the vector whose bound holds the scale c.
    """
    moves, of_mean = _moves(solved, profile)
    p = moves.shape[1]
    products = solved.matrix.times(moves)
    information = moves.T @ products
    by_scale = solved.alpha @ moves
    if solved.scatter is not None:
        # Of the data's rows about the means of groups, α is (y − ȳ)/noise, orthogonal to all that groups share.
        noise, slopes = solved.noise, _noise_slopes(solved)
        information += slopes.T @ (slopes * (solved.scatter / noise**3)[:, None])
        by_scale += (solved.scatter / noise**2) @ slopes
    if len(profile.positions):  # P = K⁻¹ − K⁻¹Φ(ΦᵀK⁻¹Φ)⁻¹ΦᵀK⁻¹
        cross = profile.design.T @ products
        information -= cross.T @ least_squares(profile.design.T @ solved.whitened, cross)
    # Of the mean's coefficients, the expected information is the observed one, and that beside covariances is zero.
    information *= np.where(np.logical_and.outer(of_mean, of_mean), 1.0, 0.5)
    if stopped is not None:  # the scale moves with that element
        along = np.eye(p)
        along[:, stopped] -= profile.amplitude / profile.amplitude[stopped]
        return along.T @ information @ along
    if profile.amplitude.any():  # the scale's own curvature is n/2: its Schur complement
        information -= 0.5 * np.outer(by_scale, by_scale) / solved.gp.total
    return information


def _noise_slopes(solved: Solved) -> np.ndarray:
    """Return the noise variance's derivative by each element of the raw vector, (n, p)."""
    slopes = solved.noise_slopes
    nothing = np.zeros((solved.gp.n, 1))
    parts = [slopes.get(p.tensor, np.repeat(nothing, p.size, axis=1)) for p in solved.gp.parameters.free]
    return np.hstack(parts) if parts else nothing[:, :0]


def _moves(solved: Solved, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """Return K_i α for each element of the raw vector, (n, p), and which elements are coefficients of the mean.

    For these it is their column of the design matrix, or zero, where they are profiled.
    """
    gp, alpha, places = solved.gp, solved.alpha, solved.gp.parameters.places
    p = len(gp.parameters.reference)
    moves, of_mean = np.zeros((gp.n, p), order="F"), np.zeros(p, dtype=bool)
    noise = ((raw, slope * alpha[:, None]) for raw, slope in solved.noise_slopes.items())
    for raw, product in (*solved.matrix.products(alpha), *noise, *gp.design.items()):
        if raw in places:
            moves[:, places[raw]] = product
            of_mean[places[raw]] = raw in gp.design
    moves *= gp.parameters.reference
    moves[:, profile.positions] = 0.0
    return moves, of_mean
