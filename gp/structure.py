"""What a fitted sum of kernels found: a sentence for each of its terms, and a table of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

ROUGH = {0.5: "a rough change", 1.5: "a change with kinks", 2.5: "a fairly smooth change"}  # of Matérn kernels, by ν
NOTHING = 5e-4  # share of the variance, below which a term is said to explain nothing
DOUBT = 3.0  # nats of evidence: at equal odds before, a probability of 95 %


def terms(fit: Mapping[str, Any], columns: Sequence[str]) -> pd.DataFrame:
    """Return a row for each term of fit.json's sum of kernels over inputs `columns`; no rows where it is none.

    `input` is the one input that the `term` reads, nothing where it reads several; `share` that of the variance, and
    `share_lower` and `share_upper` the ends of its 95 % interval, where hyperparameters and terms were drawn; `nats`
    how much the evidence with it is above that without it (gp.fitted.evidence), and `probability` that it is there, at
    equal odds before, both nothing where that was not computed.
    """
    shares, nats, written = fit.get("shares", {}), fit.get("evidence", {}), fit.get("kernel", {}).get("terms", {})
    rows = []
    for name, share in shares.items():
        read = written.get(name, {}).get("columns") or columns
        gained = nats.get(name)
        probable = None if gained is None else round(1 / (1 + math.exp(-max(gained, -500.0))), 4)
        ends = fit.get("share_intervals", {}).get(name, {})
        beside = share, ends.get("lower"), ends.get("upper"), gained, probable
        rows.append((name, read[0] if len(read) == 1 else "", *beside))
    columns = ("term", "input", "share", "share_lower", "share_upper", "nats", "probability")
    return pd.DataFrame(rows, columns=list(columns))


def sentences(fit: Mapping[str, Any], columns: Sequence[str], dates: Sequence[str] = ()) -> list[str]:
    """Return a sentence for each term of fit.json's sum of kernels, the largest share of the variance first.

    `columns` are the inputs, of which `dates` are in decimal years.  [] where the kernel is no sum, or inputs are
    several.
    """
    shares, kernel = fit.get("shares", {}), fit.get("kernel", {})
    if not shares or len(columns) != 1:
        return []
    words = _Words(fit["fit"]["hyperparameters"], columns[0], is_date=columns[0] in dates)
    said = []
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        what = words.of(kernel["terms"][name], f"kernel.{name}")
        ends = fit.get("share_intervals", {}).get(name)
        between = f" ({_percent(ends['lower'])} to {_percent(ends['upper'])} %)" if ends else ""
        of = f"{_percent(share)} % of the variance" if share >= NOTHING else "next to nothing of the variance"
        said.append(f"{name}: {what}; {of}{between}{_doubted(fit.get('evidence', {}).get(name))}.")
    return said + _averaged(fit.get("search", {}))


def _averaged(search: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a sentence where predictions average over several structures, by their weights."""
    weights = {of["rank"]: of["weight"] for of in search.values() if of.get("weight", 0.0) > 0}
    if len(weights) < 2:
        return []
    return [
        f"Predictions average over {len(weights)} structures that the data hardly tell apart; the terms are those of "
        f"the one that the search ranked first, with a weight of {_percent(weights[1])} %, and their shares take it as "
        "known."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.995 else f"{100 * share:.0f}"


def _doubted(nats: float | None) -> str:
    """Return in words that the data do without a term; nothing where they speak for it."""
    if nats is None or nats >= DOUBT:
        return ""
    told = "the data speak against it" if nats < -DOUBT else "the data do not tell whether it is there"
    return f"; {told} ({nats:+.1f} nats)"


class _Words:
    """Kernels in words, by the learnt `values` of their hyperparameters, over one input."""

    def __init__(self, values: Mapping[str, float], column: str, *, is_date: bool) -> None:
        self._values, self._column, self._is_date = values, column, is_date

    def of(self, kernel: Mapping[str, Any], path: str) -> str:
        """Return what the function of a kernel is, in words."""
        kind, length = kernel["kind"], self._length(path, "lengthscale")
        match kind:
            case "linear":
                return "a straight line"
            case "polynomial" if kernel["power"] == 1:
                return "a straight line"
            case "polynomial":
                return f"a polynomial of degree {kernel['power']}"
            case "constant":
                return "a constant"
            case "white":
                return "a jump at every value of the input by itself"
            case "rbf":
                return f"a smooth change over {length}"
            case "matern":
                return f"{ROUGH[kernel['nu']]} over {length}"
            case "rational_quadratic":
                return f"a smooth change over {length} and longer"
            case "cosine":
                return f"a sine wave that repeats every {self._length(path, 'period_length').removeprefix('1 ')}"
            case "periodic":
                return f"a pattern that repeats every {self._length(path, 'period_length').removeprefix('1 ')}"
            case "sum":
                return " plus ".join(self.of(part, f"{path}.{name}") for name, part in kernel["terms"].items())
            case "product":
                return self._product(kernel["factors"], path)
            case "changepoint":
                at = self._values.get(f"{path}.location", float("nan"))
                if not (kernel.get("before") and kernel.get("after")):
                    return self._window(kernel, path)
                before, after = (self.of(kernel[side], f"{path}.{side}") for side in ("before", "after"))
                if before == after == "a constant":
                    return f"a step at {self._column} {at:.6g}"
                return f"until {self._column} {at:.6g} {before}, then {after}"
        return f"a function of kernel {kind}"

    def _window(self, kernel: Mapping[str, Any], path: str) -> str:
        """Return what there is between change points with nothing on their other sides, in words."""
        ends = list[str]()
        while kernel["kind"] == "changepoint" and not (kernel.get("before") and kernel.get("after")):
            side, word = ("before", "until") if kernel.get("before") else ("after", "from")
            ends.append(f"{word} {self._column} {self._values.get(f'{path}.location', float('nan')):.6g}")
            kernel, path = kernel[side], f"{path}.{side}"
        return f"{self.of(kernel, path)}, but only {' '.join(sorted(ends))}"

    def _product(self, factors: Mapping[str, Any], path: str) -> str:
        """Return what the product of a pattern and what changes it is, in words."""
        parts = {name: (part["kind"], f"{path}.{name}") for name, part in factors.items()}
        first = min(parts, key=lambda name: _ORDER.index(parts[name][0]) if parts[name][0] in _ORDER else len(_ORDER))
        said = [self.of(factors[first], parts[first][1])]
        for name, (kind, where) in parts.items():
            length = self._length(where, "lengthscale")
            if name != first:
                line = f"whose size changes along a straight line in {self._column}"
                slope = f"whose size changes in proportion to {self._column}"
                drift = (
                    f"whose shape drifts over {length}" if kind in _DRIFTS else f"times {self.of(factors[name], where)}"
                )
                said.append(slope if kind == "linear" else line if self._is_line(factors[name]) else drift)
        return " ".join([said[0], " and ".join(said[1:])]).strip()

    @staticmethod
    def _is_line(kernel: Mapping[str, Any]) -> bool:
        return kernel["kind"] == "polynomial" and kernel["power"] == 1

    def _length(self, path: str, key: str) -> str:
        """Return a length along the input, with its unit where that is known."""
        value = self._values.get(f"{path}.{key}")
        if value is None:
            return "lengths that differ"
        if not self._is_date:
            number = f"{value:.3g}"
            return f"{number} unit{'s' if number != '1' else ''} of {self._column}"
        for unit, count in (("year", 1.0), ("month", 12.0), ("week", 365.25 / 7), ("day", 365.25)):
            if value * count >= 0.95:
                number = f"{value * count:.3g}"
                return f"{number} {unit}s" if number != "1" else f"1 {unit}"
        return f"{value:.3g} years"


_ORDER = ("periodic", "cosine", "changepoint", "sum", "product", "rbf", "matern", "rational_quadratic", "linear")
_DRIFTS = ("rbf", "matern", "rational_quadratic")
