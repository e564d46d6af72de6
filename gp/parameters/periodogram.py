"""The periodogram: how much of y a sinusoid explains at each frequency, for inputs with any spacing.

Least squares of a sinusoid plus a straight line (Lomb 1976).  SciPy's function takes a second to import, and fits no
trend.
"""

import numpy as np

FREQUENCIES, MOST_CYCLES = 2000, 1000  # for the strongest period; a search for several peaks uses more and finer ones
FINENESS = 0.25  # step from one frequency to the next, in cycles over the range
ROWS = 1000  # in a random subset (fixed seed), enough to find the peaks; every k-th row would alias
BACKGROUND = 101  # frequencies whose median is the background of a peak


def strongest_period(x: np.ndarray, y: np.ndarray) -> float:
    """Return the period of the sinusoid that explains most of y (n,) along x (n,)."""
    most = max(2.0, min(len(y) / 2, MOST_CYCLES))
    frequencies, explained = _explained(x, y, np.linspace(1.0, most, FREQUENCIES))
    return float(1 / frequencies[int(np.argmax(explained))])


def periods(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Return up to 3 `count` periods at distinct peaks of the periodogram of y (n,) along x (n,), strongest first.

    A third are the highest peaks.  A third are the most prominent above the frequencies around them, like a cycle in
    data with a trend, where the highest peaks belong to the trend.  A third have the highest sums with their first two
    harmonics, like the period of a wave that is not a sinusoid.
    """
    gaps, extent = np.diff(np.unique(x)), float(np.ptp(x))
    # The highest frequency has two rows per cycle at the smaller gaps (on a regular grid, the Nyquist frequency).
    most = np.clip(0.5 * extent / np.quantile(gaps, 0.25), 2.0, MOST_CYCLES) if len(gaps) else 2.0
    frequencies, explained = _explained(x, y, np.arange(1.0, most + 1e-9, FINENESS))
    prominence = explained / np.maximum(np.median(_windows(explained), axis=1), 1e-12 * max(explained.max(), 1e-300))
    chosen = list[int]()
    for score in (explained, prominence, _with_harmonics(explained)):
        padded = np.concatenate([[-np.inf], score, [-np.inf]])
        peaks = np.flatnonzero((score >= padded[:-2]) & (score > padded[2:]))
        new = [int(peak) for peak in peaks[np.argsort(-score[peaks], kind="stable")] if not _near(peak, chosen)]
        chosen += new[:count]
    return np.array([1 / _top(frequencies, explained, peak) for peak in chosen])


def _near(peak: int, others: list[int]) -> bool:
    """Return whether the frequency is within half a cycle over the range of one of the others."""
    return any(abs(peak - other) * FINENESS <= 0.5 for other in others)


def _with_harmonics(explained: np.ndarray) -> np.ndarray:
    """Return what a sinusoid explains at each frequency, at twice and at three times it, together."""
    padded = np.concatenate([explained[:1], explained, explained[-1:]])
    # The width of a peak is a cycle, and three times a frequency is three times as far off.
    highest = np.maximum.reduce([padded[:-2], padded[1:-1], padded[2:]])
    total, cycles = explained.copy(), 1 + FINENESS * np.arange(len(explained))
    for multiple in (2, 3):
        places = np.rint((multiple * cycles - 1) / FINENESS).astype(int)
        inside = places < len(explained)
        total[inside] += highest[places[inside]]
    return total


def _windows(values: np.ndarray) -> np.ndarray:
    """Return the window of values around each value, (n, BACKGROUND), mirrored at the ends."""
    width = min(BACKGROUND, 2 * (len(values) - 1) + 1)
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, width // 2, mode="reflect"), width)


def _top(frequencies: np.ndarray, explained: np.ndarray, peak: int) -> float:
    """Return the frequency at the vertex of the parabola through a peak and its two neighbours."""
    if peak in (0, len(frequencies) - 1):
        return float(frequencies[peak])
    left, middle, right = explained[peak - 1 : peak + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float(frequencies[peak] + np.clip(shift, -1, 1) * (frequencies[1] - frequencies[0]))


def _explained(x: np.ndarray, y: np.ndarray, cycles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies with `cycles` over x's range, and the sum of squares that each sinusoid explains."""
    n = len(y)
    keep = np.sort(np.random.default_rng(0).permutation(n)[:ROWS])
    x, y = x[keep], y[keep]
    extent = float(np.ptp(x)) or 1.0
    frequencies = cycles / extent
    line, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x]))
    phase = 2 * np.pi * np.outer(frequencies, x)
    cosine, sine = (wave - (wave @ line) @ line.T for wave in (np.cos(phase), np.sin(phase)))
    cc, cs, ss = ((a * b).sum(axis=1) for a, b in ((cosine, cosine), (cosine, sine), (sine, sine)))
    cy, sy = cosine @ y, sine @ y
    determinant = cc * ss - cs**2
    explained = np.where(determinant > 1e-9, ss * cy**2 - 2 * cs * cy * sy + cc * sy**2, 0.0)
    return frequencies, explained / np.maximum(determinant, 1e-9)
