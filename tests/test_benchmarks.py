"""The benchmarks' own machinery: requests and replies, rounds, what the tables say; and one small run of it all."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from preloaded import preloaded

from benchmarks import environments, problems
from benchmarks.environments import Unavailable, interpreter, without_places
from benchmarks.figure import spread_out
from benchmarks.machine import environment
from benchmarks.measures import MEASURES
from benchmarks.measures.plan import QUICK, Plan
from benchmarks.measures.rounds import Entrant, ready, spread, timings
from benchmarks.peers import ALL, OURS, PEERS, SERIES, UNIT
from benchmarks.report import BEGIN, END, tables, write_readme
from benchmarks.worker import Worker

LIBRARY = """
import os, sys, time
from benchmarks.peers.protocol import serve

def doubling(problem):
    print("a library prints what it likes")
    def call(i):
        if problem.options.get("sleep"):
            time.sleep(60)
        if problem.options.get("crash"):
            os._exit(3)
        return {"value": 2.0 * problem.y.sum(), "turn": i}
    return call

def failing(problem):
    raise ValueError("no such kernel in /usr/lib/python or https://example.org/x")

serve({"doubling": doubling, "failing": failing}, ("numpy", "absent"))
"""
SPREAD = {"median": 1.0, "least": 1.0, "most": 1.0, "runs": 3}


@pytest.fixture
def library(monkeypatch):
    """Return a process that serves LIBRARY's tasks."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        "benchmarks.worker.subprocess.Popen",
        lambda command, **options: popen([sys.executable, "-c", LIBRARY], **options),
    )
    worker = Worker(PEERS[UNIT], n_cores=1)
    yield worker
    worker.close()


@pytest.fixture
def arrays(tmp_path):
    return problems.save({"x": np.ones((3, 1)), "y": np.arange(3.0), "x_new": np.ones((2, 1))}, tmp_path, "data")


def test_a_library_is_asked_and_answers_whatever_it_prints(library, arrays):
    assert library.description["versions"] == {"numpy": np.__version__, "absent": None}
    library.prepare("doubling", arrays, settings=[])
    reply = library.run(first=5, calls=3)
    assert reply["result"] == {"value": 6.0, "turn": 7}
    assert reply["cpu"] >= 0
    assert reply["wall"] > 0
    assert reply["peak"] >= reply["held"] - 2**20


def test_a_library_that_fails_says_why_without_places_and_goes_on(library, arrays):
    with pytest.raises(Unavailable, match=r"^ValueError: no such kernel in … or …$"):
        library.prepare("failing", arrays, settings=[])
    with pytest.raises(Unavailable, match="nothing was prepared"):
        library.run()
    library.prepare("doubling", arrays, settings=[])
    assert library.run()["result"]["value"] == 6.0


def test_a_library_that_takes_too_long_is_ended(library, arrays):
    library.prepare("doubling", arrays, settings=[], options={"sleep": True})
    with pytest.raises(Unavailable, match="more than 0 s"):
        library.run(limit=0.2)


def test_a_library_that_crashes_is_left_out_by_name_and_at_larger_sizes_too(library, arrays):
    entrant = Entrant("gpflash", "rbf", library)
    library.peer = replace(library.peer, options={"crash": True})
    for n in (3, 6):
        assert ready([entrant], n, "doubling", arrays, [], 5.0, 1e9) == []
        assert "its process ended with 3" in entrant.left_out


def test_nothing_is_measured_without_this_library(library, arrays):
    with pytest.raises(Unavailable, match="no such kernel"):
        ready([Entrant(OURS, "rbf", library)], 3, "failing", arrays, [], 5.0, 1e9)


def test_a_size_beyond_the_limits_is_not_tried():
    entrant = Entrant("gpflash", "rbf", None, known=(1000, 2.0, 1e9))
    assert entrant.is_too_much(2000, limit=20, memory=8e9) is None
    assert "about 54 s" in entrant.is_too_much(3000, limit=20, memory=2e10)
    assert "about 8 GiB" in entrant.is_too_much(3000, limit=100, memory=8e9)


