"""The JSON in a model file, beside its tensors: what each key may hold."""

from typing import Annotated

from pydantic import Field

from ..inference import Inference
from ..model.choice import AVERAGED
from ..model.model import Model
from ..spec import Count, FiniteFloat, OneOf, Spec
from ..training import Train
from .uncertainty import Laplace, Nuts


class RangeHeader(Spec):
    """The values between which a search looked for a hyperparameter's start."""

    lower: FiniteFloat
    upper: FiniteFloat


class ScreenedHeader(Spec):
    """A `Screened` (gp.inference.method)."""

    points: Annotated[int, Field(ge=0)]
    candidates: Annotated[int, Field(ge=0)]
    ranges: dict[str, RangeHeader]


class SearchHeader(Spec):
    """A `Search` without its values, which a file does not keep, and its optima, which are tensors."""

    ends: list[Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]]
    starts: Annotated[int, Field(ge=0)]
    evaluations: Annotated[int, Field(ge=0)]
    rows: Count | None = None
    screened: ScreenedHeader | None = None


class ChainsHeader(Spec):
    """A `Convergence` (gp.fitted.convergence)."""

    chains: Count
    draws: Count
    r_hat: FiniteFloat
    ess_bulk: FiniteFloat
    ess_tail: FiniteFloat
    divergences: Annotated[int, Field(ge=0)]
    evaluations: Annotated[int, Field(ge=0)]


class DrawsHeader(Spec):
    """A `Draws` without its vectors and weights, which are tensors, and how these were drawn."""

    by: Annotated[Laplace | Nuts, OneOf()]
    effective: FiniteFloat
    dropped: Annotated[int, Field(ge=0)]
    pareto_k: FiniteFloat | None = None
    chains: ChainsHeader | None = None


class PartHeader(Spec):
    """A fitted model: its specs, and what there is beside its tensors."""

    names: list[str]
    model: Model
    inference: Inference
    train: Train
    search: SearchHeader | None = None
    draws: list[DrawsHeader] = Field(default_factory=list)


class AlternativeHeader(PartHeader):
    """Another model of the same rows (gp.fitted.averaged)."""

    name: str
    log_odds: FiniteFloat


class Header(PartHeader):
    """The JSON beside the tensors; `whole` is the number of rows of the table, if the file's rows are a sample."""

    format: int
    columns: list[str]
    whole: Count | None = None
    levels: dict[str, list[str]] = Field(default_factory=dict)
    alternatives: Annotated[list[AlternativeHeader], Field(max_length=AVERAGED)] = Field(default_factory=list)
