"""Score a study's predictions: metrics.json, and calibration.csv over held-out rows, folds, or else left-out rows.

residuals.csv has the left-out rows, for `dvc plots`.  If the stage synthesize wrote a baseline, it is scored too.
"""

import json
import sys
from pathlib import Path
from shutil import copyfile

from gp.dataset import Dataset
from gp.forecast import Forecast
from gp.posterior import Posterior
from gp.scores import calibration, score, study_scores, trivial_forecast
from gp.spec import Spec
from stages import folder, run, write_json


class Params(Spec):
    """What this stage reads of a study: nothing but what earlier stages wrote."""


def main(study: str, params: Params, out: Path) -> None:
    """Write the scores together with the fit's own numbers, in one file that Git tracks."""
    rows, learnt = folder(study, "synthesize"), folder(study, "train")
    train = Dataset.load(rows / "train.csv")
    fit = json.loads((learnt / "fit.json").read_text(encoding="utf-8"))
    observed, forecast = train.observed, Forecast.load(folder(study, "predict") / "loo.csv")
    loo = {"n": train.n, **score(observed, forecast, trivial_forecast(train))}
    metrics = {"fit": fit["fit"], "certificate": fit["certificate"], "loo": loo}
    metrics |= {name: fit[name] for name in ("search", "gap_to_exact") if name in fit}
    if (folds := folder(study, "predict") / "folds.csv").exists():
        forecast = Forecast.load(folds)
        metrics["folds"] = {"n": train.n, **score(observed, forecast, trivial_forecast(train))}
    if (sampling := folder(study, "predict") / "sampling.json").exists():
        sampled = json.loads(sampling.read_text(encoding="utf-8"))
        metrics["sampling"] = sampled | {"alarms": len(sampled["alarms"])}
    if (rows / "test.csv").exists():
        test = Dataset.load(rows / "test.csv")
        posterior = Posterior.load(folder(study, "predict") / "test.csv")
        metrics |= study_scores(posterior, train, test)
        if (rows / "baseline.csv").exists():
            baseline = Posterior.load(rows / "baseline.csv")
            facts = json.loads((rows / "names.json").read_text(encoding="utf-8"))["baseline"]["facts"]
            metrics["baseline"] = facts | study_scores(baseline, train, test)
        if test.y is not None:
            observed, forecast = test.y, posterior.y
    calibration(observed, forecast).to_csv(out / "calibration.csv", index=False, lineterminator="\n")
    copyfile(folder(study, "predict") / "loo.csv", out / "residuals.csv")
    write_json(out / "metrics.json", metrics)


if __name__ == "__main__":
    sys.exit(run("evaluate", Params, main))
