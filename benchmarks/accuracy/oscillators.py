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
        "ω + Γ against the truth (theory and, for pairs, what 600 simulated trials differ from it by) on a grid around "
        f"the circle, {seeds} seeds: RMSE of centred Γ in 10⁻³ radians per unit of time, mean (least–most), the best "
        "in bold; then that of ω + Γ, and the share of the grid within ±2 sd, on the sampled arc / off it. GP: "
        "additive periodic kernels, period held at 2π, harmonic inference, as a study has them by default. "
        "All methods take rows as means along their steps. Seconds of CPU are of one fit and prediction.",
        "",
        "| system, receiver | circle | n | " + " | ".join(METHODS.values()) + " |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (system, receiver, circle), of in frame.groupby(["system", "receiver", "circle"], sort=False):
        means = {m: of[of["method"] == m]["centred"].mean() for m in METHODS}
        cells = [_cell(of[of["method"] == m], best=means[m] == min(means.values())) for m in METHODS]
        name = PAIRS.get(system, "three phase oscillators")
        lines.append(f"| {name}, {receiver} | {circle} | {of['n'].mean():.0f} | " + " | ".join(cells) + " |")
    by_method = frame.groupby("method")
    seconds = ", ".join(
        f"{METHODS[m]} {value:.3f}" for m, value in by_method["seconds"].median()[list(METHODS)].items()
    )
    told = []
    for name, column in (("on the sampled arc", "coverage"), ("off it", "coverage_off")):
        means = by_method[column].mean()
        told.append(f"{name} " + ", ".join(f"{METHODS[m]} {means[m]:.1%}" for m in METHODS))
    covered = f"Mean coverage of ±2 sd: {'; '.join(told)}."
    return "\n".join([*lines, "", covered, "", f"Median seconds: {seconds}.", "", *_losses(frame)])


def _cell(of: pd.DataFrame, *, best: bool) -> str:
    centred = 1e3 * of["centred"]
    text = f"{centred.mean():.2f}"
    text = f"**{text}**" if best else text
    off = of["coverage_off"].dropna()
    covered = f"{of['coverage'].mean():.0%}" + (f" / {off.mean():.0%}" if len(off) else "")
    return f"{text} ({centred.min():.2f}–{centred.max():.2f}); {1e3 * of['rmse'].mean():.2f}; {covered}"


def _losses(frame: pd.DataFrame) -> list[str]:
    """Return a sentence on where the baseline is ahead, from the numbers alone, paired by seed."""
    lost = []
    for (system, receiver, circle), of in frame.groupby(["system", "receiver", "circle"], sort=False):
        by = of.pivot(index="seed", columns="method", values="centred")
        gap = by["gp"] - by["evidence"]
        if gap.mean() > 0:
            se = gap.std(ddof=1) / math.sqrt(len(gap))
            doubt = "" if gap.mean() > 2 * se else ", within what seeds explain"
            name = PAIRS.get(system, "three phase oscillators")
            lost.append(f"{name} {receiver}, {circle} circle (by {1e3 * gap.mean():.2f} ± {1e3 * se:.2f}{doubt})")
    if not lost:
        return ["The series of chosen order is nowhere ahead in mean RMSE of centred Γ."]
    return [f"Where the series of chosen order is ahead in mean RMSE of centred Γ: {'; '.join(lost)}."]
