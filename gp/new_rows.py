"""New rows: a table without its target, read by a study's rules, whose other columns are carried along as text."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .dataset import Dataset
from .posterior import Posterior

PREDICTED = "predicted."  # before the name of a column that is added; stages/wrapper/outputs.py checks those
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


@dataclass(frozen=True, eq=False)
class NewRows:
    """Inputs to predict at (and `noise_sd` where a study has it), and all columns of their table as text."""

    rows: Dataset
    carried: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write new.csv, the inputs as they were read, and new_columns.json, the table's columns as text."""
        self.rows.save(folder / "new.csv")
        self.carried.to_json(folder / "new_columns.json", orient="split", index=False)

    @classmethod
    def load(cls, folder: Path) -> "NewRows":
        """Return the rows that `save` wrote."""
        with (folder / "new_columns.json").open(encoding="utf-8") as file:
            carried = pd.read_json(file, orient="split", dtype=False, convert_axes=False)
        return cls(Dataset.load(folder / "new.csv"), carried)

    def beside(self, posterior: Posterior) -> pd.DataFrame:
        """Return the table with mean, sd and quantiles of a new observation beside each row, in y's units."""
        found = {"mean": posterior.y.mean, "sd": posterior.y.sd}
        found |= {f"q{100 * share:g}": posterior.y.quantile(share) for share in QUANTILES}
        return self.carried.assign(**{f"{PREDICTED}{name}": values for name, values in found.items()})
