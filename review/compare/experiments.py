"""`python -m review.compare.experiments [BASE]` prints a table of experiments: what each changed, and if it is better.

Each experiment that began at the revision BASE (HEAD) is reviewed against it: a line for each study that it touched,
with the verdict, the params, and NLPD and RMSE of the rows by which the study is judged.  No stage runs.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gp.spec import Fault, InputError, visible
from review.compare.__main__ import review
from review.compare.changes import SAME, StudyReview, score_row
from review.lock.revisions import Revision, git, open_revision

KEPT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(\S+) ([0-9a-f]{40})")  # begun at, name, its commit
HEADINGS = ("experiment", "verdict", "study", "changed", "NLPD", "RMSE")
MATTER = ("nlpd", "rmse")


def main(name: str) -> str:
    """Return the table.  Raises InputError where there is no such revision, or no experiment began there."""
    base = open_revision(name)
    found = experiments(base.root)
    here = [(title, commit) for begun, title, commit in found if begun == base.commit]
    if not here:
        why = f"no experiment began at {name}" + (f" ({len(found)} at other commits)" if found else "")
        fix = "`dvc exp run --name NAME -S studies.….=…` makes one"
        if found:
            fix = f"`python -m review.compare.experiments {found[-1][0][:7]}` shows those of the last one's, or {fix}"
        raise InputError(Fault("", why, fix))
    rows = [row for title, commit in here for row in lines(base, title, open_revision(commit, cache=base.cache))]
    return "\n".join(_aligned([HEADINGS, *rows]))


def experiments(root: Path) -> list[tuple[str, str, str]]:
    """Return for each experiment the commit that it began at, its name, and its own commit."""
    listed = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/") or ""
    matched = (KEPT.fullmatch(line) for line in listed.splitlines())
    return [(one[1] + one[2], one[3], one[4]) for one in matched if one]


def lines(base: Revision, title: str, head: Revision) -> Iterator[tuple[str, ...]]:
    """Yield an experiment's lines, one for each study that it touched."""
    touched = [study for study in review(base, head).studies if study.verdict != SAME]
    for study in touched:
        changed = ", ".join(f"{change.path}={change.new}" for change in study.params) or "–"
        yield (title, study.verdict, study.name, changed, *_scores(study))
    if not touched:
        yield (title, SAME, "–", "–", *("–" for _ in MATTER))


def _scores(study: StudyReview) -> Iterator[str]:
    """Yield old → new of the scores that matter, over held-out rows, or else folds or left-out rows."""
    block = next(iter(study.blocks), None)
    known = {score.name: score_row(score, block.target) for score in block.scores} if block else {}
    for name in MATTER:
        if name in known:
            _, old, new, _, verdict = known[name]
            yield f"{old} → {new} {verdict}"
        else:
            yield "–"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    shown = [[visible(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:2] or ["HEAD"]))
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
