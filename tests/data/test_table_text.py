"""CSV and TSV: each kind of broken table by its message, and the unbroken ones beside them."""

import numpy as np
import pytest

from gp.data import Data
from gp.spec import InputError, parse

CONTROL = "depth,note,oxygen\n1,deep,2.5\n-2.5e1,,+.5\n3.,'x',0\n"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(project, content, *, name="t.csv", **changes):
    """Return the training rows of a table with this content: depth → oxygen unless `changes` say otherwise."""
    (project / "data/raw" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    spec = {"kind": "table", "path": f"data/raw/{name}", "x": "depth", "y": "oxygen"} | changes
    return parse(Data, spec).sample(0)[0]


SAME_TABLE = {
    "as it is": CONTROL,
    "without a last line end": CONTROL.rstrip("\n"),
    "with Windows' line ends": CONTROL.replace("\n", "\r\n"),
    "with old line ends": CONTROL.replace("\n", "\r"),
    "with a byte order mark": b"\xef\xbb\xbf" + CONTROL.encode(),
    "with quotes": CONTROL.replace("depth", '"depth"').replace("1,deep,2.5", '"1","a ""deep"", one","2.5"'),
    "with a line end in a quoted cell": CONTROL.replace("deep", '"de\nep"'),
    "with blanks around names": CONTROL.replace("note,oxygen", " note , oxygen "),
    "with blanks around cells": CONTROL.replace("1,deep,2.5", " 1 ,deep,\t2.5\u00a0"),
    "with blank lines at the end": CONTROL + "\n\n  \n",
    "with separators alone at the end": CONTROL + ",,\n,,\n,\n",
    "with row names, as R and pandas write them": ',"depth",oxygen\n"a",1,2.5\nb,-25,.5\n"c",3,0\n',
    "with separators at each line's end": CONTROL.replace("\n", ",\n"),
    "with two unused columns of one name": "note,depth,note,oxygen\na,1,b,2.5\na,-25,b,.5\na,3,b,0\n",
    "with any text in a column that is not used": CONTROL.replace("deep", "nan; inf 1_000 µ 1e999"),
}


@pytest.mark.parametrize("content", SAME_TABLE.values(), ids=SAME_TABLE)
def test_an_unbroken_table_is_read_as_it_stands(project, content):
    train = read(project, content)
    assert train.columns == ("depth",)
    np.testing.assert_array_equal(train.x, [[1.0], [-25.0], [3.0]])
    np.testing.assert_array_equal(train.y, [2.5, 0.5, 0.0])


def test_a_tsv_is_read_as_it_stands(project):
    train = read(project, "depth\tnote\toxygen\n1\ta, b\t2.5\n", name="t.tsv")
    np.testing.assert_array_equal(train.x, [[1.0]])
    np.testing.assert_array_equal(train.y, [2.5])


# What is wrong → the file's content, then what the one message says after the file's name.
BROKEN = {
    "an empty file": ("", ": is empty: it needs a header line and rows"),
    "a byte order mark alone": (b"\xef\xbb\xbf", ": is empty: it needs a header line and rows"),
    "a header only": ("depth,oxygen\n", ":1: the table has a header and no rows: add some"),
    "a blank first line": ("\ndepth,oxygen\n1,2\n", ":1: is blank: the names stand on line 2: set `skip_rows: 1`"),
    "no header": ("1,2\n3,4\n", ":1: holds values, not names (got '1,2'): add a header line"),
    "no header but dates": ("2020-01-01,2\n", ":1: holds values, not names (got '2020-01-01,2'): add a header line"),
    "trailing commas": (
        "depth,oxygen\n1,2,\n",
        ":2: 3 values for 2 columns: remove the separator at the line's end",
    ),
    "a row longer than the header": (
        "depth,oxygen\n0,1,2\n",
        ":2: 3 values for 2 columns (got '0,1,2'): begin the header with a separator, if each row begins with its "
        "own name; else remove what is too much, quote text that holds a separator, write decimals with '.'",
    ),
    "a row too short": (
        "depth,oxygen\n1,2\n3\n",
        ":3: 1 value for 2 columns (got '3'): add what is missing, write decimals with '.'",
    ),
    "a blank line within": ("depth,oxygen\n1,2\n\n3,4\n", ":3: the line is blank: remove it"),
    "semicolons and decimal commas": (
        "depth;oxygen\n1,5;2,5\n",
        ':1: is separated by semicolons (got \'depth;oxygen\'): set `separator: ";"` (and `decimal: ","`, if decimals',
    ),
    "tabs": (
        "depth\toxygen\n1\t2\n",
        ":1: is separated by tabs (got 'depth\\toxygen'): set `separator: \"\\t\"`",
    ),
    "blanks": ("depth oxygen\n1 2\n", ":1: is separated by blanks (got 'depth oxygen'): set `separator: \" \"`"),
    "decimal commas": (
        "depth,oxygen\n1,5,2,5\n",
        ":2: 4 values for 2 columns (got '1,5,2,5'): remove what is too much, quote text that holds a separator, "
        "write decimals with '.'",
    ),
    "a quoted decimal comma": (
        'depth,oxygen\n1,"2,5"\n',
        ":2: column 'oxygen': '2,5' is not a number (a finite decimal with '.'), but one with a decimal comma: "
        'set `decimal: ","`',
    ),
    "thousands separators": ('depth,oxygen\n1,"2,500.0"\n', ":2: column 'oxygen': '2,500.0' is not a number"),
    "a column twice": (
        "depth,oxygen,depth\n1,2,3\n",
        ":1: column 'depth' is there 2 times (columns 1, 3): give each its own name",
    ),
    "a wrong column name": (
        "depht,oxygen\n1,2\n",
        ":1: no column 'depth' (columns: depht, oxygen): did you mean 'depht'?",
    ),
    "no name for a column that is wanted": (
        ",depth\n1,2\n",
        ":1: no column 'oxygen' (columns: depth): name one of them, or write a name for column 1, which has none, "
        "into the header",
    ),
    "no such column": ("depth,pressure\n1,2\n", ":1: no column 'oxygen' (columns: depth, pressure): name one of them"),
    "text": (
        "depth,oxygen\n1,2\n3,abc\n",
        ":3: column 'oxygen': 'abc' is not a number (a finite decimal with '.'): correct or remove the row",
    ),
    "text below a quoted line end": (
        'depth,note,oxygen\n1,"a\nb\nc",2\n3,d,abc\n',
        ":5: column 'oxygen': 'abc' is not a number",
    ),
    "a long text": ("depth,oxygen\n1," + "a" * 500 + "\n", ":2: column 'oxygen': '" + "a" * 39 + "'… is not a number"),
    "an empty cell": (
        "depth,oxygen\n1,\n",
        ":2: column 'oxygen': missing value (got ''): fill it in, or set `missing: drop`",
    ),
    "NA": ("depth,oxygen\nNA,1\n", ":2: column 'depth': missing value (got 'NA'): fill it in, or set `missing: drop`"),
    "nan": ("depth,oxygen\n1,nan\n", ":2: column 'oxygen': missing value (got 'nan'): fill it in"),
    "infinity": ("depth,oxygen\n1,-inf\n", ":2: column 'oxygen': '-inf' is not finite: remove or correct the row"),
    "an infinity spelt out": ("depth,oxygen\n1,Infinity\n", ":2: column 'oxygen': 'Infinity' is not finite"),
    "an overflow": ("depth,oxygen\n1,1e999\n", ":2: column 'oxygen': '1e999' is too large: float64 ends at 1.8e308"),
    "an underscore": ("depth,oxygen\n1,1_000\n", ":2: column 'oxygen': '1_000' is not a number"),
    "a hexadecimal number": ("depth,oxygen\n1,0x1F\n", ":2: column 'oxygen': '0x1F' is not a number"),
    "a blank within a number": ("depth,oxygen\n1,1 000\n", ":2: column 'oxygen': '1 000' is not a number"),
    "other digits": ("depth,oxygen\n1,\u0661\n", ":2: column 'oxygen': '\u0661' is not a number"),
    "a minus sign of typography": ("depth,oxygen\n1,\u22122\n", ":2: column 'oxygen': '\u22122' is not a number"),
    "a unit": ("depth,oxygen\n1,2 m\n", ":2: column 'oxygen': '2 m' is not a number"),
    "true among numbers": ("depth,oxygen\n1,2\n2,true\n", ":3: column 'oxygen': 'true' is not a number"),
    "a number among booleans": (
        "depth,oxygen\n1,yes\n2,1\n",
        ":3: column 'oxygen': '1' is neither yes nor no, as the column's first is: use yes/no throughout",
    ),
    "two points": ("depth,oxygen\n1,1.2.3\n", ":2: column 'oxygen': '1.2.3' is not a number"),
    "an exponent alone": ("depth,oxygen\n1,1e\n", ":2: column 'oxygen': '1e' is not a number"),
    "Latin-1": (
        "depth,note,oxygen\n1,a,2\n1,é,2\n".encode("latin-1"),
        ":3: byte 26 of the file (0xe9) is not UTF-8: set `encoding: cp1252`, or save the table as UTF-8",
    ),
    "UTF-16": (
        CONTROL.encode("utf-16"),
        ":1: byte 0 of the file (0xff) is not UTF-8: set `encoding: utf-16`, or save the",
    ),
    "UTF-16 without a mark": (CONTROL.encode("utf-16-le"), ":1: has a NUL byte, so it is no UTF-8 text table"),
    "a NUL byte": (
        "depth,note,oxygen\n1,a\0,2\n",
        ":2: has a NUL byte, so it is no UTF-8 text table: save it as UTF-8",
    ),
    "text after a quote": (
        'depth,note,oxygen\n1,a,2\n1,"a"b,2\n',
        ":3: ',' expected after '\"': correct the quotes of the row that begins here",
    ),
    "an open quote": (
        'depth,note,oxygen\n1,"a,2\n3,b,4\n',
        ":2: unexpected end of data: correct the quotes of the row that begins here",
    ),
    "an open quote in a long file": (
        'depth,note,oxygen\n1,"a,2\n' + "3,b,4\n" * 50_000,
        ":2: field larger than field limit (131072): correct the quotes of the row that begins here",
    ),
    "an open quote in the header": ('depth,"oxygen\n1,2\n', ":1: unexpected end of data: correct the quotes"),
    "a date among numbers": (
        "depth,oxygen\n1,2\n2020-01-01,2\n",
        ":3: column 'depth': '2020-01-01' is a date in a column that begins with a number: use one of the two",
    ),
    "a number among dates": (
        "depth,oxygen\n2020-01-01,2\n2020.5,2\n",
        ":3: column 'depth': '2020.5' is not an ISO 8601 date, as the column's first is: write 2024-05-31 or",
    ),
    "a day that is none": (
        "depth,oxygen\n2021-02-28,1\n2021-02-29,2\n",
        ":3: column 'depth': '2021-02-29' is no date of the calendar (day is out of range for month): correct it",
    ),
    "a date in another order": ("depth,oxygen\n31.12.2020,2\n", ":2: column 'depth': '31.12.2020' is not a number"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_table_is_refused_with_file_line_column_value_and_fix(project, content, message):
    with pytest.raises(InputError) as refused:
        read(project, content)
    (line,) = refused.value.messages
    assert line.startswith(f"data/raw/t.csv{message}")


def test_a_tsv_with_commas_is_refused(project):
    with pytest.raises(InputError, match=r"t.tsv:1: is separated by commas .*: set `separator: \",\"`$"):
        read(project, "depth,oxygen\n1,2\n", name="t.tsv")


def test_every_fault_is_told_by_its_line(project):
    with pytest.raises(InputError) as refused:
        read(project, "depth,oxygen\n1,a\n2\nb,\n4,5\n")
    places = [line.removeprefix("data/raw/t.csv:").split(" is ")[0] for line in refused.value.messages]
    assert places[0] == "2: column 'oxygen': 'a'"
    assert places[1].startswith("3: 1 value for 2 columns")
    assert places[2] == "4: column 'depth': 'b'"
    assert places[3].startswith("4: column 'oxygen': missing value (got '')")
    assert len(places) == 4


def test_faults_of_one_kind_in_a_column_are_one_message(project):
    with pytest.raises(InputError) as refused:
        read(project, "depth,oxygen\nx,1\n" + "x,\n" * 3000)
    assert refused.value.messages == [
        "data/raw/t.csv:2: column 'depth': 'x' is not a number (a finite decimal with '.'): the column holds "
        "categories (1 value: x) (3001 such cells, the first is here): write `categorical: [depth]` below data, if it "
        "is an input",
        "data/raw/t.csv:3: column 'oxygen': missing value (got '') (3000 such cells, the first is here): fill it in, "
        "or set `missing: drop`",
    ]


def test_of_many_kinds_of_faults_ten_are_told_and_the_others_counted(project):
    names = [f"a{i}" for i in range(13)]
    with pytest.raises(InputError) as refused:
        read(project, ",".join([*names, "oxygen"]) + "\n" + "x," * 13 + "1\n", x=names)
    assert len(refused.value.messages) == 11
    assert refused.value.messages[-1] == "data/raw/t.csv: and 3 more such lines"


def test_a_fault_far_down_a_file_is_found_at_its_line(project):
    with pytest.raises(InputError, match=r"t.csv:4567: column 'oxygen': '7x' is not a number"):
        read(project, "depth,oxygen\n" + "1,2\n" * 4565 + "1,7x\n" + "1,2\n" * 1000)


def test_only_used_columns_are_held_to_numbers(project):
    content = "depth,oxygen,other\n1,2,x\n"
    assert read(project, content).n == 1
    with pytest.raises(InputError, match="column 'other': 'x' is not a number"):
        read(project, content, x=["depth", "other"])


@pytest.mark.parametrize(("stored", "asked"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_a_composed_and_a_decomposed_letter_are_the_same_name(project, stored, asked):
    assert read(project, f"{stored},oxygen\n1,2\n", x=[asked]).columns == ("\u00e9",)


def test_a_wide_header_takes_time_in_proportion(project):
    names = [f"c{i}" for i in range(100_000)]
    content = f"{','.join(names)}\n{','.join('1' for _ in names)}\n"
    train = read(project, content, x=names[:-1], y=names[-1])  # minutes, were the header searched for each
    assert train.d == 99_999


def test_columns_come_in_the_order_that_is_asked_for(project):
    train = read(project, "a,b,c\n1,2,3\n4,5,6\n", x=["c", "a"], y="b")
    assert train.columns == ("c", "a")
    np.testing.assert_array_equal(train.x, [[3, 1], [6, 4]])


def test_rows_with_a_missing_value_are_dropped_and_counted_when_asked(project, caplog):
    content = "depth,note,oxygen\n1,,2\n,a,3\nNaN,a,4\n5,a,null\n6,NA,7\n"
    train = read(project, content, missing="drop")
    np.testing.assert_array_equal(train.x, [[1], [6]])
    np.testing.assert_array_equal(train.y, [2, 7])
    assert caplog.messages == ["data/raw/t.csv: 3 of 5 rows dropped: a value is missing"]


def test_nothing_is_said_when_nothing_is_dropped(project, caplog):
    assert read(project, CONTROL, missing="drop").n == 3
    assert caplog.messages == []


def test_dropping_missing_values_drops_no_faults(project):
    with pytest.raises(InputError, match=r"t.csv:3: column 'oxygen': 'abc' is not a number"):
        read(project, "depth,oxygen\n1,\n2,abc\n", missing="drop")


def test_a_table_of_missing_values_is_refused(project):
    with pytest.raises(
        InputError, match=r"t.csv: every row has a missing value: of 3 rows, 'oxygen' in 3, 'depth' in 1: fill"
    ):
        read(project, "depth,oxygen\n1,\n2,\n,NA\n", missing="drop")


@pytest.mark.parametrize(
    ("cell", "year"),
    [
        ("2024-01-01", 2024.0),
        ("2024-07-02", 2024.5),
        ("2023-07-02T12:00", 2023.5),
        ("2023-07-02 12:00:00.000", 2023.5),
        ("2023-12-31T23:59:59.999999999Z", 2024.0),
        ("2024-01-01T01:00+01:00", 2024.0),
        ("2023-12-31T19:00:00-0500", 2024.0),
        ("1969-12-31", 1969 + 364 / 365),
        ("0001-01-01", 1.0),
        ("9999-12-31", 9999 + 364 / 365),
    ],
)
def test_a_date_is_its_year_and_the_elapsed_fraction_of_it(project, cell, year):
    train = read(project, f"depth,oxygen\n{cell},1\n")
    np.testing.assert_allclose(train.x, [[year]], rtol=1e-15, atol=1e-12)  # a microsecond is 3e-14 years


def test_dates_may_be_missing_and_begin_late(project):
    content = "depth,oxygen\n" + ",1\n" * 1200 + "2024-01-01,2\n,3\n2025-01-01,4\n"
    np.testing.assert_array_equal(read(project, content, missing="drop").x, [[2024], [2025]])


def test_what_was_written_is_read_back_exactly(project):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**64, size=6000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([bits[np.isfinite(bits)], [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e22, 1 / 3]])
    for write in (repr, "{:.17g}".format, "{:+.16E}".format):
        lines = [f"{write(float(a))},{write(float(b))}" for a, b in zip(values, values[::-1], strict=True)]
        train = read(project, "\n".join(["depth,oxygen", *lines]))
        np.testing.assert_array_equal(train.x[:, 0].view(np.uint64), values.view(np.uint64))
        np.testing.assert_array_equal(train.y.view(np.uint64), values[::-1].copy().view(np.uint64))


DOUBTFUL = {
    "compact dates": (
        [19580329, 19580405, 20240229],
        "column 'depth': all values are dates written as numbers (the first is 19580329), taken as plain numbers: if "
        'they are dates, set `date_format: {depth: "%Y%m%d"}`',
    ),
    "a sentinel": (
        [*range(12), -999, -999, -999],
        "column 'depth': -999 is there 3 times, far from all other values: if it stands for a missing value, set "
        "`na_values: [-999]`",
    ),
    "eight digits that are no dates": ([19580329, 19580405, 20230229], None),
    "two far values": ([*range(12), -999, -999], None),
    "repeats that are near": ([*range(12), -5, -5, -5], None),
    "few levels": ([0, 0, 0, 0, 100, 101, 102], None),
}


@pytest.mark.parametrize(("values", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_may_mean_something_else_is_read_and_warned_about(project, caplog, values, message):
    train = read(project, "depth,oxygen\n" + "".join(f"{value},{i % 7}\n" for i, value in enumerate(values)))
    np.testing.assert_array_equal(train.x[:, 0], values)
    assert caplog.messages == ([f"data/raw/t.csv: {message}"] if message else [])


def test_what_is_trimmed_is_said_once(project, caplog):
    read(project, "depth,oxygen\n 1, 2\n2, 3\n\n\n")
    assert caplog.messages == [
        "data/raw/t.csv: trimmed: 2 blank lines at the end; blanks around the cells of depth, oxygen"
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"encoding": "utf-9"}, "encoding: is no encoding of text (got 'utf-9')"),
        ({"encoding": "base64"}, "encoding: is no encoding of text (got 'base64')"),
        ({"skip_rows": -1}, "skip_rows: must be at least 0 (got -1)"),
        ({"comment": ""}, "comment: begins no comment (got '')"),
        ({"comment": '"'}, "comment: begins no comment"),
        ({"comment": ",", "separator": ","}, "comment ',' begins with the separator: give another"),
        ({"units_row": 1}, "units_row: must be true or false (got 1)"),
        ({"separator": ";;"}, "separator: is no separator (got ';;')"),
        ({"separator": "."}, "separator: is no separator (got '.')"),
        ({"separator": ",", "decimal": ","}, "separator and decimal are both ','"),
        ({"decimal": ";"}, "decimal: must be '.' or ',' (got ';')"),
        ({"thousands": "x"}, "thousands: is no separator of thousands (got 'x')"),
        ({"thousands": "."}, "thousands and decimal are both '.': write `decimal: \",\"` too"),
        ({"na_values": [True]}, "na_values: must be texts and finite numbers (got True)"),
        ({"na_values": [float("nan")]}, "na_values: must be texts and finite numbers (got nan)"),
        ({"date_format": 3}, "date_format: must be a format, or a mapping column: format (got 3)"),
        ({"date_format": "dd.mm.yyyy"}, "date_format: 'dd.mm.yyyy' is no format of dates: a date needs its year once"),
        ({"date_format": "%Y-%x"}, "date_format: '%Y-%x' is no format of dates: %x is not known"),
        ({"date_format": "%Y-%d"}, "date_format: '%Y-%d' is no format of dates: a day without a month"),
        ({"date_format": "%Y%m %b"}, "date_format: '%Y%m %b' is no format of dates: the month is there twice"),
        (
            {"date_format": {"c": "%Y"}},
            "date_format names 'c', no column that the study uses (a, b): name one",
        ),
        ({"date_format": {"a": "%Y %I"}}, "date_format: '%Y %I' is no format of dates: hours are %H, or %I with %p"),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(keys, message):
    with pytest.raises(InputError) as refused:
        parse(Data, {"kind": "table", "path": "data/raw/t.csv", "x": "a", "y": "b"} | keys)
    assert refused.value.messages[0].startswith(message)
