"""New rows: read by a study's rules, predicted, and written with all their columns."""

import io

import numpy as np
import pandas as pd
import pytest

import gp
from gp.data import Data
from gp.dataset import Dataset
from gp.new_rows import NewRows
from gp.posterior import Posterior
from gp.spec import InputError, parse
from stages import ask
from stages.wrapper.outputs import Refused, check_finite

ROWS = "day;depth;site;3\n01.02.2024;1,5;north;\n02.02.2024;2,5;;x\n03.02.2024; 4 ;south;NA\n\n"
PARAMS = """\
studies:
  lake:
    seed: 0
    data: {kind: table, path: data/raw/t.csv, x: [depth], y: oxygen, separator: ;, decimal: ",", noise_sd: null}
    model: {}
    inference: {}
    train: {}
    predict: {hyperparameters: {kind: plug_in}}
    plot: {}
"""

TRAIN = Dataset(np.zeros((1, 1)), ("depth",))  # whose levels are those of new rows: none


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/new.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(**changes):
    keys = {"x": ["day", "depth"], "y": "oxygen", "separator": ";", "decimal": ",", "date_format": "%d.%m.%Y"}
    where = {"kind": "table", "path": "data/raw/t.csv", "new": "data/raw/new.csv"}
    return parse(Data, where | keys | changes, "data")


def test_new_rows_are_read_by_the_rules_of_the_study_and_carry_all_columns(project):
    new = table().new_rows(TRAIN)
    assert new.rows.x == pytest.approx(np.array([[2024 + 31 / 366, 1.5], [2024 + 32 / 366, 2.5], [2024 + 33 / 366, 4]]))
    assert new.rows.y is None
    new.save(project)
    posterior = Posterior.normal(new.rows.x, new.rows.columns, [1.0, 2.0, 3.0], [0.5] * 3, [1.0] * 3)
    NewRows.load(project).beside(posterior).to_csv(project / "new.csv", index=False)
    found = pd.read_csv(project / "new.csv", dtype=str, keep_default_na=False)
    assert found["day"].tolist() == ["01.02.2024", "02.02.2024", "03.02.2024"]
    assert found[["depth", "site", "3"]].to_numpy().tolist() == [
        ["1,5", "north", ""],
        ["2,5", "", "x"],
        ["4", "south", "NA"],
    ]
    assert found["predicted.mean"].astype(float).tolist() == [1, 2, 3]
    assert found["predicted.q97.5"].astype(float).tolist() == pytest.approx([2.96, 3.96, 4.96], abs=1e-3)
    check_finite(project)  # a user's own cells may be blank
    (project / "new.csv").write_text("a,predicted.mean\n,nan\n")
    with pytest.raises(Refused, match=r"new.csv:2: predicted.mean came out as nan"):
        check_finite(project)


def test_a_row_without_an_input_is_refused_or_dropped(project):
    (project / "data/raw/new.csv").write_text(ROWS.replace("2,5", "NA"))
    with pytest.raises(InputError, match=r"new.csv:3: column 'depth': missing value \(got 'NA'\)"):
        table().new_rows(TRAIN)
    new = table(missing="drop").new_rows(TRAIN)
    assert new.carried["site"].tolist() == ["north", "south"]
    assert new.rows.n == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "data/raw/new.csv: no such file"),
        ("day;depht\n01.02.2024;1\n", "new.csv:1: no column 'depth' (columns: day, depht): did you mean 'depht'?"),
        (
            "day;depth;predicted.mean\n01.02.2024;1;2\n",
            "column 'predicted.mean' has the name of one that is added: rename",
        ),
    ],
)
def test_new_rows_that_cannot_be_read_are_refused_with_the_mend(project, text, message):
    (project / "data/raw/new.csv").unlink() if text is None else (project / "data/raw/new.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        table().new_rows(TRAIN)
    assert message in refused.value.messages[0]


def test_a_study_without_new_rows_has_none():
    assert table(new=None).new_rows(TRAIN) is None
    with pytest.raises(InputError, match=r"data\.new: must be below data/raw/"):
        table(new="elsewhere/new.csv")


def test_ask_answers_from_the_saved_model(project):
    (project / "params.yaml").write_text(PARAMS)
    with pytest.raises(InputError, match=r"model\.safetensors: is not there: `dvc repro train@lake` makes it first"):
        ask.main("lake", ROWS.encode())
    x = np.linspace(0, 5, 9)
    fitted = gp.fit(pd.DataFrame({"depth": x}), np.sin(x), train={"kind": "lbfgs", "restarts": 0})
    (project / "data/lake/train").mkdir(parents=True)
    fitted.save(project / "data/lake/train/model.safetensors")
    found = pd.read_csv(io.StringIO(ask.main("lake", ROWS.encode())))
    expected = fitted.predict([1.5, 2.5, 4.0], hyperparameters={"kind": "plug_in"})
    assert found["predicted.mean"].to_numpy() == pytest.approx(expected.mean, rel=1e-9)
    assert found["predicted.sd"].to_numpy() == pytest.approx(expected.sd_y, rel=1e-9)
    with pytest.raises(InputError, match=r"^rows:1: no column 'depth'"):
        ask.main("lake", b"a;b\n1;2\n")
