"""Dataset: checked once when it is created, and written and read back exactly."""

import numpy as np
import pytest

from gp.dataset import RESERVED, Dataset, default_columns, varied
from gp.posterior import Posterior
from gp.spec import InputError

X = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def dataset(**changes):
    return Dataset(**{"x": X, "columns": ["a", "b"], "y": [1, 2, 3]} | changes)


def test_a_dataset_holds_float64_arrays_of_its_own_that_cannot_be_written_to():
    x, y = np.array(X), np.array([1, 2, 3])
    data = dataset(x=x, y=y)
    x[0, 0] = 9
    assert data.x[0, 0] == 0
    assert data.y.dtype == np.float64
    assert (data.n, data.d, data.columns, data.f) == (3, 2, ("a", "b"), None)
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 9


@pytest.mark.parametrize(
    "known", [{}, {"y": [0.1, 2.0, 3.0]}, {"f": [1 / 3, -0.0, 5e-324]}, {"y": [1, 2, 3], "f": [4, 5, 6]}]
)
def test_what_was_saved_is_loaded_exactly(tmp_path, known):
    bits = np.random.default_rng(0).integers(0, 2**64, size=2000, dtype=np.uint64).view(np.float64)
    x = np.concatenate([bits[np.isfinite(bits)], [1e22, 1.7976931348623157e308, 5e-324, -0.0]])[-1500:].reshape(3, 500)
    saved = Dataset(x=x, columns=[f"a, {j}" for j in range(500)], **known)
    saved.save(tmp_path / "d.csv")
    loaded = Dataset.load(tmp_path / "d.csv")
    assert loaded.columns == saved.columns
    for name in ("x", "y", "f"):
        before, after = getattr(saved, name), getattr(loaded, name)
        assert (before is None) == (after is None)
        assert before is None or before.tobytes() == after.tobytes()


def test_a_saved_file_has_a_header_and_unix_line_ends(tmp_path):
    dataset(f=[0.5, 0, 0]).save(tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_bytes().startswith(b"a,b,y,f\n0.0,1.0,1.0,0.5\n")


FAULTS = {
    "nan": ({"y": [1, np.nan, 3]}, r"y has a value that is not finite in row 1 \(got nan\): remove or correct the row"),
    "infinity": ({"x": [[1, 2], [3, np.inf], [5, 6]]}, r"x has a value that is not finite in row 1"),
    "no rows": (
        {"x": np.empty((0, 2)), "y": None},
        r"x has shape \(0, 2\): at least one row and one column are needed",
    ),
    "no columns": ({"x": np.empty((3, 0)), "columns": []}, r"x has shape \(3, 0\): at least one row and one column"),
    "one dimension": ({"x": [1, 2, 3]}, r"x has shape \(3,\): it must have 2 dimensions"),
    "two dimensions": ({"y": [[1], [2], [3]]}, r"y has shape \(3, 1\): it must have 1 dimension"),
    "text": ({"y": ["a", "b", "c"]}, r"y is not an array of numbers \(.*\): give finite floats"),
    "another length": ({"y": [1, 2]}, r"x has 3 rows but y has 2: give one y for every row of x"),
    "a noise of zero": ({"noise_sd": [0.1, 0.0, 0.2]}, r"noise_sd is 0 in row 1: it must be greater than 0"),
    "another length of f": ({"f": [1, 2]}, r"x has 3 rows but f has 2: give one f for every row of x"),
    "a name too few": ({"columns": ["a"]}, r"2 input columns but 1 names \['a'\]: name each column once"),
    "a name twice": ({"columns": ["a", "a"]}, r"input columns \['a', 'a'\] are not distinct: name each column once"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_dataset_is_refused_with_the_fix(changes, message):
    with pytest.raises(InputError, match=message):
        dataset(**changes)


@pytest.mark.parametrize("name", [*RESERVED, "component.season"])
def test_an_input_may_have_a_name_that_files_give_a_meaning(name, tmp_path):
    columns = (name, f"x.{name}")
    rows = Dataset(x=np.arange(6.0).reshape(3, 2), y=[1.0, 2.0, 4.0], columns=columns)
    rows.save(tmp_path / "rows.csv")
    loaded = Dataset.load(tmp_path / "rows.csv")
    assert loaded.columns == columns
    assert (loaded.x.tolist(), loaded.y.tolist()) == (rows.x.tolist(), [1, 2, 4])
    posterior = Posterior.normal(rows.x, columns, rows.y, rows.y, rows.y, {"mean": (rows.y, rows.y)})
    posterior.save(tmp_path / "test.csv")
    found = Posterior.load(tmp_path / "test.csv")
    assert (found.columns, found.x.tolist(), list(found.components)) == (columns, rows.x.tolist(), ["mean"])


@pytest.mark.parametrize("y", [[2.0], [0.1, 0.1, 0.1]])
def test_a_y_that_does_not_vary_is_refused_before_training(y):
    data = Dataset(x=np.arange(len(y))[:, None], y=y, columns=("a",))
    with pytest.raises(InputError, match=r"training targets are .*: there is nothing to learn or score"):
        varied(data)


def test_unnamed_inputs_are_called_x():
    assert default_columns(1) == ("x",)
    assert default_columns(3) == ("x1", "x2", "x3")


def test_runs_and_steps_go_with_their_rows(tmp_path):
    step = np.linspace(-1, 1, 12).reshape(6, 2)
    data = Dataset(
        x=np.arange(12.0).reshape(6, 2), columns=("a", "run"), y=np.arange(6.0), run=[0, 0, 0, 1, 1, 1], step=step
    )
    data.save(tmp_path / "rows.csv")
    again = Dataset.load(tmp_path / "rows.csv")
    assert again.columns == ("a", "run")
    assert np.array_equal(again.step, step)
    assert np.array_equal(again.run, data.run)
    some = again.at(np.array([0, 1, 3, 5]))
    assert np.array_equal(some.step, step[[0, 1, 3, 5]])
    assert np.array_equal(some.run, [0, 0, 1, 2])  # a row left out ends a run
    assert np.array_equal(again.at(again.y > 1).run, [0, 1, 1, 1])


def test_steps_have_the_shape_of_inputs():
    with pytest.raises(InputError, match=r"x has shape \(2, 1\) but step has \(2, 2\)"):
        Dataset(x=np.zeros((2, 1)), columns=("a",), step=np.zeros((2, 2)))