def test_ratios_pair_runs_of_the_same_round():
    runs = [{"cpu": seconds, "wall": seconds} for seconds in (9.0, 1.0, 2.0, 4.0)]
    unit = [{"cpu": seconds, "wall": seconds} for seconds in (1.0, 0.5, 1.0, 2.0)]
    found = timings(Entrant("gpflash", "rbf", None, samples=runs), Entrant(UNIT, "rbf", None, samples=unit))
    assert found["units"] == {"median": 2.0, "least": 2.0, "most": 2.0, "runs": 3}
    assert found["cpu"]["median"] == 2.0


def test_spread_tells_median_and_extremes():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "least": 1.0, "most": 3.0, "runs": 3}


def test_nothing_forced_on_blas_reaches_a_library():
    inherited = {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "7", "HOME": "h"}
    assert "OPENBLAS_CORETYPE" not in environment(1, inherited)
    assert environment(10**6, inherited) == {"HOME": "h"}


def test_an_environment_that_meets_the_pins_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "some.txt").write_text(f"numpy=={np.__version__}\n")
    assert str(interpreter("some", tmp_path)) == sys.executable


def test_a_library_that_does_not_install_is_unavailable(tmp_path, monkeypatch):
    def pip(command, **options):
        raise subprocess.CalledProcessError(1, command, stderr="Looking in https://a.b/c\nERROR: No matching x at /d/e")

    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments.subprocess, "run", pip)
    (tmp_path / "some.txt").write_text("no-such-library==1.0\n")
    with pytest.raises(Unavailable, match="it does not install: ERROR: No matching x at …"):
        interpreter("some", tmp_path)


def test_messages_name_no_places():
    assert without_places("see https://a.b/c and /usr/lib/x.py, line 3") == "see … and … line 3"


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_module_pinned_requirements_and_known_tasks(name):
    peer, folder = PEERS[name], environments.REQUIREMENTS
    assert (folder / f"{peer.module}.py").exists()
    assert set(peer.tasks) <= {*ALL, SERIES}
    if peer.requirements:
        assert all("==" in line for line in (folder / f"{peer.requirements}.txt").read_text().split())


def evaluations(**units):
    """Return an evaluation's result where the named libraries took so many units."""
    rows = [
        {
            "peer": name,
            "kernel": "rbf",
            "n": 500,
            "cores": 1,
            **{key: {**SPREAD, "median": value} for key in ("units", "cpu", "wall")},
            **({} if name == UNIT else {"error_nats": 0.0, "equal": True, "gradient_error": 0.0}),
        }
        for name, value in {UNIT: 1.0, **units}.items()
    ]
    described = {"versions": {"x": "1.0"}, "libraries": [{"library": "openblas", "core type": "Zen", "threads": 1}]}
    peers = {row["peer"]: {"label": PEERS[row["peer"]].label, "settings": "", **described} for row in rows}
    machine = dict.fromkeys(("processor", "cores", "memory_gib", "system", "python", "date", "load_before"), 1)
    return {"measure": "evaluation", "machine": machine, "peers": peers, "rows": rows}


def test_a_library_that_is_faster_is_said_to_be():
    text = tables({"evaluation": evaluations(gp=1.4, gpflash=1.2, gpy=3.0)})
    assert "**gpflash**, evaluation, CPU on one core: n = 500 1.2 against 1.4 units." in text
    assert "**GPy**" not in text


def test_that_none_is_faster_is_said_too():
    assert "Nowhere in what was measured." in tables({"evaluation": evaluations(gp=1.1, gpflash=1.2)})


def test_a_faster_answer_that_is_wrong_is_said_to_be_wrong():
    result = evaluations(**{"gp": 1.4, "gpytorch-defaults": 1.2})
    result["rows"][-1] |= {"equal": False, "error_nats": -12.3}
    assert "1.2 against 1.4 units (but 12 nats off)." in tables({"evaluation": result})


