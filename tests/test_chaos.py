"""One round of `make chaos`, of which many hundreds are played by hand (tests/chaos.py)."""

import pytest
from chaos import FAILURES, Chaos


@pytest.mark.slow
def test_an_edit_at_a_random_moment_of_a_run_ends_with_the_bytes_of_a_clean_run(tmp_path):
    chaos = Chaos(tmp_path, seed=0, anew=False)  # nothing is killed
    chaos.play("edits")
    assert {name: chaos.counts[name] for name in FAILURES} == dict.fromkeys(FAILURES, 0)
    assert chaos.counts["rounds"] == 1
