"""Mutants: the list fits the code as it is, and the runner tells what is noticed from what is not."""

import ast
import subprocess
import sys

import pytest

from tests.mutants import ROOT, Mutant, mutants

MUTANTS = mutants()


def test_there_are_a_hundred_mutants_and_each_fits_the_code():
    assert sum(not mutant.equivalent for mutant in MUTANTS) >= 100
    assert len(set(MUTANTS)) == len(MUTANTS)
    assert [f"{mutant}: {fault}" for mutant in MUTANTS for fault in mutant.faults] == []


def test_a_mutant_is_python():
    for mutant in MUTANTS:
        ast.parse((ROOT / mutant.file).read_text(encoding="utf-8").replace(mutant.old, mutant.new))


RUN = """
import pandas, pydantic, scipy.integrate, scipy.stats  # once for all
from tests.mutants import Mutant, judge, outcomes

test = ("tests/test_metrics.py::test_errors_by_hand",)
changes = ("sqrt(values.mean())", "cbrt(values.mean())"), ("import math", "import mat"), ("held-out rows", "rows")
for old, new in changes:
    for _, code, failed in outcomes([(Mutant("gp/scores.py", old, new, test), test)], 1):
        print(judge(code, failed), failed)
"""


@pytest.mark.slow
def test_what_tests_notice_is_told_from_code_that_does_not_run_and_from_what_they_do_not_notice():
    said = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    noticed, broken, silent = said.splitlines()
    assert noticed == "killed tests/test_metrics.py::test_errors_by_hand AssertionError"
    assert broken.startswith("broken")
    assert silent.strip() == "survived"


def test_an_entry_that_does_not_fit_is_said_to_be_stale():
    faults = Mutant("gp/scores.py", "self", "itself", ("tests/test_metrics.py::test_nothing",)).faults
    assert any("times, not once" in fault for fault in faults)
    assert "there is no test tests/test_metrics.py::test_nothing" in faults
