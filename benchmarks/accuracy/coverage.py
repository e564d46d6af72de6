"""Do bands of approximations hold?  Coverage beside an exact fit to the same rows, and on tables made to be hard."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gp
from benchmarks.accuracy.options import Options
from benchmarks.accuracy.uci import KERNELS, read
from benchmarks.machine import describe, machines
from gp.fitted.gap import gap_to_exact
from gp.scores import score
from gp.spec import kind_of

TABLES = ("kin40k", "bike", "elevators")
SPLIT, ROWS, QUICK = 0, 3000, 300  # of the published splits; rows that an exact fit is affordable for
LEVELS = (50, 80, 95)
METHODS: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "sgpr": {"kind": "sgpr"},
    "svgp": {"kind": "svgp", "epochs": 60},
    "vecchia": {"kind": "vecchia"},
}
SMOOTH, HOURS = "smooth function in much noise", "rows at few inputs"


def run(options: Options) -> dict[str, Any]:
    """Return what every method's bands hold: `ROWS` rows of each table, all rows (not exact), and what is made here.

    `options.only` names groups: kin40k/3000, kin40k/all, a table, or a table made here.
    """
    rows: list[dict[str, Any]] = []
    for name in TABLES if options.tables else ():
        for size in (QUICK,) if options.quick else (ROWS, "all"):
            if not options.only or {name, f"{name}/{size}"} & set(options.only):
                rows += _of_table(Path(str(options.tables)), name, size)
    for name in (SMOOTH, HOURS):
        if not options.only or name in options.only:
            rows.append({"group": name, "machine": describe(), **_made(name, quick=options.quick)})
    return {"rows": rows}


def _of_table(folder: Path, name: str, size: int | str) -> list[dict[str, Any]]:
    """Return a row of each method on `size` of the training rows of a table."""
    x, y, mask = read(folder, name)
    train, test = np.flatnonzero(~mask[:, SPLIT]), np.flatnonzero(mask[:, SPLIT])
    if isinstance(size, int):
        train = np.sort(np.random.default_rng(0).choice(train, size, replace=False))
    found = []
    for method, inference in METHODS.items():
        if method == "exact" and size == "all":
            continue
        began = time.process_time()
        fitted = gp.fit(x[train], y[train], model={"kernel": KERNELS["matern32"]}, inference=inference)
        scores = score(y[test], fitted.predict(x[test]).y)
        found.append({"group": f"{name}/{size}", "machine": describe(), "rows": len(train), "method": method})
        found[-1] |= {f"coverage_{level}": scores[f"coverage_{level}"] for level in LEVELS}
        scale = float(y[train].std())
        found[-1] |= {
            "nlpd": scores["nlpd"] - float(np.log(scale)),
            "rmse": scores["rmse"] / scale,
            "noise": float(fitted.hyperparameters["noise.sd"]) / scale,
            "seconds": time.process_time() - began,
        }
        print(found[-1], flush=True)
    return found


def _made(name: str, *, quick: bool) -> dict[str, Any]:
    """Return what `auto` takes, how far it is from the truth, and what it reports, on a table made here."""
    rng = np.random.default_rng(0)
    n = (1200 if quick else 6000) if name == SMOOTH else (1500 if quick else 20_000)
    x = rng.uniform(0, 10, n) if name == SMOOTH else rng.integers(0, 24, n).astype(float)
    noise, at = 1.0 if name == SMOOTH else 0.5, np.linspace(x.min(), x.max(), 500 if name == SMOOTH else 24)

    def truth(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(x) + 0.3 * np.cos(2 * x) if name == SMOOTH else np.sin(2 * np.pi * x / 24))

    y, model = truth(x) + noise * rng.normal(size=n), {"kernel": KERNELS["rbf"]}
    fitted = gp.fit(x, y, model=model, inference={"kind": "auto"})
    found = fitted.predict(at)
    gap = gap_to_exact(fitted, 0)
    inside = np.abs(found.mean - truth(at)) < 1.96 * found.sd_f
    return {
        "method": kind_of(type(fitted.inference)),
        "why": fitted.why,
        "rows": n,
        "rmse": float(np.sqrt(np.mean((found.mean - truth(at)) ** 2))),
        "sd_f": float(np.sqrt(np.mean(found.sd_f**2))),
        "coverage_95": float(inside.mean()),
        "gap": None if gap is None else gap.nlpd,
    }


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame, lines = pd.DataFrame(result["rows"]), [_PREFACE, ""]
    lines += ["| table | rows | method | 50 / 80 / 95 % | NLPD | RMSE | noise sd | CPU s |", f"|{' --- |' * 8}"]
    made = frame["group"].isin([SMOOTH, HOURS])
    for row in frame[~made].to_dict("records"):
        shares = " / ".join(f"{row[f'coverage_{level}']:.3f}" for level in LEVELS)
        lines.append(
            f"| {row['group'].split('/')[0]} | {row['rows']} | {row['method']} | {shares} | {row['nlpd']:.3f} "
            f"| {row['rmse']:.3f} | {row['noise']:.3f} | {row['seconds']:.0f} |"
        )
    for row in frame[made].to_dict("records"):
        gap = "none, as it is exact" if pd.isna(row["gap"]) else f"{row['gap']:.4f} nats a row"
        lines += [
            "",
            f"{row['group'].capitalize()} ({row['rows']} rows of one input): `auto` takes {row['method']}; the mean is "
            f"{row['rmse']:.3f} (root mean square) from the truth, where sd_f is {row['sd_f']:.3f}; 95 % intervals of "
            f"the function hold {row['coverage_95']:.3f}; the reported gap to exact: {gap}.",
        ]
    return "\n".join([*lines, "", machines(result["rows"])])


_PREFACE = (
    "Share of held-out rows inside intervals of a new observation, Matérn-3/2 with ARD, the first published split; "
    f"NLPD, RMSE and noise of y standardised. With {ROWS} training rows an exact fit to the same rows stands beside "
    "the approximations: what both have in common is the model's, and the rest is the approximation's. Predictions are "
    "by the default rule."
)
