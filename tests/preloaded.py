"""Commands of tests without their imports: a process that has imported the packages of DVC and stages forks for each.

`python -m stages.train` spends most of its time in importing torch, `dvc status` in importing DVC.  A folder that tests
put first on PATH has a `dvc` and a `python` that ask this process to run the command in a copy of itself, with the same
arguments, environment, folder, standard files, network and exit code; the project's own modules are imported anew.
"""

import atexit
import ctypes
import gc
import importlib
import marshal
import os
import re
import runpy
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
import weakref
from collections import OrderedDict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TextIO

import yaml

PACKAGES = (
    *("dvc.cli", "dvc.repo.reproduce", "dvc.repo.experiments", "dvc.stage.cache", "dvc.utils.strictyaml", "dvc.render"),
    *("dvc.cli.parser", "dvc.cachemgr", "dvc.data_cloud", "dvc.dirs", "dvc.repo.index", "dvc.repo.open_repo"),
    *("dulwich.repo", "dulwich.ignore", "dulwich.worktree", "pygit2", "scmrepo.git", "ruamel.yaml"),
    *("dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "dvc_data.index", "fsspec.implementations.memory"),
    *("dvc.repo.graph", "dvc.repo.plots", "dvc.repo.stage", "dvc.repo.worktree", "dvc_render", "networkx"),
    *("dvc.repo.experiments.queue.celery", "dvc.repo.experiments.queue.tempdir", "dvc.utils.hydra", "dvc_task.worker"),
    *("dulwich.porcelain", "dvc.ui.table", "dvc_data.index.checkout", "dvc_data.index.push", "rich.console", "wcwidth"),
    *("gpytorch", "loky", "pathspec", "safetensors.numpy", "safetensors.torch", "threadpoolctl", "tqdm", "yaml"),
    *("altair", "pandas", "pandas.io.formats.csvs", "pyarrow.pandas_compat", "pyarrow.parquet"),
    *("pydantic.functional_serializers", "pydantic.main", "pydantic.plugin._loader", "pydantic.type_adapter"),
    *("scipy.cluster.hierarchy", "scipy.integrate", "scipy.optimize", "scipy.signal", "scipy.stats"),
    *("PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "py_compile"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure", "matplotlib.style"),
)
ADDRESS = "PRELOADED"  # environment variable: where the process listens; without it, commands run as ever
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # as stages set them
CORE = "tag:yaml.org,2002:"
# What LibYAML writes unlike ruamel.yaml, or may: quotes, ends of lines, long lines, nothing, infinity.
UNLIKE = re.compile(r"''|\"|\n\n|.{80}|null|\b(?:inf|nan)\b")
SPACES = ("user", "net")  # namespaces in which a command runs, as who asks for it does (`unshare --net`)
# -I and -S: an interpreter that imports nothing it need not (socket, json) starts in a hundredth of a second.
CLIENT = """\
#!{python} -IS
import marshal, os, sys, _socket
name, given = os.path.basename(sys.argv[0]), sys.argv[1:]
real = os.path.join({folder!r}, name)
if {address!r} not in os.environ or (name == "python" and given[:1] not in (["-m"], ["-c"])):
    os.execv(real, [real, *given])
asked = {{"real": real, "given": given, "environment": dict(os.environ), "folder": os.getcwd()}}
link = _socket.socket(_socket.AF_UNIX)
link.connect(os.environ[{address!r}])
spaces = (os.open("/proc/self/ns/" + space, os.O_RDONLY) for space in {spaces!r})
files = b"".join(file.to_bytes(4, sys.byteorder) for file in (0, 1, 2, *spaces))
link.sendmsg([b"-"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
link.sendall(marshal.dumps(asked))
link.shutdown(_socket.SHUT_WR)
answer = b""
while more := link.recv(100):
    answer += more
if answer.startswith(b"-"):
    os.kill(os.getpid(), -int(answer))
sys.exit(int(answer) if answer else "the process that runs commands of tests has ended")
"""


_processes: list[int] = []  # those that `preloaded` has started


@cache
def preloaded(seed: str) -> dict[str, str]:
    """Start a process whose hashes have a seed, as PYTHONHASHSEED says it.

    Returns the environment variables that let commands run in it; none where the system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        return {}
    folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
    address, here = str(folder / "socket"), Path(sys.executable).parent
    client = CLIENT.format(python=Path(sys.executable).resolve(), folder=str(here), address=ADDRESS, spaces=SPACES)
    for name in ("dvc", "python"):
        (folder / name).write_text(client, encoding="utf-8")
        (folder / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)  # who asks before all is imported waits
        environment = os.environ | THREADS | {"PYTHONHASHSEED": seed}
        command = [sys.executable, __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)
    _processes.append(process.pid)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.kill)
    return {"PATH": os.pathsep.join([str(folder), str(here), os.environ["PATH"]]), ADDRESS: address}


def cpu_seconds() -> float:
    """Return the CPU seconds of all commands that have ended, and of other processes that this one waited for."""
    times = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in _processes]
    forked = sum(int(ticks) for fields in times for ticks in fields[13:15]) / os.sysconf("SC_CLK_TCK")
    return forked + os.times().children_user + os.times().children_system


def _serve(listener: socket.socket) -> None:
    """Fork for each connection, and send the exit code when the command has ended, until this one's parent has."""
    parent = os.getppid()
    running: dict[int, tuple[int, socket.socket]] = {}  # a handle of each command's process → its id, and who asked
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while os.getppid() == parent:
            for key, _ in selector.select(timeout=1.0):
                if key.fileobj is not listener:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _tell(*running.pop(key.fd))
                    continue
                link, _ = listener.accept()
                asked, files = _received(link)
                child = os.fork()
                if child == 0:
                    selector.close()
                    for inherited in (listener, link, *(other for _, other in running.values())):
                        inherited.close()
                    _answer(asked, files)
                for file in files:
                    os.close(file)
                handle = os.pidfd_open(child)
                running[handle] = child, link
                selector.register(handle, selectors.EVENT_READ)


def _received(link: socket.socket) -> tuple[bytes, list[int]]:
    """Return what is asked for, empty where who asked has been killed, and the files that came with it.

    These are the standard files, and the namespaces of who asked.
    """
    first, files, _, _ = socket.recv_fds(link, 1, 3 + len(SPACES))
    asked = b""
    while first and (more := link.recv(1 << 16)):
        asked += more
    return asked, files


def _tell(child: int, link: socket.socket) -> None:
    """Send the exit code of a command that has ended to who asked for it."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # who asked has been killed
        link.sendall(str(status).encode())
        link.shutdown(socket.SHUT_RDWR)  # closing alone would not be seen while a fork has a copy
    link.close()


def _answer(asked: bytes, files: list[int]) -> NoReturn:
    """Run the command that is asked for, in the fork that is made for it."""
    if not asked:
        os._exit(1)
    for standard, file in enumerate(files[:3]):
        os.dup2(file, standard)
        os.close(file)
    code = 1
    try:
        _enter(dict(zip(SPACES, files[3:], strict=True)))
        code = _run(**marshal.loads(asked))
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    # The interpreter would now take apart all modules, which takes a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _enter(spaces: dict[str, int]) -> None:
    """Move this process into the namespaces that are not its own."""
    for space, file in spaces.items():
        same = os.path.samestat(os.fstat(file), os.stat(f"/proc/self/ns/{space}"))  # noqa: PTH116
        if not same and ctypes.CDLL(None, use_errno=True).setns(file, 0):
            raise OSError(ctypes.get_errno(), f"cannot enter the {space} namespace of who asked")
        os.close(file)


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


def handle_dvc_lock_plainly() -> None:
    """Have DVC read and write dvc.lock for each stage by quick parsers, in place of those that keep comments.

    Those take longer than most stages, for each of them; dvc.lock has no comments, and gets the same bytes.
    """
    dvc, resolver = map(importlib.import_module, ("dvc.utils.serialize._yaml", "ruamel.yaml.resolver"))
    for_update, dump_own = dvc.parse_yaml_for_update, dvc._dump

    class Dumper(yaml.CSafeDumper):
        """LibYAML with the plain scalars of YAML 1.2, as DVC writes them."""

        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    for versions, tag, pattern, first in resolver.implicit_resolvers:
        if (1, 2) in versions:
            Dumper.add_implicit_resolver(tag, pattern, first)
    Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar(f"{CORE}float", repr(value)))
    Dumper.add_representer(OrderedDict, lambda dumper, value: dumper.represent_dict(value.items()))

    def parse(text: str, path: str) -> Any:
        return (dvc.parse_yaml if Path(path).name == "dvc.lock" else for_update)(text, path)

    def dump(data: Any, stream: TextIO) -> None:
        text = None
        with suppress(yaml.YAMLError):  # what was parsed with its comments
            text = yaml.dump(data, None, Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True)
        if text is None or UNLIKE.search(text):
            dump_own(data, stream)
        else:
            stream.write(text)

    dvc.parse_yaml_for_update, dvc._dump = parse, dump


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    with warnings.catch_warnings(action="ignore"):
        for package in PACKAGES:
            importlib.import_module(package)
    handle_dvc_lock_plainly()
    importlib.import_module("pydantic").create_model("First", x=(int, 0))  # the first looks for plugins, on all of disk
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False  # what imports have registered; undoing it would be most of a fork's end
    gc.freeze()  # what is imported is in use for ever: no fork need look through it
    gc.set_threshold(100_000, 50, 50)  # commands end soon: looking for garbage is a tenth of their time
    _serve(socket.socket(fileno=int(sys.argv[1])))
