"""How a model meets its data: one file per method; `Inference` is the registry.

A method is a spec with `check(n)`, which refuses what the machine cannot hold, `evaluate(gp, gradient)`, the log marginal
likelihood and its gradient at the model's current hyperparameters, and `condition(gp)`, the posterior there.
"""

from gp.inference.exact import Exact
from gp.spec import one_of

Inference = one_of(Exact, default="exact")
