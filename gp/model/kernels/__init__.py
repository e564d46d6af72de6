"""Kernels: what a user may choose, each building its gpytorch kernel.  `Kernel` is the registry.

To add one: in the file where it belongs, a class with a `kind`, its hyperparameters as fields and `base`, and its name
in that file's `Kernels`.  `base` builds the gpytorch kernel of unit amplitude and declares the kernel's own
hyperparameters; amplitude, columns, sums and products come by themselves.  Raw gpytorch parameters are logs
(`log_constraint`).
"""

from gp.model.kernels.composite import Kernel, Product, Sum
from gp.model.kernels.stationary import Matern, Rbf

__all__ = ["Kernel", "Matern", "Product", "Rbf", "Sum"]
