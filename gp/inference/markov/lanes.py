"""The Kalman filter and its adjoint over rows in order, many *lanes* of successive rows side by side.

A row is filtered in covariance form: its state has the mean a and variance P before y is seen, and

    v = y − hᵀa,  S = hᵀPh + noise,  k = Ph/S,      a ← A(a + kv),  P ← P∞ + A(P − kSkᵀ − P∞)Aᵀ,

which loses no digits however short or long a step is, as A(0) = 1 and A(∞) = 0 leave P or P∞ as they are.  The
likelihood is Π N(v | 0, S).  Backward, r and N are the derivatives of the log likelihood of later rows by a, and minus
the expected second ones (de Jong 1989, "Smoothing and interpolation with the state-space model"; Koopman & Shephard
1992, "Exact score for time series models in state space form"):

    r ← Aᵀr,  N ← AᵀNA,    u = v/S − kᵀr,  D = 1/S + kᵀNk,    r ← r + hu,  N ← (1 − hkᵀ)N(1 − khᵀ) + hhᵀ/S,

where u = α and D = diag K⁻¹ of the dense form, and ∂/∂P = ½(rrᵀ − N).  A column of y, or of the mean's design, is one
of several that share P, S, k and N.

NumPy takes a microsecond a call, so rows are not taken one by one: about √n lanes go forward together.  What a lane
does to the state it starts from is an element of an associative product (gp.inference.markov.scan); products of these
give each lane the state it starts from, and what later lanes say of the state it ends in.  Lanes are the last axis of
all arrays.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...matrices.tiles import slices
from .scan import Element, scan, then
from .space import Space

LANES = 1.2  # times √n lanes
KEPT = 2**28  # bytes up to which the states of all rows are kept from the forward pass for the backward one
SHARE = 2**29  # bytes of the states of the lanes that go backward together; few lanes at a time are slower a row


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in order: the `step` (n,) to the next one, `noise` variances (n,), and `columns` (q, n) of y − m and others.

    `features` (blocks, n) are those of the state space, if any is not 1.
    """

    step: np.ndarray
    noise: np.ndarray
    columns: np.ndarray
    features: np.ndarray | None


class Forward(NamedTuple):
    """Of each row t of lanes: A, the state's mean (L + 1, m, q, k) and variance (L + 1, m, m, k) before it, v, S."""

    matrices: list[np.ndarray | None]
    mean: np.ndarray
    variance: np.ndarray
    innovation: np.ndarray  # (L, q, k)
    spread: np.ndarray  # (L, k)

    def part(self, lanes: slice) -> "Forward":
        """Return that of some of the lanes."""
        matrices = [None if each is None else each[..., lanes] for each in self.matrices]
        return Forward(matrices, *(each[..., lanes] for each in self[1:]))


class Backward(NamedTuple):
    """Of each row t: u (L, w, k), D (L, k), and r (L + 1, m, w, k), N (L + 1, m, m, k) of the state before it.

    `turned` (m, m) is the sum of rrᵀ − N of the states given each row.
    """

    u: np.ndarray
    d: np.ndarray
    r: np.ndarray
    n: np.ndarray
    turned: np.ndarray


class Starts(NamedTuple):
    """Before each lane, and after the last: the state's mean (m, q, k + 1) and variance (m, m, k + 1), its r and N."""

    mean: np.ndarray
    variance: np.ndarray
    r: np.ndarray
    n: np.ndarray


