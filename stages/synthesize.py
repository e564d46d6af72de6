"""Draw a study's rows, or read them from a table: train.csv, test.csv (where there are any), names.json."""

import sys
from pathlib import Path

from gp.data import Data
from gp.spec import Seed, Spec
from stages import run, write_json


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    data: Data


def main(study: str, params: Params, out: Path) -> None:
    """Write the rows."""
    train, test = params.data.sample(params.seed)
    train.save(out / "train.csv")
    if test is not None:
        test.save(out / "test.csv")
    periods = {"periods": params.data.periods} if params.data.periods else {}
    write_json(out / "names.json", {"inputs": params.data.columns, "target": params.data.target, **periods})
    print(f"{study}: {train.n} rows to train on, {test.n if test else 'none'} to test on")


if __name__ == "__main__":
    sys.exit(run("synthesize", Params, main))
