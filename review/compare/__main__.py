"""`python -m review.compare BASE [HEAD]` says what changed between two revisions, and whether it is better.

It reads Git and DVC's cache, and runs no stage. Without HEAD, it reviews the files on disk. It writes review.md (the
comment for a pull request; also printed) and review.html into the folder named by --out. In a terminal it prints plain
text, the verdict last.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gp.spec import InputError
from review.compare.changes import SAME, UNREADABLE, Change, StudyReview, changes, review_study, score_row
from review.compare.markdown import to_markdown
from review.compare.overlay import pictures
from review.compare.plain import to_plain
from review.lock.records import MALFORMED, said
from review.lock.revisions import WORKSPACE, Revision, git, open_revision
from review.page import render

CODE = ("gp", "stages", "dvc.yaml", "data/raw")


@dataclass(frozen=True)
class Review:
    """Everything that changed in the studies between two revisions."""

    base: Revision
    head: Revision
    studies: list[StudyReview]
    packages: list[Change]
    notes: list[str]

    @property
    def title(self) -> str:
        """Return a title with the names of both revisions."""
        names = [f"{r.name} ({r.commit[:7]})" if r.commit else r.name for r in (self.base, self.head)]
        return f"Review: {names[0]} → {names[1]}"

    @property
    def markdown(self) -> str:
        """Return the review as a pull request's comment."""
        return to_markdown(self.title, self.studies, self.notes, self.packages)

    @property
    def plain(self) -> str:
        """Return the review for a terminal, its verdict last."""
        return to_plain(self.title, self.studies, self.notes)

    @property
    def html(self) -> str:
        """Return the review as an HTML page, with both revisions' posteriors in one picture."""
        touched = [study for study in self.studies if study.verdict != SAME]
        drawn = {study.name: _pictures(self.base, self.head, study.name) for study in touched if study.blocks}
        captions = {
            name: {f"{name}-{i}": caption for i, caption in enumerate(charts)} for name, (charts, _) in drawn.items()
        }
        charts = {key: drawn[name][0][caption] for name, keys in captions.items() for key, caption in keys.items()}
        missing = {name: lacks for name, (_, lacks) in drawn.items()}
        return render(
            "compare.html",
            charts,
            review=self,
            touched=touched,
            captions=captions,
            missing=missing,
            score_row=score_row,
        )


def review(base: Revision, head: Revision) -> Review:
    """Return what changed in every study that either revision has, in their order.

    Raises InputError if params.yaml or dvc.lock of a revision is none.
    """
    names = list(dict.fromkeys([*head.studies, *base.studies]))
    for revision in (base, head):
        _ = revision.stages
    studies = [_reviewed(base, head, name) for name in names]
    return Review(base, head, studies, changes(base.packages, head.packages), _notes(base, head))


def _reviewed(base: Revision, head: Revision, name: str) -> StudyReview:
    """Return what changed in a study, or what of its files is not as a stage writes it."""
    try:
        return review_study(base, head, name)
    except MALFORMED as error:
        return StudyReview(name, UNREADABLE, f"{UNREADABLE}: {said(error)}")


def _pictures(base: Revision, head: Revision, name: str) -> tuple[dict[str, Any], list[str]]:
    try:
        return pictures(base, head, name)
    except MALFORMED as error:
        return {}, [said(error)]


def _notes(base: Revision, head: Revision) -> list[str]:
    """Return notes on all studies: code that changed, and commits that only the base has."""
    notes = []
    against = [base.commit or "HEAD", *([head.commit] if head.commit else [])]
    if base.commit and (files := (git(base.root, "diff", "--name-only", *against, "--", *CODE) or "").split("\n")[:-1]):
        more = f" and {len(files) - 8} more" if len(files) > 8 else ""
        notes.append(f"Code or tables changed: {', '.join(files[:8])}{more}")
    ahead = git(base.root, "rev-list", "--count", f"{head.commit or 'HEAD'}..{base.commit or 'HEAD'}") or "0"
    if int(ahead):
        fix = f"`git merge-base {base.name} {'HEAD' if head.commit is None else head.name}` names where they parted"
        notes.append(f"What {base.name} has and {head.name} lacks counts as taken back ({int(ahead)} commits): {fix}")
    return notes


def main(arguments: Sequence[str]) -> None:
    """Write review.md and review.html, and print the former, or plain text on a terminal."""
    parser = argparse.ArgumentParser(prog="python -m review.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", metavar="BASE", help="a revision that Git knows, e.g. main")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", default=WORKSPACE, help="another one (default: files on disk)"
    )
    parser.add_argument("--out", type=Path, default=Path(), help="folder of review.md and review.html (default: here)")
    options = parser.parse_args(arguments)
    base = open_revision(options.base)
    found = review(base, open_revision(options.head, cache=base.cache))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "review.md").write_text(found.markdown, encoding="utf-8")
    (options.out / "review.html").write_text(found.html, encoding="utf-8")
    if sys.stdout.isatty():
        print(found.plain, *(f"all of it: {options.out / name}" for name in ("review.md", "review.html")), sep="\n")
    else:
        print(found.markdown, end="")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
