"""Many fits at once: on this machine's cores, or on a Dask cluster.

Which of the two is an environment variable, DASK_SCHEDULER_ADDRESS, and no parameter: it changes no result.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from gp.spec import InputError

ADDRESS = "DASK_SCHEDULER_ADDRESS"
ATTEMPTS = 3  # of what a killed worker took with it


def fan_out(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], label: str = "fits") -> list[Any]:
    """Return `function(*task)` for each task, in their order.

    Tasks run in processes of one thread each; those of a worker that was killed run again.  An exception in a task is
    raised here.  On a Dask cluster the workers must be able to import what `function` is defined in.
    """
    if os.environ.get(ADDRESS):
        return _on_cluster(function, tasks, os.environ[ADDRESS], label)
    if len(tasks) < 2 or cores() == 1:
        return [function(*task) for task in tqdm(tasks, desc=label, disable=None, leave=False)]
    results: list[Any] = []
    with tqdm(total=len(tasks), desc=label, disable=None, leave=False) as progress:
        for attempt in range(ATTEMPTS):
            calls = (delayed(function)(*task) for task in tasks[len(results) :])
            try:
                with parallel_config("loky", inner_max_num_threads=1):
                    for result in Parallel(n_jobs=cores(), return_as="generator")(calls):
                        results.append(result)
                        progress.update()
                break
            except TerminatedWorkerError:
                if attempt == ATTEMPTS - 1:
                    raise
    return results


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _on_cluster(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], address: str, label: str) -> list[Any]:
    try:
        from dask.distributed import Client, as_completed  # noqa: PLC0415  a cluster's own package, needed on one only
    except ImportError:
        raise InputError(
            f"{ADDRESS} is {address}, but dask.distributed is not installed: `pip install distributed`, or unset it"
        ) from None
    try:
        client = Client(address, timeout="30s", set_as_default=False)
    except OSError as error:
        raise InputError(f"{ADDRESS}: no scheduler answers at {address} ({error}): start one, or unset it") from None
    with client:
        # `pure=False`: Dask otherwise takes two equal tasks for one.
        futures = [client.submit(function, *task, pure=False, retries=ATTEMPTS - 1) for task in tasks]
        for _ in tqdm(as_completed(futures), total=len(futures), desc=label, disable=None, leave=False):
            pass
        return list(client.gather(futures))
