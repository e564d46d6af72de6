"""Vecchia's approximation: each row given its nearest neighbours among those before it, whatever the number of rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.spatial import KDTree

from gp.inference.exact import Exact
from gp.inference.method import (
    Marginals,
    Method,
    Moments,
    Optimizer,
    Search,
    moments_of_terms,
    positive_part,
    refuse_noise_by_row,
    without_factor,
)
from gp.inference.nearest.conditionals import Conditionals, Pairs, by_rounding, factorised, lower_pairs
from gp.inference.nearest.scaling import scaled_inputs, scales, units
from gp.inference.orderings import max_min_order, nearest, nearest_before, nearest_others, random_order
from gp.inference.profile import Profile
from gp.matrices.cholesky import NotPositiveDefinite
from gp.matrices.tiles import diagonal, slices
from gp.model.model import GaussianProcess
from gp.parallel import one_thread
from gp.spec import Count

FEW_ROWS = 1000  # that are fitted exactly
ELEMENTS = 2**19  # of small matrices at a time: a few such arrays stay in a core's caches
WIDER = 4  # times as many neighbours for a prediction as in the likelihood: it costs little, and gains more there
ROUNDS = 5  # of training, each with the neighbours of where the one before ended
SEED = 0  # of orderings: a saved model has the same as the fitted one


class Vecchia(Method):
    """Nearest neighbours: log p(y) ≈ Σ_i log N(y_i | y_c(i)), c(i) being up to `neighbours` rows before row i, nearest.

    Vecchia 1988, of the noisy targets themselves (the response model of Datta et al. 2016, "Hierarchical
    nearest-neighbor Gaussian process models"), in max-min or random `ordering` and with distances scaled by the
    kernel's lengthscales (Katzfuss & Guinness 2021, "A general framework for Vecchia approximations"; Katzfuss,
    Guinness & Lawrence 2022, "Scaled Vecchia approximation").  Cost grows as n · neighbours³.

    Best in few dimensions, say up to four that matter, where a row's neighbours know nearly all that the others do; in
    more, where the function is rough or the noise small.  Of a smooth function of many inputs (d = 8) in much noise,
    sgpr learns more: or ask for more neighbours.

    Neighbours are those at lengthscales whose ratios are rounded to powers of two, at the first hyperparameters that a
    model is evaluated at; there they stay, so that the objective is smooth.  Training that ends at other ones starts
    again with those, ROUNDS times at most.

    Rows that share their inputs are one row (gp.model.repeats): neighbours are distinct inputs.
    """

    groups: ClassVar[bool] = True

    kind: Literal["vecchia"] = "vecchia"
    neighbours: Count = 20
    ordering: Literal["maxmin", "random"] = "maxmin"

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError where the noise has parameters for each row."""
        refuse_noise_by_row(gp, self.kind)

    def for_rows(self, n: int) -> Method:
        """Return exact inference where it is quick."""
        return Exact() if n <= FEW_ROWS else self

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
            tried.add(self._neighbourhoods(gp).scales)
            gp.parameters.set(search.vector)
            if scales(gp) in tried:
                break
            gp.distinct.workspace.clear()
            self._neighbourhoods(gp)
        return replace(search, evaluations=evaluations)

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the approximate log marginal likelihood of the internal targets (nats), and its raw gradient (p,).

        Profiles are not asked of it.  Raises NotPositiveDefinite.
        """
        gp = gp.distinct
        found = self._neighbourhoods(gp)
        # The first rows are given all those before them.
        value, slope = Exact().evaluate(found.first, gradient=gradient)
        with one_thread(), torch.set_grad_enabled(gradient):
            rest, learnt = _evaluate(gp, found)
            if gradient and learnt:
                # One number: torch checks the shapes of gradients it is given with sympy, whose import takes 0.3 s.
                torch.stack(learnt).sum().backward()
        return value + rest, slope + gp.parameters.gradient() if gradient else slope

    def condition(self, gp: GaussianProcess) -> "NearestPosterior":
        """Return the model conditioned on its rows, at its current hyperparameters: each input on those nearest."""
        gp = gp.distinct
        return NearestPosterior(gp, self, KDTree(scaled_inputs(gp)), units(gp))

    def _neighbourhoods(self, gp: GaussianProcess) -> "_Neighbourhoods":
        """Return the neighbours that the model was first evaluated with."""
        gp = gp.distinct
        if repr(self) not in gp.workspace:
            points = scaled_inputs(gp)
            m = min(self.neighbours, gp.n)
            order = max_min_order(points, SEED) if self.ordering == "maxmin" else random_order(gp.n, SEED)
            rows = order.astype(np.int32)
            near = rows[nearest_before(points[order], m)]
            groups = np.vstack([near.T, rows[m:]])
            gp.workspace[repr(self)] = _Neighbourhoods(scales(gp), gp.subset(order[:m]), groups)
        found: _Neighbourhoods = gp.workspace[repr(self)]
        return found


@dataclass(frozen=True, eq=False)
class _Neighbourhoods:
    """The `first` m rows in order; and the `groups` (m + 1, n − m) of each other row: its neighbours, then itself."""

    scales: tuple[int, ...]
    first: GaussianProcess
    groups: np.ndarray


@dataclass(frozen=True, eq=False)
class NearestPosterior:
    """The posterior of each input given its nearest training rows, which lie in `tree` in `units` (d,).

    They are WIDER times as many as the method's `neighbours`.
    """

    gp: GaussianProcess
    method: Vecchia
    tree: KDTree
    units: np.ndarray
    condition_number: None = None  # no n×n matrix is factorised

    @cached_property
    def log_likelihood(self) -> float:
        """Return the approximate log marginal likelihood of the internal targets in nats."""
        return self.method.evaluate(self.gp, gradient=False)[0]

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)."""
        points, m = x.numpy() / self.units, min(WIDER * self.method.neighbours, self.gp.n)
        blocks = ((part, nearest(self.tree, points[part], m)) for part in slices(len(x), _at_once(m)))
        return moments_of_terms(self.gp, x, lambda kernels: _marginals(self.gp, kernels, x, blocks))

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the data's rows, in internal units."""
        mean = self.moments(self.gp.x).mean
        return mean[self.gp.repeats.group] if self.gp.repeats else mean

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given its nearest other rows, in internal units, noise included.

        Those may come before it or after.  To those at other inputs, a row's own group adds its other rows.
        """
        gp, tree, m = self.gp, self.tree, min(WIDER * self.method.neighbours, self.gp.n - 1)
        with one_thread(), torch.no_grad():
            blocks = ((part, nearest_others(tree, np.arange(gp.n)[part], m)) for part in slices(gp.n, _at_once(m)))
            mean, variance = _marginals(gp, {"": gp.kernel}, gp.x, blocks)[""]
            mean, noise = gp.mean(gp.x).numpy() + mean, gp.noise_variance(gp.x)
            if gp.repeats:
                mean, variance = gp.repeats.with_others(mean, variance, gp.training_noise()[0].numpy())
                noise = noise[gp.repeats.group]
        return mean, np.sqrt(variance + noise)


def _evaluate(gp: GaussianProcess, found: _Neighbourhoods) -> tuple[float, list[torch.Tensor]]:
    """Return Σ log N(y_i | y_c(i)) over all but the first rows, and what leads its gradient to the model's tensors.

    The kernel's at pairs of rows is there already.
    """
    (noise, _), prior, mean = gp.training_noise(), diagonal(gp.kernel, gp.x), gp.mean(gp.x)
    variance = (prior + noise).detach().numpy()
    residual = gp.y.numpy() - mean.detach().numpy()
    columns, pairs_of = np.ascontiguousarray(gp.scope.x.T), lower_pairs(len(found.groups))
    by_noise, within = _within_groups(gp, noise.detach().numpy(), found.groups[-1])
    by_variance, by_residual, value = np.zeros(gp.n), np.zeros(gp.n), within
    for part in slices(found.groups.shape[1], _at_once(len(found.groups))):
        rows = found.groups[:, part].astype(np.intp)
        pairs = Pairs(columns[:, rows], *pairs_of).covariance(gp.kernel)
        factors = factorised(pairs.detach().numpy(), variance[rows])
        if factors is None or by_rounding(factors):
            gp.parameters.gradient()  # clears what groups before these have left there
            raise _without_factor(gp)
        given = Conditionals.of(factors, residual[rows])
        value += given.log_density()
        if torch.is_grad_enabled():
            by_pair, by_diagonal, by_target = given.gradients()
            if pairs.requires_grad:
                torch.dot(pairs.reshape(-1), torch.from_numpy(by_pair).reshape(-1)).backward()
            np.add.at(by_variance, rows.ravel(), by_diagonal.ravel())
            np.add.at(by_residual, rows.ravel(), by_target.ravel())
    cotangents = [(prior, by_variance), (noise, by_variance + by_noise), (mean, -by_residual)]
    return value, [
        torch.dot(tensor, torch.from_numpy(cotangent)) for tensor, cotangent in cotangents if tensor.requires_grad
    ]


def _within_groups(gp: GaussianProcess, noise: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return what the scatter within the groups `rows` adds to the log likelihood (nats), after its slope by `noise`.

    All are zero where no rows share their inputs; the slope (n,) is for all groups, and zero but for `rows`.
    """
    slope = np.zeros(gp.n)
    if gp.repeats is None:
        return slope, 0.0
    slope[rows] = gp.repeats.slope(noise, gp.repeats.scatter)[rows]
    return slope, float(gp.repeats.log_density(noise, gp.repeats.scatter)[rows].sum())


