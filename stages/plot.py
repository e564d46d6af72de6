"""Draw a study's figures, each as SVG and PNG."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from gp.dataset import Dataset
from gp.fourier import fourier_baseline
from gp.plots import Study, draw_all, save
from gp.posterior import Posterior
from gp.spec import Spec
from stages import folder, run


class Plot(Spec):
    """How figures are drawn: `interval` is the probability of every band."""

    interval: Annotated[float, Field(gt=0, lt=1)] = 0.95


class Params(Spec):
    """What this stage reads of a study."""

    plot: Plot


def main(study: str, params: Params, out: Path) -> None:
    """Draw what applies to this study."""
    rows, predicted = folder(study, "synthesize"), folder(study, "predict")
    names = json.loads((rows / "names.json").read_text(encoding="utf-8"))
    fit = json.loads((folder(study, "train") / "fit.json").read_text(encoding="utf-8"))
    train, periods = Dataset.load(rows / "train.csv"), names.get("periods", {})
    test = Dataset.load(rows / "test.csv") if (rows / "test.csv").exists() else None
    drawn = Study(
        train=train,
        target=names["target"],
        test=test,
        prediction=_posterior(predicted / "test.csv"),
        grid=_posterior(predicted / "grid.csv"),
        trace=pd.read_csv(folder(study, "train") / "trace.csv"),
        calibration=pd.read_csv(folder(study, "evaluate") / "calibration.csv"),
        slices=_posterior(predicted / "slices.csv"),
        baseline=fourier_baseline(train, test.x, periods)[1] if periods and test else None,
        periods=periods,
        intervals=fit["certificate"]["intervals"],
        hyperparameters=fit["fit"]["hyperparameters"],
        interval=params.plot.interval,
        title=study,
    )
    for name, figure in draw_all(drawn).items():
        save(figure, out, name)


def _posterior(path: Path) -> Posterior | None:
    return Posterior.load(path) if path.exists() else None


if __name__ == "__main__":
    sys.exit(run("plot", Params, main))
