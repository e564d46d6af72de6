"""A review as plain text for a terminal: what changed, then, as the last lines, the verdict on each study."""

from collections.abc import Iterator, Sequence

from gp.spec import visible
from review.compare.changes import SAME, StudyReview, score_row
from review.compare.paired import BETTER, WORSE


def to_plain(title: str, reviews: Sequence[StudyReview], notes: Sequence[str]) -> str:
    """Return the review in lines of text; scores are those that are better or worse by more than chance."""
    touched = [review for review in reviews if review.verdict != SAME]
    lines = [title, "", *(f"! {note}" for note in notes)]
    for review in touched:
        lines += list(_study(review))
    same = [review.name for review in reviews if review.verdict == SAME]
    lines += ["", *(f"{review.name}: {review.line}" for review in touched)]
    if same:
        lines.append(f"nothing changed: {', '.join(same)}")
    return "\n".join(visible(line.replace("\n", " ")) for line in lines) + "\n"


def _study(review: StudyReview) -> Iterator[str]:
    said = [f"  {change.path}: {change.old} → {change.new}" for change in review.params]
    for block in review.blocks:
        for score in block.scores:
            heading, old, new, difference, verdict = score_row(score, block.target)
            if verdict in (BETTER, WORSE):
                said.append(f"  {block.title}: {heading}: {old} → {new} ({difference}): {verdict}")
    said += [f"  the certificate now says: {line}" for line in review.new]
    said += [f"  no longer: {line}" for line in review.gone]
    said += [f"  ! {note}" for note in review.notes]
    if said:
        yield from (review.name, *said)
