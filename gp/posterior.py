"""Posterior: a GP's prediction at given inputs, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Component:
    """The posterior of one term of a sum: `mean` (m,) and `sd_f` (m,), in y's units."""

    mean: np.ndarray
    sd_f: np.ndarray


@dataclass(frozen=True, eq=False)
class Posterior:
    """Marginal posterior at `x` (m, d): `mean`, `sd_f` of the function, `sd_y` of a new observation, each (m,)."""

    x: np.ndarray
    columns: tuple[str, ...]
    mean: np.ndarray
    sd_f: np.ndarray
    sd_y: np.ndarray
    components: Mapping[str, Component] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = {"mean": self.mean, "sd_f": self.sd_f, "sd_y": self.sd_y}
        for name, component in self.components.items():
            arrays |= {f"component {name}'s mean": component.mean, f"component {name}'s sd_f": component.sd_f}
        for name, values in arrays.items():
            if values.shape != (len(self.x),) or not np.isfinite(values).all():
                raise ArithmeticError(f"the posterior's {name} is not finite or not of shape ({len(self.x)},)")
            if not name.endswith("mean") and (values < 0).any():
                raise ArithmeticError(f"the posterior's {name} is negative in row {int(np.argmin(values))}")

    def save(self, path: Path) -> None:
        """Write a CSV at full precision: inputs, mean, sd_f, sd_y, then component.<name>.mean and .sd_f."""
        table = pd.DataFrame(self.x, columns=list(self.columns))
        table = table.assign(mean=self.mean, sd_f=self.sd_f, sd_y=self.sd_y)
        for name, component in self.components.items():
            table[f"component.{name}.mean"] = component.mean
            table[f"component.{name}.sd_f"] = component.sd_f
        table.to_csv(path, index=False, lineterminator="\n")

    @classmethod
    def load(cls, path: Path) -> "Posterior":
        """Return the posterior that `save` wrote to `path`."""
        table = pd.read_csv(path, dtype=np.float64)
        columns = list(table.columns[: table.columns.get_loc("mean")])
        names = [name[len("component.") : -len(".mean")] for name in table.columns[len(columns) + 3 :: 2]]
        arrays = {name: table[name].to_numpy() for name in ("mean", "sd_f", "sd_y")}
        components = {
            name: Component(*(table[f"component.{name}.{part}"].to_numpy() for part in ("mean", "sd_f")))
            for name in names
        }
        return cls(x=table[columns].to_numpy(), columns=tuple(columns), components=components, **arrays)
