"""Posterior: a GP's prediction at given inputs, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .dataset import input_names, stored_names
from .forecast import Forecast, draws_file
from .transforms.stored import stored_transform, transform_in

BAND = {"q2.5": 0.025, "q97.5": 0.975}  # columns of a file, and up to which probability; .dvc/plots reads them


@dataclass(frozen=True, eq=False)
class Posterior:
    """Marginal posterior at `x` (m, d): of the function `f`, of a new observation `y`, and of each term of a sum.

    Each is a Forecast, a normal at one setting of the hyperparameters or a mixture over several.  `mean`, `sd_f` and
    `sd_y` are the mean and the standard deviations of the whole, in y's units.  Where the model is of a transform of y,
    `mean` is that of a new observation, and the components, which add up to the transform, are in its units.  Each
    component is less its average over the rows that were fitted (gp.inference.centred), so that they add up but for a
    constant.  Where predictions average over several structures, components are those of the best one alone.
    """

    x: np.ndarray
    columns: tuple[str, ...]
    f: Forecast
    y: Forecast
    components: Mapping[str, Forecast] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = len(self.x)
        for name, part in {"f": self.f, "y": self.y, **self.components}.items():
            mean, sd = {"f": ("mean", "sd_f"), "y": ("mean", "sd_y")}.get(
                name, (f"component {name}'s mean", f"component {name}'s sd_f")
            )
            for what, values in ((mean, part.means), (sd, part.sds)):
                if values.shape[1] != m or not np.isfinite(values).all():
                    raise ArithmeticError(f"the posterior's {what} is not finite or not of shape ({m},)")
            if (part.sds < 0).any():
                raise ArithmeticError(f"the posterior's {sd} is negative in row {int(np.argwhere(part.sds < 0)[0, 1])}")

    @classmethod
    def normal(
        cls,
        x: np.ndarray,
        columns: tuple[str, ...],
        mean: Any,
        sd_f: Any,
        sd_y: Any,
        components: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> "Posterior":
        """Return the posterior at one setting of the hyperparameters; of each component (mean, sd), (m,) each."""
        parts = {name: Forecast.normal(*part) for name, part in (components or {}).items()}
        return cls(x, columns, Forecast.normal(mean, sd_f), Forecast.normal(mean, sd_y), parts)

    @property
    def mean(self) -> np.ndarray:
        """Return the mean (m,) of a new observation; without a transform of y, that of the function too."""
        return self.y.mean

    @property
    def sd_f(self) -> np.ndarray:
        """Return the standard deviation of the function (m,)."""
        return self.f.sd

    @property
    def sd_y(self) -> np.ndarray:
        """Return the standard deviation of a new observation (m,)."""
        return self.y.sd

    def plot(self, ax: Any = None, *, interval: float = 0.95) -> Any:
        """Draw mean and bands over one input into matplotlib's axes `ax`, or new ones, and return these."""
        curves = import_module(".plots.curves", __package__)  # scores need no figures
        return curves.of_posterior(self, ax, interval=interval)

    def _repr_html_(self) -> str:
        table = pd.DataFrame(self.x, columns=stored_names(self.columns))
        table = table.assign(mean=self.mean, sd_f=self.sd_f, sd_y=self.sd_y)
        return str(table.to_html(max_rows=20, float_format=lambda value: f"{value:.5g}"))

    def save(self, path: Path, *, band: bool = False) -> None:
        """Write a CSV at full precision: inputs, mean, sd_f, sd_y, then component.<name>.mean and .sd_f.

        With a `band`, the quantiles BAND of a new observation follow sd_y, for pictures that are drawn from the file
        alone: mean and sd do not tell those of a mixture.  The normals of a mixture, or of what was transformed, are in
        a second file (`draws_file`).
        """
        table = pd.DataFrame(self.x, columns=stored_names(self.columns))
        table = table.assign(mean=self.mean, sd_f=self.sd_f, sd_y=self.sd_y)
        if band:
            table = table.assign(**{name: self.y.quantile(share) for name, share in BAND.items()})
        for name, component in self.components.items():
            table[f"component.{name}.mean"] = component.mean
            table[f"component.{name}.sd_f"] = component.sd
        table.to_csv(path, index=False, lineterminator="\n")
        if not self.f.is_normal:
            arrays = {"weights": self.f.weights, "means": self.f.means, "sd_f": self.f.sds, "sd_y": self.y.sds}
            for name, component in self.components.items():
                arrays |= {f"component.{name}.means": component.means, f"component.{name}.sd_f": component.sds}
            own = [each.weights for each in self.components.values() if len(each.means) < len(self.f.means)]
            arrays |= {"component_weights": own[0]} if own else {}  # of one structure, where f is of several
            np.savez(draws_file(path), **arrays, **stored_transform(self.f.transform))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, draws: Path | None = None) -> "Posterior":
        """Return the posterior that `save` wrote to `path`, and to `draws` where that is not beside it."""
        table = pd.read_csv(path, dtype=np.float64)
        stored = list(table.columns[: table.columns.get_loc("mean")])
        columns = input_names(stored)
        means = [name for name in table.columns[len(columns) + 3 :] if name not in BAND][::2]
        names = [name[len("component.") : -len(".mean")] for name in means]
        x = table[stored].to_numpy()
        draws = draws or draws_file(path)
        if not draws.exists():
            components = {
                name: (table[f"component.{name}.mean"].to_numpy(), table[f"component.{name}.sd_f"].to_numpy())
                for name in names
            }
            mean, sd_f, sd_y = (table[name].to_numpy() for name in ("mean", "sd_f", "sd_y"))
            return cls.normal(x, columns, mean, sd_f, sd_y, components)
        with np.load(draws, allow_pickle=False) as kept:
            weights, means, transform = kept["weights"], kept["means"], transform_in(kept)
            of_components = kept.get("component_weights", weights)
            parts = {
                name: Forecast(kept[f"component.{name}.means"], kept[f"component.{name}.sd_f"], of_components)
                for name in names
            }
            f, y = (Forecast(means, kept[name], weights, transform) for name in ("sd_f", "sd_y"))
            return cls(x, columns, f, y, parts)
