"""Function: a formula's rows, and every formula that is refused."""

import time

import numpy as np
import pytest

from gp.data import Data
from gp.data.function import FUNCTIONS, parse_formula
from gp.spec import InputError, parse

SINE = {"kind": "function", "function": "sin(2*pi*x)", "n": 100, "range": [0, 1], "noise_sd": 0.1}
PLANE = {"kind": "function", "function": "x1 - 2*x2", "n": 50, "range": [[0, 1], [-3, -2]], "noise_sd": 0}


def function(**changes):
    return parse(Data, SINE | changes, where="data")


def test_the_blogs_rows_are_its_formula_plus_noise_on_linspace():
    train, test = function(test={"range": [-0.5, 1.5], "n": 1000}).sample(0)
    x = np.linspace(0, 1, 100)
    noise = np.random.default_rng(0).standard_normal(100)
    np.testing.assert_array_equal(train.x[:, 0], x)
    np.testing.assert_array_equal(train.y, np.sin(2 * np.pi * x) + 0.1 * noise)
    assert train.f is None
    x_test = np.linspace(-0.5, 1.5, 1000)
    np.testing.assert_array_equal(test.x[:, 0], x_test)
    np.testing.assert_array_equal(test.f, np.sin(2 * np.pi * x_test))
    assert test.y is None


def test_without_test_there_are_no_test_rows():
    assert function().sample(0)[1] is None


def test_names_are_x_and_y_for_one_input():
    assert (function().columns, function().target, function().sample(0)[0].columns) == (("x",), "y", ("x",))


def test_several_inputs_are_uniform_draws_in_their_ranges():
    train, _ = parse(Data, PLANE).sample(3)
    assert train.columns == ("x1", "x2")
    assert train.x.shape == (50, 2)
    assert (train.x >= [0, -3]).all()
    assert (train.x <= [1, -2]).all()
    np.testing.assert_array_equal(train.y, train.x[:, 0] - 2 * train.x[:, 1])


def test_one_pair_in_a_list_is_one_input():
    np.testing.assert_array_equal(function(range=[[0, 1]]).sample(0)[0].y, function().sample(0)[0].y)


def test_the_same_seed_gives_the_same_rows_and_another_gives_others():
    spec = parse(Data, PLANE | {"noise_sd": 1, "test": {"range": PLANE["range"], "n": 5}})
    (train, test), (again, test_again), (other, test_other) = spec.sample(1), spec.sample(1), spec.sample(2)
    for same, as_before in ((train.x, again.x), (train.y, again.y), (test.x, test_again.x)):
        np.testing.assert_array_equal(same, as_before)
    assert not np.isin(train.x, other.x).any()
    assert not np.isin(test.x, test_other.x).any()


def test_training_rows_do_not_change_with_the_test_rows_nor_these_with_them():
    grid = {"range": PLANE["range"], "n": 5}
    plain, tested = parse(Data, PLANE), parse(Data, PLANE | {"test": grid})
    longer = parse(Data, PLANE | {"test": grid, "n": 60})
    np.testing.assert_array_equal(plain.sample(1)[0].y, tested.sample(1)[0].y)
    np.testing.assert_array_equal(tested.sample(1)[1].x, longer.sample(1)[1].x)


def test_a_constant_is_a_function():
    np.testing.assert_array_equal(function(function="2", noise_sd=0).sample(0)[0].y, np.full(100, 2.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3 - 4/5", 1 + 2 * 3 - 4 / 5),
        ("-2**2", -4.0),
        ("2**-1", 0.5),
        ("2**3**2", 512.0),
        ("(1 - 3) * +2", -4.0),
        (" exp(log(e)) ", np.e),
        ("x1**2 + x2", 0.25 + 3),
        ("abs(-x2) + sqrt(x1*2)", 4.0),
        ("1e-3 + .5", 0.501),
        ("7/2", 3.5),
    ],
)
def test_a_formula_has_the_value_that_arithmetic_gives(text, expected):
    value = parse_formula(text, ("x1", "x2"))(np.array([[0.5, 3.0]]))
    np.testing.assert_allclose(value, expected, rtol=1e-15)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_numpys(name):
    x = np.array([[0.25], [0.75]])
    np.testing.assert_array_equal(parse_formula(f"{name}(x)", ("x",))(x), FUNCTIONS[name](x[:, 0]))


