"""A study's scores at two revisions: paired row by row if both predicted the same rows, else side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gp.plots.study import Study
from gp.scores import BLOCKS, inside_box
from review.compare.paired import Difference, Scored, compared, differences
from review.lock.revisions import NotHere, Revision, find


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs `x` (m, d) and what is `scored` there; a single input is sorted, so that neighbours are adjacent."""

    x: np.ndarray
    scored: Scored

    def same_as(self, other: "Rows") -> bool:
        """Return whether these are forecasts of the very same rows."""
        return np.array_equal(self.x, other.x) and np.array_equal(self.scored.observed, other.scored.observed)


@dataclass(frozen=True)
class Block:
    """Scores over one kind of rows, `n` at head.  Each score is a Difference, paired unless `why` says why not.

    `target` names what was predicted; some scores have its unit.
    """

    key: str
    title: str
    target: str
    n: int
    scores: list[Difference]
    why: str = ""


@dataclass(frozen=True, eq=False)
class Two:
    """A study at two revisions: the data available at each, and a line for each file that is `missing`."""

    name: str
    base: Revision
    head: Revision
    before: Study | None
    after: Study | None
    missing: tuple[str, ...]

    @classmethod
    def open(cls, base: Revision, head: Revision, name: str) -> "Two":
        """Return the study `name` at both revisions."""
        missing: list[str] = []

        def load(revision: Revision) -> Study | None:
            def find(path: str) -> Path | None:
                try:
                    return revision.output(name, path)
                except NotHere as error:
                    missing.append(str(error))
                    return None

            return Study.load(find, current=False)

        before, after = load(base), load(head)
        return cls(name, base, head, before, after, tuple(dict.fromkeys(missing)))

    def block(self, key: str) -> tuple[Any, Any]:
        """Return both revisions' scores at `key` of metrics.json (gp.scores.BLOCKS), None if there are none."""
        before, after = (find(revision.metrics(self.name) or {}, key) for revision in (self.base, self.head))
        return before, after

    def rows(self, key: str) -> tuple[tuple[Rows, Rows] | None, str]:
        """Return both revisions' forecasts of the same rows, or None and the reason why there are no pairs."""
        before, after = (LOADERS[key](study) if study else None for study in (self.before, self.after))
        if before is None or after is None:
            lacking = self.base.name if before is None else self.head.name
            return None, next(iter(self.missing), f"{lacking} has no forecasts of these rows")
        return ((before, after), "") if before.same_as(after) else (None, "the rows of the two revisions differ")


def blocks(two: Two) -> list[Block]:
    """Return the blocks of scores that both revisions have: held-out rows, leave-one-out, true function."""
    made, target = [], two.after.target if two.after else "y"
    for key, title in BLOCKS.items():
        before, after = two.block(key)
        if before and after:
            rows, why = two.rows(key)
            scores = differences(*(side.scored for side in rows)) if rows else _side_by_side(before, after)
            made.append(Block(key, title, target, int(after["n"]), scores, why))
    return made


def _side_by_side(before: dict[str, float], after: dict[str, float]) -> list[Difference]:
    """Return the scores that both metrics.json have; without pairs they cannot be judged."""
    names = [name for name in compared() if name in before and name in after]
    return [Difference(name, before[name], after[name], after[name] - before[name]) for name in names]


def held_out(study: Study) -> Rows | None:
    """Return the held-out rows: what was observed, and the forecast of new observations."""
    test, posterior = study.test, study.prediction
    if test is None or test.y is None or posterior is None:
        return None
    return _sorted(test.x, Scored(test.y, posterior.y))


def left_out(study: Study) -> Rows | None:
    """Return the training rows, each with its forecast from all other rows."""
    if study.loo is None:
        return None
    return _sorted(study.train.x, Scored(study.train.observed, study.loo))


def by_fold(study: Study) -> Rows | None:
    """Return the training rows, each with its forecast by a fit to the other folds."""
    if study.folds is None:
        return None
    return _sorted(study.train.x, Scored(study.train.observed, study.folds))


def truth(*, inside: bool) -> Callable[[Study], Rows | None]:
    """Return a loader of the true function and its forecast, inside or outside the box of the training inputs."""

    def load(study: Study) -> Rows | None:
        test, posterior = study.test, study.prediction
        if test is None or test.f is None or posterior is None:
            return None
        side = inside_box(test.x, study.train.x) == inside
        return _sorted(test.x[side], Scored(test.f[side], posterior.f.at(side)))

    return load


def _sorted(x: np.ndarray, scored: Scored) -> Rows:
    if x.shape[1] > 1:
        return Rows(x, scored)
    order = np.argsort(x[:, 0], kind="stable")
    return Rows(x[order], Scored(scored.observed[order], scored.forecast.at(order)))


# Place in metrics.json (gp.scores.BLOCKS) → function that returns the rows of these scores.
LOADERS: dict[str, Callable[[Study], Rows | None]] = {
    "test": held_out,
    "folds": by_fold,
    "loo": left_out,
    "truth.inside": truth(inside=True),
    "truth.outside": truth(inside=False),
}
