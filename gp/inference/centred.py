"""Terms of a sum of kernels about their averages over the rows.

Data cannot tell the constant of one term from those of the others and of the mean: the band of each would be as wide
as what is unknown of its constant, however well its shape is known.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from gpytorch.kernels import Kernel
from scipy.linalg import solve_triangular

from ..matrices.tiles import matrix, slices
from ..model.model import GaussianProcess
from ..parallel import one_thread
from .harmonic_posterior import HarmonicPosterior
from .inducing.posterior import SparsePosterior
from .markov.filtered import Filtered
from .method import Conditioned, Marginals
from .profile import profile_of
from .solved import Solved
from .together import Sites, Solves

AVERAGED = 1000  # rows, at most, that a term is averaged over; of more, as many that are evenly apart
ELEMENTS = 2**22  # of a kernel matrix at a time

Terms = dict[str, tuple[np.ndarray, np.ndarray | None]]


def centred(
    conditioned: Conditioned, x: torch.Tensor, terms: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Return mean and variance, (m,) each, of each of the `terms` at internal inputs x (m, d) less its average.

    With f̄ the average of a term f over the rows, Var(f(x) − f̄) = Var f(x) − 2 Cov(f(x), f̄) + Var f̄.  Terms of
    harmonic inference are centred as they come; vecchia, which has no covariance of several inputs, keeps its as
    they are.
    """
    if not terms or not isinstance(conditioned, Solved | SparsePosterior | Filtered):
        return terms
    with one_thread(), torch.no_grad():
        known, found = conditioned.together(), Marginals()
        gp, n = known.gp, min(len(known.gp.x), AVERAGED)
        is_all = known.z is gp.x and n == len(gp.x)  # then k(x, Z) gives its average too
        rows = gp.x if is_all else gp.x[np.linspace(0, len(gp.x) - 1, n).round().astype(int)]
        averages = _AVERAGES.setdefault(conditioned, {})
        for name, (mean, variance) in terms.items():
            kernel = gp.terms[name]
            if name not in averages:
                averages[name] = _Average.of(kernel, known, rows, is_all=is_all)
            own = averages[name]
            shared = np.zeros(len(x)) if is_all else _averages(kernel, x, rows)
            for part, block in _blocks(kernel, x, known.z):
                shared[part] += block @ (1 / n - own.by_sites if is_all else -own.by_sites)
            found[name] = mean - own.level, np.maximum(variance - 2 * shared + own.variance, 0.0)
    return found


class _Average(NamedTuple):
    """A term's average over the rows: its mean and variance, and what k(x, Z) is multiplied by.

    Cov(f(x), f̄) is the average of k(x, rows) less k(x, Z) `by_sites`.
    """

    level: float
    variance: float
    by_sites: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, known: Sites | Solves, rows: torch.Tensor, *, is_all: bool) -> "_Average":
        average = _averages(kernel, known.z, rows)
        by_sites = _solved(known, average)
        level = average @ (known.weights if isinstance(known, Sites) else known.alpha)
        within = average.mean() if is_all else _averages(kernel, rows, rows).mean()
        return cls(level, within - average @ by_sites, by_sites)


# Of models that are kept, such as those at draws of the hyperparameters, averages are found at the first prediction.
_AVERAGES: WeakKeyDictionary[Conditioned, dict[str, _Average]] = WeakKeyDictionary()


def of_rows(conditioned: Conditioned, gp: GaussianProcess, rows: np.ndarray) -> Terms:
    """Return mean (m,) and covariance (m, m) of each term at some `rows` (m,) of `gp`, as these are observed.

    A row that is a mean along a step has such means.  Of a method that has no covariance it is None.
    """
    if isinstance(conditioned, HarmonicPosterior):
        return {name: (mean, root @ root.T) for name, (mean, root) in conditioned.terms_of_rows(rows).items()}
    x = gp.sites[rows]
    found: Terms = {name: (mean, None) for name, (mean, _) in conditioned.moments(x).terms.items()}
    if not isinstance(conditioned, Solved | SparsePosterior | Filtered):
        return found
    with one_thread(), torch.no_grad():
        known = conditioned.together()
        for name, kernel in known.gp.terms.items():
            cross = matrix(kernel, known.z, x).numpy()
            found[name] = found[name][0], matrix(kernel, x, x).numpy() - cross.T @ _solved(known, cross)
    return found


def apart_from_mean(gp: GaussianProcess, rows: np.ndarray) -> np.ndarray:
    """Return what takes from values at some `rows` (m,) their least squares on the mean's columns, (m, m).

    These are a constant, and those of free coefficients that have neither bounds nor a prior: data cannot tell them
    from the same in a term.
    """
    columns = dict(gp.mean.columns(gp.sites[rows]))  # type: ignore[operator]
    free = [columns[tensor].detach().numpy() for tensor in profile_of(gp).tensors]
    design = np.hstack([np.ones((len(rows), 1)), *free])
    return np.eye(len(rows)) - design @ np.linalg.pinv(design)


def _solved(known: Sites | Solves, average: np.ndarray) -> np.ndarray:
    """Return what k(x, Z) is multiplied by to give the covariance of f(x) and f̄ that the sites Z tell, (n,).

    For k(Z, x'), (n, m), in place of an average it is the covariance of f(x) and f(x').
    """
    if isinstance(known, Solves):
        found = known.solve(average.reshape(len(average), -1)).reshape(average.shape)
    else:
        whitened = solve_triangular(known.lower, average, lower=True)
        if known.root is not None:
            whitened = whitened - known.root @ (known.root.T @ whitened)
        found = np.asarray(solve_triangular(known.lower, whitened, lower=True, trans=1))
    if known.flat:  # a term has no mean function: it is off by −k(x, Z) `whitened` z
        found = found - known.flat.whitened @ (known.flat.whitened.T @ average)
    return found


def _averages(kernel: Kernel, x: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    """Return the average of k(x, row) over the rows, (m,)."""
    found = np.empty(len(x))
    for part, block in _blocks(kernel, x, rows):
        found[part] = block.mean(axis=1)
    return found


def _blocks(kernel: Kernel, x: torch.Tensor, z: torch.Tensor) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield k(x, z) some rows of x at a time."""
    for part in slices(len(x), max(1, ELEMENTS // len(z))):
        yield part, matrix(kernel, x[part], z).numpy()
