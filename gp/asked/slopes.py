"""Derivatives of the posterior by its inputs, in the data's units; where y is transformed, through its moments.

Of h(z), z ~ N(μ, σ²), with u = (z − μ)/σ: ∂E[h]/∂μ = E[h u]/σ and ∂E[h]/∂σ² = E[h (u² − 1)]/2σ², whether h has
derivatives or not  (the density's own derivatives, integrated by parts: Stein 1981, lemma 1).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr

from ..inference.method import Conditioned
from ..inference.together import together
from ..parallel import one_thread
from ..transforms import Transform
from ..transforms.base import REACH, TINY

NODES = np.polynomial.legendre.leggauss(256)  # of moments there are 64, whose errors slopes would magnify


@dataclass(frozen=True, eq=False)
class Gradient:
    """Derivatives (m, d) by each input at x (m, d), in the data's units: of the mean, of sd_f and of sd_y.

    They are those of what `predict` calls by these names.  Where a standard deviation is zero it has no derivative, nor
    has anything by a categorical input; nan stands for it.
    """

    x: np.ndarray
    mean: np.ndarray
    sd_f: np.ndarray
    sd_y: np.ndarray


class Moving(NamedTuple):
    """A mean and a variance (m,), and their derivatives by each input (m, d)."""

    mean: np.ndarray
    variance: np.ndarray
    of_mean: np.ndarray
    of_variance: np.ndarray


def gradient(
    conditioned: Iterable[Conditioned], weights: np.ndarray, x: np.ndarray, internal: torch.Tensor
) -> Gradient:
    """Return the derivatives of the posterior at x (m, d); the arguments are those of gp.asked.joint.joint."""
    of_f, of_y = list[Moving](), list[Moving]()
    for each in conditioned:
        transform, scope = each.gp.spec.transform, each.gp.scope
        scale, offset = scope.y_scale, scope.y_offset
        with one_thread():
            found = together(each).slopes(internal)
        mean, of_mean = found.mean * scale + offset, found.of_mean * scale
        variance, of_variance = found.variance.clip(min=0.0) * scale**2, found.of_variance * scale**2
        noisy, of_noisy = variance + found.noise * scale**2, of_variance + found.of_noise * scale**2
        of_f.append(_of_y(transform, Moving(mean, variance, of_mean, of_variance)))
        of_y.append(_of_y(transform, Moving(mean, noisy, of_mean, of_noisy)))
    is_level = [column in scope.levels for column in scope.columns]
    unit = np.where(is_level, np.nan, 1 / scope.x_scale)
    (_, sd_f), (mean, sd_y) = _mixed(of_f, weights), _mixed(of_y, weights)
    return Gradient(x, mean * unit, sd_f * unit, sd_y * unit)


def _mixed(parts: Sequence[Moving], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives (m, d) of mean and sd of a mixture of S parts with `weights` (S,).

    Its variance is Σ w (variance + (mean − its own mean)²).
    """
    means, variances, of_means, of_variances = (np.array(each) for each in zip(*parts, strict=True))
    apart, of_mean = means - weights @ means, np.tensordot(weights, of_means, 1)
    sd = np.sqrt(weights @ (variances + apart**2))[:, None]
    of_variance = np.tensordot(weights, of_variances + 2 * apart[:, :, None] * (of_means - of_mean), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return of_mean, np.where(sd > 0, of_variance / (2 * sd), np.nan)


def _of_y(transform: Transform | None, z: Moving) -> Moving:
    """Return the moments of y, of which z is the transform, and how they move."""
    if transform is None:
        return z
    sd = np.sqrt(z.variance)
    (mean, variance), slopes = transform.moments(z.mean, sd), moment_slopes(transform, z.mean, sd)
    by_mean, by_variance, of_mean, of_variance = (slope[:, None] for slope in slopes)
    return Moving(
        mean,
        variance,
        by_mean * z.of_mean + by_variance * z.of_variance,
        of_mean * z.of_mean + of_variance * z.of_variance,
    )


def moment_slopes(
    transform: Transform, mean: np.ndarray, sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ∂E/∂μ, ∂E/∂σ², ∂V/∂μ and ∂V/∂σ² (m,) of mean E and variance V of y where z is N(μ, σ²), (m,) each."""
    sd = np.maximum(sd, TINY)
    low = np.clip((transform.lowest - mean) / sd, -REACH, REACH)
    centre, half = transform.of(mean), 0.5 * (REACH - low)
    # Sums over u of h^p, h^p u and h^p (u² − 1), p = 1, 2, of h = y less that at the mean; first what is below `low`.
    apart, edge = transform.of(mean + sd * low) - centre, np.exp(-0.5 * low**2) / math.sqrt(2 * math.pi)
    below = (ndtr(low), -edge, -low * edge)
    sums = [[part * apart**p for part in below] for p in (1, 2)]
    for node, weight in zip(*NODES, strict=True):
        u = low + half * (1 + node)
        share = weight * half * np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        apart = transform.of(mean + sd * u) - centre
        for p, each in enumerate(sums, start=1):
            for k, factor in enumerate((1.0, u, u**2 - 1)):
                each[k] = each[k] + share * factor * apart**p
    (first, first_u, first_uu), (_, second_u, second_uu) = sums
    by_mean, by_variance = first_u / sd, first_uu / (2 * sd**2)
    return (
        by_mean,
        by_variance,
        second_u / sd - 2 * first * by_mean,
        second_uu / (2 * sd**2) - 2 * first * by_variance,
    )