REFUSED = {
    "another name": ("y + 1", "'y' is no name known here (inputs x; constants pi, e; functions sin, "),
    "an input too many": ("x1 + 1", "'x1' is no name known here (inputs x;"),
    "an unknown function": ("foo(x)", "'foo(x)' calls no function known here (inputs x;"),
    "a builtin": ("__import__('os')", "calls no function known here"),
    "an attribute": ("x.__class__", "'x.__class__' is not allowed: use numbers, + - * / **"),
    "a method": ("x.sum()", "is not allowed"),
    "an index": ("x[0]", "'x[0]' is not allowed"),
    "a lambda": ("(lambda: 1)()", "is not allowed"),
    "a comprehension": ("[x for x in x]", "is not allowed"),
    "a comparison": ("x > 1", "'x > 1' is not allowed"),
    "a condition": ("1 if x else 2", "is not allowed"),
    "a text": ("'x'", "is not allowed"),
    "true": ("True", "'True' is not allowed"),
    "a complex number": ("1j*x", "'1j' is not allowed"),
    "an f-string": ("f'{x}'", "is not allowed"),
    "an assignment": ("(a := 1)", "is not allowed"),
    "a caret for a power": ("x^2", "'x ^ 2': '^' is no operator here: write a power as **"),
    "whole division": ("x // 2", "'x // 2' is not allowed"),
    "two arguments": ("sin(x, x)", "'sin(x, x)': sin takes one argument"),
    "a keyword": ("sin(x=1)", "sin takes one argument"),
    "a star": ("sin(*x)", "is not allowed"),
    "a function without argument": ("sin", "'sin' is a function: give it an argument, sin(x)"),
    "a statement": ("import os", "'import os' is no arithmetic expression ("),
    "nothing": ("", "'' is no arithmetic expression ("),
    "a star left out": ("2 x", "'2 x' is no arithmetic expression ("),
    "an open bracket": (
        "sin(x",
        "'sin(x' is no arithmetic expression ('(' was never closed, character 4): write one such as",
    ),
    "a NUL": ("x\0", "is no arithmetic expression ("),
    "an infinite number": ("1e999*x", "the number inf… is too large: write a finite one"),
    "a huge integer": ("1" + "0" * 400, "the number 100000000000… is too large"),
    "an endless integer": ("9" * 900, "is too large"),
    "too long": ("x" + "+x" * 600, "is 1201 characters long: write it in at most 1000"),
    "too many parts": ("x" + "+x" * 300, "has more than 500 parts"),
    "too deep": ("-" * 120 + "x", "is nested more than 100 deep"),
    "far too deep": ("(" * 450 + "x" + ")" * 450, "is no arithmetic expression ("),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_formula_is_refused_at_its_field(text, message):
    with pytest.raises(InputError) as refused:
        function(function=text)
    (line,) = refused.value.messages
    assert line.startswith("data.function: ")
    assert message in line
    assert "\n" not in line


def test_several_inputs_are_not_called_x():
    with pytest.raises(InputError, match=r"data.function: 'x' is no name known here \(inputs x1, x2; constants"):
        parse(Data, PLANE | {"function": "x"}, where="data")


def test_a_tower_of_powers_is_infinite_at_once():
    begun = time.process_time()  # not the clock, which runs on while other programs have the machine
    with pytest.raises(InputError, match=r"is not finite at x=0 \(got inf\)"):
        function(function="9**9**9**9 + x").sample(0)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"function": "log(x)"}, "function: 'log(x)' is not finite at x=0 (got -inf): choose a range where it is"),
        ({"function": "1/(x - 1)"}, "function: '1/(x - 1)' is not finite at x=1 (got inf): choose a range"),
        ({"function": "(x - 2)**0.5"}, "is not finite at x=0 (got nan)"),
        ({"function": "exp(1000*x)"}, "is not finite at x=0.717172 (got inf)"),
        (
            {"function": "sqrt(x)", "test": {"range": [-1, 1], "n": 3}},
            "function: 'sqrt(x)' is not finite at x=-1 (got nan): choose a test.range where it is, or another function",
        ),
    ],
)
def test_a_function_that_is_not_finite_in_its_range_is_refused_with_the_place(changes, message):
    with pytest.raises(InputError) as refused:
        function(**changes).sample(0)
    assert message in str(refused.value)


def test_the_place_names_every_input():
    with pytest.raises(InputError, match=r"is not finite at x1=0\.\d+, x2=-2\.\d+ \(got nan\)"):
        parse(Data, PLANE | {"function": "x1*sqrt(x2)"}).sample(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"range": [1, 0]},
            "data.range: must be [lo, hi], or a list of such pairs: finite numbers with lo < hi (got [1, 0])",
        ),
        ({"range": [1, 1]}, "data.range: must be [lo, hi]"),
        ({"range": [0]}, "data.range: must be [lo, hi]"),
        ({"range": []}, "data.range: must be [lo, hi]"),
        ({"range": [0, float("inf")]}, "data.range: must be [lo, hi]"),
        ({"range": [float("nan"), 1]}, "data.range: must be [lo, hi]"),
        ({"range": [-1.7e308, 1.7e308]}, "data.range: must be [lo, hi]"),
        ({"range": [False, True]}, "data.range: must be [lo, hi]"),
        ({"range": ["0", "1"]}, "data.range: must be [lo, hi]"),
        ({"range": "0 to 1"}, "data.range: must be [lo, hi]"),
        ({"range": [[0, 1], 2]}, "data.range: must be [lo, hi]"),
        ({"n": 0}, "data.n: must be at least 1 (got 0)"),
        ({"n": 10**12}, "data.n: must be at most 1e+08 (got 1000000000000)"),
        ({"n": 10.0}, "data.n: must be a whole number (got 10.0)"),
        ({"noise_sd": -0.1}, "data.noise_sd: must be at least 0 (got -0.1)"),
        ({"noise_sd": float("nan")}, "data.noise_sd: must be"),
        ({"function": 3}, "data.function: must be text (got 3)"),
        ({"test": {"range": [2, 1], "n": 3}}, "data.test.range: must be [lo, hi]"),
        ({"test": {"range": [0, 1], "n": 0}}, "data.test.n: must be at least 1 (got 0)"),
        (
            {"test": {"range": [[0, 1], [0, 1]], "n": 3}},
            "data: test.range has 2 pairs [lo, hi], range has 1: give one for each",
        ),
        ({"tset": {}}, "data.tset: unknown key (known: kind, range, function, n, noise_sd, test): did you mean test?"),
    ],
)
def test_a_wrong_setting_is_refused_at_its_field(changes, message):
    with pytest.raises(InputError) as refused:
        function(**changes)
    (line,) = refused.value.messages
    assert line.startswith(message)


def test_a_function_gives_back_what_was_written():
    assert function().to_dict() == SINE
