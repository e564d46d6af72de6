"""Where a stage that was killed finds what it goes on from: a folder that Git and DVC ignore."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.inputs import declaration, fingerprint, started

FOLDER = Path(".checkpoints")


@contextmanager
def checkpoints(stage: str, study: str) -> Iterator[Path]:
    """Yield a folder named by a hash of all that `stage` reads for `study`: params, data, code and versions.

    It is removed, with those of earlier params, data, code and versions, where the block ends well.
    """
    declared = declaration(stage, study)
    # What code was when this process began is what runs.
    reads = fingerprint(declared) | started(declared["deps"])
    ours = FOLDER / study / stage
    yield ours / hashlib.sha256(repr(sorted(reads.items())).encode()).hexdigest()[:16]
    shutil.rmtree(ours, ignore_errors=True)
