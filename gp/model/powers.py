"""A model at another power λ of the transform of its y; hyperparameters are kept, which are of standardised z."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .model import GaussianProcess, location_and_scale


class Units(NamedTuple):
    """A power, and the units of z = g(y) there: z = `offset` + `scale` · internal."""

    power: float
    offset: float
    scale: float


def units_at(gp: GaussianProcess, power: float) -> Units:
    """Return the units of the rows' z at a `power`, standardised as a model built at it is."""
    offset, scale = location_and_scale(_moved(gp, power)[1][:, None], gp.spec.standardize.y)
    return Units(power, float(offset[0]), float(scale[0]))


def at_power(gp: GaussianProcess, units: Units) -> GaussianProcess:
    """Return the model over the same rows with the power and units of z that are given; all else is shared.

    Rows that share their inputs may be grouped after this, not before.
    """
    spec, z, slopes = _moved(gp, units.power)
    scope = replace(
        gp.scope, y=(z - units.offset) / units.scale, y_offset=units.offset, y_scale=units.scale, log_slopes=slopes
    )
    return replace(gp, spec=spec, scope=scope, workspace={})


def _moved(gp: GaussianProcess, power: float) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the spec at a power, and z and log dz/dy (n,) of the rows."""
    before = gp.spec.transform
    assert before is not None
    y, transform = (
        before.of(gp.scope.y * gp.scope.y_scale + gp.scope.y_offset),
        before.model_copy(update={"power": power}),
    )
    return gp.spec.model_copy(update={"transform": transform}), transform.forward(y), transform.log_slope(y)
