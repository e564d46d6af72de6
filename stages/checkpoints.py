"""Checkpoints: a folder, ignored by Git and DVC, from which a stage that was killed resumes."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.wrapper.inputs import declaration, fingerprint, started

FOLDER = Path(".checkpoints")


@contextmanager
def checkpoints(stage: str, study: str) -> Iterator[Path]:
    """Yield a folder named by a hash of all that `stage` reads for `study`: params, data, code and versions.

    If the block succeeds, the folder is removed, together with those of earlier params, data, code and versions.
    """
    declared = declaration(stage, study)
    # The code that runs is the code as it was when this process began.
    reads = fingerprint(declared) | started(declared["deps"])
    ours = FOLDER / study / stage
    yield ours / hashlib.sha256(repr(sorted(reads.items())).encode()).hexdigest()[:16]
    shutil.rmtree(ours, ignore_errors=True)
