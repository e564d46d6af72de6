"""Optimizers of hyperparameters; `Train` is the registry.

To add one, write a class in a file here with a `kind` and `run(problem, seed) -> Search`, and add its name to `Train`.
"""

from dataclasses import dataclass
from typing import Annotated

from ..inference.method import Method, Search
from ..model.model import GaussianProcess
from ..spec import OneOf
from .adam import Adam
from .lbfgs import Lbfgs, polish
from .newton import SAME
from .objective import Problem

__all__ = ["SAME", "Adam", "Lbfgs", "Problem", "Search", "Seeded", "Train", "polish"]

Train = Annotated[Adam | Lbfgs, OneOf(default="lbfgs")]


@dataclass(frozen=True)
class Seeded:
    """The user's optimizer with its seed, as it is passed to an inference method."""

    train: Train
    seed: int

    @property
    def key(self) -> str:
        """Return a key that identifies its settings and seed."""
        return f"{self.train.model_dump_json()} {self.seed}"

    def __call__(self, method: Method, gp: GaussianProcess) -> Search:
        """Return the search for the best hyperparameters of `gp` by the method's evaluations."""
        return self.train.run(Problem(gp, method), self.seed)
