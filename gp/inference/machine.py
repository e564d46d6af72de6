"""What a machine lends an inference: threads of linear algebra, and memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from gp.fan_out import cores, in_worker

# Rows from which LAPACK gets all cores.  Below, a second thread saves at most a second on an idle machine, and on a
# busy one two that wait for each other take 2 to 40 times as long as one alone.  A constant, never a measurement: the
# bytes of a result depend on the number of threads.
MANY_ROWS = 5000


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MB that was freed, instead of asking the system for the same pages at every evaluation.

    At n = 500 that took a quarter of the time.  Its threshold follows the largest block freed, up to 32 MB (mallopt(3),
    M_MMAP_THRESHOLD); the block is never touched.
    """
    np.empty(2**22 - 2**12)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and torch to one thread: tiles are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def lapack_threads(n: int) -> Iterator[None]:
    """Give BLAS, held to one thread, all cores where a matrix has many rows and nothing else runs beside it."""
    if n < MANY_ROWS or cores() == 1 or in_worker():
        yield
    else:
        with _blas().limit(limits=cores()):
            yield


@cache
def _blas() -> ThreadpoolController:
    # Once: it looks through all libraries loaded, which takes milliseconds.
    return ThreadpoolController().select(user_api="blas")


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that may still be allocated: the kernel's estimate, within the control group's limit."""
    amounts = [_meminfo(root / "proc/meminfo"), *(_limit(root / path) for path in _LIMITS)]
    known = [amount for amount in amounts if amount is not None]
    return min(known) if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")  # versions 2 and 1


def _meminfo(path: Path) -> int | None:
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _limit(path: Path) -> int | None:
    text = path.read_text().strip() if path.exists() else "max"
    return int(text) if text.isdigit() else None
