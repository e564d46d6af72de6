"""Table: its spec, hold-outs, and the tables that are shipped."""

from pathlib import Path

import numpy as np
import pytest

from gp.data import Data
from gp.spec import InputError, parse

RAW = Path(__file__).parents[2] / "data/raw"
# depth is not in the order of the rows, and 5 is there twice.
ROWS = "depth,day,oxygen,kept_out\n5,2024-01-03,1,0\n1,2024-01-02,2,1\n4,2024-01-05,3,false\n5,2024-01-01,4,TRUE\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/t.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(**changes):
    spec = {"kind": "table", "path": "data/raw/t.csv", "x": ["depth"], "y": "oxygen"} | changes
    return parse(Data, spec, where="data")


def targets(spec, seed=0):
    """Return the observed y of the training rows and of the held-out ones: ROWS' are 1 to 4, in the file's order."""
    train, test = spec.sample(seed)
    return train.y.tolist(), test.y.tolist()


def test_a_table_knows_its_columns_and_its_target():
    spec = table(x=["a", "b"], y="c")
    assert (spec.columns, spec.target) == (("a", "b"), "c")


def test_one_input_needs_no_list():
    assert table(x="depth").columns == ("depth",)


def test_without_holdout_all_rows_are_for_training(project):
    train, test = table().sample(0)
    assert train.y.tolist() == [1, 2, 3, 4]
    assert test is None


def test_held_out_rows_have_y_and_no_true_function(project):
    train, test = table(holdout={"fraction": 0.25}).sample(0)
    assert (train.f, test.f) == (None, None)
    assert (train.n, test.n) == (3, 1)
    assert train.columns == test.columns == ("depth",)


@pytest.mark.parametrize(
    ("holdout", "held_out"),
    [
        ({"fraction": 0.25, "along": "depth"}, [4]),  # of the two rows at depth 5, the one further down
        ({"fraction": 0.5, "along": "depth"}, [1, 4]),
        ({"fraction": 0.5, "along": "day"}, [1, 3]),
        ({"fraction": 0.75, "along": "oxygen"}, [2, 3, 4]),
        ({"column": "kept_out"}, [2, 4]),
        ({"last": 1}, [4]),
        ({"last": 2, "along": "day"}, [1, 3]),
    ],
)
def test_a_holdout_takes_the_rows_it_says_in_the_order_of_the_file(project, holdout, held_out):
    train, test = targets(table(holdout=holdout))
    assert test == held_out
    assert train == [y for y in (1, 2, 3, 4) if y not in held_out]


def test_random_rows_follow_the_studys_seed_unless_they_have_their_own(project):
    by_study = {seed: targets(table(holdout={"fraction": 0.5}), seed) for seed in range(20)}
    assert len({tuple(test) for _, test in by_study.values()}) > 3
    for seed, (train, test) in by_study.items():
        assert sorted(train + test) == [1, 2, 3, 4]
        assert len(test) == 2
        assert (train, test) == targets(table(holdout={"fraction": 0.5}), seed)
        assert (train, test) == targets(table(holdout={"fraction": 0.5, "seed": seed}), seed=99)


GROUPS = "x,y,site\n" + "".join(f"{i},{i % 7},{'abcde'[i % 5]}\n" for i in range(50))


def test_groups_are_held_out_whole(project):
    (project / "data/raw/t.csv").write_text(GROUPS)
    drawn = set()
    for seed in range(10):
        train, test = table(x=["x"], y="y", holdout={"group": "site", "fraction": 0.4}).sample(seed)
        of_train, of_test = (set((rows.x[:, 0] % 5).tolist()) for rows in (train, test))
        assert (len(of_test), of_train & of_test) == (2, set())
        drawn.add(frozenset(of_test))
    assert len(drawn) > 3


def test_a_group_may_be_a_column_of_numbers_an_input_too(project):
    (project / "data/raw/t.csv").write_text("x,y\n1,1\n1,2\n2,3\n3,4\n")
    train, test = table(x=["x"], y="y", holdout={"group": "x", "fraction": 0.5}).sample(0)
    assert not set(train.x[:, 0]) & set(test.x[:, 0])


