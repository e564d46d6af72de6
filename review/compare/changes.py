"""What changed in each study between two revisions: parameters, scores, certificate, and a verdict in one line."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gp.scores import headings
from review.compare.paired import BETTER, TOO_FEW, UNJUDGED, WITHIN, WORSE, Difference
from review.compare.scores import Block, Two, blocks
from review.lock.revisions import NotHere, Revision, find
from review.page import number

READ = (
    *("synthesize/train.csv", "synthesize/test.csv", "train/fit.json"),
    *("predict/loo.csv", "predict/folds.csv", "predict/test.csv"),
)
MIXED, ADDED, REMOVED, CHANGED, SAME = "mixed", "added", "removed", "changed", "unchanged"
UNREADABLE = "unreadable"
LONGEST = 500  # characters of a value that are shown
ABSENT = object()


@dataclass(frozen=True)
class Change:
    """The value at a dotted path, as text, at base and at head; – if it is absent."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class StudyReview:
    """What changed in one study. `verdict` is a word; `line` is a sentence with the numbers behind it."""

    name: str
    verdict: str
    line: str
    params: list[Change] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    fit: list[Change] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    hyperparameters: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def review_study(base: Revision, head: Revision, study: str) -> StudyReview:
    """Return what changed in a study that at least one of the revisions has."""
    before, after = (revision.studies.get(study) for revision in (base, head))
    params = changes(before, after)
    if before is None or after is None:
        verdict = ADDED if before is None else REMOVED
        there = head if before is None else base
        notes = [] if there.metrics(study) else [f"{there.name} has no metrics of it: `dvc repro` there, and commit"]
        return StudyReview(study, verdict, f"{verdict}{_level(there.metrics(study))}", notes=notes)
    notes = [note for revision in (base, head) for note in _doubts(revision, study)]
    metrics = [revision.metrics(study) for revision in (base, head)]
    recorded = [revision.recorded(study) for revision in (base, head)]
    if not params and not notes and metrics[0] == metrics[1] and recorded[0] == recorded[1]:
        return StudyReview(study, SAME, "nothing changed")
    if metrics[0] is None or metrics[1] is None:
        lacks = " and ".join(r.name for r, found in zip((base, head), metrics, strict=True) if found is None)
        return StudyReview(study, CHANGED, f"no metrics at {lacks}, so no scores to compare", params, notes=notes)
    found = blocks(Two.open(base, head, study))
    verdict, line = _verdict(found)
    gone, new, missing = _findings(base, head, study)
    risen = (find(metrics[1], "certificate.alarms") or 0) - (find(metrics[0], "certificate.alarms") or 0)
    if risen > 0:
        line += f"; {risen} alarm{'s' if risen > 1 else ''} more in the certificate"
    return StudyReview(
        study,
        verdict,
        line,
        params,
        found,
        fit=_fit(metrics[0], metrics[1]),
        gone=gone,
        new=new,
        hyperparameters=_hyperparameters(metrics[0], metrics[1]),
        notes=list(dict.fromkeys([*notes, *missing])),
    )


def changes(before: Any, after: Any) -> list[Change]:
    """Return the leaves that differ between two nested mappings; a list is a leaf."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [*old, *(path for path in new if path not in old)]
    pairs = [(path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in paths]
    # Python has 0 == False and 1 == 1.0.  Such a change of type counts as a change.
    return [Change(path, _text(was), _text(now)) for path, was, now in pairs if was != now or _text(was) != _text(now)]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif path and value != {}:
        yield path, value


def _text(value: Any) -> str:
    if value is ABSENT:
        return "–"
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= LONGEST else f"{written[:LONGEST]}… ({len(written)} characters)"


def _doubts(revision: Revision, study: str) -> Iterator[str]:
    """Yield reasons to doubt that a study's results were made with its parameters."""
    if stale := revision.not_run(study):
        yield f"{revision.name}: {', '.join(stale)} changed since outputs were made: `dvc repro`, and commit dvc.lock"
    if outputs_that_differ := revision.outputs_that_differ(study, READ):
        yield f"{', '.join(outputs_that_differ)}: on disk is not what dvc.lock records: `dvc checkout`, or `dvc repro`"


def _level(metrics: Mapping[str, Any] | None) -> str:
    """Return the main scores as text, for a study that only one revision has."""
    for key, title in (("test", "held-out"), ("folds", "by folds"), ("loo", "leave-one-out")):
        if found := find(metrics, key):
            return f": {title} NLPD {number(found['nlpd'], 3)}, RMSE {number(found['rmse'], 3)}"
    return ""


def _verdict(found: list[Block]) -> tuple[str, str]:
    """Return the verdict and its line.  RMSE and NLPD decide: RMSE judges the mean, NLPD also the sd."""
    scores = [(block, score) for block in found for score in block.scores if score.name in ("nlpd", "rmse")]
    judged = [(block, score) for block, score in scores if score.verdict in (BETTER, WORSE)]
    words = {score.verdict for _, score in judged}
    if not judged:
        words = {score.verdict for _, score in scores}
        word = next((word for word in (WITHIN, TOO_FEW) if word in words), UNJUDGED)
        said = [_said(*pair) for pair in scores if pair[1].verdict == word and pair[1].name == "nlpd"]
        return word, ": ".join([word, *(["; ".join(said)] if said else [])])
    word = MIXED if len(words) > 1 else words.pop()
    # Each block is represented by its NLPD, or by its RMSE if the NLPD is within noise.
    spoken: dict[str, tuple[Block, Difference]] = {}
    for block, score in judged:
        if word == MIXED or score.name == "nlpd" or block.key not in spoken:
            spoken[f"{block.key}{score.verdict}" if word == MIXED else block.key] = (block, score)
    return word, f"{word}: " + "; ".join(_said(*pair, judged=word == MIXED) for pair in spoken.values())


