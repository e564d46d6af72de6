"""What the command line asks of an accuracy study."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`only` names some of the study's rows; `tables` is the folder it reads, where it reads one."""

    study: str
    quick: bool = False
    only: tuple[str, ...] = ()
    tables: Path | None = None
    report: bool = False