def _marginals(
    gp: GaussianProcess, terms: Mapping[str, Kernel], x: torch.Tensor, blocks: Iterable[tuple[slice, np.ndarray]]
) -> Marginals:
    """Return each term's mean and variance at x (b, d), (b,) each, given the training rows near each of a block."""
    variance = (diagonal(gp.kernel, gp.x) + gp.training_noise()[0]).numpy()
    residual, columns, at = gp.y.numpy() - gp.mean(gp.x).numpy(), np.ascontiguousarray(gp.scope.x.T), x.numpy().T
    found = {name: (np.empty(len(x)), np.empty(len(x))) for name in terms}
    for part, near in blocks:
        rows, m = near.T, near.shape[1]
        points = np.concatenate([columns[:, rows], at[:, None, part]], axis=1)
        factors = factorised(Pairs(points, *lower_pairs(m)).covariance(gp.kernel).numpy(), variance[rows])
        if factors is None:
            raise _without_factor(gp)
        to_new = Pairs(points, np.arange(m), np.full(m, m))
        sides = [torch.from_numpy(residual[rows]), *(to_new.covariance(kernel) for kernel in terms.values())]
        whitened = torch.linalg.solve_triangular(factors, torch.stack(sides).permute(2, 1, 0), upper=False)
        target, *crosses = whitened.unbind(2)
        for (name, kernel), cross in zip(terms.items(), crosses, strict=True):
            found[name][0][part] = (cross * target).sum(1)
            prior = diagonal(kernel, x[part])
            found[name][1][part] = positive_part(prior - cross.square().sum(1), prior)
    return found


def _at_once(k: int) -> int:
    """Return how many groups of k rows are gone through at a time."""
    return max(ELEMENTS // k**2, 1)


def _without_factor(gp: GaussianProcess) -> NotPositiveDefinite:
    return without_factor(gp, "the kernel matrix of a row and its neighbours")
