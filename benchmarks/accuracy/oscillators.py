"""Coupled oscillators: learnt coupling functions against the truth, beside Fourier series of chosen and fixed order."""

import math
import time
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.accuracy.options import Options
from benchmarks.machine import describe
from gp.data import Data
from gp.data.oscillators.fourier import fit_fourier
from gp.fitted.fit import fit_dataset
from gp.inference.harmonic import Harmonic
from gp.model.model import Model
from gp.parallel import fan_out
from gp.spec import parse
from gp.training import Train

SEEDS = 24
PAIRS = {"van_der_pol": "van der Pol", "fitzhugh_nagumo": "FitzHugh–Nagumo"}
CIRCLES: dict[str, list[float] | None] = {"full": None, "half": [0.0, math.pi]}
CASES = [
    *((kind, receiver, circle) for kind, receiver, circle in product(PAIRS, (1, 2), CIRCLES)),
    *(("phase", receiver, "full") for receiver in (1, 2, 3)),
]
METHODS = {"gp": "GP", "evidence": "Fourier, order by evidence", "order10": "Fourier, order 10"}


def run(options: Options) -> dict[str, Any]:
    """Return errors, coverage and CPU seconds of every method, case and seed."""
    machine = describe()
    cases = [case for case in CASES if not options.only or case[0] in options.only]
    tasks = [(*case, seed) for case in cases for seed in range(2 if options.quick else SEEDS)]
    rows = [row for rows in fan_out(_compare, tasks, label="oscillators") for row in rows]
    return {"machine": machine, "rows": rows}


def _compare(kind: str, receiver: int, circle: str, seed: int) -> list[dict[str, Any]]:
    written = {"kind": "oscillators", "system": {"kind": kind}, "receiver": receiver, "arc": CIRCLES[circle]}
    source = parse(Data, {k: v for k, v in written.items() if v is not None}, "data")
    train, test = source.sample(seed)
    arc = CIRCLES[circle]
    on = np.ones(test.n, dtype=bool) if arc is None else (test.x <= arc[1]).all(axis=1)
    rows = []
    for method, predict in PREDICT.items():
        began = time.process_time()
        mean, sd = predict(train, test)
        error = mean - test.f
        covered = np.abs(error) <= 2 * sd
        rows.append(
            {
                "system": kind,
                "receiver": receiver,
                "circle": circle,
                "seed": seed,
                "n": train.n,
                "method": method,
                "seconds": time.process_time() - began,
                "rmse": float(np.sqrt(np.mean(error**2))),
                "centred": float(np.std(error)),
                "max_error": float(np.abs(error).max()),
                "coverage": float(covered[on].mean()),
                "coverage_off": None if on.all() else float(covered[~on].mean()),
            }
        )
    return rows


def _by_gp(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    angle = {"kind": "periodic", "period_length": {"fixed": 2 * math.pi}}
    model = {"kernel": {"kind": "sum", "terms": {name: {**angle, "columns": [name]} for name in train.columns}}}
    specs = {"model": parse(Model, model, "model"), "inference": Harmonic(), "train": parse(Train, {}, "train")}
    fitted = fit_dataset(train, seed=0, **specs)
    posterior = fitted.predict(pd.DataFrame(test.x, columns=list(test.columns)))
    return posterior.mean, posterior.sd_f


PREDICT = {
    "gp": _by_gp,
    "evidence": lambda train, test: fit_fourier(train.x, train.y, step=train.step).predict(test.x),
    "order10": lambda train, test: fit_fourier(train.x, train.y, 10, train.step).predict(test.x),
}


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame = pd.DataFrame(result["rows"])
    seeds = frame["seed"].nunique()
    lines = [
        f"ω + Γ against theory (the adjoint method) on a grid around the circle, {seeds} seeds: RMSE in 10⁻³ radians "
        "per unit of time, mean (least–most), the best in bold; then max error likewise, and the share of the grid "
        "within ±2 sd. GP: additive periodic kernels, period held at 2π, harmonic inference. Seconds of CPU are "
        "of one fit and prediction.",
        "",
        "| system, receiver | circle | n | " + " | ".join(METHODS.values()) + " |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (system, receiver, circle), of in frame.groupby(["system", "receiver", "circle"], sort=False):
        means = {m: of[of["method"] == m]["rmse"].mean() for m in METHODS}
        cells = [_cell(of[of["method"] == m], best=means[m] == min(means.values())) for m in METHODS]
        name = PAIRS.get(system, "three phase oscillators")
        lines.append(f"| {name}, {receiver} | {circle} | {of['n'].mean():.0f} | " + " | ".join(cells) + " |")
    seconds = {m: frame[frame["method"] == m]["seconds"].median() for m in METHODS}
    said = ", ".join(f"{METHODS[m]} {value:.3f}" for m, value in seconds.items())
    return "\n".join([*lines, "", f"Median seconds: {said}.", "", *_losses(frame)])


def _cell(of: pd.DataFrame, *, best: bool) -> str:
    rmse = 1e3 * of["rmse"]
    text = f"{rmse.mean():.2f}"
    text = f"**{text}**" if best else text
    spread, largest = f"{rmse.min():.2f}–{rmse.max():.2f}", 1e3 * of["max_error"].mean()
    return f"{text} ({spread}); max {largest:.1f}; {of['coverage'].mean():.0%}"


def _losses(frame: pd.DataFrame) -> list[str]:
    """Return a sentence on where the baseline is ahead, from the numbers alone, paired by seed."""
    lost = []
    for (system, receiver, circle), of in frame.groupby(["system", "receiver", "circle"], sort=False):
        by = of.pivot(index="seed", columns="method", values="rmse")
        gap = by["gp"] - by["evidence"]
        if gap.mean() > 0:
            se = gap.std(ddof=1) / math.sqrt(len(gap))
            doubt = "" if gap.mean() > 2 * se else ", within what seeds explain"
            name = PAIRS.get(system, "three phase oscillators")
            lost.append(f"{name} {receiver}, {circle} circle (by {1e3 * gap.mean():.2f} ± {1e3 * se:.2f}{doubt})")
    if not lost:
        return ["The series of chosen order is nowhere ahead in mean RMSE."]
    return [f"Where the series of chosen order is ahead in mean RMSE: {'; '.join(lost)}."]
