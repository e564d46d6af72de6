"""Forecasts of series of the M3 competition: a fixed sum and a searched structure, beside statsforecast's methods.

Reads m3.csv in the folder `--tables`: columns series, period, train and test, whose values are separated by `;`.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import gp
from benchmarks.accuracy.options import Options
from benchmarks.environments import Unavailable, interpreter
from benchmarks.machine import describe
from gp.forecast import Forecast
from gp.parallel import fan_out
from gp.series import NAIVE, History, row_scores

ROOT = Path(__file__).parents[2]
SEASONS = {"monthly": 12, "quarterly": 4, "yearly": 1}
COUNT, QUICK = {"monthly": 12, "quarterly": 12, "yearly": 6}, {"monthly": 1, "quarterly": 1, "yearly": 1}
TUNED = {"monthly": 10, "quarterly": 14, "yearly": 0}  # series on which the grammar's score was chosen: not scored here
SCORES = ("mase", "smape", "crps", "coverage_95")
TRAIN = {"kind": "lbfgs", "restarts": 2}
SEARCHED = "the grammar of time series"
OURS: dict[str, dict[str, Any]] = {
    "linear + Matérn-3/2 + seasons": {},
    "the same of log y": {"transform": "log"},
    "the same, transform chosen": {"search": {"transforms": {"none": "none", "log": "log"}}},
    SEARCHED: {"search": {"grammar": "time_series"}},
}


class Series(NamedTuple):
    """A series: its training values and those to forecast, and how many steps a season has."""

    name: str
    period: str
    y: list[float]
    test: list[float]

    @property
    def season(self) -> int:
        """Return how many steps a season has."""
        return SEASONS[self.period]


def run(options: Options) -> dict[str, Any]:
    """Return the scores of every method for each series of a seeded sample."""
    if options.tables is None:
        raise SystemExit('give the folder of m3.csv: BENCH_OPTIONS="--tables FOLDER"')
    machine, chosen = describe(), _sample(options.tables / "m3.csv", QUICK if options.quick else COUNT)
    rows = []
    for method in OURS:
        made = fan_out(_ours, [(method, each) for each in chosen], label=method)
        rows += [_row(method, each, *forecast) for each, forecast in zip(chosen, made, strict=True)]
        print(method, flush=True)
    for method, forecast_by in NAIVE.items():
        for each in chosen:
            history = History(np.arange(len(each.y)), np.array(each.y), each.season)
            ahead = len(each.y) + np.arange(len(each.test))
            rows.append(_row(method.replace("_", " "), each, forecast_by(history, ahead), 0.0))
    missing = ""
    try:
        for method, answers in _statsforecast(chosen).items():
            made = [(Forecast.normal(each["mean"], each["sd"]), each["seconds"]) for each in answers]
            rows += [_row(method, each, *forecast) for each, forecast in zip(chosen, made, strict=True)]
    except Unavailable as error:
        missing = str(error)
    return {"machine": machine, "rows": rows, "missing": missing}


def _sample(path: Path, count: dict[str, int]) -> list[Series]:
    """Return so many series of each period, drawn by the seed 0."""
    table = pd.read_csv(path)
    parts = [
        table[table["period"] == period].sample(TUNED[period] + n, random_state=0).iloc[TUNED[period] :].sort_index()
        for period, n in count.items()
    ]
    values = pd.concat(parts).itertuples()
    return [
        Series(row.series, row.period, *([float(v) for v in part.split(";")] for part in (row.train, row.test)))
        for row in values
    ]


def _ours(method: str, series: Series) -> tuple[Forecast, float]:
    """Return the forecast by one of our models, and the CPU seconds that it took."""
    began = time.process_time()
    x = np.arange(len(series.y) + len(series.test)) / series.season
    terms: dict[str, Any] = {"trend": {"kind": "linear"}, "level": {"kind": "matern", "nu": 1.5}}
    if series.season > 1:
        cycle = {"kind": "periodic", "period_length": {"fixed": 1.0}}
        terms["season"] = {"kind": "product", "factors": {"drift": {"kind": "rbf"}, "cycle": cycle}}
    kernel = {} if method == SEARCHED else {"kernel": {"kind": "sum", "terms": terms}}
    model = {**kernel, **OURS[method]}
    fitted = gp.fit(x[: len(series.y)], np.array(series.y), model=model, train=TRAIN)
    return fitted.predict(x[len(series.y) :]).y, time.process_time() - began


def _statsforecast(chosen: list[Series]) -> dict[str, list[dict[str, Any]]]:
    """Return method → its answers, by a process in an environment of its own.  Raises Unavailable."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "series.json")
        asked = [{"y": each.y, "horizon": len(each.test), "season": each.season} for each in chosen]
        path.write_text(json.dumps(asked), encoding="utf-8")
        command = [str(interpreter("statsforecast")), "-m", "benchmarks.peers.statsforecast", str(path)]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"it does not run: {error.stderr.strip().splitlines()[-1:]}") from None
        return dict(json.loads(done.stdout.splitlines()[-1]))


def _row(method: str, series: Series, forecast: Forecast, seconds: float) -> dict[str, Any]:
    scale = History(np.arange(len(series.y)), np.array(series.y), series.season).scale
    scores = row_scores(np.array(series.test), forecast, np.full(len(series.test), scale))
    means = {name: float(scores[name].mean()) for name in SCORES}
    # In units of the series' scale, so that series can be averaged.
    return {"method": method, "series": series.name, "period": series.period, "seconds": seconds, **means} | {
        "crps": means["crps"] / scale
    }


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame = pd.DataFrame(result["rows"])
    counts = frame.drop_duplicates("series").groupby("period", sort=False).size()
    sample = ", ".join(f"{n} {period}" for period, n in counts.items())
    lines = [
        f"Means over {sample} series. MASE and CRPS in units of the mean absolute change from season to season before "
        "the forecast; sMAPE and coverage in per cent. CPU seconds a series.",
        "",
        "| period | method | MASE | CRPS | sMAPE | inside 95 % | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for period, part in frame.groupby("period", sort=False):
        means = part.groupby("method", sort=False)[[*SCORES, "seconds"]].mean()
        for method, row in means.iterrows():
            best = {name: "**" if row[name] == means[name].min() else "" for name in ("mase", "crps", "smape")}
            cells = [f"{best[name]}{row[name]:.3g}{best[name]}" for name in ("mase", "crps", "smape")]
            lines.append(
                f"| {period} | {method} | {' | '.join(cells)} | {100 * row['coverage_95']:.0f} | {row['seconds']:.2g} |"
            )
    if result["missing"]:
        lines += ["", f"statsforecast took no part: {result['missing']}"]
    return "\n".join(lines)
