"""Parallel work: tasks on processes or a Dask cluster, threads for linear algebra, and the available memory.

The environment variable DASK_SCHEDULER_ADDRESS chooses between this machine's cores and a cluster.  It is not a
parameter, because it changes no result.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import numpy as np
from loky import ProcessPoolExecutor
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from .spec import Fault, InputError

ADDRESS = "DASK_SCHEDULER_ADDRESS"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ATTEMPTS = 3  # at tasks whose worker was killed
_in_worker = ContextVar("in_worker", default=False)
_is_held = ContextVar("is_held", default=False)  # to one thread


def fan_out(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], label: str = "fits") -> list[Any]:
    """Return `function(*task)` for each task, in their order.

    Tasks run in processes of one thread each.  If a worker is killed, its tasks run again.  An exception in a task is
    raised here.  On a Dask cluster, the workers must be able to import the module that defines `function`.  A nested
    call runs its tasks one after another in its own worker; so does a call in a daemonic process, which may not have
    child processes.
    """
    if in_worker() or current_process().daemon:
        return [function(*task) for task in tasks]
    if os.environ.get(ADDRESS):
        return _on_cluster(function, tasks, os.environ[ADDRESS], label)
    if len(tasks) < 2 or cores() == 1:
        return [function(*task) for task in tqdm(tasks, desc=label, disable=None, leave=False)]
    done: dict[int, Any] = {}
    with tqdm(total=len(tasks), desc=label, disable=None, leave=False) as progress:
        for attempt in range(1, ATTEMPTS + 1):
            lost = _on_cores(function, {k: task for k, task in enumerate(tasks) if k not in done}, done, progress)
            if lost is None:
                break
            if attempt == ATTEMPTS:
                raise lost
    return [done[k] for k in range(len(tasks))]


def _on_cores(
    function: Callable[..., Any], tasks: dict[int, tuple[Any, ...]], done: dict[int, Any], progress: tqdm
) -> BrokenProcessPool | None:
    """Put the result of each task into `done`; return the error if the workers died before all were done."""
    # Not loky's shared pool: it hangs if it is used again after a worker was killed.
    pool = ProcessPoolExecutor(min(cores(), len(tasks)), env=dict.fromkeys(THREADS, "1"))
    try:
        numbers = {pool.submit(run_in_line, function, *task): k for k, task in tasks.items()}
        for future in as_completed(numbers):
            done[numbers[future]] = future.result()
            progress.update()
    except BaseException as error:
        pool.shutdown(kill_workers=True)
        if isinstance(error, BrokenProcessPool):
            return error
        raise
    pool.shutdown()
    return None


def run_in_line(function: Callable[..., Any], *task: Any) -> Any:
    """Return `function(*task)`, marked as running in a worker: nested calls of fan_out then run in line."""
    before = _in_worker.set(True)
    try:
        return function(*task)
    finally:
        _in_worker.reset(before)  # a Dask worker's thread may run other tasks later


def in_worker() -> bool:
    """Return whether this code runs as a task of `fan_out`, beside other tasks and on one thread."""
    return _in_worker.get()


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _on_cluster(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], address: str, label: str) -> list[Any]:
    try:
        # Imported here, because only a cluster needs this package.
        from dask.distributed import Client, KilledWorker  # noqa: PLC0415
        from dask.distributed import as_completed as finished  # noqa: PLC0415
    except ImportError:
        raise InputError(
            Fault(
                "",
                f"{ADDRESS} is {address}, but dask.distributed is not installed",
                "`pip install distributed`, or unset it",
            )
        ) from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except OSError as error:
        raise InputError(
            Fault("", f"no scheduler answers at {address} ({error})", "start one, or unset it", source=ADDRESS)
        ) from None
    with client:
        # `pure=False`: otherwise Dask runs two equal tasks only once.
        futures = [client.submit(run_in_line, function, *task, pure=False) for task in tasks]
        for _ in tqdm(finished(futures, loop=client.loop), total=len(futures), desc=label, disable=None, leave=False):
            pass
        try:
            return list(client.gather(futures))
        except KilledWorker as error:
            raise InputError(
                Fault(
                    "",
                    f"a task ended the workers at {address} again and again",
                    "give each more memory",
                    source=ADDRESS,
                )
            ) from error
        except (ModuleNotFoundError, RuntimeError) as error:
            # A scheduler that cannot unpickle a task raises RuntimeError with this word.
            if isinstance(error, RuntimeError) and "deserialization" not in str(error):
                raise
            raise InputError(
                Fault(
                    "",
                    f"the scheduler at {address}, or a worker of it, cannot load this project",
                    "start them all in its environment, with PYTHONPATH set to its root",
                    source=ADDRESS,
                )
            ) from error


# From this number of rows on, LAPACK gets all cores.  With fewer rows, a second thread saves at most a second on an
# idle machine; on a busy machine, two threads that wait for each other take 2 to 40 times as long as one.  This is a
# constant and not measured at run time, because the bytes of a result depend on the number of threads.
MANY_ROWS = 5000


def keep_freed_memory() -> None:
    """Make glibc keep up to 64 MB of freed memory, instead of requesting the same pages at every evaluation.

    At n = 500 these requests took a quarter of the time.  glibc's threshold follows the largest freed block, up to 32
    MB (mallopt(3), M_MMAP_THRESHOLD).  So one such block is allocated and freed here; its pages are never touched.
    """
    np.empty(2**22 - 2**12)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and torch to one thread, because tiles are too small for more."""
    if _is_held.get():  # setting the limit again costs as much as factorising a hundred rows
        yield
        return
    # Imported here, because a worker whose tasks need no torch starts in a fifth of the time.
    import torch  # noqa: PLC0415

    before, token = torch.get_num_threads(), _is_held.set(True)
    is_one = before == 1 and all(library.num_threads == 1 for library in _blas().lib_controllers)
    try:
        if is_one:
            yield
            return
        torch.set_num_threads(1)
        with _blas().limit(limits=1):
            yield
    finally:
        if not is_one:
            torch.set_num_threads(before)
        _is_held.reset(token)


@contextmanager
def lapack_threads(n: int) -> Iterator[None]:
    """Give BLAS all cores again within `one_thread`, if the matrix has many rows and no other task runs."""
    if n < MANY_ROWS or cores() == 1 or in_worker():
        yield
    else:
        with _blas().limit(limits=cores()):
            yield


@cache
def _blas() -> ThreadpoolController:
    # Cached, because searching all loaded libraries takes milliseconds.
    return ThreadpoolController().select(user_api="blas")


def available_memory(root: Path = Path("/")) -> int:
    """Return how many bytes can still be allocated: Linux's estimate, or the control group's limit if lower."""
    amounts = [_meminfo(root / "proc/meminfo"), *(_limit(root / path) for path in _LIMITS)]
    known = [amount for amount in amounts if amount is not None]
    return min(known) if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")  # of cgroup versions 2 and 1


def _meminfo(path: Path) -> int | None:
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _limit(path: Path) -> int | None:
    text = path.read_text().strip() if path.exists() else "max"
    return int(text) if text.isdigit() else None
