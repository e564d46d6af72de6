"""Tables too large for a Cholesky factor: seconds and memory of an evaluation, error of whole fits in like CPU time."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.accuracy.options import Options
from benchmarks.environments import Unavailable
from benchmarks.machine import describe, machines
from benchmarks.peers import Peer
from benchmarks.worker import Worker
from gp.inference.inducing.points import cluster_centres

FEATURES, NOISE_SD, N_TEST = 500, 0.1, 5000
# The true lengthscales over the unit cube, by how many inputs there are.
LENGTHSCALES = {2: np.array([0.05, 0.1]), 8: np.geomspace(0.5, 5, 8)}
INDUCING, NEIGHBOURS = 500, 30
LIMIT = 3600  # seconds that a task may take

OURS = Peer("this library", "large_ours", "`gp.fit`")
GPYTORCH = Peer("GPyTorch", "large_gpytorch", "as in its tutorials", requirements="gpytorch")
GPFLOW = Peer("GPflow", "large_gpflow", "as in its tutorials, compiled", requirements="gpflow")
SGPR = {"kind": "sgpr", "inducing": INDUCING}
SVGP = {"kind": "svgp", "inducing": INDUCING}
EXACT = {"kind": "exact", "rows": 4000}
EPOCHS, SEEN = 20, 10**6  # of this library's svgp, and rows that its minibatches take in all of them, at most
VECCHIA = {"kind": "vecchia", "neighbours": NEIGHBOURS, "inducing": 0}

# (name, peer, options, largest n at which it is asked)
Participants = list[tuple[str, Peer, dict[str, Any], int]]
EVALUATIONS: Participants = [
    ("this library, sgpr", OURS, {"inference": SGPR}, 10**6),
    ("GPyTorch, SGPR", GPYTORCH, {}, 10**5),
    ("GPflow, SGPR", GPFLOW, {}, 10**5),
]
NEAREST: Participants = [("this library, vecchia, neighbours alone", OURS, {"inference": VECCHIA}, 10**6)]
FITS: dict[int, Participants] = {
    8: [
        ("this library, sgpr", OURS, {"inference": SGPR}, 10**5),
        ("this library, svgp", OURS, {"inference": SVGP}, 10**6),
        ("this library, vecchia, neighbours alone", OURS, {"inference": VECCHIA}, 10**5),
        ("this library, exact, hyperparameters from 4000 rows", OURS, {"inference": EXACT}, 10**4),
        ("GPyTorch, SVGP", GPYTORCH, {"kind": "svgp"}, 10**6),
        ("GPyTorch, SGPR", GPYTORCH, {"kind": "sgpr"}, 10**4),
        ("GPflow, SVGP", GPFLOW, {"kind": "svgp"}, 10**6),
        ("GPflow, SGPR", GPFLOW, {"kind": "sgpr"}, 10**4),
    ],
    2: [
        ("this library, vecchia, neighbours alone", OURS, {"inference": VECCHIA}, 10**6),
        ("this library, sgpr", OURS, {"inference": SGPR}, 10**4),
        ("GPyTorch, VNNGP", GPYTORCH, {"kind": "vnngp", "neighbours": NEIGHBOURS}, 10**4),
        ("GPyTorch, SVGP", GPYTORCH, {"kind": "svgp"}, 10**6),
        ("GPflow, SVGP", GPFLOW, {"kind": "svgp"}, 10**5),
    ],
}
# The first of each group sets the CPU seconds that peers then have.
SIZES = (10**4, 10**5, 10**6)


def draw(n: int, d: int) -> dict[str, np.ndarray]:
    """Return x (n, d), y (n,), and test rows, a draw from an ARD-RBF process of sd 1 seen with noise NOISE_SD.

    By random Fourier features (Rahimi & Recht 2007), so at a cost of n.
    """
    rng = np.random.default_rng([n, d])
    frequencies = rng.standard_normal((FEATURES, d)) / LENGTHSCALES[d]
    phases, weights = rng.uniform(0, 2 * np.pi, FEATURES), rng.standard_normal(FEATURES)
    x, f = rng.uniform(size=(n + N_TEST, d)), np.zeros(n + N_TEST)
    for phase, frequency, weight in zip(phases, frequencies, weights, strict=True):  # no n × FEATURES matrix
        f += weight * np.cos(x @ frequency + phase)
    y = np.sqrt(2 / FEATURES) * f + NOISE_SD * rng.standard_normal(n + N_TEST)
    return {"x": x[:n], "y": y[:n], "x_test": x[n:], "y_test": y[n:]}


def run(options: Options) -> dict[str, Any]:
    """Return what every method takes; `options.only` names groups: evaluation8-10000, fit2-1000000, …"""
    sizes, rows = SIZES[:1] if options.quick else SIZES, []
    measures = [("evaluation", _evaluations, {8: EVALUATIONS, 2: NEAREST}), ("fit", _fits, FITS)]
    with tempfile.TemporaryDirectory() as folder:
        for n, (measure, run_group, groups) in itertools.product(sizes, measures):
            for d, participants in groups.items():
                group = {"group": f"{measure}{d}-{n}", "measure": measure, "n": n, "d": d}
                if not options.only or group["group"] in options.only:
                    of_group = {**group, "machine": describe()}
                    for row in run_group(Path(folder), n, d, participants):
                        rows.append(of_group | row)
                        print(group, row, flush=True)
    return {"rows": rows}


def _evaluations(folder: Path, n: int, d: int, participants: Participants) -> Iterator[dict[str, Any]]:
    arrays, _, settings = _prepare(folder, n, d)
    for name, peer, options, most in participants:
        if n <= most:
            yield {"method": name, **_ask(peer, "bound", arrays, settings, options, calls=2)}


def _fits(folder: Path, n: int, d: int, participants: Participants) -> Iterator[dict[str, Any]]:
    arrays, test, settings = _prepare(folder, n, d)
    seconds: dict[str, float] = {}  # that peers have: as many as the first took
    for name, peer, options, most in participants:
        if n <= most:
            if options.get("inference") == SVGP:
                options = {"inference": SVGP | {"epochs": min(EPOCHS, SEEN // n)}}
            if peer is not OURS and not seconds:
                yield {"method": name, "failed": "this library's fit failed: there are no seconds to have"}
                continue
            limit = {} if peer is OURS else seconds
            found = _ask(peer, "fit", arrays, settings, {**options, **limit, "test": str(test)}, calls=1)
            if not seconds and "cpu" in found:
                seconds = {"seconds": found["cpu"]}
            yield {"method": name, **found}


def _prepare(folder: Path, n: int, d: int) -> tuple[Path, Path, list[dict[str, Any]]]:
    """Return the files of training and test rows, the former with inducing inputs, and the settings in turn."""
    arrays, test = folder / f"{n}-{d}.npz", folder / f"{n}-{d}-test.npz"
    if not arrays.exists():
        data = draw(n, d)
        inducing = cluster_centres(data["x"], INDUCING, 0, sample=20 * INDUCING)
        np.savez(arrays, x=data["x"], y=data["y"], x_new=inducing)
        np.savez(test, x=data["x_test"], y=data["y_test"])
    lengthscale = LENGTHSCALES[d] * 1.5
    one = {"lengthscale": lengthscale.tolist(), "outputscale": 1.0, "noise_sd": 0.2, "mean": 0.0}
    return arrays, test, [one, {**one, "outputscale": 1.05}]


def _ask(peer: Peer, task: str, arrays: Path, settings: list[dict], options: dict, *, calls: int) -> dict[str, Any]:
    """Return CPU and wall seconds, memory above the data, and what came out; or why nothing did."""
    try:
        worker = Worker(peer, 1)
    except Unavailable as error:
        return {"failed": str(error)}
    try:
        request = {"do": "prepare", "task": task, "arrays": str(arrays), "settings": settings, "options": options}
        held = worker.ask({**request, "kernel": "rbf"}, LIMIT)
        found = worker.run(0, calls, limit=LIMIT)
        kept = {key: value for key, value in found["result"].items() if key != "gradient"}
        memory = max(found["peak"], held["peak"]) - held["held"]
        return {"cpu": found["cpu"], "wall": found["wall"], "memory_mb": memory / 2**20, **kept}
    except Unavailable as error:
        return {"failed": str(error)}
    finally:
        worker.close()


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame, lines = pd.DataFrame(result["rows"]), [*_PREFACE, ""]
    evaluations = frame[frame["measure"] == "evaluation"]
    if len(evaluations):
        lines += [
            "One evaluation of the objective and its gradient:",
            "",
            "| method | inputs | n | CPU s | µs a row | memory (MB) | objective (nats) |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in evaluations.to_dict("records"):
            said = _failure(row) or (
                f"{row['cpu']:.2f} | {1e6 * row['cpu'] / row['n']:.0f} | {row['memory_mb']:.0f} | {row['value']:.2f}"
            )
            lines.append(f"| {row['method']} | {row['d']} | {row['n']:,} | {said} |")
    for (d, n), group in frame[frame["measure"] == "fit"].groupby(["d", "n"]):
        lines += [
            "",
            f"Whole fits, {n:,} rows, {d} inputs (noise sd {NOISE_SD}, which no RMSE can go below):",
            "",
            "| method | CPU s | wall s | memory (MB) | RMSE | NLPD | 95 % coverage |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in group.to_dict("records"):
            scores = row.get("scores")
            said = _failure(row) or (
                f"{row['cpu']:.0f} | {row['wall']:.0f} | {row['memory_mb']:.0f} | {scores['rmse']:.4f} "
                f"| {scores['nlpd']:.3f} | {scores['coverage_95']:.3f}"
            )
            lines.append(f"| {row['method']} | {said} |")
    return "\n".join([*lines, "", machines(result["rows"])])


_PREFACE = [
    f"One core. {INDUCING} inducing inputs, at centres of clusters (the same for all in the first table), "
    f"{NEIGHBOURS} neighbours; ARD-RBF, data drawn from one. In whole fits this library's methods have their own "
    f"stopping rules (svgp at the latest after {EPOCHS} epochs or {SEEN:,} rows); peers start at the same setting and "
    "end when they have had the CPU seconds of the first row. GPyTorch's SVGP and VNNGP run in single precision, as in "
    "its tutorials."
]


def _failure(row: dict[str, Any]) -> str:
    failed = row.get("failed")
    return f"– {failed}" if isinstance(failed, str) else ""
