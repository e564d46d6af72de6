"""Laws that every kernel, mean, noise model, inference method, … must obey: functions that check one of them.

    from gp.testing import check_kernel
    check_kernel(MyKernel())          # or {"kind": "matern", "nu": 1.5}

What is checked need not be registered.  Each function returns nothing, or raises AssertionError with a sentence that
says which law failed, and with which numbers.  The project's own tests run them over every registry.

Names are resolved on first use: the checks of data, metrics and figures do not load torch.
"""

from gp import on_first_use

_HOME = {
    "check_data": "gp.testing.data",
    "check_figure": "gp.testing.figures",
    "check_inference": "gp.testing.inference",
    "check_kernel": "gp.testing.kernels",
    "check_mean": "gp.testing.parts",
    "check_metric": "gp.testing.scores",
    "check_noise": "gp.testing.parts",
    "check_prior": "gp.testing.priors",
    "check_train": "gp.testing.training",
    "check_transform": "gp.testing.transforms",
    "examples": "gp.testing.specs",
}
__all__ = sorted(_HOME)


__getattr__, __dir__ = on_first_use(__name__, _HOME)
