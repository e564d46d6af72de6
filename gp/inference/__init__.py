"""How a model meets its data: one file per method; `Inference` is the registry.

A method is a spec with `check(n)`, which refuses what the machine cannot hold; `evaluate(gp, gradient)`, the log
marginal likelihood and its gradient at the model's current hyperparameters; `condition(gp)`, the posterior there; and
`leave_one_out(gp)`.
"""

from typing import Annotated, Any

from gp.inference.exact import Exact
from gp.spec import OneOf

Inference = Annotated[Any, OneOf(Exact, default="exact")]
