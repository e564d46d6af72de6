"""Streaming: rows from Parquet, a row group at a time, give what rows in memory give."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

import gp
from gp.dataset import Dataset
from gp.fitted.fitted import Fitted
from gp.inference.inducing.checkpoint import Checkpoint
from gp.inference.inducing.rows import ModelRows, draw
from gp.inference.inducing.svgp import Svgp
from gp.model.model import Model
from gp.parquet import ParquetTable, TableRows, fit_parquet
from gp.spec import InputError, parse
from gp.training import Lbfgs, Seeded

QUICK = {"kind": "svgp", "inducing": 15, "batch_size": 100, "epochs": 20}
MODEL = {"kernel": {"kind": "rbf", "ard": True}}
SIZES = (700, 100, 900, 300)
N = sum(SIZES)


def _rows(n=N):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(n, 2)) * [1, 30] + [100, 0]
    return x, 7 + np.sin(2 * x[:, 0]) + x[:, 1] / 30 + 0.3 * rng.normal(size=n)


def _write(path, columns, sizes=SIZES):
    table, start = pa.table(columns), 0
    with pq.ParquetWriter(path, table.schema) as writer:
        for size in sizes:
            writer.write_table(table.slice(start, size), row_group_size=size)
            start += size
    return path


@pytest.fixture
def path(tmp_path):
    x, y = _rows()
    return _write(tmp_path / "rows.parquet", {"a": x[:, 0], "unused": ["text"] * N, "b": x[:, 1], "target": y})


@pytest.fixture
def quick_start(monkeypatch):
    """Have the start of hyperparameters looked for on few rows: most of a small fit's time."""
    monkeypatch.setattr("gp.inference.inducing.svgp.START_ROWS", 200)


def test_one_pass_finds_the_tables_means_and_sds_and_a_sample(path):
    x, y = _rows()
    wanted = draw(N, 50, np.random.default_rng(0))
    data = ParquetTable(path, ("a", "b"), "target").sample(wanted)
    assert np.array_equal(data.x, x[wanted])
    assert np.array_equal(data.y, y[wanted])
    assert data.table.n == N
    np.testing.assert_allclose(data.table.x, [x.mean(axis=0), x.std(axis=0)], rtol=1e-12)
    np.testing.assert_allclose(data.table.y, [[y.mean()], [y.std()]], rtol=1e-12)


def test_a_constant_column_keeps_its_scale(tmp_path):
    path = _write(tmp_path / "rows.parquet", {"a": [0.1] * 30, "y": np.arange(30.0)}, (7, 23))
    statistics = ParquetTable(path, ("a",), "y").sample(np.arange(3)).table
    assert statistics.x.tolist() == [[pytest.approx(0.1)], [1.0]]


@pytest.mark.usefixtures("quick_start")
@pytest.mark.parametrize("pool", [150, 10**6])
def test_rows_from_a_file_and_from_memory_in_the_same_order_give_the_same_bytes(path, pool, monkeypatch):
    monkeypatch.setattr("gp.inference.inducing.rows.POOL", pool)
    table, model = ParquetTable(path, ("a", "b"), "target"), parse(Model, MODEL)
    method = Svgp(**QUICK | {"epochs": 4})
    data = table.sample(draw(N, 1000, np.random.default_rng(3)))
    x, y = _rows()
    everything = model.build(Dataset(x=x, y=y, columns=("a", "b"), table=data.table))
    vectors = []
    for streamed in (True, False):
        gp = model.build(data)
        rows = TableRows(table, gp) if streamed else ModelRows(everything, SIZES)
        vectors.append(method.learn_from(rows, gp, Seeded(Lbfgs(restarts=0), 0), 0).vector)
    assert vectors[0].tobytes() == vectors[1].tobytes()


