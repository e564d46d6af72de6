"""The machine that was measured on, and how many of its cores a library's process may use."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Set where a core type was forced on OpenBLAS, which costs up to a factor of 2.5.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, system, Python, date, and how busy the machine was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def machines(rows: Sequence[Mapping[str, Any]], by: str = "group") -> str:
    """Return a line that says on which machine each group of rows was run."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        of = row["machine"]
        said = f"{of['processor']}, {of['cores']} cores, {of['memory_gib']} GiB, Python {of['python']}"
        if row[by] not in groups.setdefault(said, []):
            groups[said].append(row[by])
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in groups.items()) + "."


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(n_cores: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a library's process: its own defaults, on `n_cores` cores."""
    own = {name: value for name, value in inherited.items() if name not in (*FORCED, *THREADS)}
    if not hasattr(os, "sched_setaffinity") and n_cores < cores():
        own |= dict.fromkeys(THREADS, str(n_cores))
    return own


def confine(n_cores: int) -> Callable[[], None] | None:
    """Return what a process calls before it starts, so that all its threads share `n_cores` cores."""
    if not hasattr(os, "sched_setaffinity") or n_cores >= cores():
        return None
    chosen = sorted(os.sched_getaffinity(0))[-n_cores:]
    return lambda: os.sched_setaffinity(0, chosen)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    family = [line.partition(":")[2].strip() for line in lines if line.startswith(("cpu family", "model\t"))]
    if not named:
        return platform.processor() or platform.machine()
    return f"{named[0]} (family {family[0]}, model {family[1]})" if len(family) > 1 else named[0]
