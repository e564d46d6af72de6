"""Where another library is ahead of this one, said in words from the results alone."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.peers import OURS, PEERS, UNIT

Row = dict[str, Any]
NATS = 0.05  # optima nearer than this are the same
OTHERS = [name for name, peer in PEERS.items() if peer.module != PEERS[OURS].module and name != UNIT]


def wins(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return a sentence for each library and measure in which it was ahead; empty where it never was."""
    sentences: list[str] = []
    for name, (contest, quantity, unit) in CONTESTS.items():
        rows = [row for row in results.get(contest, {}).get("rows", []) if quantity(row) is not None]
        sentences += _of_contest(name, rows, quantity, unit)
    return sentences


def _of_contest(name: str, rows: list[Row], quantity: Callable[[Row], float | None], unit: str) -> Iterable[str]:
    ours = {_where(row): row for row in rows if row["peer"] == OURS}
    for peer in OTHERS:
        pairs = [(row, ours[_where(row)]) for row in rows if row["peer"] == peer and _where(row) in ours]
        ahead = [
            f"{_place(row)} {quantity(row):.3g} against {quantity(own):.3g}{unit}{_but(row, own)}"
            for row, own in pairs
            if quantity(row) < quantity(own)
        ]
        if ahead:
            yield f"**{PEERS[peer].label}**, {name}: {'; '.join(ahead)}."


def _where(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("problem", "kernel", "cores", "n"))


def _place(row: Row) -> str:
    kernel = f", {row['kernel']}" if row.get("kernel", "rbf") != "rbf" else ""
    problem = " (sine)" if row.get("problem") == "sine" else ""
    return f"n = {row['n']}{problem}{kernel}"


def _but(row: Row, ours: Row) -> str:
    """Return what the faster answer lacks."""
    if "gap_nats" in row and row["gap_nats"] > ours["gap_nats"] + NATS:
        return f" (but {row['gap_nats'] - ours['gap_nats']:.2g} nats lower)"
    if row.get("equal") is False:
        return f" (but {abs(row['error_nats']):.2g} nats off)"
    return ""


def _median(key: str, cores: Callable[[int], bool] = lambda _: True) -> Callable[[Row], float | None]:
    def quantity(row: Row) -> float | None:
        return row[key]["median"] if key in row and cores(row.get("cores", 1)) else None

    return quantity


def _beyond_nats(row: Row) -> float | None:
    """Return the gap in whole steps of `NATS`, so that rounding wins nothing."""
    return row["gap_nats"] // NATS * NATS if "units" in row else None


CONTESTS: dict[str, tuple[str, Callable[[Row], float | None], str]] = {
    "evaluation, CPU on one core": ("evaluation", _median("units", lambda cores: cores == 1), " units"),
    "evaluation, wall time on all cores": ("evaluation", _median("wall", lambda cores: cores > 1), " s"),
    "memory of an evaluation": ("memory", lambda row: row.get("matrices"), " n×n matrices"),
    "whole fit, CPU": ("fit", _median("units"), " units"),
    "whole fit, nats below the best optimum known": ("fit", _beyond_nats, ""),
    "prediction, CPU": ("prediction", _median("units"), " units"),
    "one input in order, CPU": ("series", _median("microseconds"), " µs a row"),
    "memory of prediction": ("prediction", lambda row: row["bytes"] / 1e6 if "bytes" in row else None, " MB"),
}
