"""A study's scores at two revisions: paired row by row where both predicted the same rows, else side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gp.dataset import Dataset
from gp.posterior import Posterior
from gp.scores import BLOCKS
from review.compare.paired import Difference, Forecast, compared, differences
from review.lock.revisions import NotHere, Revision, find


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs `x` (m, d) and a forecast there, in the order of x where that is one number: neighbours stand together."""

    x: np.ndarray
    forecast: Forecast

    def same_as(self, other: "Rows") -> bool:
        """Return whether these are forecasts of the very same rows."""
        ours, theirs = self.forecast.observed, other.forecast.observed
        return np.array_equal(self.x, other.x) and np.array_equal(ours, theirs)


@dataclass(frozen=True)
class Block:
    """Scores over one kind of rows: `n` of them at head, each score a Difference, paired unless `why` says why not."""

    key: str
    title: str
    n: int
    scores: list[Difference]
    why: str = ""


def blocks(base: Revision, head: Revision, study: str) -> list[Block]:
    """Return the study's blocks of scores: held-out rows, leave-one-out, true function, each where both have it."""
    metrics = [revision.metrics(study) or {} for revision in (base, head)]
    made = []
    for key, title in BLOCKS.items():
        before, after = (find(values, key) for values in metrics)
        if before and after:
            rows, why = pairs(base, head, study, key)
            scores = differences(*(side.forecast for side in rows)) if rows else _side_by_side(before, after)
            made.append(Block(key, title, int(after["n"]), scores, why))
    return made


def pairs(base: Revision, head: Revision, study: str, key: str) -> tuple[tuple[Rows, Rows] | None, str]:
    """Return both revisions' forecasts of the same rows, or None and why there are no such pairs."""
    try:
        rows = LOADERS[key](base, study), LOADERS[key](head, study)
    except NotHere as error:
        return None, str(error)
    return (rows, "") if rows[0].same_as(rows[1]) else (None, "the rows of the two revisions differ")


def _side_by_side(before: dict[str, float], after: dict[str, float]) -> list[Difference]:
    """Return the scores that metrics.json has of both, with nothing to judge them by."""
    names = [name for name in compared() if name in before and name in after]
    return [Difference(name, before[name], after[name], after[name] - before[name]) for name in names]


def held_out(revision: Revision, study: str) -> Rows:
    """Return the held-out rows, observed, and the forecast of new observations."""
    test, posterior = _test(revision, study)
    return _sorted(test.x, Forecast(test.observed, posterior.mean, posterior.sd_y))


def left_out(revision: Revision, study: str) -> Rows:
    """Return the training rows, each with its forecast from all others."""
    train = Dataset.load(_file(revision, study, "synthesize/train.csv"))
    table = pd.read_csv(_file(revision, study, "train/loo.csv"))
    observed, mean, sd = (table[name].to_numpy() for name in ("y", "mean", "sd_y"))
    return _sorted(train.x, Forecast(observed, mean, sd))


def truth(*, inside: bool) -> Callable[[Revision, str], Rows]:
    """Return a loader of the true function and its forecast, in- or outside the box of the training inputs."""

    def load(revision: Revision, study: str) -> Rows:
        train = Dataset.load(_file(revision, study, "synthesize/train.csv"))
        test, posterior = _test(revision, study)
        if test.f is None:
            raise NotHere(f"the test rows of {revision.name} have no true function")
        boxed = ((train.x.min(axis=0) <= test.x) & (test.x <= train.x.max(axis=0))).all(axis=1)
        side = boxed if inside else ~boxed
        return _sorted(test.x[side], Forecast(test.f[side], posterior.mean[side], posterior.sd_f[side]))

    return load


def _test(revision: Revision, study: str) -> tuple[Dataset, Posterior]:
    test = Dataset.load(_file(revision, study, "synthesize/test.csv"))
    return test, Posterior.load(_file(revision, study, "predict/test.csv"))


def _file(revision: Revision, study: str, path: str) -> Path:
    found = revision.output(study, path)
    if found is None:
        raise NotHere(f"{revision.name} has no data/{study}/{path}")
    return found


def _sorted(x: np.ndarray, forecast: Forecast) -> Rows:
    if x.shape[1] > 1:
        return Rows(x, forecast)
    order = np.argsort(x[:, 0], kind="stable")
    return Rows(x[order], Forecast(forecast.observed[order], forecast.mean[order], forecast.sd[order]))


# Where scores are in metrics.json → what reads the rows that they are of.
LOADERS: dict[str, Callable[[Revision, str], Rows]] = {
    "test": held_out,
    "loo": left_out,
    "truth.inside": truth(inside=True),
    "truth.outside": truth(inside=False),
}
