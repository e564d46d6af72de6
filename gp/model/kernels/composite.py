"""Sums and products of kernels, nested as deep as one likes; and `Kernel`, the registry of all."""

import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from gpytorch import kernels
from pydantic import Field, StringConstraints

from gp.model.kernels import features, periodic, stationary
from gp.model.kernels.leaf import refuse_amplitude, scale
from gp.parameters.hyperparameters import Positive
from gp.parameters.scope import Scope
from gp.spec import OneOf, Spec

APART = 4.0  # ratio of the starting lengthscales of one term of a sum and the next

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


class Sum(Spec):
    """The sum of its named terms, each of which is predicted on its own too."""

    kind: Literal["sum"] = "sum"
    terms: dict[Name, "Kernel"] = Field(min_length=1)

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return gpytorch's AdditiveKernel of the terms, in order.

        Lengthscales that are not named start apart, the first term's longest: alike, they would be learnt alike.
        """
        built, m = [], len(self.terms)
        for k, (name, term) in enumerate(self.terms.items()):
            apart = replace(scope, reach=scope.reach * APART ** ((m - 1) / 2 - k))
            built.append(term.build(apart, f"{path}.{name}", share=share / m))
        return kernels.AdditiveKernel(*built)

    def unit(self, scope: Scope, path: str) -> float:
        """Return 1: the terms' own amplitudes have the units."""
        return 1.0


class Product(Spec):
    """An outputscale times the product of its named factors, which have no amplitude of their own.

    The outputscale has the unit that y² asks for; amplitudes of the terms of a sum among the factors have none of y's.
    """

    kind: Literal["product"] = "product"
    amplitude: ClassVar[str] = "outputscale"
    outputscale: Positive | None = None
    factors: dict[Name, "Kernel"] = Field(min_length=1)

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return gpytorch's ProductKernel of the factors, scaled unless it is a factor itself."""
        if factor:
            refuse_amplitude(self, path)
        declared = len(scope.parameters)
        within = scope.dimensionless()
        factors = [k.build(within, f"{path}.{name}", factor=True) for name, k in self.factors.items()]
        # The terms of a sum inside a product do not scale the covariance as a whole: the product does.
        scope.unscaled(declared)
        product = kernels.ProductKernel(*factors)
        if factor:
            return product
        return scale(product, self.outputscale, scope, f"{path}.outputscale", share, unit=1 / self.unit(scope, path))

    def unit(self, scope: Scope, path: str) -> float:
        """Return how much one is in the data's units where the product of the factors is one in internal units."""
        return math.prod(k.unit(scope, f"{path}.{name}") for name, k in self.factors.items())


Kernel = Annotated[stationary.Kernels | periodic.Kernels | features.Kernels | Sum | Product, OneOf(default="matern")]
Sum.model_rebuild()
Product.model_rebuild()
