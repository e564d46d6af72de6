"""Decimal years as days of the calendar, and back."""

import math
from datetime import date, timedelta

import numpy as np


def dates_of(x: np.ndarray) -> list[str]:
    """Return the day of each decimal year x (m,), as ISO dates."""
    found = []
    for value in x.tolist():
        year = math.floor(value)
        first, last = date(year, 1, 1), date(year + 1, 1, 1)
        found.append((first + timedelta(days=math.floor((value - year) * (last - first).days + 0.5 / 24))).isoformat())
    return found


def decimal_year(day: date) -> float:
    """Return a day as a decimal year: 2024-07-02 is 2024 + 183/366."""
    first, last = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return day.year + (day - first).days / (last - first).days


def month(number: int) -> date:
    """Return the first day of a month, counted from January of the year 0."""
    return date(number // 12, number % 12 + 1, 1)


def ticks(low: float, high: float, most: int = 8) -> dict[float, str]:
    """Return decimal years between two, at most about `most`, each with its label: 1960, or 1960-03, or 1960-03-17."""
    span = high - low
    for years in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if 3 <= span <= most * years:
            first = math.ceil(low / years) * years
            return {float(year): str(year) for year in range(first, math.floor(high) + 1, years)}
    for months in (1, 2, 3, 6):
        if 2 / 12 < span <= most * months / 12:
            numbers = range(math.ceil(low * 12 / months) * months, math.floor(high * 12) + 1, months)
            return {decimal_year(month(number)): month(number).isoformat()[:7] for number in numbers}
    at = np.linspace(low, high, 4)[1:3]
    return dict(zip(at.tolist(), dates_of(at), strict=True))
