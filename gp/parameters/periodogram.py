"""The periodogram: how much of y a sinusoid explains at each frequency, for inputs with any spacing.

Least squares of a sinusoid plus a straight line (Lomb 1976).  SciPy's function takes a second to import, and fits no
trend.  Beside a covariance that explains part of y, it is generalised least squares: everything is whitened first.
"""

from functools import lru_cache

import numpy as np
from scipy.linalg import blas

FREQUENCIES, MOST_CYCLES = 2000, 1000  # for the strongest period; a search for several peaks uses more and finer ones
FINENESS = 0.25  # step from one frequency to the next, in cycles over the range
ROWS = 1000  # in a random subset (fixed seed), enough to find the peaks; every k-th row would alias
FINER = 8  # times finer steps of a fundamental, whose eighth harmonic is then known as well as it
HARMONICS = 8  # of a periodic kernel; those beyond have 0.004 of its variance at a lengthscale of 0.3
AMPLITUDES = np.geomspace(1e-4, 1e2, 13)  # of a periodic kernel that is added, in variances of y
APART = 0.5  # cycles over the range; two frequencies nearer than that are one
BACKGROUND = 101  # frequencies whose median is the background of a peak


def strongest_period(x: np.ndarray, y: np.ndarray) -> float:
    """Return the period of the sinusoid that explains most of y (n,) along x (n,)."""
    return _strongest(x.tobytes(), y.tobytes())


@lru_cache(maxsize=8)
def _strongest(of_x: bytes, of_y: bytes) -> float:
    # Kept, because every build of a model with a cycle asks for it, and a search for structure builds hundreds.
    x, y = np.frombuffer(of_x), np.frombuffer(of_y)
    most = max(2.0, min(len(y) / 2, MOST_CYCLES))
    frequencies, explained = _explained(x, y, np.linspace(1.0, most, FREQUENCIES), None)
    return float(1 / frequencies[int(np.argmax(explained))])


def periods(x: np.ndarray, y: np.ndarray, count: int, factor: np.ndarray | None = None) -> np.ndarray:
    """Return up to 3 `count` periods at distinct peaks of the periodogram of y (n,) along x (n,), strongest first.

    `factor` (n, n) is the lower Cholesky factor of y's covariance without the cycle; None: y is white.  With it there
    are up to `count` more at the end: fundamentals of waves with many harmonics, like pulses.

    A third are the highest peaks.  A third are the most prominent above the frequencies around them, like a cycle in
    data with a trend, where the highest peaks belong to the trend.  A third have the highest sums with their first two
    harmonics, like the period of a wave that is not a sinusoid.
    """
    gaps, extent = np.diff(np.unique(x)), float(np.ptp(x))
    # The highest frequency has two rows per cycle at the smaller gaps (on a regular grid, the Nyquist frequency).
    most = np.clip(0.5 * extent / np.quantile(gaps, 0.25), 2.0, MOST_CYCLES) if len(gaps) else 2.0
    if factor is not None:
        most = min(most, max(2.0, len(y)))  # a search asks for several of them, and each costs n² a frequency
    frequencies, explained = _explained(x, y, np.arange(1.0, most + 1e-9, FINENESS), factor)
    prominence = explained / np.maximum(np.median(_windows(explained), axis=1), 1e-12 * max(explained.max(), 1e-300))
    chosen = list[int]()
    for score in (explained, prominence, _with_harmonics(explained)):
        padded = np.concatenate([[-np.inf], score, [-np.inf]])
        peaks = np.flatnonzero((score >= padded[:-2]) & (score > padded[2:]))
        new = [int(peak) for peak in peaks[np.argsort(-score[peaks], kind="stable")] if not _near(peak, chosen)]
        chosen += new[:count]
    found = [_top(frequencies, explained, peak) for peak in chosen]
    if factor is not None:
        found += (_fundamentals(explained, count) / (extent or 1.0)).tolist()
    return 1 / np.array(found)


