"""Every registered transform of y keeps the laws of gp.testing, and a wrong one is caught."""

import numpy as np
import pytest

from gp.testing import check_transform, examples
from gp.transforms import Log, Transform

GIVEN = {
    "log": [{}, {"offset": 2.0}],
    "sqrt": [{}, {"offset": -1.0}],
    "box_cox": [{"power": 0.0}, {"power": 0.3}, {"power": 1.4}],
    "yeo_johnson": [{"power": 0.0}, {"power": 0.4}, {"power": 2.0}],
    "logit": [{}, {"lower": -2.0, "upper": 5.0}],
}
TRANSFORMS = examples(Transform, GIVEN)


@pytest.mark.parametrize("spec", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_keeps_the_laws(spec):
    check_transform(spec)


class Steep(Log):
    """A logarithm whose slope is said to be another."""

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return log 2/y."""
        return np.log(2) - np.log(y)


class Falling(Log):
    """Minus the logarithm."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return −log y."""
        return -np.log(y)

    def backward(self, z: np.ndarray) -> np.ndarray:
        """Return exp(−z)."""
        return np.exp(-z)


class Wide(Log):
    """A logarithm whose forecasts have another variance."""

    def moments(self, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of z."""
        return np.exp(mean), sd**2


@pytest.mark.parametrize(
    ("wrong", "law"), [(Steep, "`log_slope` is log"), (Falling, "`forward` increases"), (Wide, "the mean is that")]
)
def test_a_wrong_transform_is_caught(wrong, law):
    with pytest.raises(AssertionError, match=law):
        check_transform(wrong())
