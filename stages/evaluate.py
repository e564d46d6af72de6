"""Score a study's predictions: metrics.json, and calibration.csv over held-out rows, folds, or else left-out rows.

horizons.csv has the scores of forecasts from rolling origins by their horizon, beside those of simple methods.
For `dvc plots`, residuals.csv has the left-out rows, and posterior.csv the curve over one input.  check.json has the
sentences of the check of predictions, and one for each term of a sum of kernels.  If the stage synthesize wrote a
baseline, it is scored too.  terms.csv has a row for each term of a sum of kernels (gp.structure.terms).
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np
import pandas as pd

from gp.baselines import baselines_of, by_fold
from gp.check import Judged, check
from gp.dataset import Dataset
from gp.far_means import QUANTILES
from gp.forecast import Forecast
from gp.new_rows import PREDICTED
from gp.posterior import BAND, Posterior
from gp.scores import calibration, circle_scores, score, study_scores, trivial_forecast
from gp.series import Plan, summary
from gp.spec import Spec
from gp.structure import sentences, terms
from stages import folder, run, write_json

STRUCTURES = 5  # of a search by a grammar; fit.json has all that were fitted
PLACES = 3  # decimal places of a sensitivity over y's standard deviation


class Params(Spec):
    """What this stage reads of a study: nothing but what earlier stages wrote."""


def main(study: str, params: Params, out: Path) -> None:
    """Write the scores together with the fit's own numbers, in one file that Git tracks."""
    rows, learnt, predicted = (folder(study, stage) for stage in ("synthesize", "train", "predict"))
    train = Dataset.load(rows / "train.csv")
    fit, names = (json.loads(path.read_text("utf-8")) for path in (learnt / "fit.json", rows / "names.json"))
    trivial, left_out = trivial_forecast(train), Forecast.load(predicted / "loo.csv")
    methods = baselines_of(train)
    judged = Judged(
        rows="left-out",
        x=train.x,
        observed=train.observed,
        forecast=left_out,
        shared=np.zeros(train.n),
        train=train,
        left_out=left_out,
        baselines={},
        target=names["target"],
        hyperparameters=fit["fit"]["hyperparameters"],
        inference=fit["inference"],
        ahead=_ahead(predicted),
    )
    metrics = {"fit": fit["fit"], "certificate": fit["certificate"]}
    if "search" in fit:
        fit["search"] = _weighted(fit["search"], predicted / "structures.json")
        metrics["search"] = _best(fit["search"])
    metrics |= {"gap_to_exact": fit["gap_to_exact"]} if "gap_to_exact" in fit else {}
    drawn = fit.get("alarms_of_draws", [])
    if (sampling := predicted / "sampling.json").exists():
        sampled = json.loads(sampling.read_text(encoding="utf-8"))
        drawn = sampled["alarms"]  # of the draws that predictions are made at, instead of those that train made
        metrics["sampling"] = sampled | {"alarms": len(drawn)}
    metrics["certificate"] = fit["certificate"] | {"alarms": fit["certificate"].get("alarms", 0) + len(drawn)}
    metrics["loo"] = {"n": train.n, **score(train.observed, left_out, trivial)}
    if (predicted / "folds.csv").exists():
        folds, forecast = pd.read_csv(rows / "folds.csv")["fold"].to_numpy(), Forecast.load(predicted / "folds.csv")
        metrics["folds"] = {"n": train.n, **score(train.observed, forecast, trivial)}
        others = {name: by_fold(method, train, folds) for name, method in methods.items()}
        judged = replace(judged, rows="cross-validated", forecast=forecast, baselines=others)
    by_horizon = pd.DataFrame(columns=["method", "ahead"])  # none, without rolling origins
    if (rows / "test.csv").exists():
        test, posterior = Dataset.load(rows / "test.csv"), Posterior.load(predicted / "test.csv")
        metrics |= study_scores(posterior, train, test)
        on_circle = test.f is not None and set(names.get("periods", {})) == set(train.columns)
        if on_circle:
            of_truth = {"truth_error": names["truth_error"]} if "truth_error" in names else {}
            metrics["circle"] = circle_scores(posterior, test) | of_truth
        if (predicted / "origins.csv").exists():
            plan = Plan.of(names, test)
            season, by_method = plan.score(train, Forecast.load(predicted / "origins.csv"))
            metrics["forecast"] = {"n": len(plan.observed), "season": season, **summary(by_method)}
            by_horizon = plan.by_horizon(by_method)
        if (rows / "baseline.csv").exists():
            facts = names["baseline"]["facts"]
            rival = Posterior.load(rows / "baseline.csv")
            metrics["baseline"] = facts | study_scores(rival, train, test)
            if on_circle:
                metrics["baseline"]["circle"] = circle_scores(rival, test)
        if test.y is not None:
            others = {name: method(train).predict(test.x) for name, method in methods.items()}
            shared, forecast = (posterior.sd_f / posterior.sd_y) ** 2, posterior.y
            judged = replace(judged, rows="held-out", x=test.x, observed=test.y, forecast=forecast, shared=shared)
            judged = replace(judged, baselines=others)
    if not judged.baselines:
        left = {name: method(train).leave_one_out() for name, method in methods.items()}
        judged = replace(judged, baselines=left)
    observed = judged.observed
    metrics["baselines"] = {
        name: {"n": len(observed), **score(observed, forecast, trivial)} for name, forecast in judged.baselines.items()
    }
    if (sensitivity := predicted / "sensitivity.csv").exists():
        sd, moved = float(np.std(train.observed)) or 1.0, pd.read_csv(sensitivity, dtype={"input": str})
        # Of an input that changes next to nothing, rounding decides the digits.
        steps = dict(zip(moved["input"], moved["sensitivity"], strict=True))
        metrics["sensitivity"] = {name: round(value / sd, PLACES) * sd for name, value in steps.items()}
    table = terms(fit, train.columns)
    if len(table):
        columns = table.set_index("term")[["share", "nats", "probability"]].dropna(axis="columns")
        metrics["terms"] = columns.to_dict("index")
    metrics["check"], findings = check(judged)
    calibration(observed, judged.forecast).to_csv(out / "calibration.csv", index=False, lineterminator="\n")
    table.to_csv(out / "terms.csv", index=False, lineterminator="\n")
    by_horizon.to_csv(out / "horizons.csv", index=False, lineterminator="\n")
    copyfile(predicted / "loo.csv", out / "residuals.csv")
    _curve(predicted / "grid.csv").to_csv(out / "posterior.csv", index=False, lineterminator="\n")
    found = sentences(fit, train.columns, names.get("dates", ()))
    write_json(out / "check.json", {"findings": findings, **({"structure": found} if found else {})})
    write_json(out / "metrics.json", metrics)
    for sentence in found:
        print(f"{study}: {sentence}")
    for finding in findings:
        print(f"CHECK: {study}: {finding}")


