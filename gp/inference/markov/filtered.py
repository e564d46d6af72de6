"""A model of one input conditioned on its rows by a Kalman filter: likelihood, gradient, posterior, leave-one-out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from gpytorch.kernels import AdditiveKernel

from ...matrices.tiles import slices
from ...model.model import GaussianProcess
from ...parallel import one_thread
from ..flat_mean import FlatMean, move
from ..left_out import leave_one_out
from ..method import Moments, positive_part, without_factor
from ..profile import Profile, least_squares, profile_of
from ..together import Solves
from .forms import blocks_of, column_of
from .lanes import Backward, Forward, Lanes, Rows
from .space import Space
from .states import States

EPS = np.finfo(float).eps
APART = 0.05  # of the largest state, at most, between the end of a lane and where the next one begins
COLUMNS = 16  # that are solved for at a time
NUMBERS = 2**21  # of the states of inputs that are predicted at a time


@dataclass(frozen=True, eq=False)
class Filtered:
    """A model whose rows were filtered: likelihood, gradient, posterior and leave-one-out follow.

    `order` (n,) sorts the rows by their input; `noise` (n,) are variances of the rows as they come, and `innovation`
    (q, n) and `spread` (n,) are v and S of the sorted rows.  Of the columns (y − m, and the mean's), the first of the
    `weights` (q, w) make what is explained, and the others, where there is a `flat` mean, Φ root.  `vector` is the raw
    one with scale and mean coefficients at their optimum, `shift` the log of that scale, and `stopped` the element at
    whose bound it stopped, if any.  `kept` is the forward pass, if it was small enough.  `excess` is that of a
    bound (gp.model.noise.base), if the noise makes the likelihood one.
    """

    gp: GaussianProcess
    lanes: Lanes
    order: np.ndarray
    x: np.ndarray
    noise: torch.Tensor
    weights: np.ndarray
    innovation: np.ndarray
    spread: np.ndarray
    vector: np.ndarray
    shift: float
    stopped: int | None
    kept: Forward | None
    excess: torch.Tensor | None
    flat: FlatMean | None = None
    condition_number: None = None  # no n×n matrix is factorised

    @classmethod
    def of(cls, gp: GaussianProcess, profile: Profile | None, *, gradient: bool, settle: bool = True) -> "Filtered":
        """Return the model filtered, with scale and mean coefficients at their optimum where there is a profile.

        Without `settle` they stay, and the mean's columns are filtered only.
        """
        column = column_of(gp.kernel)
        order = np.argsort(gp.scope.x[:, column], kind="stable")
        x = gp.scope.x[order, column]
        design = profile.design if profile else np.zeros((gp.n, 0))
        with torch.set_grad_enabled(gradient):
            space = Space(blocks_of(gp.kernel))
            noise, excess = gp.training_noise()
        columns = np.vstack([(gp.y.numpy() - gp.prior_mean())[order], design[order].T])
        rows = Rows(np.append(np.diff(x), 0.0), noise.detach().numpy()[order], columns, space.features(x))
        matrix = f"the covariance of n={gp.n} rows in order"
        with np.errstate(all="ignore"):  # what overflows is refused below
            try:
                lanes = Lanes(space, rows)
            except np.linalg.LinAlgError:
                raise without_factor(gp, matrix) from None
            innovation, spread, ends, kept = lanes.innovations()
            # Lanes begin where products of many rows say, which lose their digits where noise is next to none.
            begun = lanes.starts.mean
            largest = np.abs(begun).max(axis=-1, keepdims=True)
            apart = (np.abs(ends - begun[..., 1:]) / np.where(largest > 0, largest, 1.0)).max()
        # The variance that rows before leave unexplained, if less than some roundings of the function's, is one itself.
        signal, least = (spread - rows.noise).max(), 10 * gp.n if profile and settle else 0.0
        if all(parameter.tensor is not gp.noise.log_sd for parameter in gp.parameters.free):
            least, apart = max(least, 100.0), apart / APART  # no search keeps away from noise that is next to none
        if not (spread.min() > least * EPS * signal and apart < 1 and np.isfinite(innovation).all()):
            raise without_factor(gp, matrix)
        weights, vector = np.eye(len(innovation), 1), gp.parameters.vector
        shift, stopped = 0.0, None
        if profile and settle:
            normal = (innovation / spread) @ innovation.T
            change = least_squares(normal[1:, 1:], normal[1:, 0]) if len(normal) > 1 else np.zeros(0)
            vector[profile.positions] += change / profile.reference
            weights = np.concatenate([[1.0], -change])[:, None]
            within = float((gp.repeats.scatter / rows.noise[np.argsort(order)]).sum()) if gp.repeats else 0.0
            quadratic = float(((weights[:, 0] @ innovation) ** 2 / spread).sum()) + within
            shift, stopped = profile.log_scale(vector, quadratic, gp.total)
            vector += shift * profile.amplitude
            weights /= math.exp(0.5 * shift)
        return cls(gp, lanes, order, x, noise, weights, innovation, spread, vector, shift, stopped, kept, excess)

    @classmethod
    def of_flat_mean(cls, gp: GaussianProcess, *, gradient: bool) -> "Filtered":
        """Return the model filtered with its mean coefficients integrated out, and move it to their estimate."""
        profile = profile_of(gp)
        both = cls.of(gp, profile, gradient=gradient, settle=False)
        normal = (both.innovation / both.spread) @ both.innovation.T
        flat = FlatMean.of(profile.tensors, normal[1:, 1:], np.zeros((0, len(normal) - 1)))
        change, weights = flat.change(normal[1:, 0]), np.zeros((len(normal), 1 + flat.root.shape[1]))
        weights[:, 0], weights[1:, 1:] = [1.0, *-change], flat.root
        move(gp, profile, change)
        return replace(both, weights=weights, flat=flat)

    @property
    def log_likelihood(self) -> float:
        """Return log p(y | x) of the internal targets in nats."""
        gp = self.gp
        fit = float(((self.weights[:, 0] @ self.innovation) ** 2 / self.spread).sum())
        log_determinant = float(np.log(self.spread).sum()) + gp.total * self.shift
        value = -0.5 * (fit + log_determinant + gp.n * math.log(2 * math.pi))
        if gp.repeats:
            value += float(gp.repeats.log_density(self.noise.detach().numpy(), self._scatter).sum())
        value += self.flat.log_likelihood if self.flat else 0.0
        return value if self.excess is None else value + self.excess.item()

    @property
    def _scatter(self) -> np.ndarray:
        assert self.gp.repeats
        return self.gp.repeats.scatter / math.exp(self.shift)

    def _passes(self) -> Iterator[tuple[slice, Forward, Backward]]:
        """Yield some lanes at a time, with their passes."""
        for part in self.lanes.parts():
            forward = self.kept.part(part) if self.kept else self.lanes.forward(part)
            yield part, forward, self.lanes.backward(part, forward, self.weights)

    def pulled(self) -> tuple[torch.Tensor, np.ndarray]:
        """Return a scalar whose derivatives by kernel and noise are the log likelihood's, and α (n,)."""
        gp, lanes = self.gp, self.lanes
        m = lanes.space.size
        by_variance, by_step, sites = np.zeros((m, m)), np.zeros((m, m)), []
        for part, forward, backward in self._passes():
            variance, step = lanes.slopes(part, forward, backward, self.weights)
            by_variance += variance
            by_step += step
            sites.append(_site(backward))
        alpha, precision = self._unsorted(sites)
        by_noise = 0.5 * (alpha**2 - precision)
        if gp.repeats:
            by_noise += gp.repeats.slope(self.noise.detach().numpy(), self._scatter)
        total = lanes.space.pull(lanes.space.own(by_variance), lanes.space.own(by_step))
        if self.noise.requires_grad:
            total = total + torch.dot(self.noise, torch.from_numpy(by_noise))
        return total if self.excess is None else total + self.excess, alpha

    def pull_back(self) -> np.ndarray:
        """Return the gradient of the log likelihood by the raw vector, (p,)."""
        gp = self.gp
        total, alpha = self.pulled()
        if total.requires_grad:
            total.backward()
        gradient, parameters = np.zeros(len(gp.parameters.reference)), gp.parameters
        for raw, columns in gp.design.items():
            if raw in parameters.places:
                gradient[parameters.places[raw]] += (columns.T @ alpha).reshape(-1)
        return gradient * parameters.reference + parameters.gradient()

    def _unsorted(self, sites: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Return α and the diagonal of K⁻¹ of the rows as they come, (n,) each."""
        found = []
        for parts in zip(*sites, strict=True):
            values = np.empty(self.gp.n)
            values[self.order] = self.lanes.flat(np.concatenate(parts, axis=-1))
            found.append(values)
        return found[0], found[1]

    @cached_property
    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """Return α and the diagonal of K⁻¹ of the rows as they come, (n,) each."""
        return self._unsorted([_site(backward) for _, _, backward in self._passes()])

    def with_flat_mean(self) -> "Filtered":
        """Return it with its mean coefficients integrated out, by one more pass; the model moves to their estimate."""
        with one_thread():
            return Filtered.of_flat_mean(self.gp, gradient=False)

    def together(self) -> Solves:
        """Return the posterior of several inputs together."""
        gp, flat = self.gp, self.flat
        flat = flat and replace(flat, whitened=self._solve(flat.columns(gp, gp.x)))
        return Solves(gp, gp.x, self.sites[0], self.noise.detach().numpy(), self._solve, flat)

    def _solve(self, columns: np.ndarray) -> np.ndarray:
        """Return K⁻¹ `columns` (n, q) for the covariance K of the rows, noise included: α of each as y − m."""
        space, order, found = self.lanes.space, self.order, np.empty(columns.shape)
        steps, noise = np.append(np.diff(self.x), 0.0), self.noise.detach().numpy()[order]
        with one_thread():
            for some in slices(columns.shape[1], COLUMNS):
                own = columns[order, some].T
                lanes = Lanes(space, Rows(steps, noise, own, space.features(self.x)))
                passes = (lanes.backward(part, lanes.forward(part), np.eye(len(own))).u for part in lanes.parts())
                found[order, some] = lanes.flat(np.concatenate(list(passes), axis=-1)).T
        return found

    def training_mean(self) -> np.ndarray:
        """Return the posterior mean at the data's rows: y − noise · α, as (K + noise) α = y − m."""
        fitted: np.ndarray = self.gp.y.numpy() - self.noise.detach().numpy() * self.sites[0]
        return fitted[self.gp.repeats.group] if self.gp.repeats else fitted

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's mean and sd given all other rows, in internal units, its noise included."""
        return leave_one_out(self.gp, *self.sites, self.noise.detach().numpy())

    def moments(self, x: torch.Tensor) -> Moments:
        """Return the posterior's marginal moments at internal inputs x (m, d), of each named term too."""
        kernel, at = self.gp.kernel, x.numpy()[:, column_of(self.gp.kernel)]
        kinds = [blocks_of(term) for term in kernel.kernels] if isinstance(kernel, AdditiveKernel) else [[]]
        ends = np.cumsum([sum(one.count for one in blocks) for blocks in kinds])
        terms = {"": slice(None)}
        for name, blocks, end in zip(self.gp.terms, kinds, ends, strict=False):
            terms[name] = slice(end - sum(one.count for one in blocks), end)
        found = {name: (np.empty((self.weights.shape[1], len(at))), np.empty(len(at))) for name in terms}
        prior = {name: np.empty(len(at)) for name in terms}
        row = np.searchsorted(self.x, at, side="right") - 1  # the last row not behind each input
        lane = np.maximum(row, 0) // self.lanes.length
        with one_thread():
            for part, forward, backward in self._passes():
                chosen = np.flatnonzero((lane >= part.start) & (lane < part.stop))
                for some in slices(len(chosen), max(1, NUMBERS // self.lanes.space.size**2)):
                    own = chosen[some]
                    states = self._states(at[own], row[own], part, forward, backward)
                    for name, which in terms.items():
                        found[name][0][:, own], found[name][1][own], prior[name][own] = states.seen(which)
        with torch.no_grad():
            prior_mean = self.gp.mean(x).numpy()
        parts = {name: (mean[0], positive_part(variance, prior[name])) for name, (mean, variance) in found.items()}
        if self.flat:
            own = self.flat.columns(self.gp, x)
            for name, (_, variance) in parts.items():  # a term of a sum has no mean function of its own
                variance += (((0.0 if name else own) - found[name][0][1:].T) ** 2).sum(axis=1)
        mean, variance = parts.pop("")
        return Moments(prior_mean + mean, variance, parts)

    def _states(self, at: np.ndarray, row: np.ndarray, part: slice, forward: Forward, backward: Backward) -> "States":
        """Return the states at inputs (k,), each at or behind its `row`, one of those of some lanes; −1: before all."""
        lanes, space = self.lanes, self.lanes.space
        inside = np.maximum(row, 0)
        ahead = np.where(row < 0, 0.0, at - self.x[inside])
        behind = np.where(row < 0, self.x[0] - at, np.append(self.x[1:], 0.0)[inside] - at)
        behind[row == self.gp.n - 1] = 0.0
        lane, t = inside // lanes.length - part.start, inside % lanes.length
        mean, variance = lanes.given(t, lane, part, forward)
        mean[:, :, row < 0], variance[:, :, row < 0] = 0.0, space.variance[:, :, None]
        later = np.where(row < 0, 0, t + 1)
        r, n = backward.r[later, :, :, lane], backward.n[later, :, :, lane]
        matrices, back = space.at(ahead), space.at(behind)
        mean, variance = space.turn(matrices, mean), lanes.onward(matrices, variance)
        r, n = lanes.behind(back, np.moveaxis(r, 0, -1), np.moveaxis(n, 0, -1))
        return States(space, np.einsum("mqk,qw->mwk", mean, self.weights), variance, r, n, space.features(at))


def _site(backward: Backward) -> tuple[np.ndarray, np.ndarray]:
    """Return α and the diagonal of K⁻¹ of rows in lanes; of a flat mean, of K⁻¹ − K⁻¹Φ A⁻¹ ΦᵀK⁻¹."""
    return backward.u[:, 0], backward.d - (backward.u[:, 1:] ** 2).sum(axis=1)
