"""Whether chains have come to one distribution, and how many independent draws theirs are worth.

Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, "Rank-normalization, folding, and localization: an improved R̂",
Bayesian Analysis 16(2).  Chains are (c, n): c chains of n draws of one number.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

CONVERGED = 1.01  # R̂ above which chains differ (sec. 4)


@dataclass(frozen=True)
class Convergence:
    """What c chains of n `draws` each say of themselves: the largest R̂ and the least effective draws of any number."""

    chains: int
    draws: int
    r_hat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    evaluations: int

    @classmethod
    def of(cls, draws: np.ndarray, divergences: int, evaluations: int) -> "Convergence":
        """Return that of `draws` (c, n, k), which took so many evaluations."""
        columns = [draws[..., i] for i in range(draws.shape[-1])]
        found = [min(measure(column) for column in columns) for measure in (ess_bulk, ess_tail)]
        worst = max(r_hat(column) for column in columns)
        chains, n = draws.shape[:2]
        worst, bulk, tail = (float(f"{value:.4g}") for value in (worst, *found))
        return cls(chains, n, worst, bulk, tail, divergences, evaluations)

    @property
    def alarms(self) -> list[str]:
        """Return a line for each reason to doubt the draws, with what to do about it."""
        alarms = []
        if self.r_hat > CONVERGED:
            alarms.append(
                f"chains of hyperparameters differ (R̂ {self.r_hat:.3f}, {self.ess_bulk:.0f} of "
                f"{self.chains * self.draws} draws effective): raise draws and warmup, or state priors"
            )
        if self.divergences:
            alarms.append(
                f"{self.divergences} of {self.chains * self.draws} trajectories of hyperparameters diverged: draws "
                "miss a part of the posterior: state priors, or fix hyperparameters that the data do not determine"
            )
        return alarms


def r_hat(chains: np.ndarray) -> float:
    """Return the larger R̂ of rank-normalised halves of chains, of their values and of their distance to the median."""
    halves = _halves(chains)
    return max(_ratio(_normalised(halves)), _ratio(_normalised(np.abs(halves - np.median(halves)))))


def ess_bulk(chains: np.ndarray) -> float:
    """Return the effective number of draws for means and medians (sec. 4.1)."""
    return _effective(_normalised(_halves(chains)))


def ess_tail(chains: np.ndarray) -> float:
    """Return the effective number of draws for the 5 % and the 95 % quantile, the lesser (sec. 4.3)."""
    halves = _halves(chains)
    return min(_effective((halves <= end).astype(float)) for end in np.quantile(halves, (0.05, 0.95)))


def _halves(chains: np.ndarray) -> np.ndarray:
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, chains.shape[1] - half :]])


def _normalised(chains: np.ndarray) -> np.ndarray:
    """Return the normal scores of the ranks of all draws (eq. 14)."""
    from scipy.stats import rankdata  # noqa: PLC0415 - its import takes 0.3 s

    ranks = rankdata(chains).reshape(chains.shape)
    return np.asarray(ndtri((ranks - 0.375) / (chains.size + 0.25)))


def _ratio(chains: np.ndarray) -> float:
    """Return R̂ (eq. 4): the sd of all draws over that within chains."""
    n, within = chains.shape[1], chains.var(axis=1, ddof=1).mean()
    if within == 0:
        return 1.0 if np.ptp(chains) == 0 else np.inf
    return float(np.sqrt((n - 1) / n + chains.mean(axis=1).var(ddof=1) / within))


def _effective(chains: np.ndarray) -> float:
    """Return the effective number of draws by autocorrelations within and between chains (sec. 3.2).

    Pairs of autocorrelations are summed as long as they are positive, and none counts more than the one before it
    (Geyer's initial monotone sequence).
    """
    c, n = chains.shape
    centred = chains - chains.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (chains.mean(axis=1).var(ddof=1) if c > 1 else 0.0)
    if total == 0:
        return float(c * n)
    correlation = 1 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    last = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    tau = -1 + 2 * np.minimum.accumulate(pairs[:last]).sum()
    return float(min(c * n / max(tau, 1e-12), c * n * np.log10(c * n)))
