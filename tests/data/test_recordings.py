"""Rows from recordings: signals to phases, trials, hold-outs, and what is refused, with a mend that works."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from gp.data import Data
from gp.data.oscillators.fourier import fit_fourier
from gp.data.recordings import Phases
from gp.spec import InputError
from gp.testing.specs import as_spec

PATH = "data/raw/recording.csv"
DT, SAMPLES, TRIALS = 0.1, 1300, 4


def phases_of(rng):
    """Return the phases of two oscillators, (samples, 2): the first is pulled by sin of the difference."""
    phase, fine = rng.uniform(0, 2 * math.pi, 2), DT / 4
    seen = np.empty((SAMPLES, 2))
    for k in range(SAMPLES):
        seen[k] = phase
        for _ in range(4):
            pull = 0.1 * math.sin(phase[1] - phase[0])
            phase = phase + fine * np.array([1.0 + pull, 1.21]) + 0.01 * math.sqrt(fine) * rng.normal(size=2)
    return seen


@pytest.fixture(scope="module")
def recording():
    """Return the table of a recording: phases, wrapped ones, signals with another shape and offset, (u, v)."""
    rng, trials = np.random.default_rng(0), []
    for i in range(TRIALS):
        p, q = phases_of(rng).T
        columns = {"left": 3 + np.cos(p) + 0.2 * np.cos(2 * p), "right": -1 + np.cos(q)}
        columns |= {"u": np.cos(p), "v": np.sin(p), "p": p, "q": np.mod(q, 2 * math.pi), "minus_v": -np.sin(p)}
        trials.append(pd.DataFrame({"trial": f"no. {i + 1}", "t": 10 + DT * np.arange(SAMPLES), **columns}))
    return pd.concat(trials, ignore_index=True).round(9)


@pytest.fixture
def written(recording, tmp_path, monkeypatch):
    """Return a function that writes the recording, changed, and returns its source."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)

    def write(change=lambda table: table, **keys):
        change(recording.copy()).to_csv(PATH, index=False)
        given = {} if {"signals", "phases"} & set(keys) else {"phases": ["p", "q"]}
        return Phases(**{"path": PATH, "time": "t", "trial": "trial", **given, **keys})

    return write


SEEN_AS = {
    "phases": {"phases": ["p", "q"]},
    "one signal each": {"signals": ["left", "right"]},
    "a plane": {"signals": [["u", "v"], "right"]},
    "a plane the other way round": {"signals": [["u", "minus_v"], "right"]},
}


@pytest.mark.parametrize("keys", SEEN_AS.values(), ids=SEEN_AS)
def test_the_coupling_is_found_in_phases_and_in_signals(written, keys):
    rows, held_out = written(**keys, every=0.2).sample(0)
    assert held_out is None
    assert rows.columns == ("phase_difference",)
    assert len(np.unique(rows.run)) == TRIALS
    grid = np.linspace(0, 2 * math.pi, 40)[:, None]
    coupling = fit_fourier(rows.x, rows.observed, order=2, step=rows.step).predict(grid)[0]
    assert np.abs(coupling - (1 + 0.1 * np.sin(grid[:, 0]))).max() < 0.02


