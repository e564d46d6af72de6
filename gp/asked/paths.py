"""Draws of the whole function: paths that can be evaluated anywhere, by pathwise conditioning.

Wilson et al. 2020, "Efficiently sampling functions from Gaussian process posteriors", eq. 11: a draw g of the prior,
moved at the sites to what the posterior says there (Matheron's rule),

    f(x) = m(x) + g(x) + k(x, Z) L⁻ᵀ (u − L⁻¹ (g(Z) + ε)),        u and ε being drawn as gp.inference.together has them.

The prior's draw is a sum of cosines at frequencies from the kernel's spectral density (Rahimi & Recht 2007), drawn anew
for each path: mean and covariance over paths are then exactly those of the posterior, however few the cosines; with
more of them each path is nearer to a draw of a Gaussian process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from ..fitted.columns import inputs_of
from ..inference.method import Conditioned
from ..inference.refusals import refuse_steps
from ..inference.together import ROWS, Sites, Solves, Waves, together
from ..levels import Levels
from ..matrices.tiles import slices
from ..model.model import GaussianProcess
from ..predictor import Numbers, active, arrays, matrix
from ..spec import Fault, InputError, whole
from ..transforms import Transform, mixed
from . import numbers

COSINES = 1024  # of each path, for each product of kernels
FEATURES = 5000  # of a path, of kernels that are finite sums


@dataclass(frozen=True, eq=False)
class Terms:
    """Cosines times features: at x, Σ_j φ_j(x) Σ_i a_ij cos(ω_iᵀx − τ_i), the product of several kernels' draws.

    `frequencies` ω (p, d), `phases` τ (p,), `weights` a (q, p); `finite` are the kernels of which φ are the features.
    """

    finite: tuple[Numbers, ...]
    frequencies: np.ndarray
    phases: np.ndarray
    weights: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the sum at internal inputs x (m, d), (m,)."""
        found = np.empty(len(x))
        for rows in slices(len(x), ROWS):
            waves = np.cos(x[rows] @ self.frequencies.T - self.phases) @ self.weights.T
            found[rows] = (_features(self.finite, x[rows]) * waves).sum(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Path:
    """One draw of the function in internal units: prior mean, prior draw, and what moves it at the sites z (n, d)."""

    kernel: Numbers
    mean: Numbers
    mean_formula: Any
    prior: tuple[Terms, ...]
    z: np.ndarray
    moves: np.ndarray  # (n,)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the function at internal inputs x (m, d), (m,)."""
        value = np.asarray(self.mean_formula(x, **arrays(self.mean["values"])))
        for terms in self.prior:
            value = value + terms(x)
        return value + matrix(self.kernel, numbers.formulas(), x, self.z) @ self.moves if len(self.z) else value


@dataclass(frozen=True, eq=False)
class Paths:
    """n draws of the function, in the data's units; each can be evaluated anywhere, as often as one likes.

    `y_units` are offset and scale of each, (n, 1), and `transform` that of y, of which the paths are.
    """

    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    levels: Levels
    x_units: tuple[np.ndarray, np.ndarray]  # offset and scale (d,)
    y_units: tuple[np.ndarray, np.ndarray]
    transform: Transform | None

    def __call__(self, x: Any) -> np.ndarray:
        """Return the draws at x (m, d) or (m,), an array or a DataFrame, (n, m)."""
        (x_offset, x_scale), (y_offset, y_scale) = self.x_units, self.y_units
        internal = (inputs_of(x, self.columns, self.levels) - x_offset) / x_scale
        drawn = np.array([path(internal) for path in self.paths]) * y_scale + y_offset
        return drawn if self.transform is None else self.transform.of(drawn)

    def __len__(self) -> int:
        return len(self.paths)


def sample_paths(
    gp: GaussianProcess, conditioned: Iterable[Conditioned], weights: np.ndarray, n: int, seed: int
) -> Paths:
    """Return n draws of the function, each at one of S settings of the hyperparameters, drawn by `weights` (S,)."""
    n, rng = whole("n", n, 1), np.random.default_rng(whole("seed", seed, 0))
    counts = rng.multinomial(n, weights / weights.sum())
    paths, models = list[Path](), list[GaussianProcess]()
    for each, count in zip(conditioned, counts.tolist(), strict=True):
        if count:
            paths += _at_one_setting(together(each), count, rng)
            models += [each.gp] * count
    order = rng.permutation(n)
    offsets, scales = (np.array([[getattr(models[k].scope, of)] for k in order]) for of in ("y_offset", "y_scale"))
    units = (gp.scope.x_offset, gp.scope.x_scale), (offsets, scales)
    transform = mixed([models[k].spec.transform for k in order])
    return Paths(tuple(paths[k] for k in order), gp.scope.columns, gp.scope.levels, *units, transform)


def _at_one_setting(known: Sites | Solves | Waves, count: int, rng: np.random.Generator) -> list[Path]:
    gp = known.gp
    kernel: Numbers = numbers.kernel_numbers(gp.spec.kernel, gp.kernel)
    mean: Numbers = numbers.mean_numbers(gp.mean)
    formula, d = gp.mean.formula, gp.x.shape[1]
    if isinstance(known, Waves):
        drawn = known.mean + rng.standard_normal((count, known.root.shape[1])) @ known.root.T
        waves = [Terms((), known.frequencies, known.phases, row[None]) for row in drawn]
        return [Path(kernel, mean, formula, (wave,), np.zeros((0, d)), np.zeros(0)) for wave in waves]
    refuse_steps(gp, "a draw that is a function")
    z, products = known.z.numpy(), _products(kernel)
    priors = [tuple(_draw(product, d, rng) for product in products) for _ in range(count)]
    prior = np.array([sum(terms(z) for terms in each) for each in priors]).T  # g(Z), (n, count)
    moves, change = _moves(known, prior, rng)
    # A flat mean's coefficients are drawn with the rest.
    means = [mean] * count if change is None else [_moved(known, mean, column) for column in change.T]
    return [
        Path(kernel, own, formula, each, z, column) for own, each, column in zip(means, priors, moves.T, strict=True)
    ]


def _moves(known: Sites | Solves, prior: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what moves draws `prior` (n, count) at the sites to the posterior, and a flat mean's coefficients."""
    if isinstance(known, Solves):
        noise = np.sqrt(known.noise)[:, None] * rng.standard_normal(prior.shape)
        prior = prior + noise
        return _with_flat_mean(known, known.alpha[:, None] - known.solve(prior), prior, rng)
    wanted = known.mean[:, None]
    if known.root is not None:
        wanted = wanted + known.root @ rng.standard_normal(prior.shape)
    if known.noise is not None:
        prior = prior + np.sqrt(known.noise)[:, None] * rng.standard_normal(prior.shape)
    whitened = solve_triangular(known.lower, prior, lower=True)
    moves = solve_triangular(known.lower, wanted - whitened, lower=True, trans=1)
    return _with_flat_mean(known, moves, prior, rng)


def _with_flat_mean(
    known: Sites | Solves, moves: np.ndarray, prior: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return `moves` (n, count) with what a flat mean adds, and by how much its coefficients are off, (q, count).

    They are off by root z.  Where u is known, residuals of the prior's draw say z, by K⁻¹ − K⁻¹Φ A⁻¹ ΦᵀK⁻¹ for K⁻¹;
    else z is drawn, and the mean of u given it is Lᵀ `whitened` z less.
    """
    flat = known.flat
    if flat is None:
        return moves, None
    is_drawn = isinstance(known, Sites) and known.root is not None
    z = rng.standard_normal((flat.root.shape[1], moves.shape[1])) if is_drawn else -flat.whitened.T @ prior
    return moves - flat.whitened @ z, flat.root @ z


def _moved(known: Sites | Solves, mean: Numbers, change: np.ndarray) -> Numbers:
    """Return the mean's numbers with `change` (q,) added to the coefficients that are unknown."""
    moved, at = dict(mean["values"]), 0
    names: dict[Any, str] = {tensor: name for name, tensor in known.gp.mean.named_parameters()}
    for tensor in known.flat.tensors if known.flat else ():
        part = change[at : at + tensor.numel()].reshape(tuple(tensor.shape))
        moved[names[tensor]] = (np.array(moved[names[tensor]]) + part).tolist()
        at += tensor.numel()
    return {**mean, "values": moved}


def _products(kernel: Numbers) -> list[tuple[float, tuple[Numbers, ...]]]:
    """Return the kernel as a sum of products of leaves, each with its amplitude."""
    if kernel["kind"] == "sum":
        return [product for term in kernel["terms"] for product in _products(term)]
    if kernel["kind"] == "product":
        found = [(kernel["amplitude"], tuple[Numbers, ...]())]
        for factor in kernel["factors"]:
            found = [(a * b, (*left, *right)) for a, left in found for b, right in _products(factor)]
        return found
    return [(kernel.get("amplitude", 1.0), (kernel,))]


def _draw(product: tuple[float, tuple[Numbers, ...]], d: int, rng: np.random.Generator) -> Terms:
    """Return a draw of the prior whose kernel is the product of leaves over d inputs.

    Frequencies of a product are sums of its factors'.
    """
    (variance, leaves), finite, frequencies = product, list[Numbers](), np.zeros((COSINES, d))
    formulas, spectra, features, origin = numbers.formulas(), numbers.spectra(), numbers.finite(), np.zeros((1, d))
    for leaf in leaves:
        kind, values = leaf["kind"], arrays(leaf.get("values", {}))
        if kind in spectra:
            columns = active(leaf, np.arange(d))
            frequencies[:, columns] += spectra[kind](rng, COSINES, len(columns), **values)
            variance *= float(formulas[kind](active(leaf, origin), active(leaf, origin), **values)[0])
        elif kind in features:
            finite.append(leaf)
        else:
            raise InputError(
                Fault(
                    "kernel",
                    f"a kernel of kind {kind} has neither a spectral density nor finitely many features",
                    "draw at the inputs that you want: fitted.predict(x, joint=True).sample(n, seed)",
                )
            )
    size = _features(finite, origin).shape[1]
    if size > FEATURES:
        raise InputError(
            Fault("kernel", f"has {size} features, and a path up to {FEATURES}", "lower a polynomial's power")
        )
    if not frequencies.any():  # no cosine
        frequencies = np.zeros((1, d))
        return Terms(tuple(finite), frequencies, np.zeros(1), np.sqrt(variance) * rng.standard_normal((size, 1)))
    phases = np.repeat([0.0, np.pi / 2], COSINES)
    weights = np.sqrt(variance / COSINES) * rng.standard_normal((size, 2 * COSINES))
    return Terms(tuple(finite), np.vstack([frequencies, frequencies]), phases, weights)


def _features(finite: Iterable[Numbers], x: np.ndarray) -> np.ndarray:
    """Return the products of the kernels' features at internal inputs x (m, d), (m, q)."""
    known, found = numbers.finite(), np.ones((len(x), 1))
    for leaf in finite:
        own = known[leaf["kind"]](active(leaf, x), **arrays(leaf["values"]))
        found = (found[:, :, None] * own[:, None]).reshape(len(x), -1)
    return found
