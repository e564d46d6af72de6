"""Kernels that a user may choose; each builds its gpytorch kernel.  `Kernel` is the registry.

To add one, write a class in the file where it belongs, with a `kind`, its hyperparameters as fields, and `base`; add
its name to that file's `Kernels`.  `base` builds the gpytorch kernel of unit amplitude and declares the kernel's own
hyperparameters.  Amplitude, columns, sums and products need no further code.  Raw gpytorch parameters are logs
(`log_constraint`).
"""

from .categorical import Categorical
from .composite import Kernel, Product, Sum
from .stationary import Matern, Rbf

__all__ = ["Categorical", "Kernel", "Matern", "Product", "Rbf", "Sum"]
