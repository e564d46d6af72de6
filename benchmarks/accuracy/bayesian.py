"""Integration over hyperparameters beside a published exact GP whose hyperparameters are sampled by HMC."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import gp
from benchmarks.accuracy.options import Options
from benchmarks.accuracy.uci import read
from benchmarks.machine import describe, machines
from gp.parallel import fan_out
from gp.scores import score
from gp.spec import InputError

SPLITS, HELD_OUT = 10, 0.2
MODEL = {"kernel": {"kind": "rbf", "ard": True}}
TREATMENTS = ("plug_in", "laplace")


class Published(NamedTuple):
    """Mean NLPD and its standard error, y in its own units, and seconds a split: GPR + HMC, ten draws after fifty.

    benchmarks_nlpd_main.csv and sampler_runtimes.csv of github.com/vr308/Generalised-Gaussian-Processes (Lalchand,
    Bruinsma, Burt & Rasmussen 2022, "Sparse Gaussian process hyperparameters: optimize or integrate?").
    """

    nlpd: float
    error: float
    seconds: float


PUBLISHED = {
    "yacht": Published(0.213, 0.131, 10.19),
    "energy": Published(0.57, 0.03, 89.92),
    "concrete": Published(2.96, 0.02, 252.16),
}


def run(options: Options) -> dict[str, Any]:
    """Return the scores on every split of the tables in the folder `options.tables`."""
    if options.tables is None:
        raise InputError("--tables: name the folder with <table>/data.csv.gz, test_mask.csv.gz")
    rows = []
    for name in PUBLISHED:
        if not options.only or name in options.only:
            machine, splits = describe(), range(1 if options.quick else SPLITS)
            found = fan_out(_split, [(options.tables.resolve(), name, split) for split in splits], label=name)
            rows += [{"group": name, "machine": machine, **row} for of_split in found for row in of_split]
    return {"rows": rows}


def _split(folder: Path, name: str, split: int) -> list[dict[str, Any]]:
    """Return a random split's scores, hyperparameters plugged in and integrated over, each with its CPU seconds."""
    x, y, _ = read(folder, name)
    order, cut = np.random.default_rng(split).permutation(len(y)), round((1 - HELD_OUT) * len(y))
    train, test = order[:cut], order[cut:]
    began, rows = time.process_time(), []
    fitted = gp.fit(x[train], y[train], model=MODEL)
    of_fit = time.process_time() - began
    for treatment in TREATMENTS:
        began = time.process_time()
        found = score(y[test], fitted.predict(x[test], hyperparameters={"kind": treatment}).y)
        seconds = of_fit + time.process_time() - began
        scores = {key: found[key] for key in ("nlpd", "rmse", "coverage_95")}
        rows.append({"split": split, "hyperparameters": treatment, **scores, "cpu_seconds": seconds})
    return rows


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    lines = [
        f"ARD-RBF, {1 - HELD_OUT:.0%} of the rows for training; means over {SPLITS} random splits ± their standard "
        "error, y in its own units. *Published*, in italics: an exact GP whose hyperparameters are sampled by HMC (50 "
        "warm-up steps, 10 draws), from the files of vr308/Generalised-Gaussian-Processes. Its splits and machine are "
        "others, its seconds are wall time, and its NLPD is that of all test rows jointly, divided by their number, "
        "and a mean over draws; here it is that of each row's mixture. So these figures place a row.",
        "",
        "| table | hyperparameters | NLPD | RMSE | 95 % coverage | seconds | published seconds over these |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, of_table in pd.DataFrame(result["rows"]).groupby("group", sort=False):
        published = PUBLISHED[str(name)]
        for treatment, of in of_table.groupby("hyperparameters", sort=False):
            error, seconds = of["nlpd"].std() / np.sqrt(len(of)), of["cpu_seconds"].mean()
            lines.append(
                f"| {name} | {treatment} | {of['nlpd'].mean():.3f} ± {error:.3f} | {of['rmse'].mean():.3f} "
                f"| {of['coverage_95'].mean():.3f} | {seconds:.2f} | {published.seconds / seconds:.0f} |"
            )
        lines.append(
            f"| *{name}* | *HMC* | {published.nlpd:.3f} ± {published.error:.3f} | – | – | {published.seconds:.0f} |  |"
        )
    return "\n".join([*lines, "", machines(result["rows"])])
