"""Checkpoint: a file from which a long training resumes after it was killed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

EVERY = 5.0  # seconds between writes; writing and syncing a few megabytes takes some hundredths of a second

Arrays = dict[str, np.ndarray]


class Checkpoint:
    """A file in `folder` that is written completely or not at all; without a folder, nothing is written.

    Its name is `key`, which identifies the training.  The owner of the folder removes it in the end.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._path = None if folder is None else folder / f"{key}.safetensors"
        self._last = time.monotonic()

    def read(self) -> Arrays | None:
        """Return the arrays last written, None if there are none."""
        return None if self._path is None or not self._path.exists() else load_file(self._path)

    def offer(self, arrays: Callable[[], Arrays]) -> None:
        """Write `arrays` if the last write was at least EVERY seconds ago."""
        if time.monotonic() - self._last > EVERY:
            self.write(arrays())

    def write(self, arrays: Arrays) -> None:
        """Write `arrays`, replacing earlier ones."""
        self._last = time.monotonic()
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
