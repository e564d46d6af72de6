"""Stage resume: training that was killed, however often, goes on and ends with the bytes of one never stopped."""

import random
import signal

import pytest
from conftest import Project

OUTPUT = "data/sine/train"
EVERY = 40  # steps between checkpoints
# The stage as `python -m` runs it, but for checkpoints by steps, not by the clock, and a kill at a step of this run.
STAGE = f"""
import os, runpy, signal, sys
sys.argv = ["-m", "sine"]
import stages
from gp.inference.inducing.checkpoint import Checkpoint
steps = 0

def offer(self, arrays):
    global steps
    steps += 1
    if steps % {EVERY} == 0:
        self.write(arrays())
    if str(steps) == os.environ["KILL"]:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.offer = offer
runpy.run_module("stages.train", run_name="__main__", alter_sys=False)
"""


def train(project: Project, kill: int | None = None) -> None:
    """Run the stage train, killed at a step, if any."""
    project.run("python", "-c", STAGE, exit_code=0 if kill is None else -signal.SIGKILL, KILL=str(kill))


@pytest.mark.slow
def test_training_killed_at_random_steps_ends_with_the_bytes_of_one_never_stopped(project, tmp_path):
    project.edit("sine.data.n", 600)
    project.edit("sine.inference", {"kind": "svgp", "inducing": 20, "batch_size": 40, "epochs": 60})
    project.within("stages.synthesize", "sine")
    other = project.copy(tmp_path / "other")
    project.stage("train", "sine")
    assert not (project.path / ".checkpoints/sine/train").exists()

    kept, rng, states = other.path / ".checkpoints/sine/train", random.Random(0), set()
    for _ in range(3):
        train(other, kill=rng.randrange(EVERY, 6 * EVERY))
        states |= {path.read_bytes() for path in kept.rglob("*.safetensors")}
    assert len(states) == 3  # it went on from one to the next
    train(other)
    assert other.hashes(OUTPUT) == project.hashes(OUTPUT)
    assert not kept.exists()


@pytest.mark.slow
def test_a_checkpoint_is_not_taken_by_other_code(project):
    project.edit("sine.data.n", 300)
    project.edit("sine.inference", {"kind": "svgp", "inducing": 20, "batch_size": 50})
    project.within("stages.synthesize", "sine")
    kept = project.path / ".checkpoints/sine/train"
    for folders in (1, 1, 2):
        if folders == 2:
            project.append("gp/inference/inducing/svgp.py", "# another\n")
        train(project, kill=EVERY + 1)
        assert len(list(kept.iterdir())) == folders