def _said(block: Block, score: Difference, judged: bool = False) -> str:
    prefix = f"{score.verdict} " if judged else ""
    change = signed(score.change, score.se)
    rows = f"paired over {block.n} rows" if score.se is not None else "not paired"
    return f"{prefix}{score.name.upper()} {change} ({block.title}, {rows})"


def signed(change: float, se: float | None) -> str:
    """Return a difference ± its standard error, with two significant figures of the error."""
    if change == 0:
        return "0"
    if se is None:
        return _sign(f"{change:+.3g}")
    if se == 0:
        return _sign(f"{change:+.3g} ± 0")
    places = max(0, decimals(se, 2))
    if places > 6 or abs(change) >= 1e6:
        return _sign(f"{change:+.2e} ± {se:.1e}")
    return _sign(f"{change:+.{places}f} ± {se:.{places}f}")


def score_row(score: Difference, target: str) -> list[str]:
    """Return the cells of a score's line: heading with unit and direction, old, new, difference, verdict."""
    cells = (_to_place(value, score.se or score.change) for value in (score.base, score.head))
    return [headings(target)[score.name], *cells, signed(score.change, score.se), score.verdict]


def _to_place(value: float, step: float) -> str:
    """Return a value to three significant figures, or to more if two figures of `step` need them."""
    places = max(0, decimals(value, 3), decimals(step, 2) if step else 0)
    return _sign(f"{value:.{places}f}" if places <= 6 and abs(value) < 1e6 else f"{value:.4g}")


def decimals(value: float, figures: int) -> int:
    """Return how many decimal places show `figures` significant digits."""
    return figures - 1 - int(f"{value:e}".partition("e")[2])


def _sign(text: str) -> str:
    return text.replace("-", "−")


def _fit(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what changed in the numbers of the fit: likelihood, convergence, number of alarms, …"""
    rows = []
    old, new = (find(values, "fit.log_marginal_likelihood") for values in (before, after))
    if None not in (old, new) and old != new:
        rows.append(
            Change("log marginal likelihood, nats", number(old, 6), f"{number(new, 6)} ({_sign(f'{new - old:+.2f}')})")
        )
    old, new = (_ranked_first(values) for values in (before, after))
    if old != new:
        rows.append(Change("kernel that the search ranks first", old, new))
    old, new = (find(values, "check.findings") for values in (before, after))
    if old != new:
        rows.append(Change("findings about predictions", number(old), number(new)))
    for name in ("converged", "alarms", "at_bound", "undetermined", "irrelevant_inputs", "jitter"):
        old, new = (find(values, f"certificate.{name}") for values in (before, after))
        if old != new:
            shown = (
                ("yes" if value else "no" for value in (old, new)) if name == "converged" else map(number, (old, new))
            )
            rows.append(Change(name.replace("_", " "), *map(_sign, shown)))
    return rows


def _ranked_first(metrics: Mapping[str, Any]) -> str:
    ranking = metrics.get("search") or {}
    return min(ranking, key=lambda kernel: float(ranking[kernel]["rank"]), default="–")


def _findings(base: Revision, head: Revision, study: str) -> tuple[list[str], list[str], list[str]]:
    """Return the certificate's lines that are gone, those that are new, and reasons if this is not known."""
    said = []
    for revision in (base, head):
        try:
            paths = [revision.output(study, name) for name in ("train/fit.json", "predict/sampling.json")]
        except NotHere as error:
            return [], [], [str(error)]
        fit, sampled = (json.loads(path.read_text(encoding="utf-8")) if path else {} for path in paths)
        lines = [*fit.get("alarms", []), *(sampled.get("alarms", []) if sampled else fit.get("alarms_of_draws", []))]
        for key, text in (("undetermined", "not determined by the data"), ("irrelevant_inputs", "irrelevant inputs")):
            lines += [f"{text}: {', '.join(fit[key])}"] if fit.get(key) else []
        said.append(lines)
    return [line for line in said[0] if line not in said[1]], [line for line in said[1] if line not in said[0]], []


def _hyperparameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the fitted hyperparameters that differ, each with its 95 % interval."""
    old, new = (find(values, "fit.hyperparameters") or {} for values in (before, after))
    names = [*old, *(name for name in new if name not in old)]
    return [
        Change(name, _with_interval(before, old, name), _with_interval(after, new, name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _with_interval(metrics: Mapping[str, Any], values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "–"
    interval = (find(metrics, "certificate.intervals") or {}).get(name)
    shown = f" [{number(interval['lower'], 3)}, {number(interval['upper'], 3)}]" if interval else ""
    return f"{number(values[name], 3)}{shown}"
