"""Two kinds of machines, one result: BLAS kernels made for different processors round differently."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from gp.yaml import read_yaml

STUDIES = ("sine", "motorcycle")  # Adam's end; noise with a parameter for each row
# Runs the stages' own functions in one process, as importing torch takes longer than these studies do.
RUN = """
import sys
from stages import evaluate, folder, parse_params, predict, synthesize, train
for study in sys.argv[1:]:
    for stage in (synthesize, train, predict, evaluate):
        out = folder(study, stage.__name__.rpartition(".")[2])
        out.mkdir(parents=True)
        stage.main(study, parse_params(study, stage.Params), out)
"""


def results(path: Path, core: str) -> tuple[list[str], list[bytes]]:
    """Return metrics.json of each study, and its model file, which holds all digits."""
    shutil.copytree(ROOT / "data/raw", path / "data/raw")
    studies = {study: read_yaml(ROOT / "params.yaml")["studies"][study] for study in STUDIES}
    studies["motorcycle"]["data"]["holdout"]["fraction"] = 0.6  # as good a law of fewer rows
    YAML(typ="safe").dump({"studies": studies}, path / "params.yaml")
    for name in ("dvc.yaml", "versions.yaml", "gp", "stages"):
        (path / name).symlink_to(ROOT / name)
    machine = {"OPENBLAS_CORETYPE": core, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, *STUDIES]
    subprocess.run(command, cwd=path, env={**os.environ, **machine}, check=True)
    folders = [path / "data" / study for study in STUDIES]
    metrics = [(folder / "evaluate/metrics.json").read_text(encoding="utf-8") for folder in folders]
    return metrics, [(folder / "train/model.safetensors").read_bytes() for folder in folders]


@pytest.mark.slow
def test_metrics_are_the_same_to_the_byte_on_another_kind_of_machine(tmp_path):
    (new, by_new), (old, by_old) = (results(tmp_path / core, core) for core in ("Haswell", "Nehalem"))
    assert new == old
    if Path("/proc/cpuinfo").exists() and "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        assert by_new != by_old  # they did round differently
