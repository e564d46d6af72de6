"""Noise models: how observations scatter about the function.  `Noise` is the registry.

To add one, write a spec in a file here, with a `kind`, its hyperparameters as fields, and `build(scope, path)`, which
returns a `NoiseModel` (gp/model/noise/base.py); add its name to `Noise`.
"""

from typing import Annotated

from gp.model.noise.gaussian import Gaussian
from gp.model.noise.heteroscedastic import Heteroscedastic
from gp.model.noise.known import Known
from gp.model.noise.student_t import StudentT
from gp.spec import OneOf

__all__ = ["Gaussian", "Noise"]

Noise = Annotated[Gaussian | Known | Heteroscedastic | StudentT, OneOf(default="gaussian")]