def test_folds_leave_all_rows_for_training_and_give_each_one_fold(project):
    (project / "data/raw/t.csv").write_text(GROUPS)
    spec = table(x=["x"], y="y", holdout={"folds": 4})
    assert [rows and rows.n for rows in spec.sample(0)] == [50, None]
    folds = spec.folds(50, 0)
    assert sorted(np.bincount(folds)) == [12, 12, 13, 13]
    assert folds.tolist() != spec.folds(50, 1).tolist()
    assert folds.tolist() == table(x=["x"], y="y", holdout={"folds": 4, "seed": 0}).folds(50, 1).tolist()
    assert table().folds(4, 0) is None
    with pytest.raises(InputError, match="7 rows are too few for 4 folds: write at most 3, or no holdout"):
        spec.folds(7, 0)


def test_a_random_holdout_along_dates_is_warned_about(project, caplog):
    table(x=["day"], holdout={"fraction": 0.5}).sample(0)
    assert "to score forecasts, write `holdout: {last: 2, along: day}`" in caplog.text
    caplog.clear()
    table(x=["day"], holdout={"last": 2, "along": "day"}).sample(0)
    table(x=["depth"], holdout={"fraction": 0.5}).sample(0)
    assert caplog.text == ""


def test_rows_that_repeat_across_training_and_held_out_rows_are_warned_about(project, caplog):
    (project / "data/raw/t.csv").write_text("x,y\n" + "1,1\n2,2\n3,3\n4,4\n" * 3)
    table(x=["x"], y="y", holdout={"last": 3}).sample(0)
    assert caplog.text == ""  # rows at the end along x are copies of each other
    table(x=["x"], y="y", holdout={"fraction": 0.25, "seed": 1}).sample(0)
    assert "of 3 held-out rows repeat inputs and target of a training row" in caplog.text


@pytest.mark.parametrize(
    ("content", "holdout", "message"),
    [
        (
            ROWS,
            {"fraction": 0.1},
            "holdout {'fraction': 0.1} keeps 0 of 4 rows from training: leave at least one on both",
        ),
        (ROWS, {"fraction": 0.9}, "keeps 4 of 4 rows from training"),
        (ROWS.replace("1\n4,", "0\n4,").replace("TRUE", "0"), {"column": "kept_out"}, "keeps 0 of 4 rows"),
        (
            ROWS,
            {"column": "oxygen_"},
            "t.csv:1: no column 'oxygen_' (columns: depth, day, oxygen, kept_out): did you mean",
        ),
        (
            ROWS,
            {"column": "day"},
            "t.csv:2: column 'day': '2024-01-03' is no mark of held-out rows (4 such cells, the first",
        ),
        (ROWS.replace("TRUE", ""), {"column": "kept_out"}, "t.csv:5: column 'kept_out': missing value (got '')"),
        (
            ROWS.replace("TRUE", "2"),
            {"column": "kept_out"},
            "t.csv:5: column 'kept_out': '2' is no mark of held-out rows",
        ),
        (
            ROWS.replace("2024-01-05", "?"),
            {"fraction": 0.5, "along": "day"},
            "t.csv:4: column 'day': '?' is not an ISO 8601",
        ),
    ],
)
def test_a_holdout_that_does_not_fit_the_table_is_refused(project, content, holdout, message):
    (project / "data/raw/t.csv").write_text(content)
    with pytest.raises(InputError) as refused:
        table(holdout=holdout).sample(0)
    assert message in refused.value.messages[0]
    assert refused.value.messages[0].startswith("data/raw/t.csv:")


