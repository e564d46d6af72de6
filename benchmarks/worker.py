"""A library's process, as this one sees it: requests and replies of `benchmarks.peers.protocol`."""

import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environments import Unavailable, interpreter, without_places
from benchmarks.machine import confine, environment
from benchmarks.peers import Peer

ROOT = Path(__file__).parent.parent
PATIENCE = 180  # seconds for a process to start, or to compile


class Worker:
    """One process of one library; `ask` raises Unavailable once it fails, and the process is then gone."""

    def __init__(self, peer: Peer, n_cores: int) -> None:
        self.peer = peer
        python = interpreter(peer.requirements)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{peer.module}"],
            cwd=ROOT,
            env=environment(n_cores, os.environ),
            preexec_fn=confine(n_cores),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._received = b""
        try:
            self.description = self.ask({"do": "describe"}, PATIENCE)
        except Unavailable:
            self.close()
            raise

    def prepare(self, task: str, arrays: Path, settings: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Have a task made ready: data read, programs compiled.  Return the resident bytes before, and at most."""
        request = {"do": "prepare", "task": task, "arrays": str(arrays), "settings": settings, "kernel": "rbf"}
        return self.ask({**request, "options": dict(self.peer.options), **more}, PATIENCE)

    def run(self, first: int = 0, calls: int = 1, limit: float = PATIENCE) -> dict[str, Any]:
        """Return the measurement of `calls` calls, within `limit` seconds."""
        return self.ask({"do": "run", "first": first, "calls": calls}, limit)

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """Return the reply; raises Unavailable on an error, a crash, or when the time is over."""
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable(self._last_words()) from None
        reply = json.loads(self._line(limit))
        if "error" in reply:
            raise Unavailable(without_places(reply["error"]))
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def _line(self, limit: float) -> bytes:
        end = time.monotonic() + limit
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._process.stdout], [], [], max(end - time.monotonic(), 0))
            if not ready:
                self._process.kill()
                raise Unavailable(f"more than {limit:.0f} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                raise Unavailable(self._last_words())
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with {code}: " + without_places(lines[-1] if lines else "no message")
