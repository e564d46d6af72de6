"""Names: a table's columns against those that a study uses."""

import difflib
from collections.abc import Iterable, Sequence

from gp.spec import Fault, InputError

LISTED = 20  # names shown of a wide table


def check_names(header: Sequence[str], used: Iterable[str], *, place: str) -> None:
    """Raise InputError unless `header` has distinct names, those `used` among them."""
    if unnamed := [number for number, name in enumerate(header, start=1) if not name.strip()]:
        mend = (
            "remove the separator at the line's end"
            if unnamed[0] == len(header)
            else "write the table without an index"
        )
        raise InputError(Fault("", f"column {unnamed[0]} has no name", f"{mend}, or name the column", source=place))
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(
            Fault(
                "",
                f"column {twice[0]!r} is there {header.count(twice[0])} times",
                "give each its own name",
                source=place,
            )
        )
    if unknown := [name for name in used if name not in header]:
        known = ", ".join(header[:LISTED]) + (", …" if len(header) > LISTED else "")
        raise InputError(
            [
                Fault("", f"no column {name!r} (columns: {known})", _nearest(name, header), source=place)
                for name in unknown
            ]
        )


def _nearest(name: str, header: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, header, n=1)
    return f"did you mean {close[0]!r}?" if close else "name one of them"
