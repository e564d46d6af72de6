"""Noise models: how observations scatter about the function.  `Noise` is the registry.

To add one, write a spec in a file here, with a `kind`, its hyperparameters as fields, and `build(scope, path)`, which
returns a `NoiseModel` (gp/model/noise/base.py); add its name to `Noise`.
"""

from typing import Annotated

from ...spec import OneOf
from .gaussian import Gaussian
from .heteroscedastic import Heteroscedastic
from .known import Known
from .student_t import StudentT

__all__ = ["Gaussian", "Known", "Noise"]

Noise = Annotated[Gaussian | Known | Heteroscedastic | StudentT, OneOf(default="gaussian")]
