"""`python -m stages.forget STUDY` removes a study: its block in params.yaml, its outputs, and its entries in dvc.lock.

The charts of `dvc plots` that name its files go from dvc.yaml.  Its table stays, and what Git and DVC's cache hold.
All else in these files stays as it is, letter by letter.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from gp.spec import Fault, InputError, suggest
from gp.yaml import parse_yaml, read_yaml
from stages import read_studies
from stages.wrapper.inputs import PARAMS, PIPELINE
from stages.wrapper.outputs import write_whole

LOCK = Path("dvc.lock")


def main(study: str) -> None:
    """Remove the study.  Raises InputError where there is none of the name, or a file cannot be edited."""
    studies = read_studies()
    if study not in studies:
        known, fix = suggest(study, [str(name) for name in studies])
        raise InputError(Fault("studies", f"no study {study!r}{known}", fix, source=str(PARAMS)))
    if len(studies) == 1:
        why = "is the only study, and there must be one"
        raise InputError(Fault(f"studies.{study}", why, "add another first", source=str(PARAMS)))
    outputs = Path("data", study)
    edited = {
        PARAMS: without(PARAMS, "studies", lambda name, _: name == study),
        LOCK: without(LOCK, "stages", lambda name, _: name.partition("@")[2] == study),
        PIPELINE: without(PIPELINE, "plots", lambda _, chart: f"{outputs}/" in str(chart)),
    }
    for path, text in edited.items():
        if text is not None:
            write_whole(path, text)
            print(f"{path}: without {study}")
    if outputs.exists():
        shutil.rmtree(outputs)
        print(f"{outputs}/ is removed")


def without(path: Path, section: str, gone: Callable[[str, Any], bool]) -> str | None:
    """Return the file's text without the entries of a section that are `gone`; None if none is, or there is no file.

    Entries are those of a mapping (name, value) or of a list ("", value).  If all are gone, so is the section.
    """
    whole = read_yaml(path) if path.exists() else {}
    entries = whole.get(section)
    if not entries:
        return None
    pairs = list(entries.items()) if isinstance(entries, dict) else [("", value) for value in entries]
    drop = [gone(name, value) for name, value in pairs]
    if not any(drop):
        return None
    rest = [pair for pair, one in zip(pairs, drop, strict=True) if not one]
    kept = whole | {section: dict(rest) if isinstance(entries, dict) else [value for _, value in rest]}
    if not rest:
        del kept[section]
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for first, last in reversed(_spans(text, section, drop)):
        del lines[first : last + 1]
    cut = "".join(lines)
    try:
        same = parse_yaml(cut, str(path)) == kept
    except InputError:
        same = False
    if not same:
        why = f"{section} is not written one entry below the other"
        raise InputError(Fault("", why, "take the study's entries out by hand", source=str(path)))
    return cut


def _spans(text: str, section: str, drop: list[bool]) -> list[tuple[int, int]]:
    """Return the first and the last line of each entry to drop; of the whole section, if all are."""
    root: Any = yaml.compose(text, yaml.CSafeLoader)
    key, node = next((key, node) for key, node in root.value if key.value == section)
    if all(drop):
        return [(key.start_mark.line, _end(node))]
    items = [item if isinstance(item, tuple) else (item, item) for item in node.value]
    return [(one.start_mark.line, _end(value)) for (one, value), gone in zip(items, drop, strict=True) if gone]


def _end(node: Any) -> int:
    """Return the last line of a node; PyYAML says of a block that it ends where the next one begins."""
    if isinstance(node, yaml.ScalarNode):
        return node.end_mark.line - (1 if node.style in ("|", ">") else 0)
    if node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m stages.forget STUDY   (a study's name in params.yaml)", file=sys.stderr)
        sys.exit(2)
    try:
        main(sys.argv[1])
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
