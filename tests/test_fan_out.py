"""Many fits at once: same results in order on one core, on all, on a cluster; and when a worker is killed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import gp
from gp.parallel import ADDRESS, MANY_ROWS, cores, fan_out, lapack_threads, one_thread
from gp.spec import InputError

ROOT = Path(__file__).parent.parent


def square(value):
    return value**2


def fail(value):
    raise InputError(f"task {value}: told to")


def die_once(value, mark):
    """Kill the process that runs this, the first time it is asked for value 2."""
    if value == 2 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return value**2


def fit_end(seed):
    x = np.linspace(0, 1, 30)
    y = np.sin(6 * x) + 0.1 * np.random.default_rng(seed).normal(size=30)
    return gp.fit(x, y, model={"kernel": {"kind": "rbf"}}, train={"restarts": 0}, seed=seed).log_marginal_likelihood


def where(value):
    return os.getpid()


def where_nested(value):
    return os.getpid(), fan_out(where, [(0,), (1,)])


def test_one_task_and_none_need_no_worker():
    assert fan_out(where, [(3,)]) == [os.getpid()]
    assert fan_out(square, []) == []


def test_a_fault_in_a_task_is_raised_here():
    with pytest.raises(InputError, match="told to"):
        fan_out(fail, [(0,), (1,)])


def test_what_a_killed_worker_took_with_it_runs_again_and_results_come_in_order(tmp_path):
    tasks = [(k, str(tmp_path / "mark")) for k in range(6)]
    assert fan_out(die_once, tasks) == [k**2 for k in range(6)]
    assert (tmp_path / "mark").exists()


def test_fits_are_those_of_one_process():
    assert fan_out(fit_end, [(0,), (1,), (2,)]) == [fit_end(k) for k in range(3)]


def threads(n):
    with one_thread(), lapack_threads(n):
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def nested_and_threads(value):
    return *where_nested(value), threads(MANY_ROWS)


def test_a_task_runs_on_one_thread_and_what_it_fans_out_where_it_does():
    assert threads(MANY_ROWS - 1) == {1}
    assert threads(MANY_ROWS) == {cores()}
    for task, inner, used in fan_out(nested_and_threads, [(0,), (1,)]):
        assert inner == [task, task]
        assert task != os.getpid()
        assert used == {1}


def test_a_daemonic_process_runs_all_itself():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(fan_out, (square, [(1,), (2,), (3,)])) == [1, 4, 9]


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(ADDRESS, "127.0.0.1:9")
    with pytest.raises(InputError, match=r"DASK_SCHEDULER_ADDRESS: no scheduler answers at 127\.0\.0\.1:9"):
        fan_out(square, [(1,), (2,)])


@pytest.fixture
def cluster(monkeypatch, tmp_path, request):
    """A scheduler and two workers, each a process of its own on loopback; as its parameter a PYTHONPATH."""
    path = getattr(request, "param", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    environment = {**os.environ, "PYTHONPATH": path}
    # Workers end soon after their scheduler does, whatever becomes of this test.
    environment["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "10s"
    file, processes = tmp_path / "scheduler.json", []

    def start(*command):
        options = ["--host", "127.0.0.1", "--no-dashboard"]
        run = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:], *options],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        processes.append(run)
        return run

    start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))
    workers = [start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny") for _ in range(2)]
    deadline = time.monotonic() + 300
    while not file.exists():
        assert time.monotonic() < deadline, "the scheduler does not start"
        time.sleep(0.1)
    monkeypatch.setenv(ADDRESS, json.loads(file.read_text())["address"])
    yield workers
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same(cluster, tmp_path):
    tasks = [(k, str(tmp_path / "mark")) for k in range(6)]
    assert fan_out(die_once, tasks) == [k**2 for k in range(6)]
    assert (tmp_path / "mark").exists()
    assert sum(worker.poll() is not None for worker in cluster) == 1
    # The worker that is left carries on.
    assert fan_out(fit_end, [(0,), (1,)]) == [fit_end(k) for k in range(2)]
    with pytest.raises(InputError, match="told to"):
        fan_out(fail, [(0,), (1,)])


@pytest.mark.slow
def test_starts_on_a_cluster_come_to_the_same(cluster, monkeypatch):
    from gp.training import lbfgs

    x = np.linspace(0, 1, 40)
    y = np.sin(6 * x) + x * np.random.default_rng(0).normal(size=40)

    def ends():
        fitted = gp.fit(
            x, y, model={"kernel": {"kind": "rbf", "lengthscale": 0.02}, "noise": {"kind": "heteroscedastic"}}
        )
        return fitted.vector.tobytes(), fitted.report()

    in_line, labels = ends(), []
    monkeypatch.setattr(lbfgs, "LONG", 0.0)
    monkeypatch.setattr(lbfgs, "fan_out", lambda *task, label: [labels.append(label), fan_out(*task)][1])
    assert ends() == in_line
    assert labels == ["lbfgs"]
    for task, inner in fan_out(where_nested, [(0,), (1,), (2,)]):
        assert inner == [task, task]
        assert task != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [""], indirect=True)
def test_a_cluster_that_cannot_import_the_project_is_told_what_it_needs(cluster):
    with pytest.raises(InputError, match=r"cannot load this project: .* PYTHONPATH set to its root"):
        fan_out(square, [(1,), (2,)])