def test_a_streamed_fit_is_as_good_as_one_in_memory_and_its_file_has_few_rows(path, tmp_path):
    x, y = _rows()
    streamed = gp.fit_parquet(path, x=["a", "b"], y="target", model=MODEL, inference=QUICK)
    in_memory = gp.fit(x, y, model=MODEL, inference=QUICK)
    new = _rows(3000)[0][N:]
    truth = 7 + np.sin(2 * new[:, 0]) + new[:, 1] / 30
    errors = [np.sqrt(np.mean((fitted.predict(new).mean - truth) ** 2)) for fitted in (streamed, in_memory)]
    assert errors[0] < 1.3 * errors[1] + 0.01
    streamed.save(tmp_path / "model.safetensors")
    loaded = Fitted.load(tmp_path / "model.safetensors")
    assert loaded.data.n == 1000
    assert np.array_equal(loaded.predict(new).sd_y, streamed.predict(new).sd_y)
    (ended,) = loaded.search.ends
    assert ended[0] == N
    # Of the sample the bound over all rows is estimated, and each of its rows can be left out.
    bound = ended[1] + loaded.gp.log_jacobian
    assert loaded.log_marginal_likelihood == pytest.approx(bound, rel=0.1)
    assert loaded.trace["nats_per_datum"].iloc[-1] == pytest.approx(-bound / N, rel=0.1)
    left_out = loaded.leave_one_out
    assert np.std((left_out["y"] - left_out["mean"]) / left_out["sd_y"]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("quick_start")
def test_known_noise_is_a_column_of_its_own(tmp_path):
    x, y = _rows()
    sd = np.linspace(0.1, 0.5, N)
    path = _write(tmp_path / "rows.parquet", {"a": x[:, 0], "b": x[:, 1], "y": y, "sd": sd})
    fitted = fit_parquet(
        path, x=["a", "b"], y="y", noise_sd="sd", model=MODEL | {"noise": {"kind": "known"}}, inference=QUICK
    )
    assert fitted.data.noise_sd is not None
    assert fitted.predict(x[:5]).sd_y == pytest.approx([0.32] * 5, abs=0.05)


@pytest.mark.usefixtures("quick_start")
def test_no_more_than_a_few_row_groups_are_held_at_a_time(path, monkeypatch):
    monkeypatch.setattr("gp.inference.inducing.rows.POOL", 500)
    joined, pooled = [], gp.inference.inducing.rows._joined

    def watch(parts):
        batch = pooled(parts)
        joined.append(len(batch.y))
        return batch

    monkeypatch.setattr("gp.inference.inducing.rows._joined", watch)
    fit_parquet(path, x=["a", "b"], y="target", model=MODEL, inference=QUICK | {"epochs": 2})
    assert max(joined) < 500 + max(SIZES)


# Peak memory of a fit to the file named on the command line, in KiB.
FIT = """
import resource, sys
from gp.parquet import fit_parquet
settings = {"inducing": 10, "batch_size": 5000, "epochs": 1}
fit_parquet(sys.argv[1], x=["a", "b", "c"], y="y", inference=settings, train={"kind": "lbfgs", "restarts": 0})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    peaks, rng = [], np.random.default_rng(0)
    for groups in (30, 100):  # fewer than some 20 are all held at a time
        path = tmp_path / f"{groups}.parquet"
        part = {name: rng.normal(size=10_000) for name in "abc"}
        table = pa.table(part | {"y": np.sin(part["a"]) + 0.1 * rng.normal(size=10_000)})
        with pq.ParquetWriter(path, table.schema) as writer:
            for _ in range(groups):
                writer.write_table(table)
        done = subprocess.run([sys.executable, "-c", FIT, path], cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    # Of the larger table the rows alone are 32 MB, 22 more than of the smaller.
    assert peaks[1] - peaks[0] < 15_000


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": ["a", "c"]}, r"rows\.parquet: no column 'c'"),
        ({"x": ["a", "unused"]}, "column 'unused' has type string"),
        ({"inference": {"kind": "exact"}}, r"inference\.kind: 'exact' is no kind known here \(known: svgp\)"),
        ({"model": {"search": {"kernels": {"p": {}, "q": {}}}}}, r"model\.search: kernels are not ranked"),
    ],
)
def test_what_cannot_be_streamed_is_refused(path, arguments, message):
    with pytest.raises(InputError, match=message):
        fit_parquet(path, **({"x": ["a", "b"], "y": "target"} | arguments))


def test_a_value_that_is_not_finite_is_refused_with_its_row(tmp_path):
    values = np.arange(40.0)
    values[27] = np.nan
    path = _write(tmp_path / "rows.parquet", {"a": np.arange(40.0), "y": values}, (25, 15))
    with pytest.raises(InputError, match=r"rows\.parquet: column 'y': nan in row 28 is not finite"):
        fit_parquet(path, x=["a"], y="y")


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "rows.parquet").write_text("a,y\n1,2\n")
    with pytest.raises(InputError, match="is no readable Parquet file"):
        fit_parquet(tmp_path / "rows.parquet", x=["a"], y="y")


@pytest.mark.usefixtures("quick_start")
def test_training_on_a_file_goes_on_from_its_checkpoint(path, tmp_path, monkeypatch):
    arguments = {"x": ["a", "b"], "y": "target", "model": MODEL, "inference": QUICK | {"epochs": 5}}
    never_stopped = fit_parquet(path, **arguments)
    monkeypatch.setattr("gp.inference.inducing.checkpoint.EVERY", -1.0)
    write = Checkpoint.write

    def kill_at_70(self, arrays):
        write(self, arrays)
        if arrays["step"] == 70:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", kill_at_70)
    with pytest.raises(KeyboardInterrupt):
        fit_parquet(path, **arguments, checkpoints=tmp_path / "kept")
    stopped = fit_parquet(path, **arguments, checkpoints=tmp_path / "kept")
    assert stopped.vector.tobytes() == never_stopped.vector.tobytes()
    assert stopped.search.values == never_stopped.search.values
