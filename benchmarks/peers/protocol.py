"""How a library's process talks: a JSON request a line on stdin, a JSON reply a line on stdout.

    {"do": "describe"}                                → {"versions": {…}, "libraries": […]}
    {"do": "prepare", "task": …, "arrays": path, …}   → {"held": …, "peak": …}
    {"do": "run", "first": i, "calls": k}             → {"cpu": …, "wall": …, "held": …, "peak": …, "result": {…}}
    whatever fails                                    → {"error": "…"}

A task is a function of a `Problem` that does what need not be measured (copies, compiling) and returns the call that
is; `call(i)` returns plain numbers and arrays.  Only NumPy is needed, so every library's environment can load this.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 100  # of a long result: enough to compare

Call = Callable[[int], Mapping[str, Any]]
Task = Callable[["Problem"], Call]


@dataclass(frozen=True, eq=False)
class Problem:
    """Training data x (n, d), y (n,); new inputs (m, d); hyperparameters to use in turn, or to start from.

    A setting has `lengthscale` (d,), `outputscale`, `noise_sd` and `mean`, in the data's units.
    """

    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    settings: list[dict[str, Any]]
    kernel: str = "rbf"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _State:
    call: Call | None = None


def serve(tasks: Mapping[str, Task], packages: tuple[str, ...]) -> None:
    """Answer requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no reply
    state = _State()
    for line in sys.stdin:
        try:
            reply = _answer(json.loads(line), tasks, packages, state)
        except Exception as error:  # noqa: BLE001  a library may raise anything; the reader skips it by name
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        replies.write(json.dumps(reply) + "\n")


def _answer(request: dict[str, Any], tasks: Mapping[str, Task], packages: tuple[str, ...], state: _State) -> dict:
    if request["do"] == "describe":
        return {"versions": {name: _version(name) for name in packages}, "libraries": _libraries()}
    if request["do"] == "prepare":
        state.call = None  # before the next one takes its memory
        held = _resident_with_peak_reset()
        with np.load(request["arrays"]) as arrays:
            problem = Problem(**arrays, **{key: request[key] for key in ("settings", "kernel", "options")})
        state.call = tasks[request["task"]](problem)
        return {"held": held, "peak": _peak()}
    if state.call is None:
        raise RuntimeError("nothing was prepared")
    return measure(state.call, request["first"], request["calls"])


def measure(call: Call, first: int, calls: int) -> dict[str, Any]:
    """Return CPU and wall seconds a call (all threads and children), resident bytes before and at most, the result."""
    held, cpu, wall = _resident_with_peak_reset(), _cpu_seconds(), time.perf_counter()
    for i in range(first, first + calls):
        result = call(i)
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    return {
        "cpu": cpu / calls,
        "wall": wall / calls,
        "held": held,
        "peak": _peak(),
        "result": {name: _plain(value) for name, value in result.items()},
    }


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _resident_with_peak_reset() -> int:
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")  # man 5 proc: resets VmHWM
    return _status("VmRSS") or _highest()


def _peak() -> int:
    return _status("VmHWM") or _highest()


def _status(key: str) -> int | None:
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), None)


def _highest() -> int:
    """Return the highest resident size so far: all that is known where there is no /proc."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, str, dict)):
        return value
    values = np.asarray(value, dtype=float)
    return values.reshape(-1)[:SHOWN].tolist() if values.ndim else float(values)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _libraries() -> list[dict[str, Any]]:
    """Return the linear algebra and OpenMP libraries at work: which, their kernels, their threads."""
    try:
        from threadpoolctl import threadpool_info  # noqa: PLC0415  not every environment has it
    except ImportError:
        return []
    keys = {"internal_api": "library", "version": "version", "architecture": "core type", "num_threads": "threads"}
    return [{name: entry[key] for key, name in keys.items() if entry.get(key)} for entry in threadpool_info()]


def in_blocks(
    predict: Callable[[np.ndarray], tuple[Any, Any]], x: np.ndarray, size: int = 1000
) -> dict[str, np.ndarray]:
    """Return mean and sd, (m,) each, of a library that does not take many points in blocks by itself."""
    mean, sd = np.empty(len(x)), np.empty(len(x))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        mean[rows], sd[rows] = predict(x[rows])
    return {"mean": mean, "sd": sd}
