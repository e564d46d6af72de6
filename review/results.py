"""Results: what the stages have written for one study so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gp.plots.study import Study
from gp.yaml import read_yaml
from review.lock.records import MALFORMED, Lock, checked, checked_json, said
from stages import folder, read_studies
from stages.wrapper.inputs import VERSIONS

# Stage → the output of it that a report reads: its folder, or a file there.
WRITTEN = {
    "synthesize": "synthesize/train.csv",
    "train": "train/fit.json",
    "predict": "predict",
    "evaluate": "evaluate/metrics.json",
}
LOCK = Path("dvc.lock")


@dataclass(frozen=True, eq=False)
class Results:
    """A study's results by its `name`; `missing` names the stages that have not run.

    `unreadable` says what of its files is not as a stage writes it: then nothing of the results is given.

    `study` is what figures show, None without training rows.  `fit`, `sampling`, `metrics` and `check` are fit.json,
    sampling.json, metrics.json and check.json, {} if absent.  `pictures` are the SVG files of the stage plot by name.
    `parameters` and `versions` are those of the last run, from dvc.lock, {} if there is none.  `current` are the
    parameters of params.yaml now.
    """

    name: str
    missing: tuple[str, ...] = ()
    unreadable: str = ""
    study: Study | None = None
    fit: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    current: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def alarms(self) -> list[str]:
        """Return the alarms of the fit, and of the draws of hyperparameters that predictions are made at."""
        drawn = self.sampling.get("alarms", ()) if self.sampling else self.fit.get("alarms_of_draws", ())
        return [*self.fit.get("alarms", ()), *drawn]

    @property
    def changed(self) -> list[str]:
        """Return the sections of params.yaml that differ from those of the last run."""
        if not self.parameters:
            return []
        return [name for name, value in self.current.items() if self.parameters.get(name) != value]


def read_all() -> list[Results]:
    """Return the results of every study, in the order of params.yaml; raises InputError if that cannot be read."""
    recorded = (read_yaml(LOCK) or {}) if LOCK.exists() else {}
    checked(Lock, recorded, str(LOCK))
    recorded = recorded.get("stages", {})
    return [read(str(name), current, recorded) for name, current in read_studies().items()]


def read(name: str, current: Any, recorded: Mapping[str, Any]) -> Results:
    """Return a study's results; `current` are its parameters in params.yaml, `recorded` the stages of dvc.lock."""

    def find(path: str) -> Path | None:
        found = folder(name, path)
        return found if found.exists() else None

    parameters, versions = _recorded(name, recorded)
    current = current if isinstance(current, Mapping) else {}
    plot = current.get("plot")
    interval = plot.get("interval", 0.95) if isinstance(plot, Mapping) else 0.95
    missing = tuple(stage for stage, path in WRITTEN.items() if find(path) is None)
    try:
        study = Study.load(find, title=name, interval=interval, current=False)
        files = ("train/fit.json", "predict/sampling.json", "evaluate/metrics.json", "evaluate/check.json")
        fit, sampling, metrics, check = (_json(name, path, find(path)) for path in files)
    except MALFORMED as error:
        return Results(name, missing, said(error), parameters=parameters, current=current, versions=versions)
    return Results(
        name=name,
        missing=missing,
        study=study,
        fit=fit,
        sampling=sampling,
        metrics=metrics,
        check=check,
        pictures={path.stem: path for path in sorted(folder(name, "plot").glob("*.svg"))},
        parameters=parameters,
        current=current,
        versions=versions,
    )


def _recorded(name: str, stages: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters, by section, and the package versions with which a study's stages last ran."""
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for stage_name, stage in stages.items():
        if stage_name.partition("@")[2] == name:
            given = stage.get("params", {})
            parameters |= given.get("params.yaml", {})
            versions |= given.get(VERSIONS.name, {})
    sections = {path.removeprefix(f"studies.{name}."): value for path, value in parameters.items()}
    return sections, dict(sorted(versions.items()))


def _json(study: str, path: str, file: Path | None) -> dict[str, Any]:
    return {} if file is None else dict(checked_json(file.read_bytes(), path, f"data/{study}/{path}"))
