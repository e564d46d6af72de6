"""Commands that run side by side: what each prints appears in blocks, and all of them end together."""

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tqdm import tqdm

NEW_BLOCK = re.compile(rb"^(?=Running stage '|Stage ')", re.MULTILINE)  # `dvc repro` comes to another stage
BUSY = (b"Unable to acquire lock", b"is being blocked by")  # another `dvc` was about to begin or end a stage
TRIES = 5  # of a command that was refused because another one was busy
PATIENCE = 0.5  # seconds between looks at whether a command has ended whose output a grandchild still holds
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Running:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    tries: int
    text: bytes = b""  # printed, but its block is not complete
    busy: bool = field(default=False)

    def take(self, printed: bytes, last: bool = False) -> str:
        """Return the blocks that are complete, now that `printed` was added."""
        *complete, self.text = NEW_BLOCK.split(self.text + printed)
        if last:
            complete, self.text = [*complete, self.text], b""
        self.busy = self.busy or any(sign in block for block in complete for sign in BUSY)
        return b"".join(complete).decode(errors="replace")


def run_all(commands: dict[str, list[str]], jobs: int) -> dict[str, int]:
    """Run name → command, at most `jobs` at once; return name → exit code.

    If this process is interrupted, terminated or killed, so are they; then SystemExit is raised with 128 + the signal.
    """
    waiting = deque((name, command, 1) for name, command in commands.items())
    running: dict[str, _Running] = {}
    statuses: dict[str, int] = {}
    with selectors.DefaultSelector() as selector, _ending(running) as stopped, _progress(len(commands)) as progress:
        while running or (waiting and not stopped):
            while waiting and len(running) < jobs and not stopped:
                job = _start(*waiting.popleft())
                running[job.name] = job
                selector.register(job.process.stdout, selectors.EVENT_READ, job)  # type: ignore[arg-type]
                progress.set_postfix_str(", ".join(running))
            ended = [job for job in running.values() if job.process.poll() is not None]
            for key, _ in selector.select(timeout=0 if ended else PATIENCE):
                _print(key.data.take(os.read(key.fd, 1 << 16)))
            for job in ended:
                selector.unregister(job.process.stdout)  # type: ignore[arg-type]
                _print(job.take(_rest(job.process), last=True))
                del running[job.name]
                if job.process.returncode and job.busy and job.tries < TRIES and not stopped:
                    waiting.appendleft((job.name, job.command, job.tries + 1))
                    continue
                statuses[job.name] = job.process.returncode
                progress.update()
                progress.set_postfix_str(", ".join(running))
    if stopped:
        sys.exit(128 + stopped[0])
    return statuses


def run_one(command: list[str]) -> int:
    """Run a command that prints to this process's own terminal; return its exit code, and end it as `run_all` does."""
    process = subprocess.Popen(command, preexec_fn=_end_with_parent)
    with _ending({"": _Running("", command, process, 1)}) as stopped:
        status = process.wait()
    if stopped:
        sys.exit(128 + stopped[0])
    return status


def _start(name: str, command: list[str], tries: int) -> _Running:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with_parent,
    )
    return _Running(name, command, process, tries)


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    """Return what a process that has ended left in its pipe, which a grandchild may still hold open; close it."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    text = process.stdout.read() or b""
    process.stdout.close()
    return text


def _print(text: str) -> None:
    if text:
        tqdm.write(text, end="")
        sys.stdout.flush()


@contextmanager
def _progress(n: int) -> Iterator[tqdm]:
    with tqdm(total=n, desc="studies", unit="study", disable=None, leave=False) as progress:
        yield progress


@contextmanager
def _ending(running: dict[str, _Running]) -> Iterator[list[int]]:
    """Pass a signal that would end this process on, as SIGTERM; yield the list of the signals that came."""
    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        for job in list(running.values()):
            job.process.terminate()  # `dvc` would take SIGINT for the end of one stage, and go on with the next

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """Ask the kernel (Linux) to terminate this process when its parent ends, however it ends."""
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
