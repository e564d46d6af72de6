"""Dates: ISO 8601 and formats that a study names, as decimal years."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from ...spec import Fault, InputError
from .faults import BadCell, show

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
# Named here, as strptime's depend on the locale.
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
# Directives as in C's strftime; %q, a quarter's number, is our own.
_DIGITS = {"Y": r"\d{4}", "y": r"\d\d", "m": "", "d": "", "H": "", "I": "", "M": "", "S": "", "j": "", "q": "[1-4]"}
_WORDS = {
    "b": "|".join(month[:3] for month in _MONTHS),
    "B": "|".join(_MONTHS),
    "p": "am|pm",
    "f": r"\d{1,9}",
    "z": r"z|[+-]\d\d:?\d\d",
}
_KNOWN = ", ".join(f"%{letter}" for letter in (*_DIGITS, *_WORDS))
_DAYS = (
    *("%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y.%m.%d", "%Y-%m-%d", "%Y%m%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%b-%d-%Y", "%B %d, %Y", "%d%b%Y", "%d-%b-%y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_PERIODS = (
    "%Y-%m",
    "%Y/%m",
    "%m/%Y",
    "%YM%m",
    "%YQ%q",
    "%Y-Q%q",
    "%Y Q%q",
    "%Y:%q",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%b-%y",
)
COMMON = (*(day + time for day in _DAYS for time in _TIMES), *_PERIODS)


class DateFormat:
    """Dates written as `text` says, in strftime's directives: "%d.%m.%Y", "%YQ%q" (1974Q1).

    A number may lack its leading zero, unless another number touches it.  A year, month or quarter is its first day.
    Raises InputError for a format that is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = re.findall(r"%(.)|([^%]+|%)", text, re.DOTALL)
        letters = [letter for letter, _ in parts if letter and letter != "%"]
        self._check(letters)
        self._regex = re.compile("".join(_pattern(parts, i) for i in range(len(parts))), re.ASCII | re.IGNORECASE)

    def _check(self, letters: list[str]) -> None:
        why = fix = ""
        if unknown := [letter for letter in letters if letter not in _DIGITS and letter not in _WORDS]:
            why, fix = f"%{unknown[0]} is not known", f"known are {_KNOWN}"
        elif twice := [letter for letter in letters if letters.count(letter) > 1]:
            why, fix = f"%{twice[0]} is there twice", "name each part once"
        elif len({"Y", "y"} & set(letters)) != 1:
            why, fix = "a date needs its year once", "write %Y, or %y for two digits"
        elif len({"m", "b", "B", "j", "q"} & set(letters)) > 1:
            why, fix = "the month is there twice", "write one of %m, %b, %B, %q, %j"
        elif "d" in letters and not {"m", "b", "B"} & set(letters):
            why, fix = "a day without a month", "write %m too, or %j for the day of the year"
        elif ("I" in letters) != ("p" in letters) or {"H", "I"} <= set(letters):
            why, fix = "hours are %H, or %I with %p", "write one of the two"
        if why:
            raise InputError(Fault("", f"{self.text!r} is no format of dates: {why}", fix))

    def matches(self, cell: str) -> bool:
        """Return whether `cell` is a date so written."""
        try:
            self.parse(cell)
        except BadCell:
            return False
        return True

    def parse(self, cell: str) -> datetime:
        """Return the moment, in UTC without a zone; raises BadCell."""
        found = self._regex.fullmatch(cell)
        if not found:
            raise BadCell("format", f"{show(cell)} is no date as {self.text}", "correct it, or `date_format`")
        try:
            return _moment(found.groupdict())
        except (ValueError, OverflowError) as error:
            raise _no_day(cell, error) from None


