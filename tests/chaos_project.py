"""A project for chaos: two studies, the real wrapper of stages, `make repro` and DVC; stages that compute little.

Its stages draw, fit and score in a few milliseconds without torch, so that hundreds of rounds can be afforded.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from conftest import Project, make_project

STUDY = "{{seed: {seed}, data: {data}, model: {{}}, inference: {{}}, train: {{}}, predict: {{}}, plot: {{}}}}"
SINE = '{kind: function, function: "sin(2*pi*x)", n: 20, range: [0, 1], noise_sd: 0.1}'
LAKE = "{kind: table, path: data/raw/lake.csv, x: [depth, warmth], y: oxygen}"
STUDIES = {"sine": SINE, "lake": LAKE}
STAGE = """\
{name}:
    foreach: ${{studies}}
    do:
      cmd: exec python -m stages.{name} ${{key}}
      params:
        - studies.${{key}}.seed
{params}        - versions.yaml:
            - numpy
      deps:
{deps}        - gp
        - stages
      outs:
        - data/${{key}}/stamps/{name}.json
{outs}"""
FIT = '''\
"""A stand-in for a stage that fits."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gp.dataset import Dataset
from gp.spec import Seed, Spec
from stages import folder, run, write_json

FACTOR = 1.0


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    train: Any


def main(study: str, params: Params, out: Path) -> None:
    """Write two numbers and many lines that depend on the rows."""
    rows = Dataset.load(folder(study, "synthesize") / "train.csv")
    time.sleep(0.1)
    weights = np.linalg.lstsq(rows.x, rows.y, rcond=None)[0]
    write_json(out / "fit.json", {"weights": (FACTOR * weights).tolist(), "seed": params.seed})
    np.savetxt(out / "trace.csv", np.outer(np.arange(2000), weights), header="evaluation")


if __name__ == "__main__":
    sys.exit(run("train", Params, main))
'''
SCORE = '''\
"""A stand-in for a stage that scores."""

import json
import sys
from pathlib import Path

from gp.spec import Seed, Spec
from stages import folder, run, write_json


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed


def main(study: str, params: Params, out: Path) -> None:
    """Write a number that depends on the fit."""
    fit = json.loads((folder(study, "train") / "fit.json").read_text(encoding="utf-8"))
    write_json(out / "metrics.json", {"fit": {"log_marginal_likelihood": sum(fit["weights"])}, "seed": params.seed})


if __name__ == "__main__":
    sys.exit(run("evaluate", Params, main))
'''
NOTHING = '''\
"""A stand-in for a stage that this project does not run."""

from gp.spec import Spec


class Params(Spec):
    """Nothing."""
'''
# What may be edited: name → file, what stands there, and what takes its place.  The sizes are the same.
EDITS = {
    "params": ("params.yaml", "sine: {seed: 0", "sine: {seed: 1"),
    "table": ("data/raw/lake.csv", "1.000,2.000,3.0000", "1.000,2.000,4.0000"),
    "code": ("stages/train.py", "FACTOR = 1.0", "FACTOR = 2.0"),
}
VARIANTS = ("original", *EDITS)


def make(path: Path, anew: bool) -> Project:
    """Return the project at `path`, committed; none of its stages has run.  Its commands import packages `anew`."""
    project = replace(make_project(path), anew=anew)
    (path / "dvc.yaml").write_text(pipeline(), encoding="utf-8")
    (path / "stages/train.py").write_text(FIT, encoding="utf-8")
    (path / "stages/evaluate.py").write_text(SCORE, encoding="utf-8")
    validation = (path / "stages/__main__.py").read_text(encoding="utf-8")
    for name in ("predict", "plot"):  # which are not validated here either
        (path / f"stages/{name}.py").write_text(NOTHING, encoding="utf-8")
        line = f'    "{name}": {name}.Params,\n'
        assert line in validation
        validation = validation.replace(line, "")
    (path / "stages/__main__.py").write_text(validation, encoding="utf-8")
    lines = [f"  {study}: {STUDY.format(seed=0, data=data)}\n" for study, data in STUDIES.items()]
    (path / "params.yaml").write_text("studies:\n" + "".join(lines), encoding="utf-8")
    project.append("data/raw/lake.csv", "1.000,2.000,3.0000\n")
    project.commit()
    return project


def pipeline() -> str:
    """Return a dvc.yaml of three stages."""
    parts = {
        "synthesize": (["data"], ["data/raw"], ["synthesize"]),
        "train": (["train"], ["data/${key}/synthesize/train.csv"], ["train"]),
        "evaluate": ([], ["data/${key}/train/fit.json"], []),
    }
    text = "stages:\n"
    for name, (params, deps, outs) in parts.items():
        text += "  " + STAGE.format(
            name=name,
            params="".join(f"        - studies.${{key}}.{param}\n" for param in params),
            deps="".join(f"        - {dep}\n" for dep in deps),
            outs="".join(f"        - data/${{key}}/{out}\n" for out in outs),
        )
    return text + "      metrics:\n        - data/${key}/evaluate/metrics.json:\n            cache: false\n"


def become(project: Project, variant: str) -> None:
    """Write all files that may be edited as they are in `variant`; those that are so already keep their time."""
    for name in EDITS:
        edit(project, name, to=name == variant)


def edit(project: Project, name: str, to: bool = True) -> None:
    """Save an edit of a file, or its undoing, as editors do: in a new file; its size and time are the same."""
    file, old, new = EDITS[name]
    path = project.path / file
    text = path.read_text(encoding="utf-8")
    wanted = text.replace(old, new, 1) if to else text.replace(new, old, 1)
    if wanted == text:
        return
    before = path.stat()
    fresh = path.with_name(f"{path.name}~")  # which DVC ignores
    fresh.write_text(wanted, encoding="utf-8")
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)


def reference(base: Project, variant: str, path: Path) -> dict[str, str]:
    """Return the hashes of what an undisturbed run of `variant` writes, in a copy of `base` at `path`."""
    project = base.copy(path)
    become(project, variant)
    project.run("dvc", "repro", "--quiet")
    hashes = project.hashes("data", "dvc.lock")
    shutil.rmtree(path)
    return hashes
