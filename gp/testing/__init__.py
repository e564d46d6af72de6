"""Laws that every kernel, mean, noise model, inference method, … keeps: plain functions that judge one.

    from gp.testing import check_kernel
    check_kernel(MyKernel())          # or {"kind": "matern", "nu": 1.5}

Somebody's own need not be registered.  Each function returns nothing, or raises AssertionError with a sentence that
says which law broke, and with which numbers.  The project's own tests run them over every registry.
"""

from gp.testing.data import check_data
from gp.testing.inference import check_inference
from gp.testing.kernels import check_kernel
from gp.testing.parts import check_mean, check_noise
from gp.testing.priors import check_prior
from gp.testing.scores import check_metric
from gp.testing.specs import examples

__all__ = [
    "check_data",
    "check_inference",
    "check_kernel",
    "check_mean",
    "check_metric",
    "check_noise",
    "check_prior",
    "examples",
]
