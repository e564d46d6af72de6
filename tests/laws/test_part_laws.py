"""Every registered mean and noise model keeps the laws of gp.testing."""

import pytest

from gp.model.means import Mean
from gp.model.noise import Noise
from gp.testing import check_mean, check_noise, examples

MEANS = examples(Mean, {"polynomial": [{}, {"degree": 3}]})
NOISES = examples(Noise)


@pytest.mark.parametrize("spec", MEANS.values(), ids=MEANS)
def test_a_mean_keeps_the_laws(spec):
    check_mean(spec)


@pytest.mark.parametrize("spec", NOISES.values(), ids=NOISES)
def test_a_noise_model_keeps_the_laws(spec):
    check_noise(spec)
