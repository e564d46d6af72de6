"""docs/contributing.md: each example, put into a copy of the project as the page says, keeps its laws."""

import re
import shutil

import pytest
from conftest import ROOT, Project

PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
BLOCK = re.compile(r"([^\n]+):\n\n```(python|diff)\n(.*?)```", flags=re.DOTALL)


def alike(one, other):
    """Return with how many characters both texts begin."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def patched(text, lines):
    """Return `text` with what a diff adds: behind the line before it, or within the registry's line that it names.

    That line may hold more entries than the page knows of.
    """
    at, old, known = 0, "", ""
    for sign, line in ((line[:1], line[1:] + "\n") for line in lines):
        if sign == "+":
            same = alike(old, line)
            end = alike(old[same:][::-1], line[same:][::-1])
            added = known[: len(known) - end] + line[same : len(line) - end] + known[len(known) - end :]
            text, at, old, known = text[:at] + added + text[at:], at + len(added), "", ""
            continue
        name, equals, _ = line.partition(" = ")
        found = [other for other in text.splitlines(keepends=True) if other.startswith(name + equals)]
        assert len(found) == 1, f"{len(found)} lines begin with {name + equals!r}"
        at = text.index(found[0])
        if sign == "-":
            text, old, known = text.replace(found[0], ""), line, found[0]
        else:
            at += len(found[0])
    return text


def test_an_entry_is_added_to_a_registry_that_has_grown():
    assert patched("A = X | Y | Z\n", ["-A = X | Y", "+A = X | Y | New"]) == "A = X | Y | Z | New\n"
    assert patched("B = [X, Z, Auto]\n", ["-B = [X, Auto]", "+B = [X, New, Auto]"]) == "B = [X, Z, New, Auto]\n"
    assert (
        patched("import a\nC = X\n", [" import a", "+import b", "-C = X", "+C = X | Y"])
        == "import a\nimport b\nC = X | Y\n"
    )


def put(root, before, language, code):
    """Do to the project's copy at `root` what a block says; return what is to be run, if it is that."""
    named = re.findall(r"`([^`]+\.py)`", before)
    if not named:
        return code
    path = root / named[-1]
    if language == "diff":
        path.write_text(patched(path.read_text(encoding="utf-8"), code.splitlines()), encoding="utf-8")
    elif path.exists():
        *above, last = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join([*above, code, "\n\n", last]), encoding="utf-8")
    else:
        path.write_text(code, encoding="utf-8")
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_of_the_page_keeps_the_laws(section, tmp_path):
    shutil.copytree(ROOT / "gp", tmp_path / "gp", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = [put(tmp_path, *found) for found in BLOCK.findall(SECTIONS[section])]
    checks = "\n".join(filter(None, blocks))
    assert "check_" in checks
    Project(tmp_path).run("python", "-c", checks)


def test_the_page_names_files_that_exist_and_checks_that_there_are():
    import gp.testing

    new = {"gp/data/steps.py", "gp/inference/local.py"}
    assert all((ROOT / path).exists() for path in set(re.findall(r"`((?:gp|tests)/[^`]+\.py)`", PAGE)) - new)
    assert set(re.findall(r"`(check_\w+)`", PAGE)) == {name for name in gp.testing.__all__ if name != "examples"}
