"""docs/contributing.md: each example, put into a copy of the project as the page says, keeps its laws."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
BLOCK = re.compile(r"([^\n]+):\n\n```(python|diff)\n(.*?)```", flags=re.DOTALL)


def put(root, before, language, code):
    """Do to the project's copy at `root` what a block says; return what is to be run, if it is that."""
    named = re.findall(r"`([^`]+\.py)`", before)
    if not named:
        return code
    path = root / named[-1]
    if language == "diff":
        text, at = path.read_text(encoding="utf-8"), None
        for sign, line in ((line[:1], line[1:] + "\n") for line in code.splitlines()):
            if sign == "+":
                text, at = text[:at] + line + text[at:], at + len(line)
                continue
            assert text.count(line) == 1, f"{path.name} has {text.count(line)} lines {line!r}"
            at = text.index(line)
            if sign == "-":
                text = text.replace(line, "")
            else:
                at += len(line)
        path.write_text(text, encoding="utf-8")
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
    done = subprocess.run([sys.executable, "-c", checks], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_names_files_that_exist_and_checks_that_there_are():
    import gp.testing

    new = {"gp/data/steps.py", "gp/inference/local.py"}
    assert all((ROOT / path).exists() for path in set(re.findall(r"`((?:gp|tests)/[^`]+\.py)`", PAGE)) - new)
    assert set(re.findall(r"`(check_\w+)`", PAGE)) == {name for name in gp.testing.__all__ if name != "examples"}
