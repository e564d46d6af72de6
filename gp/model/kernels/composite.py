"""Sums and products of kernels, nested to any depth; and `Kernel`, the registry of all kernels."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from gpytorch import kernels
from pydantic import Field, StringConstraints, model_validator

from ...parameters.hyperparameters import Positive, Real
from ...parameters.scope import Scope
from ...spec import Fault, InputError, OneOf, Spec, parse, suggest
from . import categorical, features, periodic, stationary
from .changepoint import Changepoint
from .leaf import refuse_amplitude, scale

APART = 4.0  # ratio of the starting lengthscales of successive terms of a sum

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


class Sum(Spec):
    """The sum of its named terms; each term is also predicted separately.

    `{kind: sum, each: K, columns: [a, b]}` is short for terms a and b, which are K of one column each.
    """

    kind: Literal["sum"] = "sum"
    terms: dict[Name, "Kernel"] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_term_a_column(cls, written: Any) -> Any:
        if not isinstance(written, Mapping) or "each" not in written:
            return written
        each, columns = written["each"], written.get("columns")
        for key in written:
            if key not in ("kind", "each", "columns"):
                known, fix = suggest(str(key), ("each", "columns"))
                raise InputError(Fault("", f"{key!r} is no key beside `each`{known}", fix or "leave it out"))
        if not isinstance(each, Mapping):
            fix = f"write `each: {{kind: {each}}}`" if isinstance(each, str) else ""
            raise InputError(Fault("", f"`each` must be a mapping such as {{kind: …}} (got {each!r})", fix))
        if "columns" in each:
            raise InputError(
                Fault("", f"`each` has columns ({each['columns']!r})", "write them beside `each`, not in it")
            )
        if not isinstance(columns, list) or not columns or len(set(map(str, columns))) < len(columns):
            why = f"`each` needs a list of distinct columns (got columns: {columns!r})"
            raise InputError(Fault("", why, "write `columns: [a, b]` beside it"))
        try:
            parsed = parse(Kernel, each, "each")
        except InputError as error:
            own = error.faults[0]
            raise InputError(Fault("", f"{own.path}: {own.why}", own.fix)) from None
        if "columns" not in type(parsed).model_fields:
            why = f"`each` is a kernel of one column, and one of kind {each.get('kind')} reads none of its own"
            raise InputError(Fault("", why, "write the `terms` one by one"))
        terms = dict[str, Any]()
        for k, column in enumerate(columns):
            name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(column)).strip("_") or "term"
            terms[f"{name}_{k + 1}" if name in terms or name == "term" else name] = {**each, "columns": [column]}
        return {"kind": "sum", "terms": terms}

    def build(self, scope: Scope, path: str, *, share: float = 1.0, factor: bool = False) -> kernels.Kernel:
        """Return gpytorch's AdditiveKernel of the terms, in order.

        Lengthscales without a start from the user get different starts, the longest for the first term: from equal
        starts, equal terms would stay equal.
        """
        built, m = [], len(self.terms)
        for k, (name, term) in enumerate(self.terms.items()):
            apart = replace(scope, lengthscale_factor=scope.lengthscale_factor * APART ** ((m - 1) / 2 - k))
            built.append(term.build(apart, f"{path}.{name}", share=share / m))
        return kernels.AdditiveKernel(*built)

    def unit(self, scope: Scope, path: str) -> float:
        """Return 1: the amplitudes of the terms carry the units."""
        return 1.0


class Product(Spec):
    """An outputscale times the product of its named factors, which have no amplitude of their own.

    The outputscale carries the unit of y².  If a factor is a sum, the amplitudes of its terms have no unit of y.
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
        # The amplitudes of a sum inside a product do not scale the whole covariance; the product's outputscale does.
        scope.unscaled(declared)
        product = kernels.ProductKernel(*factors)
        if factor:
            return product
        return scale(product, self.outputscale, scope, f"{path}.outputscale", share, per=self.unit(scope, path))

    def unit(self, scope: Scope, path: str) -> float:
        """Return the product of the factors' units: data units per internal unit."""
        return math.prod(k.unit(scope, f"{path}.{name}") for name, k in self.factors.items())


Kernel = Annotated[
    stationary.Kernels | periodic.Kernels | features.Kernels | categorical.Kernels | Sum | Product | Changepoint,
    OneOf(default="matern"),
]
for nested in (Sum, Product, Changepoint):
    nested.model_rebuild(_types_namespace={"Kernel": Kernel, "Name": Name, "Positive": Positive, "Real": Real})
