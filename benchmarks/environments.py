"""An environment for each library: `benchmarks/.venvs/<requirements>`, made once from its pinned requirements."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent / ".venvs"
REQUIREMENTS = Path(__file__).parent / "peers"
LIMIT = 900  # seconds that an installation may take


class Unavailable(Exception):
    """A library cannot take part; the message says why."""


def interpreter(requirements: str | None, folder: Path = FOLDER) -> Path:
    """Return the Python in which the pinned requirements are met: this one, or a virtual environment made for them.

    Raises Unavailable.
    """
    if requirements is None:
        return Path(sys.executable)
    pins = (REQUIREMENTS / f"{requirements}.txt").read_text()
    if _met(pins):
        return Path(sys.executable)
    home = folder / requirements
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if not (stamp.exists() and stamp.read_text() == pins and python.exists()):
        print(f"{requirements}: installing", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS / f"{requirements}.txt")])
        stamp.write_text(pins)
    return python


def _met(pins: str) -> bool:
    """Return whether this environment has every pinned version (`2.13.0+cpu` is `2.13.0`)."""
    try:
        pairs = [line.split("==") for line in pins.split()]
        return all(version(name).partition("+")[0] == pinned for name, pinned in pairs)
    except PackageNotFoundError:
        return False


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"its installation took more than {LIMIT} s") from None
    except subprocess.CalledProcessError as error:
        errors = [line for line in error.stderr.splitlines() if "ERROR" in line.upper()]
        raise Unavailable(
            "it does not install: " + without_places("; ".join(errors[-2:] or ["no reason given"]))
        ) from None


def without_places(text: str) -> str:
    """Return a message without addresses and paths, which say nothing to a reader elsewhere."""
    return re.sub(r"\S*(?:://|/\w)\S*", "…", text)[:300]