class IsoDate:
    """Dates and datetimes in ISO 8601: 2024-05-31, 2024-05-31T12:00Z."""

    def matches(self, cell: str) -> bool:
        """Return whether `cell` has the form of such a date."""
        return bool(_ISO.fullmatch(cell))

    def parse(self, cell: str) -> datetime:
        """Return the moment, in UTC without a zone (a cell without a zone is taken for UTC); raises BadCell."""
        if not _ISO.fullmatch(cell):
            why = f"{show(cell)} is not an ISO 8601 date, as the column's first is"
            raise BadCell("format", why, "write 2024-05-31 or 2024-05-31T12:00Z")
        try:
            moment = datetime.fromisoformat(cell)  # digits beyond microseconds are cut: a year ends at about 7 µs
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        except (ValueError, OverflowError) as error:
            raise _no_day(cell, error) from None


def guess_formats(cells: Iterable[str]) -> list[str]:
    """Return the common formats that all `cells` are written in."""
    known = [_compiled(text) for text in COMMON]
    for cell in cells:
        known = [date for date in known if date.matches(cell)]
    return [date.text for date in known]


def decimal_years(moments: np.ndarray) -> np.ndarray:
    """Return datetime64 `moments` as decimal years, NaN for NaT.

    year + (t - start of the year) / (length of the year), in UTC: 2024-01-01 is 2024.0, and 2024-07-02 is
    2024 + 183/366.
    """
    moments = moments.astype("M8[us]")
    year = moments.astype("M8[Y]")
    start, end = year.astype("M8[us]"), (year + 1).astype("M8[us]")
    with np.errstate(invalid="ignore"):
        elapsed = (moments - start) / (end - start)
    return np.where(np.isnat(moments), np.nan, 1970.0 + year.astype(np.int64) + elapsed)


@cache
def _compiled(text: str) -> DateFormat:
    return DateFormat(text)


def _pattern(parts: list[tuple[str, str]], i: int) -> str:
    """Return the regular expression of a format's part: a directive's letter, or text."""
    letter, text = parts[i]
    if not letter or letter == "%":
        return re.escape(text or "%")
    if letter in _WORDS:
        return f"(?P<{letter}>{_WORDS[letter]})"
    touching = [parts[j][0] for j in (i - 1, i + 1) if 0 <= j < len(parts)]
    most = 3 if letter == "j" else 2
    digit = r"\d"
    # 2024115 is the 15th of January or the 5th of November: numbers that touch have all their digits.
    width = f"{{{most}}}" if any(other in _DIGITS for other in touching) else f"{{1,{most}}}"
    return f"(?P<{letter}>{_DIGITS[letter] or digit + width})"


def _moment(part: dict[str, str]) -> datetime:
    def number(letter: str, otherwise: int) -> int:
        return int(part[letter]) if letter in part else otherwise

    year = number("Y", 0)
    if "y" in part:  # 69 … 99 are of the last century, as in POSIX
        year = number("y", 0) + (1900 if number("y", 0) >= 69 else 2000)
    month = number("m", 3 * number("q", 1) - 2)
    for letter in ("b", "B"):
        if letter in part:
            month = next(i for i, name in enumerate(_MONTHS, 1) if name.startswith(part[letter].lower()))
    hour = number("H", 0)
    if "I" in part:
        if not 1 <= number("I", 0) <= 12:
            raise ValueError("hour must be in 1..12")
        hour = number("I", 0) % 12 + (12 if part["p"].lower() == "pm" else 0)
    micro = int(part["f"][:6].ljust(6, "0")) if "f" in part else 0
    moment = datetime(year, month, number("d", 1), hour, number("M", 0), number("S", 0), micro)
    if "j" in part:
        moment += timedelta(days=number("j", 1) - 1)
        if moment.year != year or part["j"].strip("0") == "":
            raise ValueError("day is out of range for year")
    if "z" in part and part["z"].lower() != "z":
        zone = part["z"].replace(":", "")
        moment -= (1 if zone[0] == "+" else -1) * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    return moment


def _no_day(cell: str, error: Exception) -> BadCell:
    return BadCell("day", f"{show(cell)} is no date of the calendar ({error})", "correct it")
