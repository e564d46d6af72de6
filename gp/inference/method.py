"""The interface of every inference method."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from gpytorch.kernels import Kernel

from ..matrices.cholesky import NotPositiveDefinite
from ..model.model import GaussianProcess
from ..parallel import one_thread
from ..spec import Fault, Spec
from .profile import Profile


@dataclass(frozen=True, eq=False)
class Moments:
    """Marginal posterior in internal units at m inputs: `mean`, `variance` (m,) of the function, and of each term."""

    mean: np.ndarray
    variance: np.ndarray
    terms: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


class Conditioned(Protocol):
    """A model conditioned on its training rows at one setting of the hyperparameters: solved once, used many times.

    It holds the model itself, not a copy, so use it only while the model has the same hyperparameters.
    """

    @property
    def gp(self) -> GaussianProcess:
        """Return the model; its noise is what new observations are predicted with, if less than what was learnt."""
        ...

    @property
    def log_likelihood(self) -> float:
        """Return the log marginal likelihood (or its bound) of the internal targets in nats."""
        ...

    @property
    def condition_number(self) -> float | None:
        """Return the condition number of K + noise; None where no n×n matrix is factorised."""
        ...

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d)."""
        ...

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the training rows, (n,), in internal units."""
        ...

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, (n,) each, in internal units, its noise included."""
        ...


Marginals = dict[str, tuple[np.ndarray, np.ndarray]]  # a term's mean, without the prior mean, and variance, (m,) each


def moments_of_terms(
    gp: GaussianProcess, x: torch.Tensor, marginals: Callable[[Mapping[str, Kernel]], Marginals]
) -> Moments:
    """Return the posterior's marginal moments at internal inputs x (m, d), of the function and of each term.

    `marginals` returns those of the kernels that it is given by name; the whole kernel's name is "".
    """
    with one_thread(), torch.no_grad():
        parts = marginals({"": gp.kernel, **gp.terms})
        prior_mean = gp.mean(x).numpy()
    mean, variance = parts.pop("")
    return Moments(prior_mean + mean, variance, parts)


def positive_part(variance: Any, prior: Any) -> Any:
    """Return posterior variances (m,), with zero for those that rounding made negative.

    `prior` (m,) are the prior variances.  Arrays or tensors.  Raises ArithmeticError if one is below zero by more than
    rounding.
    """
    if (variance < -1e-6 * prior).any():
        raise ArithmeticError(
            "the posterior variance came out negative: the covariance matrix is too close to singular; raise "
            "model.noise.sd, remove nearly equal inputs, or give the kernel's lengthscales an upper bound"
        )
    return variance.clip(min=0.0)


def without_factor(gp: GaussianProcess, matrix: str) -> NotPositiveDefinite:
    """Return the error for a `matrix` without a Cholesky factor at the model's hyperparameters."""
    if gp.noise.reads_noise_sd and gp.scope.noise_sd is not None:
        seen = f"where the data's smallest noise_sd is {gp.scope.noise_sd.min() * gp.scope.y_scale:g}"
        fix = "give larger noise_sd, learn the noise (model.noise: {kind: gaussian}) or remove rows of nearly equal x"
    else:
        seen = f"at noise.sd={gp.parameters.in_data_units().get('noise.sd', math.nan):g}"
        fix = "raise model.noise.sd (its `lower`, where it is learnt) or remove duplicate inputs"
    return NotPositiveDefinite(Fault("", f"{matrix} is not positive definite {seen}", fix))


@dataclass(frozen=True)
class Screened:
    """What a search for starts screened: the number of `points`, each at all levels of noise, and the `ranges`.

    A range is the lowest and highest value of a hyperparameter, by name, in the data's units.  `candidates` is the
    number of distinct local maxima among the points, so the largest possible number of starts.
    """

    points: int
    candidates: int
    ranges: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return what fit.json says."""
        ranges = {name: {"lower": low, "upper": high} for name, (low, high) in self.ranges.items()}
        return {"points": self.points, "candidates": self.candidates, "ranges": ranges}

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "Screened":
        """Return what `to_dict` wrote."""
        ranges = {name: (of["lower"], of["upper"]) for name, of in written["ranges"].items()}
        return cls(written["points"], written["candidates"], ranges)

    def __str__(self) -> str:
        ranges = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in self.ranges.items())
        return f"{self.points} points: {ranges}" if ranges else f"{self.points} points"


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search for hyperparameters ended.

    The raw `vector`; the objective (nats) at each evaluation on all rows that led there; each start's end as (rows it
    ran on, nats); how many starts there were (one may come to no end), and how many evaluations all of it took.  `rows`
    is how many rows the values are of, where hyperparameters are learnt on some.  `optima` are the distinct ones found
    on all of these, best first, each as (nats, raw vector); `screened` says where starts were looked for, if they were.
    `gaining` is what the last steps gained (nats), where it ended for want of steps.
    """

    vector: np.ndarray
    values: tuple[float, ...]
    ends: tuple[tuple[int, float], ...]
    starts: int
    evaluations: int
    rows: int | None = None
    optima: tuple[tuple[float, np.ndarray], ...] = ()
    screened: Screened | None = None
    gaining: float | None = None


class ByNoise(NamedTuple):
    """The log marginal likelihood (nats) at given noise variances of the rows, `variance` (n,).

    `slope` (n,) and `curvature` (n, n) are the first and second derivatives of log N(y | m, K + noise) by their logs.
    """

    value: float
    variance: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray


