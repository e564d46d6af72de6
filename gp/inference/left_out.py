"""Leave-one-out of a method that is exact: what α and the diagonal of K⁻¹ say of each row of the data."""

import numpy as np
import torch

from ..model.model import GaussianProcess


def leave_one_out(
    gp: GaussianProcess, alpha: np.ndarray, precision: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each target's mean and sd given all other rows, in internal units, its noise included.

    Of the rows of `gp`, `alpha` is K⁻¹(y − m), `precision` the diagonal of K⁻¹ and `noise` their variances, (n,) each.
    mean_i = y_i − α_i/[K⁻¹]_ii and variance_i = 1/[K⁻¹]_ii  (R&W 2006 eq. 5.12), K being that of the data's rows.
    Of rows with the same inputs (gp.model.repeats) these follow from α and [K⁻¹]_jj of their group, whose mean's
    noise is s: α_i = (α + (y_i − ȳ)/s)/r and [K⁻¹]_ii = (1 − (1 − s [K⁻¹]_jj)/r)/(r s).
    """
    repeats = gp.repeats
    with torch.no_grad():
        new = gp.noise.left_out(gp.x).numpy()
    if repeats:
        group, ratio = repeats.group, repeats.ratio
        mean_noise, new = noise[group], new[group]
        alpha = (alpha[group] + (repeats.y - repeats.mean[group]) / mean_noise) / ratio
        noise = ratio * mean_noise
        precision = (1 - (1 - mean_noise * precision[group]) / ratio) / noise
    # The noise that was learnt for a row is not known before that row is seen.
    return gp.observed - alpha / precision, np.sqrt(1 / precision + new - noise)
