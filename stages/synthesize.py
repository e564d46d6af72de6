"""Simulate a study's rows, or read them from a table: train.csv, test.csv (if there are test rows), names.json.

folds.csv has the fold of each training row, if the study asks for folds; new.csv the new rows to predict, if any.

If the data source has a standard method of its field, baseline.csv has the predictions of that method at the test rows.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from gp.data import Data
from gp.spec import Seed, Spec
from stages import run


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    data: Data


def main(study: str, params: Params, out: Path) -> None:
    """Write the rows."""
    train, test = params.data.sample(params.seed)
    names: dict[str, Any] = {"target": params.data.target}
    train.save(out / "train.csv")
    if params.data.forecast:
        names["forecast"] = params.data.forecast
    if train.dates:
        names["dates"] = list(train.dates)
    if params.data.network:
        names["network"] = params.data.network
    if params.data.periods:
        names["periods"] = params.data.periods
    if test is not None:
        test.save(out / "test.csv")
        if error := params.data.truth_error(test.x):
            names["truth_error"] = error
        if baseline := params.data.baseline(train, test.x):
            baseline.posterior.save(out / "baseline.csv")
            names["baseline"] = {"name": baseline.name, "facts": dict(baseline.facts)}
    if (folds := params.data.folds(train.n, params.seed)) is not None:
        pd.DataFrame({"fold": folds}).to_csv(out / "folds.csv", index=False, lineterminator="\n")
    if new := params.data.new_rows(train):
        new.save(out)
    # To all digits, unlike results: a period of 6.28319 is no angle's.
    (out / "names.json").write_text(json.dumps(names, indent=2, sort_keys=True, allow_nan=False) + "\n", "utf-8")
    print(f"{study}: {train.n} rows to train on, {test.n if test else 'none'} to test on")


if __name__ == "__main__":
    sys.exit(run("synthesize", Params, main))
