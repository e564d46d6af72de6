"""Whether predictions take the hyperparameters as known: what a user may choose, and the rule of the default."""

from typing import Annotated, Literal

from pydantic import Field

from ..inference.flat_mean import integrable
from ..inference.method import Method
from ..model.model import GaussianProcess
from ..spec import OneOf, Spec

# Up to this number of rows (those of equal inputs are one) hyperparameters are integrated over by default: the draws
# then cost less than the fit did, and with more rows what is unknown of hyperparameters matters little.
ROWS = 1000
DRAWS = 32
# Where rows are few and hyperparameters many, a tenth of the draws has the weight.  On eight tables of 40 to 100 rows
# with 7 to 13 hyperparameters MORE draws had an NLPD better by 0.003 to 0.065, and a third to a half of the scatter by
# the sequence's seed (0.015 to 0.07), for a quarter of a second; with 150 rows, or up to five, next to no gain.
MORE, FEW_ROWS, MANY = 128, 100, 7


class PlugIn(Spec):
    """Hyperparameters, mean coefficients included, are taken to be what was learnt."""

    kind: Literal["plug_in"] = "plug_in"

    def __str__(self) -> str:
        return "at the learnt hyperparameters"


class FlatMean(Spec):
    """Hyperparameters are taken to be what was learnt, but mean coefficients are integrated out.

    Those without bounds or a prior have a flat one (gp.inference.flat_mean).
    """

    kind: Literal["flat_mean"] = "flat_mean"

    def __str__(self) -> str:
        return "at the learnt hyperparameters, mean coefficients integrated out"


class Laplace(Spec):
    """Predictions are mixtures over `draws` of the hyperparameters (gp.fitted.laplace, gp.fitted.mixture).

    Methods that are exact also integrate out mean coefficients that have neither bounds nor a prior.
    """

    kind: Literal["laplace"] = "laplace"
    draws: Annotated[int, Field(ge=2, le=1024)] = DRAWS

    def __str__(self) -> str:
        return f"integrated over the hyperparameters, {self.draws} draws"


class Nuts(Spec):
    """Predictions are mixtures over hyperparameters drawn by the No-U-Turn sampler (gp.fitted.chains).

    `chains` of `draws` each, after a `warmup` that is thrown away.  It needs no form of the posterior, and takes
    thousands of evaluations.
    """

    kind: Literal["nuts"] = "nuts"
    draws: Annotated[int, Field(ge=50, le=100_000)] = 500
    warmup: Annotated[int, Field(ge=20, le=100_000)] = 200
    chains: Annotated[int, Field(ge=2, le=64)] = 4

    def __str__(self) -> str:
        return f"integrated over the hyperparameters, {self.chains} chains of {self.draws} draws"


class Auto(Spec):
    """laplace where it matters and costs less than the fit, else flat_mean; fit.json says which, and why.

    Where nothing is free, or adam has not come to an optimum, plug_in.
    """

    kind: Literal["auto"] = "auto"

    def __str__(self) -> str:
        return "by the default rule"


Hyperparameters = Annotated[Auto | PlugIn | FlatMean | Laplace | Nuts, OneOf(default="auto")]
Treatment = PlugIn | FlatMean | Laplace | Nuts


def resolve(chosen: Hyperparameters, gp: GaussianProcess, method: Method, *, by_adam: bool) -> tuple[Treatment, str]:
    """Return what `chosen` means for the model `gp` and its method, and why where it is not the user's own choice."""
    if not isinstance(chosen, Auto):
        return chosen, ""
    n, free = gp.distinct.n, [parameter for parameter in gp.parameters.free if not parameter.auxiliary]
    if not free:
        return PlugIn(), "no hyperparameter is free"
    if by_adam:
        return PlugIn(), "adam stops after its steps, which need not be at an optimum"
    known: Treatment = FlatMean() if method.flattens and len(integrable(gp)) else PlugIn()
    # Parameters of each row are held: solved for at each draw they cost more than the fit, and many draws have none.
    if any(parameter.auxiliary for parameter in gp.parameters.free) and not (gp.noise.held and method.is_dense):
        return known, "the parameters of each row, or inducing inputs, would have to be learnt again at each draw"
    if not method.is_exact and method.grows:
        return known, "the method is approximate, for many rows"
    if not method.grows:
        return Laplace(), "an evaluation costs the same for any number of rows"
    if n > ROWS:
        return known, f"n={n} is more than {ROWS}"
    if n <= FEW_ROWS and len(gp.parameters.names) >= MANY:
        return Laplace(draws=MORE), f"n={n} is at most {FEW_ROWS}, with {len(gp.parameters.names)} hyperparameters"
    return Laplace(), f"n={n} is at most {ROWS}"
