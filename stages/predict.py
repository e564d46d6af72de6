"""Predict a study's posterior: test.csv at the test rows and, for figures, grid.csv or slices.csv (many inputs).

loo.csv has each training row, predicted from all others; folds.csv, where the study has folds, by a fit to the others.
draws.csv has draws of the function along the grid of one input, where `draws` asks for some.
sensitivity.csv says, of several inputs, how much the mean changes with each.
new.csv has the study's new rows with mean, sd and quantiles of a new observation; forecast.csv the steps after the
last row.  origins.csv has the held-out rows, forecast from rolling origins, where the study asks for them.
structures.json has the weights of the structures that predictions average over, but for that of the best one.
Where hyperparameters were sampled by chains, sampling.json says whether these agree, and what they know.
"""

import json
import math
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from gp.asked.joint import joint
from gp.dataset import Dataset
from gp.fitted.fitted import Fitted
from gp.fitted.uncertainty import Auto, Hyperparameters, Nuts
from gp.folds import predict_folds
from gp.grid import Grid, has_slices, slices
from gp.new_rows import NewRows
from gp.origins import forecast_after, predict_origins
from gp.sensitivity import sensitivities
from gp.series import Plan
from gp.spec import Count, Seed, Spec
from stages import folder, run, write_json

POINTS = 500  # of a draw


class Predict(Spec):
    """Where to predict in addition to the test rows, and whether hyperparameters are integrated over.

    `draws` is how many draws of the function figures over one input show.
    """

    grid: Grid = Grid()
    draws: Annotated[int, Field(ge=0, le=100)] = 0
    hyperparameters: Hyperparameters = Auto()
    horizon: Count | None = None  # steps after the last row, given all rows


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    predict: Predict


def main(study: str, params: Params, out: Path) -> None:
    """Predict at the test rows, on the grid and along the slices, as far as the study has them."""
    fitted = Fitted.load(folder(study, "train") / "model.safetensors")
    hyperparameters = params.predict.hyperparameters
    if isinstance(hyperparameters, Nuts):
        certificate = fitted.certify(hyperparameters)
        write_json(out / "sampling.json", certificate.sampling())
        for alarm in certificate.of_draws:
            print(f"{study}: ALARM: {alarm}")
    if fitted.alternatives:
        models, log_weights = fitted.models(hyperparameters)
        names = [each.name for each in fitted.alternatives[: len(models) - 1]]
        write_json(out / "structures.json", dict(zip(names, np.exp(log_weights[1:]).tolist(), strict=True)))
    fitted.leave_out(hyperparameters).save(out / "loo.csv", y=fitted.data.observed)
    if (assigned := folder(study, "synthesize") / "folds.csv").exists():
        folds = pd.read_csv(assigned)["fold"].to_numpy()
        forecast = predict_folds(fitted, folds, seed=params.seed, hyperparameters=hyperparameters)
        forecast.save(out / "folds.csv", y=fitted.data.observed)
    if (folder(study, "synthesize") / "new.csv").exists():
        new = NewRows.load(folder(study, "synthesize"))
        posterior = fitted.predict(new.rows.x, new.rows.noise_sd, hyperparameters=hyperparameters)
        new.beside(posterior).to_csv(out / "new.csv", index=False, lineterminator="\n")
    rows, test_file = fitted.data.x, folder(study, "synthesize") / "test.csv"
    names = json.loads((folder(study, "synthesize") / "names.json").read_text(encoding="utf-8"))
    test = Dataset.load(test_file) if test_file.exists() else None
    if test is not None and "forecast" in names:
        plan = Plan.of(names, test)
        made = predict_origins(fitted, plan.test, plan.rolling, hyperparameters)
        made.save(out / "origins.csv", y=plan.observed)
    if params.predict.horizon is not None:
        ahead = forecast_after(fitted, test, params.predict.horizon, hyperparameters, names.get("dates", []))
        ahead.to_csv(out / "forecast.csv", index=False, lineterminator="\n")
    if test is not None:
        fitted.predict(test.x, test.noise_sd, hyperparameters=hyperparameters).save(out / "test.csv")
        rows = np.vstack([rows, test.x])
    grid = params.predict.grid.points(rows, fitted.data.levels)
    if grid is not None:
        fitted.predict(grid, hyperparameters=hyperparameters).save(out / "grid.csv", band=True)
    if params.predict.draws and grid is not None and fitted.data.d == 1:
        along = grid[:: math.ceil(len(grid) / POINTS)]
        together = joint(*fitted.settings("draws", hyperparameters), along, fitted.gp.inputs(along))
        drawn = together.sample(params.predict.draws, params.seed)
        heads = ["x", *(f"draw {k + 1}" for k in range(len(drawn)))]
        table = pd.DataFrame(np.column_stack([along, drawn.T]), columns=heads)
        table.to_csv(out / "draws.csv", index=False, lineterminator="\n")
    if fitted.data.d > 1:
        found = sensitivities(fitted, hyperparameters)
        found.to_csv(out / "sensitivity.csv", index=False, lineterminator="\n")
    if has_slices(fitted.data):
        fitted.predict(slices(fitted.data), hyperparameters=hyperparameters).save(out / "slices.csv")


if __name__ == "__main__":
    sys.exit(run("predict", Params, main))
