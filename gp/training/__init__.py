"""How hyperparameters are learnt: `Train` is the registry.

To add one: a class in a file here with a `kind` and `run(problem, seed) -> Search`, and its name in `Train`.
"""

from dataclasses import dataclass
from typing import Annotated

from gp.inference.method import Method, Search
from gp.model.model import GaussianProcess
from gp.spec import OneOf
from gp.training.adam import Adam
from gp.training.lbfgs import SAME, Lbfgs, polish
from gp.training.objective import Problem

__all__ = ["SAME", "Adam", "Lbfgs", "Problem", "Search", "Seeded", "Train", "polish"]

Train = Annotated[Adam | Lbfgs, OneOf(default="lbfgs")]


@dataclass(frozen=True)
class Seeded:
    """The user's optimizer with its seed: what an inference method is given to learn by."""

    train: Train
    seed: int

    @property
    def key(self) -> str:
        """Return what tells its settings and seed from others."""
        return f"{self.train.model_dump_json()} {self.seed}"

    def __call__(self, method: Method, gp: GaussianProcess) -> Search:
        """Return where the hyperparameters of `gp` are best by the method's evaluations."""
        return self.train.run(Problem(gp, method), self.seed)
