"""Laws that every kernel, mean, noise model, … keeps: plain functions that judge one, also somebody's own.

    from gp.testing import check_kernel
    check_kernel(MyKernel())          # or {"kind": "matern", "nu": 1.5}

Each returns nothing, or raises AssertionError with a sentence that says which law broke, and with which numbers.  The
project's own tests run them over every registry.
"""

from gp.testing.kernels import check_kernel
from gp.testing.parts import check_mean, check_noise
from gp.testing.specs import examples

__all__ = ["check_kernel", "check_mean", "check_noise", "examples"]