FORMS = (
    "data.holdout: must be {fraction: 0.2} or {fraction: 0.2, seed: 0} for random rows, {fraction: 0.2, along: column} "
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"holdout": {}}, FORMS),
        ({"holdout": 0.2}, FORMS),
        ({"holdout": {"fraction": 0.2, "column": "a"}}, FORMS),
        ({"holdout": {"fraction": 0.2, "along": "a", "seed": 1}}, FORMS),
        ({"holdout": {"fracton": 0.2}}, FORMS),
        ({"holdout": {"seed": 1}}, "data.holdout.fraction: is required and was not given"),
        ({"holdout": {"along": "a"}}, "data.holdout.fraction: is required and was not given"),
        ({"holdout": {"fraction": 0}}, "data.holdout.fraction: must be greater than 0 (got 0)"),
        ({"holdout": {"fraction": 1.0}}, "data.holdout.fraction: must be less than 1 (got 1.0)"),
        ({"holdout": {"fraction": 0.2, "seed": -1}}, "data.holdout.seed: must be at least 0 (got -1)"),
        ({"holdout": {"last": 0}}, "data.holdout.last: must be at least 1 (got 0)"),
        ({"holdout": {"folds": 1}}, "data.holdout.folds: must be at least 2 (got 1)"),
        (
            {"holdout": {"last": 2}, "x": ["depth", "kept_out"]},
            "data: holdout {last: 2} of a table with 2 inputs: the last along which?: write `holdout: {last: 2, along:",
        ),
        ({"holdout": {"column": 3}}, "data.holdout.column: must be text (got 3)"),
        (
            {"holdout": {"column": "depth"}},
            "data: holdout.column 'depth' is an input, the target or noise_sd too: mark",
        ),
        (
            {"step": "kept_out"},
            "data.step: must say the steps of which input (got 'kept_out'): write `step: {depth: COLUMN}`, or a number",
        ),
        ({"step": {}}, "data.step: must say the steps of which input (got {})"),
        ({"step": {"dept": 1.0}}, "data.step: 'dept' is no input of numbers: name one of x: depth"),
        ({"step": {"depth": True}}, "data.step: must be a column or a number for 'depth' (got True)"),
        ({"step": {"depth": "oxygen"}}, "data.step: 'oxygen' is no column of steps: name theirs, or write a"),
        ({"missing": "ignore"}, "data.missing: must be 'error' or 'drop' (got 'ignore')"),
        ({"x": []}, "data.x: is empty (got []): name at least one input column"),
        ({"x": 3}, "data.x: must be a list (got 3)"),
        ({"x": ["a", 3]}, "data.x.1: must be text (got 3)"),
        ({"x": ["a", "b", "a"]}, "data.x: names column 'a' 2 times: name it once"),
        (
            {"x": ["depth", "oxygen"]},
            "data.y: is an input as well (got 'oxygen', in x too): take it out of x, or name another",
        ),
        (
            {"path": "/etc/t.csv"},
            "data.path: must not lead out of the project (got '/etc/t.csv'): put the table below data/raw/",
        ),
        ({"path": "../t.csv"}, "data.path: must not lead out of the project (got '../t.csv')"),
        ({"path": "data/raw/../../../t.csv"}, "data.path: must not lead out of the project"),
        (
            {"path": "t.csv"},
            "data.path: must be below data/raw/, the folder that the pipeline tracks (got 't.csv'): put the",
        ),
        ({"path": "data/rawer/t.csv"}, "data.path: must be below data/raw/"),
        ({"path": "data/raw"}, "data.path: must be below data/raw/"),
        ({"path": ""}, "data.path: must be below data/raw/"),
        (
            {"path": "data/raw/t.xlsx"},
            "data.path: ends in '.xlsx' (got 'data/raw/t.xlsx'): write the table as .csv, .tsv, .parquet",
        ),
        (
            {"path": "data/raw/t.xlsx.gz"},
            "data.path: ends in '.xlsx.gz' (got 'data/raw/t.xlsx.gz'): write the table as",
        ),
        ({"path": "data/raw/t.parquet.gz"}, "data.path: ends in '.parquet.gz'"),
        ({"path": "data/raw/" + "t" * 5000 + ".csv"}, "data.path: is 5013 letters long (got 'data/raw/ttt"),
        ({"path": "data/raw/t"}, "data.path: ends in ''"),
        (
            {"colour": "red"},
            "data.colour: unknown key (known: encoding, skip_rows, comment, units_row, separator, decimal, thousands, ",
        ),
    ],
)
def test_a_wrong_setting_is_refused_at_its_field(project, changes, message):
    with pytest.raises(InputError) as refused:
        table(**changes)
    (line,) = refused.value.messages
    assert line.startswith(message)


def test_a_symlink_out_of_the_folder_is_refused(project):
    (project / "elsewhere.csv").write_text(ROWS)
    (project / "data/raw/link.csv").symlink_to(project / "elsewhere.csv")
    (project / "data/raw/folder").symlink_to(project)
    for path in ("data/raw/link.csv", "data/raw/folder/elsewhere.csv"):
        with pytest.raises(InputError, match=r"data.path: is a symlink out of data/raw/"):
            table(path=path)


