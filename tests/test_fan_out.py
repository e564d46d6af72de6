"""Many fits at once: same results in order on one core, on all, on a cluster; and when a worker is killed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import gp  # torch is imported where it is needed: most workers need none
from gp.parallel import ADDRESS, MANY_ROWS, cores, fan_out, lapack_threads, one_thread
from gp.spec import InputError

ROOT = Path(__file__).parent.parent
own_workers = pytest.mark.usefixtures("own_workers")


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


@own_workers
def test_one_task_and_none_need_no_worker():
    assert fan_out(where, [(3,)]) == [os.getpid()]
    assert fan_out(square, []) == []


def test_a_fault_in_a_task_is_raised_here():
    with pytest.raises(InputError, match="told to"):
        fan_out(fail, [(0,), (1,)])


@own_workers
def test_what_a_killed_worker_took_with_it_runs_again_and_results_come_in_order(tmp_path):
    tasks = [(k, str(tmp_path / "mark")) for k in range(6)]
    assert fan_out(die_once, tasks) == [k**2 for k in range(6)]
    assert (tmp_path / "mark").exists()


def threads(n):
    with lapack_threads(n):
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def nested_and_threads(value):
    return *where_nested(value), threads(MANY_ROWS)


@own_workers
def test_few_rows_have_one_thread_and_many_have_all_cores():
    from torch.__config__ import parallel_info

    before = parallel_info()
    with threadpool_limits(2, user_api="blas"), one_thread():
        assert threads(MANY_ROWS - 1) == {1}
        assert threads(MANY_ROWS) == {cores()}
    assert parallel_info() == before  # MKL's threads wait by spinning: a second one would slow all tests that follow


@own_workers
def test_a_task_runs_on_one_thread_and_what_it_fans_out_runs_where_it_does():
    for task, inner, used in fan_out(nested_and_threads, [(0,), (1,), (2,)]):
        assert inner == [task, task]
        assert task != os.getpid()
        assert used == {1}


def test_a_fit_in_a_worker_comes_to_the_same():
    assert fan_out(fit_end, [(0,), (1,), (2,)]) == [fit_end(seed) for seed in range(3)]


@own_workers
def test_a_daemonic_process_runs_all_itself():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(fan_out, (square, [(1,), (2,), (3,)])) == [1, 4, 9]


@own_workers
@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(ADDRESS, "127.0.0.1:9")
    with pytest.raises(InputError, match=r"DASK_SCHEDULER_ADDRESS: no scheduler answers at 127\.0\.0\.1:9"):
        fan_out(square, [(1,), (2,)])


@contextmanager
def clustered(folder, path, n_workers):
    """Yield the address and the workers of a cluster with a PYTHONPATH, each a process of its own on loopback."""
    environment = {**os.environ, "PYTHONPATH": path}
    # Workers end soon after their scheduler does, whatever becomes of this test.
    environment["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "10s"
    file, processes = folder / "scheduler.json", []

    def start(*command):
        options = ["--host", "127.0.0.1", "--no-dashboard"]
        run = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:], *options],
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        processes.append(run)
        return run

    try:
        start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))
        worker = "dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny"
        workers = [start(*worker) for _ in range(n_workers)]
        deadline = time.monotonic() + 300
        while not file.exists():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], workers
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A cluster of two workers, of which the last test of them ends one."""
    with clustered(tmp_path_factory.mktemp("cluster"), f"{ROOT}{os.pathsep}{ROOT / 'tests'}", 2) as made:
        yield made


@pytest.fixture
def cluster(two_workers, monkeypatch):
    """Let this process find the cluster; return its workers."""
    address, workers = two_workers
    monkeypatch.setenv(ADDRESS, address)
    return workers


@own_workers
@pytest.mark.slow
def test_starts_on_a_cluster_come_to_the_same(cluster, monkeypatch):
    from gp.training import lbfgs

    x = np.linspace(0, 1, 20)
    y = np.sin(6 * x) + x * np.random.default_rng(0).normal(size=20)
    model = {"kernel": {"kind": "rbf", "lengthscale": 0.02}, "noise": {"kind": "heteroscedastic"}}

    def ends():
        fitted = gp.fit(x, y, model=model, train={"restarts": 3})
        return fitted.vector.tobytes(), fitted.report()

    in_line, labels = ends(), []
    monkeypatch.setattr(lbfgs, "LONG", 0.0)
    monkeypatch.setattr(lbfgs, "fan_out", lambda *task, label: [labels.append(label), fan_out(*task)][1])
    assert ends() == in_line
    assert labels == ["lbfgs"]
    for task, inner in fan_out(where_nested, [(0,), (1,), (2,)]):
        assert inner == [task, task]
        assert task != os.getpid()


@own_workers
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


@own_workers
@pytest.mark.slow
def test_a_cluster_that_cannot_import_the_project_is_told_what_it_needs(monkeypatch, tmp_path):
    with clustered(tmp_path, "", n_workers=1) as (address, _):
        monkeypatch.setenv(ADDRESS, address)
        with pytest.raises(InputError, match=r"cannot load this project: .* PYTHONPATH set to its root"):
            fan_out(square, [(1,), (2,)])