def test_a_faster_fit_that_ends_lower_is_said_to():
    row = {"problem": "draw", "n": 100, "evaluations": 9, "log_marginal_likelihood": -1.0, "cpu": SPREAD}
    fit = evaluations()
    fit["rows"] = [
        {**row, "peer": "gp", "units": {**SPREAD, "median": 5.0}, "gap_nats": 0.0},
        {**row, "peer": "gpy", "units": {**SPREAD, "median": 4.0}, "gap_nats": 2.0},
    ]
    assert "**GPy**, whole fit, CPU: n = 100 4 against 5 units (but 2 nats lower)." in tables({"fit": fit})


def test_those_skipped_and_left_out_are_named_with_the_reason():
    result = evaluations(gp=1.4)
    result["peers"]["gpy"] = {"label": "GPy", "settings": "", "skipped": "it does not install: no wheel"}
    result["rows"].append({"peer": "gpjax", "kernel": "rbf", "n": 8000, "cores": 1, "left_out": "about 90 s expected"})
    text = tables({"evaluation": result})
    assert "| GPy | skipped: it does not install: no wheel |" in text
    assert "evaluation: GPJax, from n = 8000: about 90 s expected" in text


def test_what_is_written_by_hand_stays(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"by hand\n{BEGIN}\nold\n{END}\nbelow\n")
    for _ in range(2):
        (tmp_path / "evaluation.json").write_text(json.dumps(evaluations(gp=1.4, gpflash=1.2)))
        write_readme(tmp_path, readme)
    text = readme.read_text()
    assert text.startswith(f"by hand\n{BEGIN}")
    assert text.endswith(f"{END}\nbelow\n")
    assert "old" not in text
    assert text.count("## Machine") == 1
    assert (tmp_path / "evaluation.png").exists()


def test_labels_stand_apart_in_their_order():
    placed = spread_out([0.0, 0.01, 0.02, 5.0], 0.1)
    assert (np.diff(placed) > 0.099).all()
    assert placed[-1] == 5.0


def test_the_draw_is_seeded_and_standardised():
    one, two = problems.draw(50, 3), problems.draw(50, 3)
    assert all((one[name] == two[name]).all() for name in one)
    assert abs(one["y"].mean()) < 1e-12
    assert abs(one["y"].std() - 1) < 1e-12


def test_the_unit_and_ours_always_take_part():
    assert Plan(peers=()).taking_part("evaluation") == [UNIT, OURS]


@pytest.fixture
def started(monkeypatch):
    """Processes of libraries that the tests' own Python runs start as forks of one that has imported torch."""
    environment = preloaded("random")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    own, find = shutil.which("python"), environments.interpreter
    if environment:
        monkeypatch.setattr(
            "benchmarks.worker.interpreter",
            lambda requirements: own if (python := find(requirements)) == Path(sys.executable) else python,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_a_small_run_measures_ours_and_scikit_learn(started, name):
    other = OURS if name == SERIES else "scikit-learn"  # of that, only libraries with another environment take part
    plan = replace(
        QUICK,
        peers=("scikit-learn",),
        evaluation_sizes=(60,),
        threaded_sizes=(),
        series_sizes=(200,),
        memory_size=300,
        fit_sizes=(40,),
        restarts=2,
        prediction_size=60,
        new_points=200,
        repeat=0.02,
        rounds=1,
    )
    result = json.loads(json.dumps(MEASURES[name](plan)))
    rows = [row for row in result["rows"] if row["peer"] == other]
    assert rows
    for row in rows:
        assert row.get("equal", True)
        assert row.get("error", 0.0) < 1e-9
        assert row.get("gap_nats", 0.0) < 1.0
    assert not any("skipped" in peer for peer in result["peers"].values())
    assert PEERS[other].label in tables({name: result})