def test_a_link_that_dvc_made_is_read_and_what_is_not_here_is_pulled(project):
    (project / "elsewhere.csv").write_text(ROWS)
    (project / "data/raw/link.csv").symlink_to(project / "elsewhere.csv")
    (project / "data/raw/link.csv.dvc").write_text("outs: []\n")
    assert table(path="data/raw/link.csv").sample(0)[0].n == 4
    (project / "data/raw/link.csv").unlink()
    with pytest.raises(InputError, match=r"is not here, but kept by DVC: `dvc pull data/raw/link.csv.dvc` fetches it"):
        table(path="data/raw/link.csv").sample(0)
    (project / "data/raw/many.dvc").write_text("outs: []\n")
    with pytest.raises(InputError, match=r"`dvc pull data/raw/many.dvc` fetches it"):
        table(path="data/raw/many/a.csv").sample(0)


def test_the_folder_itself_may_be_a_link(project):
    (project / "data/raw").rename(project / "tables")
    (project / "data/raw").symlink_to(project / "tables")
    (project / "tables/t.csv").write_text(ROWS)
    assert table(path="data/raw/t.csv").sample(0)[0].n == 4


def test_a_folder_below_the_folder_is_fine(project):
    (project / "data/raw/mine").mkdir()
    (project / "data/raw/mine/T.CSV").write_text(ROWS)
    assert table(path="./data/raw/mine/T.CSV").sample(0)[0].n == 4


def test_a_table_that_is_not_there_is_refused_with_the_nearest(project):
    with pytest.raises(InputError, match=r"^data/raw/tt.csv: no such file: did you mean data/raw/t.csv\?$"):
        table(path="data/raw/tt.csv").sample(0)
    with pytest.raises(
        InputError, match=r"^data/raw/q/quite_other.tsv: no such file: put the table below data/raw/, and"
    ):
        table(path="data/raw/q/quite_other.tsv").sample(0)


def test_a_folder_is_no_table(project):
    (project / "data/raw/f.csv").mkdir()
    with pytest.raises(InputError, match=r"^data/raw/f.csv: is a folder: name the table in it$"):
        table(path="data/raw/f.csv").sample(0)


def test_a_table_gives_back_what_was_written():
    written = {
        "kind": "table",
        "path": "data/raw/t.csv",
        "x": ["a"],
        "y": "b",
        "holdout": {"fraction": 0.2, "along": "a"},
    }
    assert parse(Data, written).to_dict() == written


@pytest.mark.parametrize(
    ("name", "x", "y", "n", "mean_y"),
    [
        (
            "diabetes",
            ["age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu"],
            "progression",
            442,
            152.13348,
        ),
        ("co2", ["year"], "ppm", 521, 339.82266),
        ("motorcycle", ["time"], "acceleration", 133, -25.54586),
    ],
)
def test_a_shipped_table_is_whole(monkeypatch, name, x, y, n, mean_y):
    monkeypatch.chdir(RAW.parents[1])
    train, _ = table(path=f"data/raw/{name}.csv", x=x, y=y).sample(0)
    assert train.x.shape == (n, len(x))
    np.testing.assert_allclose(train.y.mean(), mean_y, rtol=1e-6)
    assert f"## {name}.csv" in (RAW / "README.md").read_text(encoding="utf-8")


def test_the_shipped_diabetes_table_is_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    raw = datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(
        np.loadtxt(RAW / "diabetes.csv", delimiter=",", skiprows=1), np.c_[raw.data, raw.target]
    )


def test_rows_that_are_means_along_an_input_have_the_steps_of_its_column_or_number(project):
    (project / "data/raw/t.csv").write_text("depth,layer,place,y\n1,0.5,7,1\n2,1.5,8,2\n4,1,9,3\n")
    spec = table(x=["depth", "place"], y="y", step={"depth": "layer"}, holdout={"last": 1, "along": "depth"}, new=None)
    train, test = spec.sample(0)
    assert train.step.tolist() == [[0.5, 0], [1.5, 0]]
    assert test.step.tolist() == [[1, 0]]
    assert spec.read_new(project / "data/raw/t.csv", {}).rows.step is None  # predictions are at points
    both, _ = table(x=["depth", "place"], y="y", step={"place": 0.25, "depth": 2}).sample(0)
    assert both.step.tolist() == [[2, 0.25]] * 3
    assert table(y="y").sample(0)[0].step is None


def test_a_standard_deviation_of_zero_is_refused(project):
    (project / "data/raw/t.csv").write_text("depth,oxygen,sd\n1,2,0.1\n2,3,0\n")
    with pytest.raises(InputError, match=r"sd: a standard deviation must be greater than 0 \(got 0\)"):
        table(noise_sd="sd").sample(0)
