"""Results: what the stages wrote of one study, as far as they have run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gp.plots.study import Study
from gp.yaml import read_yaml
from stages import folder, read_studies
from stages.inputs import VERSIONS

# What each stage leaves behind that a report reads: its folder, or a file there.
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

    `study` is what figures show, None without training rows; `fit` and `metrics` are fit.json and metrics.json, {} if
    absent; `pictures` are the SVG files of the stage plot by name.  `parameters` and `versions` are those that
    dvc.lock recorded of the last run, {} without one, and `current` the parameters that params.yaml has now.
    """

    name: str
    missing: tuple[str, ...] = ()
    study: Study | None = None
    fit: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    current: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """Return the sections of params.yaml that are not what these results were made with."""
        if not self.parameters:
            return []
        return [name for name, value in self.current.items() if self.parameters.get(name) != value]


def read_all() -> list[Results]:
    """Return the results of every study of params.yaml, in its order; raises InputError where that cannot be read."""
    recorded = (read_yaml(LOCK) or {}).get("stages", {}) if LOCK.exists() else {}
    return [read(str(name), current, recorded) for name, current in read_studies().items()]


def read(name: str, current: Any, recorded: Mapping[str, Any]) -> Results:
    """Return the results of a study, of which params.yaml says `current`; `recorded` are the stages of dvc.lock."""

    def find(path: str) -> Path | None:
        found = folder(name, path)
        return found if found.exists() else None

    parameters, versions = _recorded(name, recorded)
    current = current if isinstance(current, Mapping) else {}
    plot = current.get("plot")
    interval = float(plot.get("interval", 0.95)) if isinstance(plot, Mapping) else 0.95
    return Results(
        name=name,
        missing=tuple(stage for stage, path in WRITTEN.items() if find(path) is None),
        study=Study.load(find, title=name, interval=interval, current=False),
        fit=_json(find("train/fit.json")),
        metrics=_json(find("evaluate/metrics.json")),
        pictures={path.stem: path for path in sorted(folder(name, "plot").glob("*.svg"))},
        parameters=parameters,
        current=current,
        versions=versions,
    )


def _recorded(name: str, stages: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters of a study's sections and the packages' versions that its stages last ran with."""
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for stage_name, stage in stages.items():
        if stage_name.partition("@")[2] == name:
            given = stage.get("params", {})
            parameters |= given.get("params.yaml", {})
            versions |= given.get(VERSIONS.name, {})
    sections = {path.removeprefix(f"studies.{name}."): value for path, value in parameters.items()}
    return sections, dict(sorted(versions.items()))


def _json(path: Path | None) -> dict[str, Any]:
    return {} if path is None else dict(json.loads(path.read_text(encoding="utf-8")))
