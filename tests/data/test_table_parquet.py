"""Parquet tables: what each type becomes, and what is refused."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gp.data import Data
from gp.spec import InputError, parse


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(name, **changes):
    return parse(Data, {"kind": "table", "path": f"data/raw/{name}", "x": ["depth"], "y": "oxygen"} | changes)


def parquet(project, columns, **changes):
    pq.write_table(pa.table(columns), project / "data/raw/t.parquet")
    return table("t.parquet", **changes).sample(0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([0.1, -5e-324]), [0.1, -5e-324]),
        (pa.array([1.5, 2.5], pa.float32()), [1.5, 2.5]),
        (pa.array([1, -(2**53) - 2]), [1, -(2**53) - 2]),
        (pa.array([1, 2], pa.uint8()), [1, 2]),
        (pa.array([True, False]), [1, 0]),
        (pa.array([Decimal("1.25"), Decimal("-3.50")]), [1.25, -3.5]),
        (pa.array([dt.date(2024, 1, 1), dt.date(2024, 7, 2)]), [2024, 2024.5]),
        (pa.array([dt.datetime(2023, 7, 2, 12), dt.datetime(1958, 1, 1)], pa.timestamp("ns")), [2023.5, 1958]),
        (
            pa.array([dt.datetime(2023, 7, 2, 12), dt.datetime(1, 1, 1)], pa.timestamp("s", tz="Asia/Tokyo")),
            [2023.5, 1],
        ),
    ],
    ids=lambda values: str(getattr(values, "type", "")),
)
def test_a_parquet_column_of_numbers_or_dates_is_read_exactly(project, values, expected):
    train, _ = parquet(project, {"depth": values, "oxygen": pa.array([1, 2]), "note": pa.array(["a", None])})
    np.testing.assert_array_equal(train.x[:, 0], expected)
    np.testing.assert_array_equal(train.y, [1, 2])


def test_a_parquet_table_marks_rows_by_booleans_and_numbers(project):
    for marks in ([False, True, False], [0, 1, 0], [0.0, 1.0, 0.0]):
        columns = {"depth": [1, 2, 3], "oxygen": [4, 5, 6], "kept_out": marks}
        train, test = parquet(project, columns, holdout={"column": "kept_out"})
        assert (train.y.tolist(), test.y.tolist()) == ([4, 6], [5])


def test_missing_values_of_a_parquet_table_are_null_and_nan(project, caplog):
    columns = {"depth": [1.0, None, 3.0, 4.0], "oxygen": [1.0, 2.0, float("nan"), 4.0]}
    train, _ = parquet(project, columns, missing="drop")
    assert train.y.tolist() == [1, 4]
    assert caplog.messages == ["data/raw/t.parquet: 2 of 4 rows dropped: a value is missing"]
    dates = pa.array([dt.date(2024, 1, 1), None, dt.date(2025, 1, 1), None])
    train, _ = parquet(project, {"depth": dates, "oxygen": [1.0, 2.0, 3.0, 4.0]}, missing="drop")
    assert train.x[:, 0].tolist() == [2024, 2025]


@pytest.mark.parametrize(
    ("columns", "messages"),
    [
        (
            {"depth": [1.0, None], "oxygen": [float("inf"), float("nan")]},
            [
                ":1: column 'oxygen': inf is not finite: remove or correct the row",
                ":2: column 'depth': missing value (got null or nan): fill it in, or set `missing: drop`",
                ":2: column 'oxygen': missing value (got null or nan): fill it in, or set `missing: drop`",
            ],
        ),
        (
            {"depth": ["1", "2"], "oxygen": [1, 2]},
            [": column 'depth' has type string: write it as numbers, booleans, dates or timestamps"],
        ),
        ({"depht": [1.0], "oxygen": [1]}, [": no column 'depth' (columns: depht, oxygen): did you mean 'depht'?"]),
        (
            {"depth": pa.array([], pa.float64()), "oxygen": pa.array([], pa.float64())},
            [": the table has columns and no rows: add some"],
        ),
    ],
)
def test_a_broken_parquet_table_is_refused_by_row_and_column(project, columns, messages):
    with pytest.raises(InputError) as refused:
        parquet(project, columns)
    assert refused.value.messages == [f"data/raw/t.parquet{message}" for message in messages]


def test_a_parquet_table_with_a_column_twice_is_refused(project):
    twice = pa.Table.from_arrays([pa.array([1.0])] * 3, names=["depth", "depth", "oxygen"])
    pq.write_table(twice, project / "data/raw/t.parquet")
    with pytest.raises(
        InputError, match=r"t.parquet: column 'depth' is there 2 times \(columns 1, 2\): give each its own name"
    ):
        table("t.parquet").sample(0)


def test_a_parquet_table_of_more_rows_than_fit_is_refused(project, monkeypatch):
    monkeypatch.setattr("gp.data.table.parquet.LARGEST", 99)
    columns = {"depth": np.zeros(50), "oxygen": np.zeros(50)}
    with pytest.raises(InputError, match=r"t.parquet: has 50 rows of 2 columns used, too many .* gp.fit_parquet$"):
        parquet(project, columns)


def test_what_is_no_parquet_file_is_refused(project):
    (project / "data/raw/t.parquet").write_text("depth,oxygen\n1,2\n")
    with pytest.raises(InputError, match=r"^data/raw/t.parquet: is no readable Parquet file \(.*\): write it again$"):
        table("t.parquet").sample(0)


def test_the_same_table_as_csv_and_parquet_gives_the_same_rows(project):
    values = np.random.default_rng(0).normal(size=(50, 3))
    np.savetxt(project / "data/raw/s.csv", values, delimiter=",", header="a,b,c", comments="", fmt="%.17g")
    pq.write_table(pa.table(dict(zip("abc", values.T, strict=True))), project / "data/raw/s.parquet")
    samples = [
        table(f"s.{end}", x=["a", "b"], y="c", holdout={"fraction": 0.3}).sample(7) for end in ("csv", "parquet")
    ]
    for of_csv, of_parquet in zip(*samples, strict=True):
        np.testing.assert_array_equal(of_csv.x, of_parquet.x)
        np.testing.assert_array_equal(of_csv.y, of_parquet.y)


def test_a_flipped_bit_is_refused_where_the_file_has_checksums(project):
    columns = {"depth": np.arange(100.0), "oxygen": np.arange(100.0)}
    file = project / "data/raw/t.parquet"
    pq.write_table(pa.table(columns), file, write_page_checksum=True, compression="none", use_dictionary=False)
    assert table("t.parquet").sample(0)[0].n == 100
    content = bytearray(file.read_bytes())
    content[content.index(np.float64(50).tobytes()) + 7] ^= 1  # 50 becomes 3.3e-307
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"t.parquet: is no readable Parquet file \(could not verify.*write it again"):
        table("t.parquet").sample(0)
