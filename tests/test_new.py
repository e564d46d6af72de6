"""stages.new writes a study of a table that runs; stages.forget removes one.  All else in the files stays as it is."""

import numpy as np
import pytest
from conftest import PARAMS, ROOT

from gp.data import Data
from gp.spec import InputError, parse
from gp.yaml import read_yaml
from stages import forget, new

RNG = np.random.default_rng(0)
MORE = "\n  # a last word\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(PARAMS + MORE)
    own = "\nplots:\n  - sine — own:\n      y: {data/sine/predict/grid.csv: mean}\n"
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text() + own)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, header, rows, sign=","):
    lines = [sign.join(header), *(sign.join(map(str, row)) for row in rows)]
    (new.Path("data/raw") / name).write_text("\n".join(lines) + "\n")
    return f"data/raw/{name}"


def study(path, y, *options):
    new.main([path, "--y", y, *options])
    return list(read_yaml(new.PARAMS)["studies"].values())[-1]


def months(n, form="{y}-{m:02}-01"):
    return [form.format(y=1990 + i // 12, m=1 + i % 12) for i in range(n)]


def test_the_block_is_added_below_the_others_which_stay_letter_by_letter(project, capsys):
    path = write("mine.csv", "ab", RNG.normal(size=(80, 2)).round(3))
    made = study(path, "b")
    text = (project / "params.yaml").read_text()
    assert text.startswith(PARAMS + MORE)
    assert read_yaml(new.PARAMS)["studies"] | {"mine": made} == read_yaml(new.PARAMS)["studies"]
    assert made["data"] == {"kind": "table", "path": path, "x": ["a"], "y": "b", "holdout": {"fraction": 0.2}}
    assert "holdout: a random fifth of 80 rows" in capsys.readouterr().out
    with pytest.raises(InputError, match="is there already, and is not overwritten: give the new one another name"):
        study(path, "b")
    assert (project / "params.yaml").read_text() == text


COLUMNS = {
    "counts the rows": (range(1, 71), "n is left out: it counts the rows"),
    "constant": ([3] * 70, "n is left out: it is 3 in every row"),
    "words": ([*"abcdefg"] * 5 + [*map(str, range(35))], "n is left out: text (42 values: 0, 1, 10, …): if it stands"),
    "one word": (["red"] * 70, "n is left out: it is 'red' in every row"),
    "few levels": (["red", "blue"] * 35, "n is categorical: 2 levels (blue, red)"),
    "sparse": ([1, 2, *[""] * 68], "n is left out: 97% of its values are missing"),
    "days, months": (["01/02/2020", "03/04/2020"] * 35, 'write `date_format: {n: "%m/%d/%Y"}` or'),
    "few words": (["?", *range(69)], "n: '?' among numbers: missing values"),
    "dates": ([f"{1 + i % 28}.01.{1950 + i}" for i in range(70)], "n holds dates, as 1.01.1950: read by its date_f"),
    "whole dates": ([f"{1950 + i}0131" for i in range(70)], "n holds days written as numbers, as 19500131"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_choice_is_said_and_the_block_can_be_read(project, capsys, kind):
    column, said = COLUMNS[kind]
    rows = [(value, f"{a:.3f}", f"{b:.3f}") for value, (a, b) in zip(column, RNG.normal(size=(70, 2)), strict=True)]
    made = study(write("t.csv", ["n", "a", "b"], rows), "b")
    assert said in capsys.readouterr().out
    assert made["data"]["x"] == (["a"] if "left out" in said or "write" in said else ["n", "a"])
    train, _ = parse(Data, made["data"], "data").sample(0)
    assert train.n >= 55


def test_a_table_with_semicolons_commas_and_a_comment_is_read(project):
    rows = [(f"{a:.2f}".replace(".", ","), f"{b:.2f}".replace(".", ",")) for a, b in RNG.normal(size=(12, 2))]
    path = write("t.csv", ["a", "größe"], rows, ";")
    file = new.Path(path)
    file.write_text("# made by a logger\n" + file.read_text())
    made = study(path, "größe")
    assert made["data"].items() >= {"separator": ";", "decimal": ",", "comment": "#", "holdout": {"folds": 5}}.items()
    assert parse(Data, made["data"], "data").sample(0)[0].n == 12


def test_a_series_ends_in_a_forecast_and_has_its_structure_searched(project):
    for name, dates in (("long", months(60)), ("short", months(30))):
        made = study(write(f"{name}.csv", ["day", "b"], [(day, i % 7) for i, day in enumerate(dates)]), "b")
        assert made["data"]["holdout"] == {"last": len(dates) // 5, "along": "day"}
        assert made["model"] == {"search": {"grammar": "time_series"}}


def test_few_different_dates_are_no_series(project):
    made = study(write("t.csv", ["day", "b"], [(day, i % 7) for i, day in enumerate(sorted(months(3) * 10))]), "b")
    assert "search" not in made["model"]


@pytest.mark.parametrize(
    ("years", "a_year", "holdout"),
    [(11, 6, {"last": 12, "along": "year"}), (2, 40, {"fraction": 0.2}), (3, 10, {"last": 10, "along": "year"})],
)
def test_rows_of_one_time_are_held_out_together_or_not_by_time(project, years, a_year, holdout):
    rows = [(1990 + i // a_year, i % a_year, f"{value:.3f}") for i, value in enumerate(RNG.normal(size=years * a_year))]
    assert study(write("t.csv", ["year", "site", "b"], rows), "b")["data"]["holdout"] == holdout


@pytest.mark.parametrize(
    ("y", "tried"),
    [(lambda z: np.exp(z), True), (lambda z: z + 10, False), (lambda z: np.maximum(np.exp(z) - 0.2, 0), False)],
)
def test_the_logarithm_of_a_skewed_positive_y_is_tried(project, capsys, y, tried):
    from stages import parse_params
    from stages.__main__ import PARAMS_OF

    rows = [(i % 17, f"{value:.4f}") for i, value in enumerate(y(RNG.normal(size=80)))]
    made = study(write("t.csv", ["a", "b"], rows), "b")
    assert ("search" in made["model"]) == ("both are tried" in capsys.readouterr().out) == tried
    for params in PARAMS_OF.values():
        parse_params("t", params)


def test_a_long_series_has_a_season_where_years_were_seen(project):
    days = [str(day) for day in np.arange("2000-01-01", "2006-01-01", dtype="M8[D]")]
    for name, some, season in (("years", days, True), ("short", days[:1000] * 3, False)):
        made = study(write(f"{name}.csv", ["day", "b"], [(day, i % 7) for i, day in enumerate(sorted(some))]), "b")
        assert ("terms" in made["model"].get("kernel", {})) == season


def test_what_is_written_is_what_the_stages_take(project):
    from stages import SECTIONS, parse_params
    from stages.__main__ import PARAMS_OF

    study(write("t.csv", ["day", "b"], [(day, i % 7) for i, day in enumerate(months(60))]), "b")
    study(write("many.csv", ["y", "on", "3"], RNG.normal(size=(2500, 3)).round(3)), "3", "--name", "other")
    assert tuple(read_yaml(new.PARAMS)["studies"]["other"]) == SECTIONS
    for name in ("t", "other"):
        for params in PARAMS_OF.values():
            parse_params(name, params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data/raw/t.csv", "--y", "c"], "t.csv: no column 'c' (columns: a, b): name one of them"),
        (["data/raw/none.csv", "--y", "b"], "none.csv: no such file: did you mean"),
        (["t.csv", "--y", "b"], "data.path: must be below data/raw/"),
        (["data/raw/t.csv", "--y", "b", "--name", "a b"], "'a b' is no name of a study: give one by --name"),
        (["data/raw/t.csv", "--y", "b", "--data", "[1]"], "--data: is no mapping (got '[1]'): write '{missing: drop}'"),
        (["data/raw/t.csv", "--y", "b", "--data", "{skip_row: 1}"], "data.skip_row: unknown key"),
        (["data/raw/w.csv", "--y", "b"], "w.csv:2: column 'b': 'low' is not a number"),
        (["data/raw/w.csv", "--y", "a"], "w.csv: no column beside 'a' holds numbers or dates"),
    ],
)
def test_what_cannot_be_a_study_is_refused_with_the_mend(project, arguments, message):
    write("t.csv", "ab", [(1, 2), (3, 4), (5, 7)])
    write("w.csv", "ab", [(1, "low"), (3, "high"), (5, "high")])
    with pytest.raises(InputError) as refused:
        new.main(arguments)
    assert message in refused.value.messages[0]
    assert (project / "params.yaml").read_text() == PARAMS + MORE


def test_studies_in_one_line_are_not_edited(project):
    (project / "params.yaml").write_text("studies: {sine: {seed: 0}}\n")
    with pytest.raises(InputError, match="does not end the file as a block"):
        new.main([write("t.csv", "ab", [(1, 2), (3, 4), (5, 7)]), "--y", "b"])
    assert (project / "params.yaml").read_text() == "studies: {sine: {seed: 0}}\n"


LOCK = """\
schema: '2.0'
stages:
  train@sine:
    cmd: exec python -m stages.train sine
  train@lake:
    cmd: exec python -m stages.train lake
"""


def test_a_forgotten_study_is_gone_from_every_file_and_nothing_else_is(project, capsys):
    (project / "dvc.lock").write_text(LOCK)
    (project / "data/sine/train").mkdir(parents=True)
    (project / "data/lake/train").mkdir(parents=True)
    before = {name: (project / name).read_text() for name in ("params.yaml", "dvc.yaml", "dvc.lock")}
    forget.main("sine")
    after = {name: (project / name).read_text() for name in before}
    assert list(read_yaml(new.PARAMS)["studies"]) == ["lake"]
    assert "data/sine/" not in after["dvc.yaml"]
    assert after["dvc.lock"] == LOCK.replace("  train@sine:\n    cmd: exec python -m stages.train sine\n", "")
    assert not (project / "data/sine").exists()
    assert (project / "data/lake/train").exists()
    for name, text in after.items():  # lines were taken out, and none was changed
        lines = iter(before[name].splitlines())
        assert all(line in lines for line in text.splitlines())
    assert after["params.yaml"].endswith(MORE)
    with pytest.raises(InputError, match="lake: is the only study"):
        forget.main("lake")


def test_new_and_forget_undo_each_other(project):
    before = (project / "params.yaml").read_text()
    study(write("t.csv", "ab", [(1, 2), (3, 4), (5, 7)]), "b")
    forget.main("t")
    assert (project / "params.yaml").read_text().rstrip() == before.rstrip()
    with pytest.raises(InputError, match="no study 't'"):
        forget.main("t")
