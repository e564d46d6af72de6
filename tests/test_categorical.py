"""Categorical inputs: levels of a table or a DataFrame, what is predicted for new ones, and what refuses them."""

import logging

import numpy as np
import pandas as pd
import pytest

import gp
from gp.baselines import Linear, features
from gp.data import Data
from gp.dataset import Dataset
from gp.grid import SLICE, Grid, slices
from gp.levels import level_of, ordered, renumbered
from gp.spec import InputError, parse

N = 45
RNG = np.random.default_rng(0)
DEPTH = RNG.uniform(0, 5, N)
SPECIES = np.resize(["Gentoo", "Adelie", "Chinstrap"], N)
SHIFT = {"Adelie": 0.0, "Chinstrap": 0.5, "Gentoo": 6.0}
Y = np.sin(DEPTH) + np.array([SHIFT[name] for name in SPECIES]) + 0.05 * RNG.normal(size=N)
FRAME = pd.DataFrame({"depth": DEPTH, "species": SPECIES})
AT = pd.DataFrame({"depth": 2.0, "species": ["Adelie", "Chinstrap", "Gentoo", "Emperor"]})


@pytest.fixture(scope="module")
def fitted():
    return gp.fit(FRAME, Y)


@pytest.fixture
def table(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def sample(text, **keys):
        (tmp_path / "data/raw/t.csv").write_text(text)
        known = {"kind": "table", "path": "data/raw/t.csv", "x": ["depth", "species"], "y": "y"}
        return parse(Data, known | {"categorical": "species"} | keys, "data")

    return sample


def test_a_frame_with_text_is_fitted_by_a_kernel_over_levels(fitted):
    assert fitted.data.levels == {"species": ("Adelie", "Chinstrap", "Gentoo")}
    assert fitted.model.kernel.kind == "product"
    found = fitted.predict(AT)
    assert found.mean[:3] == pytest.approx(np.sin(2) + np.array([0, 0.5, 6]), abs=0.15)
    assert max(found.sd_f[:3]) < 0.15 < 1 < found.sd_f[3]  # nothing is known of an emperor but what all share


def test_a_saved_model_keeps_its_levels_whatever_the_order_they_are_asked_in(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = gp.load(tmp_path / "model")
    backwards = loaded.predict(AT[::-1])
    assert (backwards.mean[::-1] == fitted.predict(AT).mean).all()
    rows = loaded.predict(np.array([[2.0, "Gentoo"]], dtype=object))
    assert rows.mean[0] == pytest.approx(fitted.predict(AT).mean[2], rel=1e-9)
    numbers = loaded.predict([[2.0, 2.0]])
    assert numbers.mean[0] == rows.mean[0]


def test_levels_may_be_whole_numbers_categories_or_text():
    for column in (np.resize([3, 10, 2], N), np.resize([3.0, 10.0, 2.0], N), np.resize(["3", "10", "2"], N)):
        frame = FRAME.assign(species=pd.Categorical(column))
        fit = gp.fit(frame, Y, train={"kind": "lbfgs", "restarts": 0})
        assert fit.data.levels == {"species": ("2", "3", "10")}
        assert gp.fit(frame, Y, train={"kind": "lbfgs", "restarts": 0}).predict(frame).mean == pytest.approx(Y, abs=0.3)


def test_low_rank_finds_which_levels_are_alike():
    shared = np.where(SPECIES == "Gentoo", -1.0, 1.0) * np.sin(DEPTH)
    kernel = {"kind": "product", "factors": {"numbers": {"kind": "rbf"}, "levels": {"kind": "low_rank"}}}
    model = {"kernel": kernel, "mean": {"kind": "zero"}, "standardize": {"y": False}}
    fit = gp.fit(FRAME, shared + 0.05 * RNG.normal(size=N), model=model)
    u = np.array(fit.hyperparameters["kernel.levels.weights"])
    u = u / np.sqrt(1 + u**2)
    assert u[0] * u[1] > 0.9  # Adelie and Chinstrap
    assert u[0] * u[2] < -0.9


def test_what_does_not_read_levels_refuses_them():
    def refused(**sections):
        with pytest.raises(InputError) as error:
            gp.fit(FRAME, Y, **sections)
        return str(error.value)

    levels = {"kind": "categorical"}
    assert "no kernel reads the categorical input species" in refused(model={"kernel": {"kind": "rbf"}})
    named = {"kind": "rbf", "columns": ["species"]}
    assert "'species' holds levels, and this kernel reads numbers" in refused(model={"kernel": named})
    assert "'depth' holds numbers, and this kernel" in refused(model={"kernel": {**levels, "columns": ["depth"]}})
    for kind in ("sgpr", "svgp", "vecchia", "markov"):
        said = refused(inference={"kind": kind})
        assert f"inference of kind {kind} knows no levels: write `inference: {{kind: exact}}`" in said
    with pytest.raises(
        InputError, match=r"there is no categorical input: name the columns by `categorical: \[column\]`"
    ):
        gp.fit(DEPTH, Y, model={"kernel": levels})
    with pytest.raises(InputError, match=r"'species': 1\.5 is no level"):
        gp.fit(FRAME.assign(species=pd.Categorical(np.resize([1.5, 2.5], N))), Y)
    with pytest.raises(InputError, match="missing value in row 3"):
        gp.fit(FRAME.assign(species=[*SPECIES[:3], None, *SPECIES[4:]]), Y)
    assert gp.fit(FRAME, Y, inference={"kind": "auto"}).inference.kind == "exact"


def test_a_gradient_by_lengthscales_of_levels_is_that_of_differences():
    def likelihood(lengthscale, **options):
        factors = {"numbers": {"kind": "rbf"}, "levels": {"kind": "categorical", "lengthscale": lengthscale}}
        model = {"kernel": {"kind": "product", "factors": factors}}
        return gp.log_marginal_likelihood(FRAME, Y, model=model, **options)

    _, slopes = likelihood(2.0, gradient=True)
    by_differences = (likelihood(2.001) - likelihood(1.999)) / 0.002
    assert np.ravel(slopes["kernel.levels.lengthscale"]) == pytest.approx(by_differences, rel=1e-5)


def test_a_linear_mean_reads_numbers_alone():
    model = {"mean": {"kind": "linear"}, "kernel": {"kind": "categorical"}}
    slope = gp.fit(FRAME, 3 * DEPTH + Y - np.sin(DEPTH), model=model).hyperparameters["mean.weights"]
    assert slope == pytest.approx([3], abs=0.05)


CELLS = "depth,species,y\n1,b,2\n2,a,3\n3, b,4\n4,c,5\n5,a,6\n"


def test_levels_of_a_table_are_numbered_in_order_and_new_ones_after_them(table, caplog):
    spec = table(CELLS, holdout={"last": 2, "along": "depth"})
    with caplog.at_level(logging.WARNING):
        train, test = spec.sample(0)
    assert train.levels == {"species": ("a", "b")}
    assert train.x[:, 1].tolist() == [1, 0, 1]
    assert test.levels == {"species": ("a", "b", "c")}
    assert test.x[:, 1].tolist() == [2, 0]
    assert "species: 'c' is not among the levels of the training rows (a, b): predicted as a level" in caplog.text


def test_rows_with_levels_survive_saving_and_loading(tmp_path):
    levels = {"y": ('a "b", c', "é", "0"), "sex": ("f", "m")}
    rows = Dataset(np.array([[0.0, 1, 7], [2, 0, 8]]), ("y", "sex", "age"), y=np.array([1.0, 2]), levels=levels)
    rows.save(tmp_path / "rows.csv")
    loaded = Dataset.load(tmp_path / "rows.csv")
    assert (loaded.columns, loaded.levels) == (rows.columns, rows.levels)
    assert (loaded.x == rows.x).all()
    with pytest.raises(InputError, match="holds levels, and 3 is the number of none"):
        Dataset(np.array([[3.0]]), ("y",), levels={"y": ("a", "b")})


def test_new_rows_are_read_by_the_levels_of_the_training_rows(table, tmp_path):
    (tmp_path / "data/raw/new.csv").write_text("species,depth\nc,1\nB,2\na,3\n")
    spec = table(CELLS, new="data/raw/new.csv")
    found = spec.new_rows(spec.sample(0)[0])
    assert found.rows.x.tolist() == [[1, 2], [2, 3], [3, 0]]
    assert found.rows.levels == {"species": ("a", "b", "c", "B")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("depth,species,y\n1,1.5,2\n2,a,3\n", "'1.5' is no level (text or a whole number): take the column out"),
        ("depth,species,y\n1,,2\n2,a,3\n", "missing value (got '')"),
    ],
)
def test_a_cell_that_is_no_level_is_refused(table, content, said):
    with pytest.raises(InputError) as refused:
        table(content).sample(0)
    assert said in str(refused.value)


def test_only_inputs_are_categorical(table):
    with pytest.raises(InputError, match="names 'y', no input of the study"):
        table(CELLS, categorical="y")


def test_parquet_has_the_levels_that_text_has(table, tmp_path):
    frame = pd.DataFrame({"depth": [1.0, 2, 3], "species": pd.Categorical(["b", "a", "b"]), "y": [1.0, 2, 3]})
    frame.to_parquet(tmp_path / "data/raw/t.parquet")
    train, _ = table(CELLS, path="data/raw/t.parquet").sample(0)
    assert train.levels == {"species": ("a", "b")}
    assert train.x[:, 1].tolist() == [1, 0, 1]


def test_levels_are_text_and_whole_numbers_in_order():
    assert [level_of(value) for value in (2, 2.0, "2.0", " a ", "007", True)] == ["2", "2", "2", "a", "007", "True"]
    for wrong in ("1.5", 0.1, "1e3", float("nan")):
        if wrong == wrong:
            with pytest.raises(ValueError, match=str(wrong)):
                level_of(wrong)
    assert ordered(["b", "10", "9", "a", "9"]) == ("9", "10", "a", "b")
    numbers, levels = renumbered(np.array([0.0, 2, 1]), ["z", "a", "new"], ("a", "z"))
    assert (numbers.tolist(), levels) == ([1, 2, 0], ("a", "z", "new"))


def test_slices_hold_levels_at_the_most_frequent_and_run_through_all():
    x = np.column_stack([DEPTH, np.resize([2, 0, 1, 2], N)])
    rows = Dataset(x, ("depth", "species"), levels={"species": ("a", "b", "c")})
    along_depth, along_species = slices(rows).reshape(2, SLICE, 2)
    assert set(along_depth[:, 1]) == {2}
    assert set(along_species[:, 1]) == {0, 1, 2}
    assert set(along_species[:, 0]) == {np.median(DEPTH)}
    assert Grid().points(x, rows.levels) is None
    with pytest.raises(InputError, match=r"there is no grid over categorical inputs \(species\)"):
        Grid(n=10).points(x, rows.levels)


def test_the_linear_baseline_knows_levels():
    train = Dataset(
        np.column_stack([DEPTH, pd.factorize(SPECIES)[0]]),
        ("depth", "species"),
        y=2 * DEPTH + np.array([SHIFT[name] for name in SPECIES]),
        levels={"species": ("Gentoo", "Adelie", "Chinstrap")},
    )
    assert Linear(train).predict(train.x).mean == pytest.approx(train.y, abs=1e-6)
    shape = features(train, np.array([[1.0, 0], [1, 2], [1, 3]]))
    assert shape.tolist() == [[1, 1, 0], [1, -1, -1], [1, 0, 0]]
