"""What a survey chooses by the rows: which are held out, and whether y's logarithm is tried."""

from typing import Any

import numpy as np

_SMALL = 60  # rows below which none are held out
_FIFTH = 0.2
_AT_LEAST, _AT_MOST = 0.1, 1 / 3  # of the rows, that a forecast holds out
_CLEARLY = 10.0  # nats by which the logarithm of y is nearer to normal than y


def hold_out(inputs: dict[str, np.ndarray], dates: set[str]) -> tuple[str | None, dict[str, Any], str]:
    """Return the input along which rows are in order of time, or None; what is held out; and that in words.

    The last rows in time, random ones, or folds where rows are few; nothing of fewer than ten.
    """
    along = next((name for name, values in inputs.items() if name in dates or _are_years(name, values)), None)
    n = len(next(iter(inputs.values())))
    if along is not None and n >= 20 and (last := _last(inputs[along])):
        return (
            along,
            {"last": last, "along": along},
            f"holdout: the last {last} of {n} rows along {along}, as a forecast",
        )
    if n >= _SMALL:
        return along, {"fraction": _FIFTH}, f"holdout: a random fifth of {n} rows"
    if n >= 10:
        return along, {"folds": 5}, f"holdout: {n} rows are too few to hold some out: five folds"
    return along, {}, ""


def is_skewed(y: np.ndarray) -> bool:
    """Return whether targets y (n,) are positive, and their logarithms much nearer to a normal distribution.

    By the largest log likelihoods of both, those of y in its own units.  It says little of y given its inputs, so a
    search decides.
    """
    if len(y) < 2 or y.min() <= 0 or y.std() == 0:
        return False
    z = np.log(y)
    return bool(len(y) * (np.log(y.std()) - np.log(z.std()) - z.mean()) > _CLEARLY)


def _last(times: np.ndarray) -> int:
    """Return how many rows at the latest `times` (n,) are about a fifth; 0 where no such number are whole times.

    Rows of one time are held out together: with some of them in training, the others would be no forecast.
    """
    n = len(times)
    after = np.cumsum(np.unique(times, return_counts=True)[1][::-1])
    best = int(after[np.argmin(np.abs(after - _FIFTH * n))])
    return best if _AT_LEAST * n <= best <= _AT_MOST * n else 0


def _are_years(name: str, values: np.ndarray) -> bool:
    """Return whether a column (n,) counts years, in order."""
    plausible = len(values) > 1 and values.min() >= 1000 and values.max() < 3000
    return "year" in name.lower() and plausible and bool((np.diff(values) >= 0).all())