def _fundamentals(explained: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` numbers of cycles over the range at which all HARMONICS together explain most.

    A harmonic is as many times further off as its order says, so the steps are FINER than those of `explained`.
    """
    cycles = 1 + FINENESS * np.arange(len(explained))
    fine = np.linspace(cycles[0], cycles[-1], FINER * (len(cycles) - 1) + 1)
    total = sum(np.interp(order * fine, cycles, explained, right=0.0) for order in range(1, HARMONICS + 1))
    return fine[apart(fine, np.argsort(-total, kind="stable"), count)]


def apart(cycles: np.ndarray, order: np.ndarray, count: int) -> list[int]:
    """Return up to `count` places in `cycles` over the range, in that `order`, without any near an earlier one."""
    chosen = list[int]()
    for k in order.tolist():
        if len(chosen) == count:
            break
        if all(abs(cycles[k] - cycles[other]) > APART for other in chosen):
            chosen.append(k)
    return chosen


def _near(peak: int, others: list[int]) -> bool:
    """Return whether the frequency is near one of the others."""
    return any(abs(peak - other) * FINENESS <= APART for other in others)


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


def _explained(
    x: np.ndarray, y: np.ndarray, cycles: np.ndarray, factor: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies with `cycles` over x's range, and the sum of squares that each sinusoid explains."""
    if factor is None:
        keep = np.sort(np.random.default_rng(0).permutation(len(y))[:ROWS])
        x, y = x[keep], y[keep]
    frequencies = cycles / (float(np.ptp(x)) or 1.0)
    y, waves = _whitened(x, y, frequencies, factor)
    cosine, sine = np.hsplit(waves, 2)
    cc, cs, ss = (np.einsum("ij,ij->j", a, b) for a, b in ((cosine, cosine), (cosine, sine), (sine, sine)))
    cy, sy = y @ cosine, y @ sine
    determinant = cc * ss - cs**2
    known = determinant > 1e-9 * np.maximum(cc, ss) ** 2
    explained = np.where(known, ss * cy**2 - 2 * cs * cy * sy + cc * sy**2, 0.0)
    return frequencies, explained / np.where(known, determinant, 1.0)


def _whitened(
    x: np.ndarray, y: np.ndarray, frequencies: np.ndarray, factor: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return y (n,), and the cosines and sines of the frequencies (n, 2k), both white and without a line in x."""
    phase = 2 * np.pi * np.outer(x, frequencies)
    columns = np.column_stack([np.ones_like(x), x, y, np.cos(phase), np.sin(phase)])
    if factor is not None:
        columns = blas.dtrsm(1.0, factor, np.asfortranarray(columns), lower=1)
    line, _ = np.linalg.qr(columns[:, :2])
    columns = columns[:, 2:] - line @ (line.T @ columns[:, 2:])
    return columns[:, 0], columns[:, 1:]


def gains(
    x: np.ndarray, y: np.ndarray, factor: np.ndarray, tried: np.ndarray, shapes: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a periodic kernel of each of the `tried` periods (k,) adds to the log likelihood, nats, (k,).

    And the lengthscale, of those in `shapes`, with which it does, (k,).

    `factor` (n, n) is the lower Cholesky factor of the covariance C of y (n,) without it.  The kernel (R&W 2006 eq.
    4.31) of each lengthscale in `shapes` is a sum over harmonics (its Fourier series), C + a W Wᵀ with 2 HARMONICS
    columns W, for which Woodbury's identity needs no matrix of n rows; amplitude a and lengthscale are the best of
    those tried, the scale of all of it is at its optimum.
    """
    n, orders = len(y), np.arange(1, HARMONICS + 1)
    white, waves = _whitened(x, y, np.concatenate([orders / period for period in tried]), factor)
    cosine, sine = (part.reshape(n, len(tried), HARMONICS) for part in np.hsplit(waves, 2))
    around = np.arange(8 * HARMONICS) / (8 * HARMONICS)
    total, found = max(float(white @ white), 1e-300), np.full((len(shapes), len(tried)), -np.inf)
    amplitudes = AMPLITUDES * y.var() * n / total  # as C's best scale is total/n
    for j, shape in enumerate(shapes):
        series = np.fft.rfft(np.exp(-2 * np.sin(np.pi * around) ** 2 / shape**2)).real / len(around)
        weight = np.tile(np.sqrt(np.maximum(2 * series[1 : HARMONICS + 1], 0.0)), 2)
        for k in range(len(tried)):
            columns = np.hstack([cosine[:, k], sine[:, k]]) * weight
            sizes, directions = np.linalg.eigh(columns.T @ columns)
            along = (directions.T @ (columns.T @ white)) ** 2
            grown = amplitudes[:, None] * np.maximum(sizes, 0.0)
            left = total - (amplitudes[:, None] * along / (1 + grown)).sum(axis=1)
            gain = -0.5 * n * np.log(np.maximum(left / total, 1e-300)) - 0.5 * np.log1p(grown).sum(axis=1)
            found[j, k] = gain.max()
    return found.max(axis=0), np.array(shapes)[found.argmax(axis=0)]
