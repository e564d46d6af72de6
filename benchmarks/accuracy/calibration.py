"""Do intervals hold what they say?  Simulated data of known hyperparameters, and small public tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kstest

import gp
from benchmarks.accuracy.options import Options
from benchmarks.machine import describe
from gp.parallel import fan_out
from gp.scores import score

REPEATS, QUICK, TESTED = 100, 8, 50  # data sets of each size; rows predicted in each
SAMPLED = 20  # data sets of each size on which chains are run too: they take most of the time
SIZES, INPUTS = (10, 20, 50, 200), (1, 5)
LEVELS = (50, 80, 95)
PLUG_IN, LAPLACE = {"kind": "plug_in"}, {"kind": "laplace"}
NUTS = {"kind": "nuts", "draws": 250, "warmup": 100, "chains": 2}  # half of the default, of which a table has hundreds
RANKED = 128  # draws by which the truth is ranked
# What data are drawn from: median and sd of the log.  Of five inputs, lengthscales are longer.
PRIOR = {"lengthscale": (0.3, 0.5), "outputscale": (1.0, 0.7), "noise": (0.2, 0.7)}
SPLITS, HELD_OUT = 5, 0.2
TABLES = ("yacht", "energy", "concrete", "diabetes")
RAW = Path(__file__).parents[2] / "data/raw"


def run(options: Options) -> dict[str, Any]:
    """Return coverage of every simulated data set, and scores of every split of the tables (`--tables`, if given)."""
    repeats = QUICK if options.quick else REPEATS
    rows = []
    for d in INPUTS:
        for n in SIZES:
            group = f"d={d}, n={n}"
            if not options.only or group in options.only or "simulated" in options.only:
                found = fan_out(_simulated, [(d, n, seed) for seed in range(repeats)], label=group)
                rows += [row | {"group": group} for row in found]
    for name in TABLES:
        known = options.tables is not None or name == "diabetes"
        if known and (not options.only or name in options.only or "tables" in options.only):
            tasks = [(options.tables, name, split) for split in range(1 if options.quick else SPLITS)]
            rows += [row | {"group": name} for found in fan_out(_table, tasks, label=name) for row in found]
    return {"machine": describe(), "rows": rows}


def _simulated(d: int, n: int, seed: int) -> dict[str, Any]:
    """Return what one data set of n rows says: coverage of intervals and predictions, and the truth's ranks."""
    rng = np.random.default_rng([d, n, seed])
    truth = {name: median * np.exp(sd * rng.normal()) for name, (median, sd) in PRIOR.items()}
    truth["lengthscale"] *= np.sqrt(d)
    level, x = rng.normal(), rng.uniform(size=(n + TESTED, d))
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    covariance = truth["outputscale"] * np.exp(-0.5 * squares / truth["lengthscale"] ** 2)
    covariance[np.diag_indices(len(x))] += truth["noise"] ** 2
    y = level + np.linalg.cholesky(covariance) @ rng.normal(size=len(x))
    at, new = (x[:n], y[:n]), (x[n:], y[n:])
    known = {"mean.value": level, "kernel.lengthscale": truth["lengthscale"], "noise.sd": truth["noise"]}
    known["kernel.outputscale"] = truth["outputscale"]
    found: dict[str, Any] = {}
    plain = {"standardize": {"x": False, "y": False}, "kernel": {"kind": "rbf"}}
    fitted = gp.fit(*at, model=plain)
    treatments = (("interval of ", None), ("nuts interval of ", NUTS)) if seed < SAMPLED else (("interval of ", None),)
    for prefix, kind in treatments:
        intervals = fitted.certify(kind).intervals
        for name, value in known.items():
            low, high = intervals.get(name, (-np.inf, np.inf))  # without an interval, anything is said to be possible
            found[f"{prefix}{name}"] = bool(low <= value <= high)
    exact = {
        "kernel": {"kind": "rbf", "lengthscale": {"fixed": truth["lengthscale"]}},
        "mean": {"kind": "constant", "value": {"fixed": level}},
        "noise": {"kind": "gaussian", "sd": {"fixed": truth["noise"]}},
        "standardize": {"x": False, "y": False},
    }
    exact["kernel"]["outputscale"] = {"fixed": truth["outputscale"]}
    for name, of, kind in (
        ("truth", gp.fit(*at, model=exact), PLUG_IN),
        ("plug_in", fitted, PLUG_IN),
        ("laplace", fitted, LAPLACE),
        *([("nuts", fitted, NUTS)] if seed < SAMPLED else []),
    ):
        scores = score(new[1], of.predict(new[0], hyperparameters=kind).y)
        found |= {f"{name} {level}": scores[f"coverage_{level}"] for level in LEVELS if f"coverage_{level}" in scores}
        found[f"{name} nlpd"] = scores["nlpd"]
    return found | _ranks(at, known, truth["lengthscale"], d)


