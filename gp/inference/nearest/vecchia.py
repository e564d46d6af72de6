"""Vecchia's approximation: each row given its nearest neighbours before it, beside inducing inputs shared by all."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.spatial import KDTree

from ...model.model import GaussianProcess
from ...parallel import one_thread
from ...spec import Count
from ..exact import Exact
from ..inducing.bound import Natural
from ..method import Method, Optimizer, Search
from ..profile import Profile
from ..refusals import refuse_noise_by_row
from .full_scale import FullScale
from .groups import Groups, centres, find_groups
from .posterior import NearestPosterior
from .scaling import scaled_inputs, scales, units

FEW_ROWS = 1000  # that are fitted exactly
WIDER = 4  # times as many neighbours for a prediction as in the likelihood: it costs little, and gains more there
ROUNDS = 5  # of training, each with the neighbours of where the one before ended


class Vecchia(Method):
    """Nearest neighbours, beside inducing inputs shared by all rows (gp.inference.nearest.full_scale).

    The function is a low-rank part of `inducing` inputs, at centres of clusters, and a remainder.  Given the low-rank
    part, each target is conditioned on up to `neighbours` nearest rows before it, in max-min or random `ordering`, with
    distances scaled by the kernel's lengthscales (Katzfuss & Guinness 2021, "A general framework for Vecchia
    approximations"; Katzfuss, Guinness & Lawrence 2022, "Scaled Vecchia approximation").  With `inducing: 0` this is
    Vecchia's approximation of the noisy targets (the response model of Datta et al. 2016, "Hierarchical
    nearest-neighbor Gaussian process models"): quicker, and as good for rough functions in little noise.  In much
    noise, or for smooth functions of several inputs, a few neighbours alone know too little.

    The cost grows as n · (neighbours² · inducing + inducing²).  There are fewer inducing inputs where rows are so many
    that their features would need much memory.

    Neighbours and inducing inputs are those at lengthscales whose ratios are rounded to powers of two, at the first
    hyperparameters that a model is evaluated at; there they stay, so that the objective is smooth.  Training that ends
    at other ones starts again with those, ROUNDS times at most.

    Rows that share their inputs are one row (gp.model.repeats): neighbours are distinct inputs.
    """

    groups: ClassVar[bool] = True
    flattens: ClassVar[bool] = True

    kind: Literal["vecchia"] = "vecchia"
    neighbours: Count = 20
    inducing: Annotated[int, Field(ge=0)] = 200
    ordering: Literal["maxmin", "random"] = "maxmin"

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where the noise has parameters for each row."""
        refuse_noise_by_row(gp, self.kind)

    def for_rows(self, n: int) -> Method:
        """Return exact inference where it is quick."""
        return Exact() if n <= FEW_ROWS else self

    def restrict(self, gp: GaussianProcess, rows: np.ndarray) -> GaussianProcess:
        """Return the model over some of its rows, with the inducing inputs of all."""
        some, z = gp.subset(rows), self._groups(gp).z
        some.distinct.workspace[repr(self)] = find_groups(some.distinct, self.neighbours, z, self.ordering)
        return some

    def learn(
        self, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None
    ) -> Search | None:
        """Return where the optimizer ends with the neighbours that belong to its end; None where nothing is free.

        Unless there are none such within ROUNDS: the certificate then says how far from an optimum it is.
        """
        if not gp.parameters.free:
            return None
        evaluations, tried = 0, set[tuple[int, ...]]()
        for _ in range(ROUNDS):
            search = optimizer(self, gp)
            evaluations += search.evaluations
            tried.add(self._groups(gp).scales)
            gp.parameters.set(search.vector)
            if scales(gp) in tried:
                break
            gp.distinct.workspace.clear()
            self._groups(gp)
        return replace(search, evaluations=evaluations)

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the approximate log marginal likelihood of the internal targets (nats), and its raw gradient (p,).

        Profiles are not asked of it.  Raises NotPositiveDefinite.
        """
        gp = gp.distinct
        groups = self._groups(gp)
        with one_thread(), torch.set_grad_enabled(gradient):
            model = FullScale(gp, groups)
            if not gradient:
                return model.solve().log_likelihood, np.zeros(0)
            try:
                if len(groups.z):
                    solved = model.solve()
                    value = solved.log_likelihood
                    model.pull_back(solved.q)
                else:
                    value = model.pull_back(Natural.prior(0).gaussian())
            finally:
                slope = gp.parameters.gradient()  # clears what there is where an error ends it halfway
        return value, slope

    def condition(self, gp: GaussianProcess) -> NearestPosterior:
        """Return the model conditioned on its rows, at its current hyperparameters: each input on those nearest."""
        gp = gp.distinct
        with one_thread(), torch.no_grad():
            model = FullScale(gp, self._groups(gp))
            near = WIDER * self.neighbours
            return NearestPosterior(gp, model, model.solve(), KDTree(scaled_inputs(gp)), units(gp), near)

    def _groups(self, gp: GaussianProcess) -> Groups:
        """Return the neighbours and inducing inputs that the model was first evaluated with."""
        gp = gp.distinct
        if repr(self) not in gp.workspace:
            gp.workspace[repr(self)] = find_groups(gp, self.neighbours, centres(gp, self.inducing), self.ordering)
        found: Groups = gp.workspace[repr(self)]
        return found
