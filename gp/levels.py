"""Levels: the values of a categorical input, as text; rows hold their numbers 0, 1, … in the order of the levels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Levels = Mapping[str, tuple[str, ...]]  # of each categorical input

_WHOLE = re.compile(r"([+-]?\d+)\.0*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def level_of(value: Any) -> str:
    """Return a value as the text of a level: 2.0 is the level 2.  Raises ValueError for a number that is not whole."""
    text = str(value).strip()
    if whole := _WHOLE.fullmatch(text):
        return whole[1]
    if _NUMBER.fullmatch(text) and not text.lstrip("+-").isdigit():
        raise ValueError(text)
    return text


def ordered(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct texts in order: whole numbers by their size, then text."""

    def key(text: str) -> tuple[bool, int, str]:
        is_number = bool(_NUMBER.fullmatch(text))
        return not is_number, int(text) if is_number else 0, text

    return tuple(sorted(set(texts), key=key))


def renumbered(numbers: np.ndarray, texts: Sequence[str], known: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return rows' numbers (n,) among the `known` levels, and these, followed by the new ones that rows have.

    `numbers` (n,) are those among `texts`.
    """
    at = numbers.astype(np.intp)
    present = [texts[i] for i in np.unique(at)]
    levels = (*known, *ordered(text for text in present if text not in set(known)))
    place = {text: i for i, text in enumerate(levels)}
    return np.array([float(place.get(text, -1)) for text in texts])[at], levels
