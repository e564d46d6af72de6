"""How hyperparameters are learnt: `Train` is the registry.

To add one: a class in a file here with a `kind` and `run(problem, seed) -> Search`, and its name in `Train`.
"""

from typing import Annotated

from gp.spec import OneOf
from gp.training.adam import Adam
from gp.training.lbfgs import SAME, Lbfgs, polish
from gp.training.objective import Problem, Search

__all__ = ["SAME", "Adam", "Lbfgs", "Problem", "Search", "Train", "polish"]

Train = Annotated[Adam | Lbfgs, OneOf(default="lbfgs")]
