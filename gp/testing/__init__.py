"""Laws that every kernel, mean, noise model, inference method, … must obey: functions that check one of them.

    from gp.testing import check_kernel
    check_kernel(MyKernel())          # or {"kind": "matern", "nu": 1.5}

What is checked need not be registered.  Each function returns nothing, or raises AssertionError with a sentence that
says which law failed, and with which numbers.  The project's own tests run them over every registry.

Names are resolved on first use: the checks of data, metrics and figures do not load torch.
"""

from .. import on_first_use

_HOME = {
    "check_data": ".data",
    "check_figure": ".figures",
    "check_inference": ".inference",
    "check_kernel": ".kernels",
    "check_mean": ".parts",
    "check_metric": ".scores",
    "check_noise": ".parts",
    "check_prior": ".priors",
    "check_train": ".training",
    "check_transform": ".transforms",
    "examples": ".specs",
}
__all__ = sorted(_HOME)


__getattr__, __dir__ = on_first_use(__name__, _HOME)
