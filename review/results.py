"""Results: what the stages wrote of one study, as far as they have run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.spec import read_yaml
from stages import folder, read_studies
from stages.inputs import VERSIONS

STAGES = ("synthesize", "train", "predict", "evaluate")  # whose files a report reads
LOCK = Path("dvc.lock")


@dataclass(frozen=True, eq=False)
class Results:
    """A study's files, None where there is no such file; `missing` names the stages without a folder or file.

    `loo` has y, mean and sd_y of each left-out row, `calibration` nominal and observed coverage, `trace` evaluation and
    nats_per_datum.  `parameters` and `versions` are those that dvc.lock recorded of the last run, `{}` without one, and
    `current` the parameters that params.yaml has now.
    """

    study: str
    missing: tuple[str, ...] = ()
    target: str = "y"
    train: Dataset | None = None
    test: Dataset | None = None
    prediction: Posterior | None = None
    grid: Posterior | None = None
    slices: Posterior | None = None
    loo: pd.DataFrame | None = None
    trace: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    fit: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    current: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.95

    @property
    def quantile(self) -> float:
        """Return how many sds the study's interval reaches to each side: 1.96 for 0.95."""
        return NormalDist().inv_cdf((1 + self.interval) / 2)

    @property
    def percent(self) -> str:
        """Return the study's interval as text."""
        return f"{100 * self.interval:.6g} %"

    @property
    def checked_on(self) -> tuple[str, np.ndarray, np.ndarray, np.ndarray] | None:
        """Return what rows judge the fit ("held-out", else "left-out") with their y, mean and sd_y, each (m,)."""
        if self.test is not None and self.test.y is not None:
            p = self.prediction
            return None if p is None or len(p.mean) != self.test.n else ("held-out", self.test.y, p.mean, p.sd_y)
        if self.loo is None:
            return None
        return "left-out", *(self.loo[name].to_numpy() for name in ("y", "mean", "sd_y"))

    @property
    def changed(self) -> list[str]:
        """Return the sections of params.yaml that are not what these results were made with."""
        if not self.parameters:
            return []
        return [name for name, value in self.current.items() if self.parameters.get(name) != value]


def read_all() -> list[Results]:
    """Return the results of every study of params.yaml, in its order; raises InputError where that cannot be read."""
    recorded = (read_yaml(LOCK) or {}).get("stages", {}) if LOCK.exists() else {}
    return [read(str(study), current, recorded) for study, current in read_studies().items()]


def read(study: str, current: Any, recorded: Mapping[str, Any]) -> Results:
    """Return the results of a study, of which params.yaml says `current`; `recorded` are the stages of dvc.lock."""
    rows, learnt, predicted, judged = (folder(study, stage) for stage in STAGES)
    names = _json(rows / "names.json")
    needed = (rows / "train.csv", learnt / "fit.json", predicted, judged / "metrics.json")
    parameters, versions = _recorded(study, recorded)
    current = current if isinstance(current, Mapping) else {}
    plot = current.get("plot")
    return Results(
        study=study,
        missing=tuple(stage for stage, path in zip(STAGES, needed, strict=True) if not path.exists()),
        target=names.get("target", "y"),
        train=_dataset(rows / "train.csv"),
        test=_dataset(rows / "test.csv"),
        prediction=_posterior(predicted / "test.csv"),
        grid=_posterior(predicted / "grid.csv"),
        slices=_posterior(predicted / "slices.csv"),
        loo=_table(learnt / "loo.csv"),
        trace=_table(learnt / "trace.csv"),
        calibration=_table(judged / "calibration.csv"),
        fit=_json(learnt / "fit.json"),
        metrics=_json(judged / "metrics.json"),
        parameters=parameters,
        current=current,
        versions=versions,
        interval=float(plot.get("interval", 0.95)) if isinstance(plot, Mapping) else 0.95,
    )


def _recorded(study: str, stages: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters of a study's sections and the packages' versions that its stages last ran with."""
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for name, stage in stages.items():
        if name.partition("@")[2] == study:
            given = stage.get("params", {})
            parameters |= given.get("params.yaml", {})
            versions |= given.get(VERSIONS.name, {})
    sections = {name.removeprefix(f"studies.{study}."): value for name, value in parameters.items()}
    return sections, dict(sorted(versions.items()))


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _table(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path, dtype=np.float64) if path.exists() else None


def _dataset(path: Path) -> Dataset | None:
    return Dataset.load(path) if path.exists() else None


def _posterior(path: Path) -> Posterior | None:
    return Posterior.load(path) if path.exists() else None
