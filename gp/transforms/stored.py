"""A transform of y in a file of NumPy's: how forecasts keep the one that their normals are of."""

import json
from typing import Any

import numpy as np

from ..spec import parse
from . import Transform


def stored_transform(transform: Transform | None) -> dict[str, np.ndarray]:
    """Return what `np.savez` keeps of a transform."""
    if transform is None:
        return {}
    written = {"transform": np.array(transform.reference.model_dump_json(exclude_none=True))}
    return {**written, "powers": transform.numbers()["power"]} if transform.is_mixed else written


def transform_in(kept: Any) -> Transform | None:
    """Return the transform that `stored_transform` put into an opened .npz."""
    found: Transform | None = parse(Transform, json.loads(str(kept["transform"]))) if "transform" in kept else None
    return found.model_copy(update={"power": kept["powers"]}) if found and "powers" in kept else found
