"""Search over models: all candidates are fitted and ranked, and the best is kept.

Candidates are named one by one, or built up by a grammar.  `Search` is either.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ..spec import Count, Fault, InputError, Spec, tag_of
from ..transforms import Transform
from .kernels import Kernel
from .kernels.composite import Name
from .noise import Noise

AVERAGED = 20  # structures of a grammar, at most, that predictions average over
AnySpec = TypeVar("AnySpec", bound=Spec)  # a `Model`, which has a field of the class below

# Score → whether a higher value is better.
SCORES = {"loo_nlpd": False, "log_marginal_likelihood": True}
PerhapsTransform = Annotated[Transform | None, BeforeValidator(lambda value: None if value == "none" else value)]


class KernelSearch(Spec):
    """Named `kernels`, with each of the named `transforms` of y and `noises`, ranked by `score`.

    That is the leave-one-out NLPD, or the log marginal likelihood, both of y in its own units.  What is not given is
    the model's own.
    """

    kernels: dict[Name, Kernel] = Field(default_factory=dict)
    transforms: dict[Name, PerhapsTransform] = Field(default_factory=dict)
    noises: dict[Name, Noise] = Field(default_factory=dict)
    score: Literal["loo_nlpd", "log_marginal_likelihood"] = "loo_nlpd"

    @model_validator(mode="after")
    def _has_a_choice(self) -> "KernelSearch":
        if max(len(part) for part in self.varied.values()) < 2:
            fix = "give two or more kernels, transforms or noises, each with a name"
            raise InputError(Fault("", "has nothing to choose among", fix))
        return self

    @property
    def varied(self) -> dict[str, dict[str, Any]]:
        """Return the candidates by name, for each key of a `Model` that they are of."""
        return {"kernel": self.kernels, "transform": self.transforms, "noise": self.noises}

    def candidates(self, model: AnySpec) -> dict[str, AnySpec]:
        """Return the `Model` of each combination by its name: "smooth", or "smooth, log" with transforms too."""
        keys = [key for key, part in self.varied.items() if part]
        found = {}
        for chosen in product(*(self.varied[key].items() for key in keys)):
            update = {key: value for key, (_, value) in zip(keys, chosen, strict=True)}
            found[", ".join(name for name, _ in chosen)] = model.model_copy(update={**update, "search": None})
        return found

    def rank(self, scores: dict[str, dict[str, float]]) -> pd.DataFrame:
        """Return the scores of each candidate by name, best first, with a column `rank` from 1."""
        table = pd.DataFrame.from_dict(scores, orient="index")
        # Stable: of candidates with equal scores, the one that is written first wins.
        table = table.sort_values(self.score, ascending=not SCORES[self.score], kind="stable")
        return table.assign(rank=range(1, len(table) + 1))


class GrammarSearch(Spec):
    """Sums of products of base kernels over one input, built up in rounds (gp.fitted.structures) by a `grammar`.

    At most so many `candidates` are fitted.  They are ranked by Laplace's approximation of the evidence, or by the
    Bayesian information criterion, −½ of it, both in nats.  y is taken as its log where that is clearly better, unless
    the model says which transform.  With `windows`, terms may be nothing but between two learnt places.  Predictions
    `average` over at most so many structures that the data hardly tell from the best (gp.fitted.averaged).
    """

    grammar: Literal["time_series"]
    score: Literal["evidence", "bic"] = "evidence"
    candidates: Count = 200
    windows: bool = False
    average: Annotated[int, Field(ge=1, le=AVERAGED)] = 5

    @property
    def varied(self) -> dict[str, Any]:
        """Return what a `Model` is not to give itself."""
        return {"kernel": self.grammar}


def _kind_of_search(value: Any) -> str:
    """Return the tag of the search that is meant, a misspelt grammar being one."""
    words = [str(key) for key in value] if isinstance(value, Mapping) else [value] if isinstance(value, str) else []
    meant = any(get_close_matches(word.lower(), ["grammar", "time_series"], n=1) for word in words)
    return tag_of(GrammarSearch if meant or isinstance(value, GrammarSearch) else KernelSearch)


Search = Annotated[
    Annotated[KernelSearch, Tag(tag_of(KernelSearch))] | Annotated[GrammarSearch, Tag(tag_of(GrammarSearch))],
    Discriminator(_kind_of_search),
]
