"""Whatever is no array of numbers is refused in one line, wherever a notebook or a script may give it."""

import runpy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import gp
from gp.export import export
from gp.sklearn import GaussianProcessRegressor

X = np.linspace(0, 6, 12)
TABLE = pd.DataFrame({"a": X, "b": X**2 % 3})
Y = np.sin(X)
QUICK = {"train": {"kind": "adam", "steps": 2}}
NO_NUMBERS = {
    "text": "abc",
    "none": None,
    "a number": np.array(3.0),
    "ragged": [[1.0, 2.0], [3.0]],
    "nan": [[1.0, np.nan], [0.0, 1.0]],
    "infinite": [[np.inf, 1], [0, 1]],
    "complex": np.ones((2, 2)) * 1j,
    "empty": np.zeros((0, 2)),
    "empty frame": TABLE.iloc[:0],
    "masked": np.ma.masked_greater(np.ones((2, 2)), 0),
    "objects": np.array([[True, "a"], [1, 2]], dtype=object),
    "three dimensions": np.ones((2, 2, 2)),
    "dates": np.array([["2020", "2021"], ["2022", "2023"]], dtype="M8[D]"),
    "a frame of dates": pd.DataFrame({"a": pd.date_range("2020", periods=2), "b": [1, 2]}),
    "twice a column": pd.concat([TABLE[:2], TABLE[["a"]][:2]], axis=1),
    "a gradient": torch.ones(2, 2, requires_grad=True),
    "a mapping": {"a": [1]},
    "a set": {1, 2},
    "a generator": (i for i in range(3)),
    "bytes": b"ab",
    "records": np.zeros(2, dtype=[("a", float), ("b", float)]),
}
NO_INPUTS = {"no such column": TABLE[["a"]], "another name": TABLE.rename(columns={"b": "c"})}


@pytest.fixture(scope="module")
def entries():
    """Return what takes arrays, by name: functions of one value."""
    fitted, known = gp.fit(TABLE, Y, **QUICK), {"noise": {"kind": "known"}}
    paths, learner = fitted.sample_paths(2, 0), GaussianProcessRegressor(**QUICK).fit(TABLE.to_numpy(), Y)
    two = TABLE[:2]
    return {
        "fit x": lambda v: gp.fit(v, Y[:2], **QUICK),
        "fit y": lambda v: gp.fit(X[:2], v, **QUICK),
        "fit noise_sd": lambda v: gp.fit(X[:2], Y[:2], noise_sd=v, model=known, **QUICK),
        "evaluate": lambda v: gp.evaluate(fitted, v, Y[:2]),
        "evaluate y": lambda v: gp.evaluate(fitted, two, v),
        "predict": fitted.predict,
        "predict noise_sd": lambda v: fitted.predict(two, noise_sd=v),
        "joint": fitted.joint,
        "gradient": fitted.gradient,
        "update x": lambda v: fitted.update(v, Y[:2]),
        "update y": lambda v: fitted.update(two, v),
        "paths": paths,
        "learner fit": lambda v: GaussianProcessRegressor(**QUICK).fit(v, Y[:2]),
        "learner predict": learner.predict,
        "frames' learner": GaussianProcessRegressor(**QUICK).fit(TABLE, Y).predict,
    }


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(entries, value):
    for entry, ask in entries.items():
        if entry == "frames' learner":
            continue
        given = NO_NUMBERS[value]
        if entry == "fit x" and value == "a frame of dates":
            continue  # which are read as days
        if entry == "predict noise_sd" and given is None:
            continue  # the model says
        # scikit-learn says in its own words, of some lines, what it checks itself.
        learner = entry.startswith("learner")
        refusals = (ValueError, TypeError) if learner else gp.InputError
        try:
            ask(given)
        except refusals as refused:
            said = str(refused)
        else:
            pytest.fail(f"{entry} takes it")
        assert learner or (len(said) < 300 and "\n" not in said), f"{entry}: {said}"


@pytest.mark.parametrize("value", NO_INPUTS)
def test_inputs_under_other_names_are_refused(entries, value):
    for entry in ("predict", "joint", "gradient", "update x", "paths", "frames' learner", "evaluate"):
        with pytest.raises(ValueError, match=r"'b'|- b"):
            entries[entry](NO_INPUTS[value])


@pytest.mark.parametrize(
    "value", [[0.1], [0.1, 0.2, 0.3], [0.1, 0.0], [0.1, -0.2], [0.1, np.inf], [0.1, np.nan], 0.1, [[0.1], [0.2]]]
)
def test_known_noise_is_a_number_above_zero_for_each_row(entries, value, tmp_path):
    fitted = gp.fit(TABLE, Y, **QUICK)
    for entry in (
        entries["predict noise_sd"],
        entries["fit noise_sd"],
        lambda sd: fitted.predict(TABLE[:2], sd, joint=True),
        lambda sd: gp.evaluate(fitted, TABLE[:2], Y[:2], noise_sd=sd),
    ):
        with pytest.raises(gp.InputError, match="noise_sd"):
            entry(value)
    export(fitted, tmp_path / "out")
    predictor = runpy.run_path(str(tmp_path / "out" / "predictor.py"))["Predictor"](tmp_path / "out")
    with pytest.raises(ValueError, match="noise_sd is not 2 finite numbers greater than 0"):
        predictor.predict(TABLE[:2].to_numpy(), value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None, [1, 2], np.ones((2, 2))])
def test_numbers_of_draws_and_seeds_are_whole(value):
    fitted = gp.fit(X, Y, **QUICK)
    for ask in (lambda: fitted.sample_paths(value, 0), lambda: fitted.joint([1.0]).sample(value, 0)):
        with pytest.raises(gp.InputError, match=r"^n is .*: give a whole number, 1 or more$"):
            ask()
    if not (isinstance(value, int) and value == 0):
        for ask in (lambda: fitted.sample_paths(1, value), lambda: fitted.joint([1.0]).sample(1, value)):
            with pytest.raises(gp.InputError, match=r"^seed is .*: give a whole number, 0 or more$"):
                ask()


TABLES = {
    "": "the table has no column 'a'",
    "a\n1\n": "the table has no column 'b'",
    "a,b,a\n1,2,3\n": "the table has twice the column 'a'",
    "a,b\n": "the table has no rows below its header",
    "a,b\n1\n": "a row is no list of numbers",
    "a,b\n1,two\n": "could not convert string to float: 'two'",
    "a,b\n1,2\n1e400,2\n": "row 1 has a value that is not finite",
}


def test_the_exported_predictor_says_what_is_wrong_with_a_table(tmp_path):
    export(gp.fit(TABLE, Y, **QUICK), tmp_path)
    for table, said in TABLES.items():
        command = [sys.executable, "-I", str(tmp_path / "predictor.py")]
        done = subprocess.run(command, input=table, capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