class Optimizer(Protocol):
    """The user's optimizer and its seed, as training gives it to a method (gp.training)."""

    @property
    def key(self) -> str:
        """Return a key that identifies its settings and seed."""
        ...

    def __call__(self, method: "Method", gp: GaussianProcess) -> Search:
        """Return where the hyperparameters of `gp`, which it moves, are best by the method's evaluations."""
        ...


class Choice(NamedTuple):
    """A method, and why it was chosen where that was not the user's own choice."""

    method: "Method"
    why: str = ""


class Method(Spec):
    """An inference method.  It has no state: what it keeps between evaluations is in `gp.workspace`."""

    grows: ClassVar[bool] = True  # whether the cost of an evaluation grows with the number of rows
    profiles: ClassVar[bool] = False  # whether `evaluate` takes a profile
    is_exact: ClassVar[bool] = False  # whether all it says is that of the exact posterior, but for rounding
    is_dense: ClassVar[bool] = False  # whether `evaluate` is the exact likelihood of K + noise over all rows
    flattens: ClassVar[bool] = False  # whether what `condition` returns has `with_flat_mean` (gp.inference.flat_mean)
    groups: ClassVar[bool] = False  # whether rows that share their inputs cost as much as one
    averages: ClassVar[bool] = False  # whether rows may be means along steps
    jitter: ClassVar[float] = 0.0  # what is added to the diagonal of a matrix before it is factorised, relative to it

    def choices(self, gp: GaussianProcess, optimizer: Optimizer | None = None) -> list["Choice"]:
        """Return the methods that the model's rows may get, the likely best first."""
        return [Choice(self)]

    def check(self, n: int) -> None:
        """Raise InputError if n rows need more memory than this machine has."""

    def check_model(self, gp: GaussianProcess) -> None:
        """Raise InputError if the method cannot handle this model."""

    def for_rows(self, n: int) -> "Method":
        """Return the method for a subset of n rows, on which a search for hyperparameters begins."""
        return self

    def learnt_on(self, gp: GaussianProcess) -> GaussianProcess:
        """Return the model over the rows that hyperparameters are fitted to; here all rows."""
        return gp

    def integrating(self, gp: GaussianProcess) -> tuple["Method", np.ndarray]:
        """Return the method that integrates mean coefficients out, and their places in the raw vector.

        Its `evaluate` and `condition` leave the model at their estimate.  Where it has no such form (here) it is the
        method itself, and nothing is integrated out.
        """
        return self, np.zeros(0, dtype=int)

    def prepare(self, gp: GaussianProcess, seed: int | None) -> GaussianProcess:
        """Return `gp` with the auxiliary parameters that this method learns, at starts that suit its hyperparameters.

        And with bounds where what it can compute ends.  Without a seed only shapes matter, as the caller sets values.
        """
        return gp

    def limits(self, gp: GaussianProcess) -> dict[str, tuple[str, str]]:
        """Return by name which bounds of a prepared model are this method's: what each is, and what to write."""
        return {}

    def restrict(self, gp: GaussianProcess, rows: np.ndarray) -> GaussianProcess:
        """Return the model over some of its rows, with the auxiliary parameters that it has learnt on all of them."""
        some = gp.subset(rows)
        return some.with_auxiliary(gp.auxiliary) if gp.auxiliary else some

    def without(self, gp: GaussianProcess, term: str) -> GaussianProcess:
        """Return the model without a `term` of its sum of kernels; it shares the hyperparameters of all others."""
        return gp.without_term(term)

    def n_auxiliary(self, gp: GaussianProcess) -> int:
        """Return how many numbers `prepare` adds to the raw vector."""
        return 0

    def learn(
        self, gp: GaussianProcess, optimizer: Optimizer, seed: int, checkpoints: Path | None = None
    ) -> Search | None:
        """Return where learning by the `optimizer` ends, and leave the hyperparameters of `gp` there; None: none free.

        Here a method decides which problems the optimizer solves: which rows, and by which method.  A long training
        keeps its state in the folder `checkpoints` (gp.inference.inducing.checkpoint).
        """
        prepared = self.prepare(gp, seed) if gp.parameters.free else gp
        return optimizer(self, prepared) if prepared.parameters.free else None

    def evaluate(
        self, gp: GaussianProcess, *, gradient: bool = True, profile: Profile | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the log marginal likelihood (or its bound) of the internal targets, nats, and its raw gradient (p,).

        With a `profile`, the model's scale and mean coefficients are first set to their optimum.  Raises
        NotPositiveDefinite.
        """
        raise NotImplementedError

    def is_informed(self, gp: GaussianProcess) -> bool:
        """Return whether `evaluate_informed` can evaluate this model."""
        return False

    def evaluate_informed(self, gp: GaussianProcess, *, profile: Profile) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the values of `evaluate`, and an approximate curvature −∂² in the raw vector, (p, p)."""
        raise NotImplementedError

    def evaluate_by_noise(self, gp: GaussianProcess) -> "ByNoise":
        """Return a dense method's likelihood, and derivatives by logs of rows' noise.  Raises NotPositiveDefinite."""
        raise NotImplementedError

    def effective_rows(self, gp: GaussianProcess) -> float:
        """Return as how many rows of independent noise the rows of the data count."""
        return float(gp.total)

    def condition(self, gp: GaussianProcess) -> Conditioned:
        """Return the model conditioned on its rows, at its current hyperparameters.  Raises NotPositiveDefinite."""
        raise NotImplementedError
