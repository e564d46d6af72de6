"""The optima that a search found: what each says, and whether a rival of the best one predicts something else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..inference.method import Method
from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..training import Search

RIVAL = 2.0  # nats; the data hardly prefer the best optimum to one that is so little below it
DIFFERENT = 1.0  # sds of the function; predictions that differ by more are two different explanations
ROWS = 500  # at which predictions are compared, at most


@dataclass(frozen=True)
class Rival:
    """Another optimum within RIVAL nats of the best, `below` nats lower.

    At one input in twenty the means differ by more than `difference` standard deviations of the function.
    """

    below: float
    difference: float
    hyperparameters: dict[str, float]

    @property
    def alarm(self) -> str | None:
        """Return a message if this optimum predicts something else than the best one."""
        if self.difference <= DIFFERENT:
            return None
        at = ", ".join(f"{name} {value:.3g}" for name, value in self.hyperparameters.items())
        return (
            f"another optimum is only {self.below:.2g} nats lower and predicts something else (at one input in twenty "
            f"the means differ by more than {self.difference:.1f} sd_f): {at}: the data allow both explanations, and "
            "a prior or more data must decide"
        )


def rivals(gp: GaussianProcess, method: Method, search: Search | None) -> tuple[Rival, ...]:
    """Return the optima that are nearly as good as the best; `gp`, which is moved, is over the rows learnt on.

    Predictions are compared at these rows, and half-way from one to the next along the first input.
    """
    optima = search.optima if search else ()
    close = [(value, vector) for value, vector in optima[1:] if value > optima[0][0] - RIVAL]
    if not close:
        return ()
    rows = gp.x[np.linspace(0, gp.n - 1, min(gp.n, ROWS)).astype(int)]
    rows = rows[np.lexsort(rows.numpy().T[::-1])]
    places = torch.cat([rows, 0.5 * (rows[1:] + rows[:-1])])
    gp.parameters.set(optima[0][1])
    best = method.condition(gp).moments(places)
    sd = np.sqrt(best.variance + (1e-3 * gp.scope.y_spread) ** 2)  # without noise, sd_f may be next to nothing
    found = []
    for value, vector in close:
        gp.parameters.set(vector)
        try:
            mean = method.condition(gp).moments(places).mean
        except NotPositiveDefinite:
            continue
        difference = float(np.quantile(np.abs(mean - best.mean) / sd, 0.95))
        found.append(Rival(optima[0][0] - value, difference, gp.parameters.by_name()))
    return tuple(found)


def describe(gp: GaussianProcess, search: Search | None) -> list[dict[str, Any]]:
    """Return each optimum, best first: log likelihood of y in its own units (nats), and hyperparameters by name."""
    if not search:
        return []
    told, rows = [], search.rows or gp.total
    for value, vector in search.optima:
        gp.parameters.set(vector)
        nats = value - gp.parameters.log_prior(vector)[0] + rows * gp.log_jacobian_of_a_row
        told.append({"nats": nats, "hyperparameters": gp.parameters.by_name()})
    gp.parameters.set(search.vector)
    return told
