"""Commands of tests without their imports: a process that has imported the packages of DVC and stages forks for each.

`python -m stages.train` spends most of its time in importing torch, `dvc status` in importing DVC.  A folder that tests
put first on PATH has a `dvc` and a `python` that ask this process to run the command in a copy of itself, with the same
arguments, environment, folder, standard files and exit code; the project's own modules are imported anew.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

PACKAGES = (
    *("dvc.cli", "dvc.repo.reproduce", "dvc.repo.experiments", "dvc.stage.cache", "dvc.utils.strictyaml", "dvc.render"),
    *("dulwich.repo", "pygit2", "dvc_data.index", "scmrepo.git"),
    *("gpytorch", "loky", "pandas", "pathspec", "pyarrow.parquet", "pydantic", "safetensors.torch", "threadpoolctl"),
    *("scipy.integrate", "scipy.optimize", "scipy.signal", "scipy.stats", "tqdm", "yaml"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure"),
)
ADDRESS = "PRELOADED"  # environment variable: where the process listens; without it, commands run as ever
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # as stages set them
# -I and -S: an interpreter that imports nothing it need not starts in a hundredth of a second.
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
name, given = os.path.basename(sys.argv[0]), sys.argv[1:]
real = os.path.join({folder!r}, name)
if {address!r} not in os.environ or (name == "python" and given[:1] not in (["-m"], ["-c"])):
    os.execv(real, [real, *given])
asked = {{"real": real, "given": given, "environment": dict(os.environ), "folder": os.getcwd()}}
with socket.socket(socket.AF_UNIX) as link:
    link.connect(os.environ[{address!r}])
    socket.send_fds(link, [json.dumps(asked).encode() + b"\\0"], [0, 1, 2])
    answer = link.makefile().read()
if answer.startswith("-"):
    os.kill(os.getpid(), -int(answer))
sys.exit(int(answer) if answer else "the process that runs commands of tests has ended")
"""


@cache
def preloaded(seed: str = "random") -> dict[str, str]:
    """Start a process whose hashes have a seed, as PYTHONHASHSEED says it.

    Returns the environment variables that let commands run in it; none where the system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        return {}
    folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
    address, here = str(folder / "socket"), Path(sys.executable).parent
    client = CLIENT.format(python=Path(sys.executable).resolve(), folder=str(here), address=ADDRESS)
    for name in ("dvc", "python"):
        (folder / name).write_text(client, encoding="utf-8")
        (folder / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)  # who asks before all is imported waits
        environment = os.environ | THREADS | {"PYTHONHASHSEED": seed}
        command = [sys.executable, __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.kill)
    return {"PATH": os.pathsep.join([str(folder), str(here), os.environ["PATH"]]), ADDRESS: address}


def _serve(listener: socket.socket) -> None:
    """Fork for each connection, until the process that started this one has ended."""
    parent = os.getppid()
    answering = 0
    listener.settimeout(1.0)
    while os.getppid() == parent:
        while answering and os.waitpid(-1, os.WNOHANG)[0]:
            answering -= 1
        with suppress(TimeoutError):
            link, _ = listener.accept()
            answering += 1
            if os.fork() == 0:
                listener.close()
                _answer(link)
            link.close()


def _answer(link: socket.socket) -> NoReturn:
    """Run the command that is asked for in one more fork, and send its exit code."""
    asked, files = b"", []
    while not asked.endswith(b"\0"):
        more, got, _, _ = socket.recv_fds(link, 1 << 16, 3)
        asked, files = asked + more, files or got
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(OSError):  # who asked has been killed
            link.sendall(str(status).encode())
        os._exit(0)
    link.close()
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    code = 1
    try:
        code = _run(**json.loads(asked[:-1]))
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    # The interpreter would now take apart all modules, which takes a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(real: str, given: list[str], environment: dict[str, str], folder: str) -> int:
    """Do what the interpreter does with the script `dvc`, `python -m` or `python -c`; return the exit code."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv = [real, *given]
    try:
        if real.endswith("dvc"):
            sys.argv = [real, *given]
            sys.exit(importlib.import_module("dvc.cli").main())
        option, what, *arguments = given
        sys.argv = [option, *arguments]
        further = environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [folder if option == "-m" else "", *filter(None, further)]
        if option == "-m":
            runpy._run_module_as_main(what)  # type: ignore[attr-defined]
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    with warnings.catch_warnings(action="ignore"):
        for package in PACKAGES:
            importlib.import_module(package)
    gc.freeze()  # what is imported is in use for ever: no fork need look through it
    _serve(socket.socket(fileno=int(sys.argv[1])))