def test_rows_are_mean_velocities_over_steps_at_the_middle_of_each(written, recording):
    rows, _ = written(every=0.5).sample(0)
    first = recording[recording["trial"] == "no. 1"][["p", "q"]].to_numpy(copy=True)[::5]
    first[:, 1] = np.unwrap(first[:, 1])
    ahead = first[:, 1] - first[:, 0]
    assert rows.observed[: len(first) - 1] == pytest.approx(np.diff(first[:, 0]) / 0.5, abs=1e-7)
    assert rows.x[0, 0] == pytest.approx((ahead[0] + ahead[1]) / 2 % (2 * math.pi), abs=1e-7)
    assert rows.step[0, 0] == pytest.approx(ahead[1] - ahead[0], abs=1e-7)
    assert rows.n == TRIALS * ((SAMPLES - 1) // 5)


def test_the_other_oscillator_is_the_receiver_of_its_own_rows(written):
    rows, _ = written(receiver=2).sample(0)
    assert rows.observed.mean() == pytest.approx(1.21, abs=0.01)
    assert rows.observed[0] == pytest.approx(1.21, abs=0.1)


def test_an_interval_is_by_default_a_thirtieth_of_a_cycle(written):
    rows, _ = written().sample(0)
    assert rows.step[:, 0].mean() == pytest.approx((1.21 - rows.observed.mean()) * 0.2, rel=0.05)


def test_whole_trials_are_held_out(written):
    train, test = written(holdout={"fraction": 0.25}).sample(0)
    assert (len(np.unique(train.run)), len(np.unique(test.run))) == (3, 1)
    assert {written(holdout={"fraction": 0.25}).sample(seed)[1].observed[0] for seed in range(8)} != {test.observed[0]}


def test_of_one_trial_the_end_is_held_out(written):
    one = written(lambda table: table[:SAMPLES], trial=None, holdout={"fraction": 0.25}, every=0.1)
    train, test = one.sample(0)
    whole = one.model_copy(update={"holdout": None}).sample(0)[0]
    assert np.array_equal(np.concatenate([train.observed, test.observed]), whole.observed)
    assert test.n == round(0.25 * whole.n)


def test_times_rounded_to_fewer_digits_are_even(written):
    def rounded(table):
        return table.assign(t=(table["t"] / 3).round(2))  # steps of 0.03 and 0.04

    assert written(rounded).sample(0)[0].n > 1000


def without(row):
    return lambda table: table.drop(index=row)


def split(table):
    """Give the rows before and after the one that is missing a trial each."""
    return without(700)(table).assign(
        trial=lambda kept: kept["trial"].where(kept.index > 700, "before " + kept["trial"])
    )


REFUSED = {
    "a gap": (
        {},
        without(700),
        r"trial no. 1: t has a gap of 0.2 after 79.9, where steps are 0.1: give the",
        ({}, split),
    ),
    "a missing value": (
        {},
        lambda table: table.assign(p=table["p"].where(table.index != 700)),
        r"p: row 701 has no value",
        ({}, split),
    ),
    "trials not told apart": (
        {"trial": None},
        None,
        r"t does not grow after 139.9: sort the rows, and name",
        ({}, None),
    ),
    "uneven times": (
        {},
        lambda table: table.assign(t=table["t"] + 0.04 * np.sin(table["t"])),
        r"uneven steps \(about 0.\d+\): resample",
        ({}, None),
    ),
    "few cycles": ({}, lambda table: table[::40].groupby("trial").head(4), r"too few cycles: record 10", ({}, None)),
    "few samples": ({}, lambda table: table[::9], r"a cycle of oscillator 2 has 5.8 samples", ({}, None)),
    "degrees": (
        {},
        lambda table: table.assign(q=np.degrees(table["q"])),
        r"q jumps back by 35\d, not by a turn of 2π = 6.2832: give phases in radians",
        ({}, None),
    ),
    "another interval": (
        {"every": 0.26},
        None,
        r"a multiple of the step of time, 0.1 \(got 0.26\): write 0.3",
        ({"every": 0.3}, None),
    ),
    "a long interval": (
        {"every": 200.0},
        None,
        r"every: 200 is longer than each trial: write a shorter",
        ({"every": 1}, None),
    ),
    "a flat signal": (
        {"signals": ["left", "right"]},
        lambda table: table.assign(left=1.0),
        r"trial no. 1: left is constant: give a signal that oscillates",
        ({"signals": ["left", "right"]}, None),
    ),
    "no turn": (
        {"signals": [["u", "w"], "right"]},
        lambda table: table.assign(w=0.1 * np.sin(3.3 * table["t"])),
        r"u and w goes back by .* rad at .*: no turn about a centre: filter the signal to one rhythm, or give two",
        ({"signals": [["u", "v"], "right"]}, None),
    ),
    "short trials": (
        {"signals": ["left", "right"], "trial": "part"},
        lambda table: table.assign(part=table.index // 100),
        r"no trial has a whole cycle between its first and its last: record longer ones",
        ({"signals": ["left", "right"]}, None),
    ),
}


@pytest.mark.parametrize(("keys", "change", "said", "mend"), REFUSED.values(), ids=REFUSED)
def test_a_recording_without_phases_is_refused_and_its_mend_works(written, keys, change, said, mend):
    change = change or (lambda table: table)
    with pytest.raises(InputError, match=rf"^{PATH}: .*{said}") as refused:
        written(change, **keys).sample(0)
    assert "\n" not in str(refused.value)
    keys, change = mend
    assert written(change or (lambda table: table), **keys).sample(0)[0].n > 100


WRITTEN = {
    "neither": ({}, r"signals or phases, one of the two, is needed \(got neither\)"),
    "both": ({"signals": ["a", "b"], "phases": ["c", "d"]}, r"one of the two, is needed \(got both\)"),
    "one alone": ({"phases": ["c"]}, r"^phases: must not be shorter than 2"),
    "twice": ({"phases": ["c", "c"]}, r"names column 'c' twice: give each of them a column of its own"),
    "time": ({"phases": ["c", "t"]}, r"names column 't' twice"),
    "receiver": ({"phases": ["c", "d"], "receiver": 3}, r"receiver must be one of 1 … 2 \(got 3\)"),
    "numbers": ({"signals": [1, 2]}, r"^signals: each must be a column, or two of them \(got 1\)"),
    "one text": ({"signals": "left"}, r"^signals: must be a list"),
    "three of a plane": (
        {"signals": [["a", "b", "c"], "d"]},
        r"^signals: each must be a column, or two of them \(got \['a', 'b', 'c'\]\): write",
    ),
    "elsewhere": ({"phases": ["c", "d"], "path": "other.csv"}, r"^path: must be below data/raw/"),
}


@pytest.mark.parametrize(("keys", "said"), WRITTEN.values(), ids=WRITTEN)
def test_a_study_that_names_no_recording_is_refused(keys, said):
    with pytest.raises(InputError, match=said):
        as_spec(Data, {"kind": "phases", "path": PATH, "time": "t", **keys})


def test_three_oscillators_have_two_differences(written):
    source = written(lambda table: table.assign(r=0.8 * table["t"]), phases=["p", "q", "r"], receiver=2)
    rows, _ = source.sample(0)
    assert rows.columns == source.columns == ("phase_difference_21", "phase_difference_23")
    assert source.periods == dict.fromkeys(source.columns, 2 * math.pi)


def test_the_study_recording_is_of_the_lines_that_its_page_gives(tmp_path, monkeypatch):
    page = (ROOT / "data/raw/README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    exec(lines, {})
    assert (tmp_path / "data/raw/recording.csv").read_bytes() == (ROOT / "data/raw/recording.csv").read_bytes()