def _ranks(at: tuple[np.ndarray, np.ndarray], known: dict[str, float], true_scale: float, d: int) -> dict[str, float]:
    """Return each true hyperparameter's place among draws, the model's priors being those that data are drawn from.

    Uniform between 0 and 1 if draws are from the posterior (simulation-based calibration, Talts et al. 2018).
    """

    def stated(name: str) -> dict[str, Any]:
        median, sigma = PRIOR[name]
        median *= np.sqrt(d) if name == "lengthscale" else 1.0
        return {"start": median, "prior": {"kind": "log_normal", "median": median, "sigma": sigma}}

    model = {
        "kernel": {"kind": "rbf", "lengthscale": stated("lengthscale"), "outputscale": stated("outputscale")},
        "noise": {"kind": "gaussian", "sd": stated("noise")},
        "standardize": {"x": False, "y": False},
    }
    fitted = gp.fit(*at, model=model)
    mixture = fitted.mixture({"kind": "laplace", "draws": RANKED})
    names, weights = fitted.gp.parameters.names, mixture.weights[:, 0]
    return {
        f"rank of {name}": float(weights @ (mixture.vectors[:, i] < np.log(known[name])))
        for i, name in enumerate(names)
        if name != "mean.value"
    }


def _table(folder: Path | None, name: str, split: int) -> list[dict[str, Any]]:
    """Return the scores of a split of a table, hyperparameters plugged in and integrated over."""
    if name == "diabetes":
        values = pd.read_csv(RAW / "diabetes.csv").to_numpy(dtype=float)
    else:
        values = pd.read_csv(Path(str(folder)) / name / "data.csv.gz", header=None).to_numpy(dtype=float)
    order = np.random.default_rng(split).permutation(len(values))
    cut = round((1 - HELD_OUT) * len(values))
    (x, y), (new, observed) = ((part[:, :-1], part[:, -1]) for part in (values[order[:cut]], values[order[cut:]]))
    fitted, rows = gp.fit(x, y, model={"kernel": {"kind": "matern", "nu": 1.5, "ard": True}}), []
    for kind in (PLUG_IN, LAPLACE):
        found = score(observed, fitted.predict(new, hyperparameters=kind).y)
        rows.append({"kind": kind["kind"], **{key: found[key] for key in ("nlpd", "rmse", "coverage_95")}})
    return rows


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame = pd.DataFrame(result["rows"])
    simulated = frame[frame["group"].str.startswith("d=")]
    parts = []
    if len(simulated):
        parts += [_coverages(simulated), _intervals(simulated)]
    scored = frame[~frame["group"].str.startswith("d=")]
    if len(scored):
        parts.append(_scores(scored))
    return "\n\n".join(parts)


def _coverages(frame: pd.DataFrame) -> str:
    kinds = [kind for kind in ("truth", "plug_in", "laplace", "nuts") if f"{kind} nlpd" in frame]
    chains = f", chains (`nuts`) on the first {SAMPLED}" if "nuts" in kinds else ""
    lines = [
        f"Simulated: hyperparameters of an RBF kernel from log-normal distributions, data from these; "
        f"{_counts(frame)} data sets of a size{chains}; {TESTED} new rows of each. "
        "Share of new rows inside their 50 / 80 / 95 % intervals, and NLPD (median over data sets, as plug-in's mean "
        "is that of its worst).",
        "",
        f"| data | {' | '.join(kinds)} | NLPD {' | '.join(kinds)} |",
        f"| --- |{' --- |' * 2 * len(kinds)}",
    ]
    for group, of in frame.groupby("group", sort=False):
        shares = [" / ".join(f"{of[f'{kind} {level}'].mean():.2f}" for level in LEVELS) for kind in kinds]
        nlpd = [f"{of[f'{kind} nlpd'].median():.3f}" for kind in kinds]
        lines.append(f"| {' | '.join([str(group), *shares, *nlpd])} |")
    return "\n".join(lines)


def _counts(frame: pd.DataFrame, rows: int = 1) -> str:
    """Return the fewest and the most data sets of a group, of so many rows each."""
    sizes = frame.groupby("group").size() // rows
    return f"{sizes.min()} to {sizes.max()}" if sizes.min() < sizes.max() else str(sizes.max())


def _intervals(frame: pd.DataFrame) -> str:
    names = [column.removeprefix("interval of ") for column in frame if column.startswith("interval of ")]
    ranked = [column.removeprefix("rank of ") for column in frame if column.startswith("rank of ")]
    lines = [
        "Share of the certificate's 95 % intervals that hold the truth; in brackets, where the model states the priors "
        "that data are drawn from, the p-value (Kolmogorov–Smirnov) of the truth's ranks among weighted draws being "
        "uniform.",
        "",
        f"| data | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    for group, of in frame.groupby("group", sort=False):
        cells = [f"{of[f'interval of {name}'].mean():.2f}" for name in names]
        for i, name in enumerate(names):
            if f"nuts interval of {name}" in of:
                cells[i] += f", nuts {of[f'nuts interval of {name}'].mean():.2f}"
            if name in ranked:
                cells[i] += f" ({kstest(of[f'rank of {name}'], 'uniform').pvalue:.2g})"
        lines.append(f"| {' | '.join([str(group), *cells])} |")
    return "\n".join(lines)


def _scores(frame: pd.DataFrame) -> str:
    lines = [
        f"Tables, {_counts(frame, 2)} random splits, {HELD_OUT:.0%} held out, Matérn-3/2 with ARD: means over splits.",
        "",
        "| table | hyperparameters | NLPD | RMSE | 95 % coverage |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (group, kind), of in frame.groupby(["group", "kind"], sort=False):
        lines.append(
            f"| {group} | {kind} | {of['nlpd'].mean():.3f} | {of['rmse'].mean():.4g} | {of['coverage_95'].mean():.3f} |"
        )
    return "\n".join(lines)
