"""Study: everything that the figures of one study show, as the stages wrote it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..dataset import Dataset
from ..forecast import Forecast, draws_file
from ..posterior import Posterior
from ..spec import Fault, InputError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Study:
    """A study's data and results; a figure does not apply if a part that it needs is None.

    `prediction` is at the rows of `test`, `grid` on a dense grid (d = 1 or 2), `slices` along each input
    (gp.grid.slices).  `draws` (m, 1 + k) are x and k draws of the function there (d = 1).
    `baseline` is another prediction at the rows of `test`, by the method `baseline_name`.  `trace`
    has columns evaluation and nats_per_datum (negative log marginal likelihood).  `loo` is the forecast of each
    training row's y from all others, `folds` by a fit to the other folds.  `calibration` has nominal and observed
    coverage of the held-out rows or, if no y is held out, of `folds`, or else of `loo`.  Inputs that are angles have
    `periods`, and `dates` names those that are decimal years.  `horizons` has the scores of forecasts from rolling
    origins, by `method` and number of rows `ahead`; `sensitivity` how far y depends on each `input` (gp.sensitivity).
    `terms` has a row for each term of a sum of kernels (gp.structure.terms), `network` says of which nodes of a network
    the rows tell (gp.data.source.Source.network).
    `hyperparameters` (by name) are in the data's units, and `intervals` are
    their 95 % intervals, {lower, upper}.  Predictions average over so many `structures`.  `interval` is the
    probability of every band.
    """

    train: Dataset
    target: str
    test: Dataset | None = None
    prediction: Posterior | None = None
    grid: Posterior | None = None
    trace: pd.DataFrame | None = None
    loo: Forecast | None = None
    folds: Forecast | None = None
    calibration: pd.DataFrame | None = None
    slices: Posterior | None = None
    draws: np.ndarray | None = None
    baseline: Posterior | None = None
    baseline_name: str = ""
    periods: Mapping[str, float] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    horizons: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None
    terms: pd.DataFrame | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    structures: int = 1
    interval: float = 0.95
    title: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.interval < 1:
            raise InputError(
                Fault("", f"interval is {self.interval}", "give a probability between 0 and 1 such as 0.95")
            )
        if self.prediction is not None and (self.test is None or not np.array_equal(self.prediction.x, self.test.x)):
            raise InputError(Fault("", "the prediction is not at the test rows", "predict at the test rows"))

    @classmethod
    def load(
        cls, find: Callable[[str], Path | None], *, title: str = "", interval: float = 0.95, current: bool = True
    ) -> "Study | None":
        """Return the study, None if it has no training rows; `find` returns the path of <stage>/<name>, or None.

        If `current`, a prediction that is not at the test rows is refused.  Otherwise it is left out, as some stages
        may not have run again.
        """
        if (train := _read(find("synthesize/train.csv"), Dataset.load)) is None:
            return None
        names, fit = (_read(find(path), _json) or {} for path in ("synthesize/names.json", "train/fit.json"))
        test = _read(find("synthesize/test.csv"), Dataset.load)

        def posterior(name: str) -> Posterior | None:
            draws = str(draws_file(Path(name)))
            return _read(find(name), lambda path: Posterior.load(path, find(draws)))

        prediction = posterior("predict/test.csv")
        at_test = test is not None and prediction is not None and np.array_equal(prediction.x, test.x)
        return cls(
            train=train,
            target=names.get("target", "y"),
            test=test,
            prediction=prediction if current or at_test else None,
            grid=posterior("predict/grid.csv"),
            trace=_read(find("train/trace.csv"), pd.read_csv),
            loo=_read(find("predict/loo.csv"), lambda path: Forecast.load(path, find("predict/loo.draws.npz"))),
            folds=_read(find("predict/folds.csv"), lambda path: Forecast.load(path, find("predict/folds.draws.npz"))),
            calibration=_read(find("evaluate/calibration.csv"), pd.read_csv),
            slices=posterior("predict/slices.csv"),
            draws=_read(find("predict/draws.csv"), lambda path: pd.read_csv(path).to_numpy()),
            baseline=_read(find("synthesize/baseline.csv"), Posterior.load),
            baseline_name=names.get("baseline", {}).get("name", ""),
            periods=names.get("periods", {}),
            dates=tuple(names.get("dates", ())),
            horizons=_read(find("evaluate/horizons.csv"), pd.read_csv),
            sensitivity=_read(find("predict/sensitivity.csv"), lambda path: pd.read_csv(path, dtype={"input": str})),
            terms=_read(find("evaluate/terms.csv"), _terms),
            network=names.get("network", {}),
            intervals=fit.get("certificate", {}).get("intervals", {}),
            hyperparameters=fit.get("fit", {}).get("hyperparameters", {}),
            structures=1 + len(_read(find("predict/structures.json"), _json) or {}),
            interval=interval,
            title=title,
        )

    def levels(self, j: int) -> tuple[str, ...]:
        """Return the levels of input j, those of test rows alone too; none if it is no categorical one."""
        name, rows = self.train.columns[j], [each for each in (self.train, self.test) if each is not None]
        return max((each.levels.get(name, ()) for each in rows), key=len)

    @property
    def quantile(self) -> float:
        """Return the half width of a normal's interval in standard deviations: 1.96 for 0.95."""
        return NormalDist().inv_cdf((1 + self.interval) / 2)

    @property
    def integrated(self) -> str:
        """Return in words what bands integrate over; nothing where nothing was predicted."""
        return self._integrated("averaged over")

    @property
    def integrated_of_terms(self) -> str:
        """Return it of the bands of a sum's terms, which are those of the best structure alone."""
        return self._integrated("for the best of")

    def _integrated(self, which: str) -> str:
        posteriors = [found.f for found in (self.prediction, self.grid, self.slices) if found is not None]
        forecast = next(iter(posteriors), self.loo)
        if forecast is None:
            return ""
        if forecast.is_single:
            return "bands take hyperparameters as known"
        several = f", {which} {self.structures} structures" if self.structures > 1 else ""
        return f"bands integrate over hyperparameters{several}"

    @property
    def modelled(self) -> str:
        """Return what the model's components add up to: the target, or its transform."""
        found = next((each for each in (self.prediction, self.grid) if each is not None), None)
        transform = None if found is None else found.y.transform
        return self.target if transform is None else transform.label(self.target)

    @property
    def percent(self) -> str:
        """Return the interval as text: 95 %."""
        return f"{100 * self.interval:.6g} %"


def _read(path: Path | None, load: Callable[[Path], T]) -> T | None:
    return None if path is None else load(path)


def _terms(path: Path) -> pd.DataFrame:
    """Return the terms; one that reads several inputs names none."""
    return pd.read_csv(path, dtype={"term": str, "input": str}, na_values={"input": []}).fillna({"input": ""})


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
