"""Search over kernels: all are fitted and ranked, and the best is kept."""

from typing import Literal, TypeVar

import pandas as pd
from pydantic import Field

from gp.model.kernels import Kernel
from gp.model.kernels.composite import Name
from gp.spec import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)  # a `Model`, which has a field of the class below

# Score → whether a higher value is better.
SCORES = {"loo_nlpd": False, "log_marginal_likelihood": True}


class KernelSearch(Spec):
    """Named `kernels`, ranked by `score`: the leave-one-out NLPD, or the log marginal likelihood."""

    kernels: dict[Name, Kernel] = Field(min_length=2)
    score: Literal["loo_nlpd", "log_marginal_likelihood"] = "loo_nlpd"

    def candidates(self, model: AnySpec) -> dict[str, AnySpec]:
        """Return the `Model` of each kernel by its name."""
        return {name: model.model_copy(update={"kernel": k, "search": None}) for name, k in self.kernels.items()}

    def rank(self, scores: dict[str, dict[str, float]]) -> pd.DataFrame:
        """Return the scores of each kernel by name, best first, with a column `rank` from 1."""
        table = pd.DataFrame.from_dict(scores, orient="index")
        # Stable: of kernels with equal scores, the one that is written first wins.
        table = table.sort_values(self.score, ascending=not SCORES[self.score], kind="stable")
        return table.assign(rank=range(1, len(table) + 1))
