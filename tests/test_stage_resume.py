"""Stage resume: training that was killed, however often, goes on and ends with the bytes of one never stopped."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project

OUTPUT = "data/sine/train"
# The stage as `python -m` runs it, but for more frequent checkpoints.
STAGE = """
import runpy, sys
sys.argv = ["-m", "sine"]
import stages
from gp.inference.inducing import checkpoint
checkpoint.EVERY = 0.1
runpy.run_module("stages.train", run_name="__main__", alter_sys=False)
"""


def _start(project: Project) -> subprocess.Popen:
    command = [sys.executable, "-c", STAGE]
    return subprocess.Popen(command, cwd=project.path, env=project.environment(), stderr=subprocess.DEVNULL)


def _newest(kept: Path) -> float:
    """Return when a checkpoint was last written."""
    return max((path.stat().st_mtime for path in kept.rglob("*.safetensors")), default=0.0)


def wait_for(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_training_killed_at_random_times_ends_with_the_bytes_of_one_never_stopped(project, tmp_path):
    project.edit("sine.data.n", 1500)
    project.edit("sine.inference", {"kind": "svgp", "inducing": 20, "batch_size": 100, "epochs": 100})
    project.within("stages.synthesize", "sine")
    other = project.copy(tmp_path / "other")
    project.stage("train", "sine")
    assert not (project.path / ".checkpoints/sine/train").exists()

    kept, rng, states = other.path / ".checkpoints/sine/train", random.Random(0), set()
    for _ in range(3):
        process, before = _start(other), time.time()
        wait_for(lambda before=before: _newest(kept) > before)
        time.sleep(rng.uniform(0.0, 0.5))
        assert process.poll() is None  # else it has come to its end, and there is too little to do
        process.kill()
        process.wait()
        states |= {path.read_bytes() for path in kept.rglob("*.safetensors")}
    assert len(states) == 3  # it went on from one to the next
    assert _start(other).wait() == 0
    assert other.hashes(OUTPUT) == project.hashes(OUTPUT)
    assert not kept.exists()


@pytest.mark.slow
def test_a_checkpoint_is_not_taken_by_other_code(project):
    project.edit("sine.data.n", 300)
    endless = {"kind": "svgp", "inducing": 20, "batch_size": 50, "epochs": 100_000, "patience": 10_000}
    project.edit("sine.inference", endless)
    project.within("stages.synthesize", "sine")
    kept = project.path / ".checkpoints/sine/train"
    for folders in (1, 1, 2):
        if folders == 2:
            project.append("gp/inference/inducing/svgp.py", "# another\n")
        process, before = _start(project), time.time()
        wait_for(lambda before=before: _newest(kept) > before)
        process.kill()
        process.wait()
        assert len(list(kept.iterdir())) == folders