class Lanes:
    """Rows laid out in lanes, and the states that these start from."""

    def __init__(self, space: Space, rows: Rows) -> None:
        self.space, self.n, self.q = space, len(rows.step), len(rows.columns)
        self.count = max(1, min(int(LANES * math.sqrt(self.n)), self.n // 4))
        self.length = -(-self.n // self.count)
        self.count = -(-self.n // self.length)
        # Rows that fill up the last lane have infinite noise.
        self._step, self._noise = self._laid(rows.step, 0.0), self._laid(rows.noise, np.inf)
        self._columns = np.stack([self._laid(column, 0.0) for column in rows.columns], axis=1)  # (L, q, k)
        features = rows.features
        self._features = None if features is None else np.stack([self._laid(one, 0.0) for one in features], axis=1)
        self._matrices: list[np.ndarray | None] | None = None
        self._matrices = self._at(slice(None)) if 8 * self.n * space.turning <= KEPT else None
        self.starts = self._starts()

    def _at(self, lanes: slice) -> list[np.ndarray | None]:
        """Return A from each row of some lanes to the next, (count or 1, s, s, L, k) for each kind of block."""
        if self._matrices is not None:
            return [None if each is None else each[..., lanes] for each in self._matrices]
        steps = self._step[:, lanes]
        found = self.space.at(steps.reshape(-1))
        return [None if each is None else each.reshape(*each.shape[:-1], *steps.shape) for each in found]

    def _laid(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Return values of the rows (n,) as (L, k): row t of each lane in one line."""
        padded = np.full(self.count * self.length, fill)
        padded[: self.n] = values
        return np.ascontiguousarray(padded.reshape(self.count, self.length).T)

    def flat(self, values: np.ndarray) -> np.ndarray:
        """Return values (L, …, k) of the rows of all lanes as (…, n)."""
        moved = np.moveaxis(values, 0, -1)
        return moved.reshape(*moved.shape[:-2], -1)[..., : self.n]

    # h has a 1 (or a feature) at each block's first state, and zeros elsewhere.

    def _seen(self, states: np.ndarray, t: int, lanes: slice) -> np.ndarray:
        """Return hᵀ · states (m, w, k), (w, k)."""
        seen = self.space.seen
        if self._features is None:
            return states[seen[0]] if len(seen) == 1 else states[seen].sum(axis=0)
        return np.einsum("bwk,bk->wk", states[seen], self._features[t][:, lanes])

    def _add(self, states: np.ndarray, what: np.ndarray, t: int, lanes: slice) -> None:
        """Add h · what (w, k) to states (m, w, k)."""
        if self._features is None:
            states[self.space.seen] += what
        else:
            states[self.space.seen] += self._features[t][:, None, lanes] * what

    def _add_square(self, matrix: np.ndarray, what: np.ndarray, t: int, lanes: slice) -> None:
        """Add h hᵀ · what (k,) to a matrix (m, m, k)."""
        seen = self.space.seen
        if self._features is None:
            matrix[np.ix_(seen, seen)] += what
        else:
            features = self._features[t][:, lanes]
            matrix[np.ix_(seen, seen)] += features[:, None] * features * what

    def onward(self, matrices: list[np.ndarray | None], variance: np.ndarray) -> np.ndarray:
        """Return P∞ + A(P − P∞)Aᵀ."""
        stationary = self.space.variance[:, :, None]
        half = self.space.turn(matrices, variance - stationary)
        return stationary + self.space.turn(matrices, half.swapaxes(0, 1))

    def _elements(self) -> Element:
        """Return each lane's element."""
        m, k, all_lanes = self.space.size, self.count, slice(None)
        a = np.repeat(np.eye(m)[:, :, None], k, axis=2)
        b, eta = np.zeros((m, self.q, k)), np.zeros((m, self.q, k))
        c, j = np.zeros((m, m, k)), np.zeros((m, m, k))
        for t in range(self.length):
            matrices = self.space.at(self._step[t]) if self._matrices is None else _row(self._matrices, t)
            g, p = self._seen(a, t, all_lanes), self._seen(c, t, all_lanes)
            spread = self._seen(p[:, None], t, all_lanes)[0] + self._noise[t]
            weighted = (self._columns[t] - self._seen(b, t, all_lanes)) / spread
            j += (g / spread) * g[:, None]
            eta += g[:, None] * weighted
            a -= (p / spread)[:, None] * g
            b += p[:, None] * weighted
            c -= (p / spread) * p[:, None]
            a, b, c = self.space.turn(matrices, a), self.space.turn(matrices, b), self.onward(matrices, c)
        return Element(*(np.moveaxis(part, -1, 0) for part in (a, b, c, eta, j)))

    def _starts(self) -> Starts:
        """Return the state before each lane, and what it and later lanes say of it."""
        m, stationary = self.space.size, self.space.variance
        mean = np.zeros((self.count + 1, m, self.q))
        variance = np.repeat(stationary[None], self.count + 1, axis=0)
        eta, j = np.zeros((self.count + 1, m, self.q)), np.zeros((self.count + 1, m, m))
        elements = self._elements()
        first = Element(np.zeros((1, m, m)), mean[:1], variance[:1], eta[:1], j[:1])
        whole = [np.concatenate(parts) for parts in zip(first, elements, strict=True)]
        after = scan(Element(*whole), then)
        mean[1:], variance[1:] = after.b[1:], after.c[1:]
        before = scan(elements.part(slice(None, None, -1)), lambda later, earlier: then(earlier, later))
        eta[:-1], j[:-1] = before.eta[::-1], before.j[::-1]
        # Of what later rows say, at the state that these follow from.
        shrunk = np.linalg.inv(np.eye(m) + j @ variance)
        r, n = shrunk @ (eta - j @ mean), shrunk @ j
        return Starts(*(np.ascontiguousarray(np.moveaxis(part, 0, -1)) for part in (mean, variance, r, n)))

    def parts(self) -> Iterator[slice]:
        """Yield lanes that go through the backward pass together: as many as their states take SHARE."""
        m, q = self.space.size, self.q
        return slices(self.count, max(1, SHARE // (8 * self.length * (4 * m**2 + 2 * m * q))))

    def innovations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Forward | None]:
        """Return v (q, n), S (n,), the state's mean after each lane (m, q, k), and the forward pass, if it is kept."""
        whole = 8 * self.n * (2 * self.space.size**2 + self.space.size * self.q) <= KEPT
        kept, found, ends = None, [], []
        for part in [slice(0, self.count)] if whole else self.parts():
            kept = self.forward(part)
            found.append((kept.innovation, kept.spread))
            ends.append(kept.mean[-1].copy())
        innovation, spread = (self.flat(np.concatenate(each, axis=-1)) for each in zip(*found, strict=True))
        return innovation, spread, np.concatenate(ends, axis=-1), kept if whole else None

    def forward(self, lanes: slice) -> Forward:
        """Return the forward pass over some lanes."""
        space, k = self.space, len(range(self.count)[lanes])
        m, length = space.size, self.length
        mean, variance = np.empty((length + 1, m, self.q, k)), np.empty((length + 1, m, m, k))
        innovation, spread = np.empty((self.length, self.q, k)), np.empty((self.length, k))
        mean[0], variance[0] = self.starts.mean[:, :, lanes], self.starts.variance[:, :, lanes]
        matrices = self._at(lanes)
        for t in range(self.length):
            p = self._seen(variance[t], t, lanes)
            spread[t] = self._seen(p[:, None], t, lanes)[0] + self._noise[t][lanes]
            innovation[t] = self._columns[t][:, lanes] - self._seen(mean[t], t, lanes)
            gain = p / spread[t]
            onward = _row(matrices, t)
            mean[t + 1] = space.turn(onward, mean[t] + gain[:, None] * innovation[t])
            variance[t + 1] = self.onward(onward, variance[t] - gain[:, None] * p)
        return Forward(matrices, mean, variance, innovation, spread)

    def given(self, t: np.ndarray, lane: np.ndarray, lanes: slice, forward: Forward) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (m, q, k) and variance (m, m, k) of the states given rows `t` of `lane`, (k,) each."""
        mean = np.moveaxis(forward.mean[t, :, :, lane], 0, -1)
        variance = np.moveaxis(forward.variance[t, :, :, lane], 0, -1)
        seen = variance[:, self.space.seen]
        if self._features is None:
            p = seen.sum(axis=1)
        else:
            p = np.einsum("mbk,kb->mk", seen, self._features[t, :, lanes.start + lane])
        gain = p / forward.spread[t, lane]
        innovation = np.moveaxis(forward.innovation[t, :, lane], 0, -1)
        return mean + gain[:, None] * innovation, variance - gain[:, None] * p

    def backward(self, lanes: slice, forward: Forward, weights: np.ndarray) -> Backward:
        """Return the backward pass over some lanes; columns are combined by `weights` (q, w)."""
        ends = slice(lanes.start + 1, lanes.stop + 1)
        r = np.einsum("mqk,qw->mwk", self.starts.r[:, :, ends], weights)
        n = self.starts.n[:, :, ends].copy()
        k = r.shape[-1]
        found = Backward(
            np.empty((self.length, r.shape[1], k)),
            np.empty((self.length, k)),
            np.empty((self.length + 1, *r.shape)),
            np.empty((self.length + 1, *n.shape)),
            np.zeros(n.shape[:2]),
        )
        found.r[-1], found.n[-1] = r, n
        for t in reversed(range(self.length)):
            r, n = self.behind(_row(forward.matrices, t), r, n)
            np.add(found.turned, np.einsum("iwk,jwk->ij", r, r) - n.sum(axis=2), out=found.turned)
            spread = forward.spread[t]
            gain = self._seen(forward.variance[t], t, lanes) / spread
            innovation = np.einsum("qk,qw->wk", forward.innovation[t], weights) / spread
            nk = np.einsum("mlk,lk->mk", n, gain)
            found.u[t] = innovation - np.einsum("mk,mwk->wk", gain, r)
            found.d[t] = 1 / spread + np.einsum("mk,mk->k", gain, nk)
            self._add(r, found.u[t], t, lanes)
            self._add(n, -nk, t, lanes)
            self._add(n.swapaxes(0, 1), -nk, t, lanes)
            self._add_square(n, found.d[t], t, lanes)
            found.r[t], found.n[t] = r, n
        return found

    def behind(self, matrices: list[np.ndarray | None], r: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Aᵀr and AᵀNA."""
        half = self.space.turn(matrices, n, back=True)
        return self.space.turn(matrices, r, back=True), self.space.turn(matrices, half.swapaxes(0, 1), back=True)

    def slopes(
        self, lanes: slice, forward: Forward, backward: Backward, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the likelihood's derivatives by P∞ (m, m), and Σ step · ∂/∂A Aᵀ (m, m), of the rows of some lanes.

        The latter is filled on the diagonal blocks alone, as nothing moves elsewhere.
        """
        space = self.space
        twice = np.einsum("tiwk,tjwk->tijk", backward.r, backward.r) - backward.n  # 2 ∂/∂P
        moved = (forward.variance[1:] - space.variance[:, :, None]) * self._step[:, None, None, lanes]
        mean = np.einsum("tmqk,qw->tmwk", forward.mean[1:], weights) * self._step[:, None, None, lanes]
        # P∞ is in the variance before each row, and out again of what A turns.
        by_variance, by_step = 0.5 * (twice[1:].sum(axis=(0, 3)) - backward.turned), np.zeros_like(space.variance)
        if lanes.start == 0:
            by_variance += 0.5 * twice[0, :, :, 0]
        for one, start in zip(space.blocks, space.starts, strict=False):
            for b in range(one.count):
                own = slice(start + b * one.size, start + (b + 1) * one.size)
                by_step[own, own] = np.einsum("tiwk,tjwk->ij", backward.r[1:, own], mean[:, own])
                by_step[own, own] += np.einsum("timk,tjmk->ij", twice[1:, own], moved[:, own])
        return by_variance, by_step


def _row(matrices: list[np.ndarray | None], t: int) -> list[np.ndarray | None]:
    """Return A after row t of lanes."""
    return [None if each is None else each[..., t, :] for each in matrices]
