"""Starts of one fit side by side: the same peaks and counts as one after another; when a worker is killed, too."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from loky import ProcessPoolExecutor

import gp.parallel
from gp.dataset import Dataset, default_columns
from gp.inference.exact import Exact
from gp.inference.nearest.vecchia import Vecchia
from gp.model.model import Model
from gp.parallel import fan_out
from gp.spec import parse
from gp.training import Lbfgs, Problem, lbfgs


class Deadly(Exact):
    """Exact inference that kills the first worker to evaluate it."""

    home: int
    mark: str

    def evaluate(self, gp, **options):
        if os.getpid() != self.home and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(gp, **options)


WAVY = {"kernel": {"kind": "rbf", "ard": True}}
MODELS = {
    "heteroscedastic": (WAVY | {"noise": {"kind": "heteroscedastic"}}, Exact(), 20),
    "student_t": (WAVY | {"noise": {"kind": "student_t"}}, Exact(), 40),
    "vecchia": (WAVY, Vecchia(neighbours=4), 80),
}


def searched(model, method, n, restarts=3):
    """Return all that a search brings back, its arrays as bytes."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, (n, 2))
    data = Dataset(x=x, y=np.sin(x[:, 0]) + 0.3 * rng.normal(size=n), noise_sd=None, columns=default_columns(2))
    search = Lbfgs(restarts=restarts).run(Problem(parse(Model, model).build(data), method), 0)
    return search.vector.tobytes(), search.values, search.ends, search.starts, search.evaluations


@pytest.fixture
def fanned(monkeypatch):
    """Have all starts but the first fan out, and list how many each time."""
    sizes = []

    def counted(function, tasks, label):
        sizes.append(len(tasks))
        return fan_out(function, tasks, label)

    def begin():
        monkeypatch.setattr(lbfgs, "LONG", 0.0)
        monkeypatch.setattr(lbfgs, "fan_out", counted)
        return sizes

    return begin


@pytest.mark.parametrize(("model", "method", "n"), MODELS.values(), ids=MODELS)
def test_starts_side_by_side_come_to_the_same_as_one_after_another(fanned, model, method, n):
    in_line, sizes = searched(model, method, n), fanned()
    assert searched(model, method, n) == in_line
    assert sizes[0] == 3  # of those around the best end, fewer


def test_starts_count_their_evaluations_once_where_they_cannot_fan_out(fanned):
    in_line = searched(*MODELS["student_t"], restarts=1)
    sizes = fanned()
    assert searched(*MODELS["student_t"], restarts=1) == in_line
    assert sizes == [1]  # which is run here


def test_quick_starts_do_not_fan_out(monkeypatch):
    monkeypatch.setattr(lbfgs, "fan_out", None)
    searched(WAVY, Exact(), 20)


def test_starts_of_a_killed_worker_run_again(fanned, workers, monkeypatch, tmp_path):
    # One worker to be killed, then those of other tests: each that imports torch takes longer than the search.
    pools = [lambda _, env: ProcessPoolExecutor(1, env=env), workers]
    monkeypatch.setattr(gp.parallel, "ProcessPoolExecutor", lambda n, env: pools.pop(0)(n, env=env))
    model, _, n = MODELS["heteroscedastic"]
    in_line, sizes = searched(model, Exact(), n), fanned()
    assert searched(model, Deadly(home=os.getpid(), mark=str(tmp_path / "mark")), n) == in_line
    assert sizes == [3]
    assert (tmp_path / "mark").exists()
    assert pools == []
