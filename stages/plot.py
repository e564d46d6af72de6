"""Draw a study's figures, each as SVG and PNG."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from gp.dataset import Dataset
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
    drawn = Study(
        train=Dataset.load(rows / "train.csv"),
        target=json.loads((rows / "names.json").read_text(encoding="utf-8"))["target"],
        test=Dataset.load(rows / "test.csv") if (rows / "test.csv").exists() else None,
        prediction=Posterior.load(predicted / "test.csv") if (predicted / "test.csv").exists() else None,
        grid=Posterior.load(predicted / "grid.csv") if (predicted / "grid.csv").exists() else None,
        trace=pd.read_csv(folder(study, "train") / "trace.csv"),
        calibration=pd.read_csv(folder(study, "evaluate") / "calibration.csv"),
        interval=params.plot.interval,
        title=study,
    )
    for name, figure in draw_all(drawn).items():
        save(figure, out, name)


if __name__ == "__main__":
    sys.exit(run("plot", Params, main))