def _ahead(predicted: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return mean and quantiles of the forecasts of rows whose y is not known, as the stage predict wrote them."""
    found = {}
    for rows, name, before in (("forecasts", "forecast.csv", ""), ("new rows", "new.csv", PREDICTED)):
        if (predicted / name).exists():
            columns = [f"{before}{key}" for key in ("mean", *QUANTILES)]
            table = pd.read_csv(predicted / name, usecols=columns)
            found[rows] = {key.removeprefix(before): table[key].to_numpy() for key in columns}
    return found


def _weighted(search: dict[str, dict[str, float]], structures: Path) -> dict[str, dict[str, float]]:
    """Return the ranking with the weights that predictions were made by; without any where by the best kernel alone."""
    plain = {name: {key: value for key, value in of.items() if key != "weight"} for name, of in search.items()}
    others = json.loads(structures.read_text(encoding="utf-8")) if structures.exists() else {}
    if not others:
        return plain
    weights = {min(plain, key=lambda name: plain[name]["rank"]): 1.0 - sum(others.values()), **others}
    return {name: {**of, "weight": weights.get(name, 0.0)} for name, of in plain.items()}


def _best(search: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the best structures of those that a grammar made, and those that have weight; of named kernels, all."""
    few = {name for name, of in search.items() if of["rank"] <= STRUCTURES or of.get("weight", 0.0) > 0}
    return {name: of for name, of in search.items() if "evidence" not in of or name in few}


def _curve(grid: Path) -> pd.DataFrame:
    """Return the posterior over one input under names that are the same for every study; no rows for several."""
    found = Posterior.load(grid) if grid.exists() else None
    if found is None or found.x.shape[1] > 1:
        return pd.DataFrame(columns=["x", "mean", "sd_y", *BAND])
    band = {name: found.y.quantile(share) for name, share in BAND.items()}
    return pd.DataFrame({"x": found.x[:, 0], "mean": found.mean, "sd_y": found.sd_y, **band})


if __name__ == "__main__":
    sys.exit(run("evaluate", Params, main))
