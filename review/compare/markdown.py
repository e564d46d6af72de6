"""A review as GitHub's Markdown, for a comment below a pull request: verdicts first, short tables after."""

import re
from collections.abc import Iterator, Sequence

from gp.spec import visible
from review.compare.changes import SAME, Change, StudyReview, score_row
from review.compare.paired import BETTER, WORSE
from review.compare.scores import Block

# On GitHub `@name` notifies somebody and `$…$` is mathematics; a backslash escapes neither.
ENTITIES = {"@": "&#64;", "$": "&#36;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}


def to_markdown(title: str, reviews: Sequence[StudyReview], notes: Sequence[str], changed: Sequence[Change]) -> str:
    """Return the comment; `notes` concern all studies, `changed` are packages whose version changed."""
    touched = [review for review in reviews if review.verdict != SAME]
    lines = [f"### {text(title)}", ""]
    if touched:
        lines += [f"- {_marked(review)}" for review in touched]
        if len(reviews) > len(touched):
            lines.append(f"- nothing changed: {text(', '.join(r.name for r in reviews if r.verdict == SAME))}")
    else:
        lines.append(f"Nothing changed: {text(', '.join(review.name for review in reviews))}.")
    lines += ["", *(f"> {text(note)}  " for note in notes)] if notes else []
    lines += ["", *_table(["package", "old", "new"], _rows(changed))] if changed else []
    for review in touched:
        lines += list(_study(review))
    return "\n".join(lines).rstrip() + "\n"


def _marked(review: StudyReview) -> str:
    name, line = text(review.name), text(review.line)
    return f"**{name}**: {line}"


def _study(review: StudyReview) -> Iterator[str]:
    tables = review.params or review.blocks or review.fit or review.gone or review.new or review.notes
    if not tables:
        return
    yield from ("", f"#### {text(review.name)}")
    yield from (f"\n> {text(note)}" for note in review.notes)
    if review.params:
        yield from ("", *_table(["parameter", "old", "new"], _rows(review.params)))
    for block in review.blocks:
        yield from ("", *_scores(block))
    if review.fit:
        yield from ("", *_table(["fit", "old", "new"], _rows(review.fit)))
    if review.gone or review.new:
        yield ""
        yield from (f"- the certificate now says: {text(line)}" for line in review.new)
        yield from (f"- no longer: {text(line)}" for line in review.gone)
    if review.hyperparameters:
        yield from ("", "<details><summary>Hyperparameters, with 95 % intervals</summary>", "")
        yield from _table(["hyperparameter", "old", "new"], _rows(review.hyperparameters))
        yield from ("", "</details>")


def _scores(block: Block) -> Iterator[str]:
    why = f"; not paired, so not judged: {text(block.why)}" if block.why else ""
    yield f"{text(block.title.capitalize())}, {block.n} rows{why}"
    yield ""
    heading = ["score", "old", "new", "difference ± standard error", ""]
    yield from _table(
        heading, [[text(cell) for cell in score_row(score, block.target)] for score in block.scores], bold=True
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]], bold: bool = False) -> Iterator[str]:
    yield f"| {' | '.join(heading)} |"
    yield f"|{'|'.join(['---', *['--:'] * (len(heading) - 1)])}|" if bold else f"|{'---|' * len(heading)}"
    for row in rows:
        cells = [f"**{cell}**" if cell in (BETTER, WORSE) else cell for cell in row]
        yield f"| {' | '.join(cells)} |"


def _rows(changes: Sequence[Change]) -> list[list[str]]:
    return [[text(change.path), text(change.old), text(change.new)] for change in changes]


def text(words: str) -> str:
    """Return `words` escaped for Markdown, on one line; text between single backticks becomes code."""
    line = visible(" ".join(words.split()))
    parts = line.split("`")
    if len(parts) % 2 == 0 or "``" in line:  # no pairs, or a run of backticks, which has rules of its own
        return _escaped(line)
    return "".join(f"`{part.replace('|', '¦')}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(words: str) -> str:
    return re.sub(r"[@$&<>]", lambda found: ENTITIES[found[0]], re.sub(r"([\\`*_{}\[\]|~#!])", r"\\\1", words))
