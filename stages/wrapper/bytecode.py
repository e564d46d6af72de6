"""Compiled code that Python checks by the hash of its source, not by size and time.

Python takes a module from `__pycache__` where the source has the size and the whole second of its last edit that the
compiled file names.  An edit that keeps both would run the code of before, and be recorded as if it had run.  A
compiled file can name the hash of its source instead (PEP 552), and stays of that kind when Python renews it.
"""

import importlib.util
import marshal
import os
import py_compile
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType

MAGIC, HEADER = importlib.util.MAGIC_NUMBER, 16  # bytes: magic number, flags, and two words that depend on the flags


def renew(sources: Iterable[Path]) -> None:
    """Compile each source anew whose compiled file goes by size and time; start this process again if one was stale.

    The new process has the same id, parent and arguments.  Raises SystemExit if a stale file cannot be replaced.
    """
    stale = [source for source in sources if _renewed(source)]
    if stale:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _renewed(source: Path) -> bool:
    """Make the compiled file of a source, if there is one, go by hash; return whether it held other code."""
    compiled = Path(importlib.util.cache_from_source(source))
    try:
        content = compiled.read_bytes()
    except OSError:
        return False
    if content[: len(MAGIC)] != MAGIC or content[len(MAGIC)] & 1:  # of another Python, or by hash already
        return False
    stale = not _holds(content[HEADER:], source)
    try:
        py_compile.compile(str(source), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    except py_compile.PyCompileError:
        return False  # the stage's own import says so, with its place
    except OSError as error:
        if stale:
            raise SystemExit(
                f"{compiled}: holds other code than {source}, and cannot be replaced: remove it"
            ) from error
    return stale


def _holds(code: bytes, source: Path) -> bool:
    try:
        held = marshal.loads(code)
        return isinstance(held, CodeType) and held == compile(source.read_bytes(), source, "exec", dont_inherit=True)
    except (ValueError, EOFError, TypeError, SyntaxError):
        return False
