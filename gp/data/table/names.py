"""Names: the columns that a study uses, found in a table's header.  Other columns may be called anything."""

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator

from ...spec import Fault, InputError

LISTED = 20  # names shown of a wide table


def clean(name: str) -> str:
    """Return `name` without the blanks around it, in Unicode's composed form: é is one letter, however it is stored."""
    return unicodedata.normalize("NFC", name.replace("\ufeff", "")).strip()


Column = Annotated[str, AfterValidator(clean)]  # in a study


def find_columns(header: Sequence[str], used: Iterable[str], *, place: str) -> dict[str, int]:
    """Return the position in `header` of each column in `used`; both are compared `clean`.

    Raises InputError for a name that is not there, or is there more than once.
    """
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(header):
        positions[clean(name)].append(i)
    faults, found = [], {}
    for name in used:
        places = positions.get(clean(name), []) if clean(name) else []  # no name is that of every unnamed column
        if len(places) == 1:
            found[name] = places[0]
        elif places:
            numbers = ", ".join(str(i + 1) for i in places)
            why = f"column {clean(name)!r} is there {len(places)} times (columns {numbers})"
            faults.append(Fault("", why, "give each its own name", source=place))
        else:
            faults.append(Fault("", *_explain_absence(name, header, positions), source=place))
    if faults:
        raise InputError(faults)
    return found


def _explain_absence(name: str, header: Sequence[str], positions: dict[str, list[int]]) -> tuple[str, str]:
    """Return what is wrong where no column has the name, and what to do."""
    names = [known for known in positions if known]
    why = f"no column {name!r} (columns: {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''})"
    if close := difflib.get_close_matches(clean(name), names, n=1):
        return why, f"did you mean {close[0]!r}?"
    if unnamed := positions.get(""):
        return why, f"name one of them, or write a name for column {unnamed[0] + 1}, which has none, into the header"
    return why, "name one of them"
