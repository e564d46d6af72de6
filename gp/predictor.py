"""What a fitted model predicts, from arrays and formulas alone: this file needs NumPy and nothing else.

`python -m gp.export MODEL FOLDER` writes it beside a model's arrays, with the formulas of its parts at its end.  There,

    from predictor import Predictor
    found = Predictor().predict(x)       # x (m, d) or (m,), in the data's units
    found.mean, found.sd_f, found.sd_y, found.quantile(0.9), found.interval(0.95)

and `python predictor.py < rows.csv` answers the rows of a table.  Only what `Predictor` takes and returns has units.
"""

import csv
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

Formulas = Mapping[str, Callable[..., np.ndarray]]  # of kernels of unit amplitude by kind, and of means and noises
Numbers = Mapping[str, Any]  # a kernel, a mean or a noise as gp.asked.numbers writes it
FORMULAS: dict[str, Callable[..., np.ndarray]] = {}
BLOCK = 64  # rows of a factor that are solved for at once


@dataclass(frozen=True, eq=False)
class Prediction:
    """The mixture Σ_s weights_s N(means_s, sds_s²) at m inputs, in y's units; arrays (S, m), `weights` (S, 1).

    If y was transformed to z, the normals are of z: `of` takes z, no less than `lowest`, to y (`to`, of several z, y to
    them).  All else is of y.
    """

    means: np.ndarray
    sds_f: np.ndarray
    sds_y: np.ndarray
    weights: np.ndarray
    of: Callable[[np.ndarray], np.ndarray] | None = None
    lowest: Any = -math.inf
    kink: float = -math.inf
    closed: Callable[..., tuple[np.ndarray, np.ndarray]] | None = None  # mean and variance of y, of those of z
    to: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def mean(self) -> np.ndarray:
        """Return the mean (m,)."""
        return self._pooled(self.sds_y)[0]

    @property
    def sd_f(self) -> np.ndarray:
        """Return the standard deviation of the function (m,)."""
        return self._pooled(self.sds_f)[1]

    @property
    def sd_y(self) -> np.ndarray:
        """Return the standard deviation of a new observation (m,)."""
        return self._pooled(self.sds_y)[1]

    def _pooled(self, sds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (m,) of the mixture whose normals have `sds` (S, m)."""
        means, variances = (self.means, sds**2) if self.of is None else self._moments(sds)
        mean = (self.weights * means).sum(axis=0)
        return mean, np.sqrt((self.weights * (variances + (means - mean) ** 2)).sum(axis=0))

    def _moments(self, sds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and variances (S, m) of y whose z are normal, by Gauss–Legendre quadrature over ten sds."""
        if self.closed is not None:
            return self.closed(self.means, sds)
        (nodes, shares), wide = np.polynomial.legendre.leggauss(64), np.maximum(sds, 1e-300)
        low, kink = (np.clip((at - self.means) / wide, -10.0, 10.0) for at in (self.lowest, self.kink))
        centre, below = self.back(self.means), normal_cdf(low)
        apart = self.back(self.means + sds * low) - centre
        first, second = below * apart, below * apart**2
        inner = [np.maximum(kink, low)] if math.isfinite(self.kink) else []
        for start, end in pairwise([low, *inner, np.full_like(low, 10.0)]):
            half = 0.5 * (end - start)
            for node, share in zip(nodes, shares, strict=True):
                u = start + half * (1 + node)
                weight = share * half * np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
                apart = self.back(self.means + sds * u) - centre
                first, second = first + weight * apart, second + weight * apart**2
        return centre + first, np.maximum(second - first**2, 0.0)

    def back(self, z: np.ndarray) -> np.ndarray:
        """Return y at z."""
        with np.errstate(over="ignore"):
            return z if self.of is None else self.of(np.maximum(z, self.lowest))

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends (m,) of the central interval of a new observation of probability `level`."""
        return self.quantile(0.5 * (1 - level)), self.quantile(0.5 * (1 + level))

    def quantile(self, probability: float) -> np.ndarray:
        """Return the number (m,) up to which a new observation has `probability`: by Newton's method and bisection."""
        ends = self.means + NormalDist().inv_cdf(probability) * self.sds_y
        sds, to = np.maximum(self.sds_y, 1e-300), self.to
        ends = ends if to is None else self.back(ends)  # of several z y itself is searched, by bisection alone
        low, high = ends.min(axis=0), ends.max(axis=0)
        here, spread = 0.5 * (low + high), high - low
        for _ in range(100):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                beyond = ((here if to is None else to(here)) - self.means) / sds
                excess = (self.weights * normal_cdf(beyond)).sum(axis=0) - probability
                slope = (self.weights * np.exp(-0.5 * beyond**2) / sds).sum(axis=0) / math.sqrt(2 * math.pi)
                low, high = np.where(excess <= 0, here, low), np.where(excess > 0, here, high)
                ahead = here - (excess / slope if to is None else math.inf)
            ahead = np.where((ahead >= low) & (ahead <= high), ahead, 0.5 * (low + high))
            moved, here = np.abs(ahead - here), ahead
            if (moved <= 1e-13 * spread + 4e-16 * np.abs(here)).all():
                break
        return np.asarray(self.back(here) if to is None else here)


class Predictor:
    """A fitted model in the folder that `gp.export` wrote; by default the one where this file is."""

    def __init__(self, folder: Any = None, formulas: Formulas = FORMULAS) -> None:
        where = Path(__file__).parent if folder is None else Path(folder)
        with np.load(where / "arrays.npz", allow_pickle=False) as kept:
            stored = dict(kept)
        written = json.loads((where / "model.json").read_text(encoding="utf-8"))
        model = unpacked(written, stored)
        self.columns: list[str] = model["columns"]
        self.levels: dict[str, list[str]] = model["levels"]
        self._formulas, self._settings, self._weights = formulas, model["settings"], model["weights"]
        self._x, self._y, self._transform = model["x"], model["y"], model.get("transform")

    def _numbers(self, x: np.ndarray) -> np.ndarray:
        """Return x (m, d) or (m,) as numbers (m, d): where it holds text, levels become their numbers."""
        x = x[:, None] if x.ndim == 1 else x
        if x.dtype.kind in "biuf" or x.ndim != 2 or x.shape[1] != len(self.columns):
            return x.astype(np.float64)
        found = np.empty(x.shape)
        for j, name in enumerate(self.columns):
            if name in self.levels:
                place = {text: number for number, text in enumerate(self.levels[name])}
                texts = [str(value).strip().removesuffix(".0") for value in x[:, j]]
                found[:, j] = [place.get(text, len(place)) for text in texts]
            else:
                found[:, j] = x[:, j].astype(np.float64)
        return found

    def predict(self, x: Any, noise_sd: Any = None) -> Prediction:
        """Return the prediction at x (m, d) or (m,), columns in the order of `columns`, in the data's units.

        `noise_sd` (m,) is the noise of new observations where it is known; otherwise the model says.
        """
        given = self._numbers(np.asarray(x))
        if given.ndim != 2 or given.shape[1] != len(self.columns):
            raise ValueError(f"x has shape {given.shape}: rows of {', '.join(self.columns)} are needed")
        if not np.isfinite(given).all():
            raise ValueError(f"row {int(np.argmin(np.isfinite(given).all(axis=1)))} has a value that is not finite")
        internal, scale = (given - self._x["offset"]) / self._x["scale"], self._y["scale"]
        found = [moments(setting, self._formulas, internal) for setting in self._settings]
        means, variances, noise = (np.array(parts) for parts in zip(*found, strict=True))
        if noise_sd is not None:
            sd = np.asarray(noise_sd, dtype=np.float64)
            if sd.shape != (len(given),) or not ((sd > 0) & (sd < math.inf)).all():
                raise ValueError(f"noise_sd is not {len(given)} finite numbers greater than 0")
            noise = (sd / scale) ** 2
        sds_f, sds_y = np.sqrt(variances) * scale, np.sqrt(variances + noise) * scale
        means, known = means * scale + self._y["offset"], self._transform
        if known is None:
            return Prediction(means, sds_f, sds_y, self._weights)
        of: Any = {name: self._formulas[known[name]] for name in ("of", "closed", "to") if name in known}
        parts: Any = {name: partial(formula, **known["values"]) for name, formula in of.items()}
        return Prediction(means, sds_f, sds_y, self._weights, **parts, **known["places"])


def moments(setting: Numbers, formulas: Formulas, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and variance of the function, and the noise variance, (m,) each, at inputs x (m, d).

    With `sites` Z the function is m(x) + vᵀu + what Z does not tell, v = L⁻¹k(Z, x), u ~ N(`mean`, `root` rootᵀ); with
    `waves` m(x) + Σ_j w_j cos(ω_jᵀx − φ_j), w ~ N(`mean`, `root` rootᵀ)  (gp.inference.together).
    """
    mean = call(setting["mean"], formulas, x)
    if waves := setting.get("waves"):
        features = np.cos(x @ waves["frequencies"].T - waves["phases"])
        mean, variance = mean + features @ waves["mean"], ((features @ waves["root"]) ** 2).sum(axis=1)
    else:
        sites, kernel = setting["sites"], setting["kernel"]
        cross = matrix(kernel, formulas, sites["z"], x)
        whitened = solved(sites["factor"], cross)
        mean = mean + sites["mean"] @ whitened
        variance = covariance(kernel, formulas, x, x) - (whitened**2).sum(axis=0)
        if "root" in sites:
            variance = variance + ((sites["root"].T @ whitened) ** 2).sum(axis=0)
        if flat := setting.get("flat"):
            own = coefficients(setting["mean"], flat["names"], formulas, x) @ flat["root"]
            variance = variance + ((own - cross.T @ flat["whitened"]) ** 2).sum(axis=1)
    return mean, np.maximum(variance, 0.0), call(setting["noise"], formulas, x)


def call(part: Numbers, formulas: Formulas, x: np.ndarray) -> np.ndarray:
    """Return a mean or a noise variance at x (m, d), (m,)."""
    values = arrays(part["values"])
    if "kernel" in part:  # noise whose level is a function with a kernel of its own
        kernel = part["kernel"]
        values |= {"cross": matrix(kernel, formulas, values.pop("z"), x), "prior": covariance(kernel, formulas, x, x)}
    return np.asarray(formulas[part["formula"]](x, **values))


def coefficients(mean: Numbers, names: list[str], formulas: Formulas, x: np.ndarray) -> np.ndarray:
    """Return what each of the named coefficients, in which the mean is linear, adds at x (m, d), (m, q)."""
    values = arrays(mean["values"])
    values |= {name: np.zeros_like(values[name]) for name in names}
    without, found = call({**mean, "values": values}, formulas, x), []
    for name in names:
        for place in np.ndindex(values[name].shape):
            one = np.zeros_like(values[name])
            one[place] = 1.0
            found.append(call({**mean, "values": values | {name: one}}, formulas, x) - without)
    return np.array(found).reshape(-1, len(x)).T


def covariance(kernel: Numbers, formulas: Formulas, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Return k(x1, x2) for rows of x1 and x2 (…, d) that broadcast: (n, 1, d) and (m, d) give (n, m)."""
    kind = kernel["kind"]
    if kind == "sum":
        return np.sum([covariance(term, formulas, x1, x2) for term in kernel["terms"]], axis=0)
    if kind == "product":
        factors = [covariance(factor, formulas, x1, x2) for factor in kernel["factors"]]
        return np.asarray(kernel["amplitude"] * np.prod(factors, axis=0))
    if kind == "changepoint":
        with np.errstate(over="ignore"):
            one, two = (
                1 / (1 + np.exp((kernel["location"] - x[..., kernel["column"]]) / kernel["width"])) for x in (x1, x2)
            )
        sides = (("before", (1 - one) * (1 - two)), ("after", one * two))  # one of them may have no kernel
        return sum(on * covariance(kernel[side], formulas, x1, x2) for side, on in sides if side in kernel)
    x1, x2 = (active(kernel, x) for x in (x1, x2))
    return np.asarray(kernel["amplitude"] * formulas[kind](x1, x2, **arrays(kernel["values"])))


def active(kernel: Numbers, x: np.ndarray) -> np.ndarray:
    """Return the columns of x (…, d) that a kernel reads."""
    return x if kernel["columns"] is None else x[..., kernel["columns"]]


def arrays(values: Numbers) -> dict[str, Any]:
    """Return values with an array for each list."""
    return {name: np.array(value) if isinstance(value, list) else value for name, value in values.items()}


def matrix(kernel: Numbers, formulas: Formulas, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Return k(x1, x2) for x1 (n, d) and x2 (m, d), (n, m), some rows at a time."""
    found, rows = np.empty((len(x1), len(x2))), max(1, 2**18 // max(1, x2.size))
    for start in range(0, len(x1), rows):
        found[start : start + rows] = covariance(kernel, formulas, x1[start : start + rows, None], x2)
    return found


def solved(factor: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return L⁻¹ `columns` (n, m) for a lower triangular factor L (n, n), a block of rows after the other."""
    found = np.empty_like(columns)
    for start in range(0, len(factor), BLOCK):
        rows = slice(start, start + BLOCK)
        found[rows] = np.linalg.solve(factor[rows, rows], columns[rows] - factor[rows, :start] @ found[:start])
    return found


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Return the probability of a standard normal number up to z, element by element."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.ravel().tolist()]).reshape(z.shape)


def unpacked(written: Any, stored: Mapping[str, np.ndarray]) -> Any:
    """Return a tree of mappings and lists with the stored array in place of each {"array": its name}."""
    if isinstance(written, dict):
        if "array" in written:
            return stored[written["array"]]
        return {name: unpacked(value, stored) for name, value in written.items()}
    return [unpacked(value, stored) for value in written] if isinstance(written, list) else written


def main() -> None:
    """Answer the CSV on standard input: mean, sd and quantiles beside its columns."""
    model, table = Predictor(), list(csv.reader(sys.stdin))
    if wrong := [name for name in model.columns if not table or table[0].count(name) != 1]:
        sys.exit(f"the table has {'twice the' if table and wrong[0] in table[0] else 'no'} column {wrong[0]!r}")
    header, rows, answers = table[0], [row for row in table[1:] if row], csv.writer(sys.stdout, lineterminator="\n")
    if not rows:
        sys.exit("the table has no rows below its header")
    try:
        x = [[row[header.index(name)] for name in model.columns] for row in rows]
        found = model.predict(np.array(x, dtype=object))
    except (ValueError, IndexError) as error:
        sys.exit(f"a row is no list of numbers ({error})")
    beside = {"mean": found.mean, "sd_f": found.sd_f, "sd_y": found.sd_y}
    beside |= {f"q{100 * p:g}": found.quantile(p) for p in (0.025, 0.5, 0.975)}
    answers.writerow([*header, *beside])
    numbers = zip(*(values.tolist() for values in beside.values()), strict=True)
    answers.writerows([*row, *more] for row, more in zip(rows, numbers, strict=True))
