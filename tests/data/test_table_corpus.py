"""Tables as people have them: each is read value by value, or refused by a sentence whose fix then works."""

import bz2
import gzip
import io
import lzma
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gp.data import Data
from gp.spec import InputError, parse

PLAIN = "depth,oxygen\n1,2.5\n-25,0.5\n3,0\n"
X, Y = [1.0, -25.0, 3.0], [2.5, 0.5, 0.0]
DAYS = [2024.0, 2024 + 31 / 366, 2025.0]  # 2024-01-01, 2024-02-01, 2025-01-01


@dataclass
class Read:
    """A table that is read as it stands, with the keys `keys`."""

    content: str | bytes
    keys: dict[str, Any] = field(default_factory=dict)
    name: str = "t.csv"
    x: list[float] = field(default_factory=lambda: X)
    y: list[float] = field(default_factory=lambda: Y)


@dataclass
class Refused(Read):
    """A table that is refused by `message`, and read with the keys `fix`, or once its content or name is another."""

    message: str = ""
    fix: dict[str, Any] = field(default_factory=dict)
    content_fixed: str | bytes | None = None
    name_fixed: str | None = None


def dates(*written):
    return "depth,oxygen\n" + "".join(f"{day},{y}\n" for day, y in zip(written, Y, strict=True))


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def archive(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as inside:
        inside.writestr("xl/workbook.xml", content)
    return file.getvalue()


def dated(text, **more):
    return {"date_format": text} | more


READ = {
    "R's write.csv": Read('"","depth","oxygen"\n"a",1,2.5\n"b",-25,0.5\n"c",3,0\n'),
    "pandas' to_csv": Read(",depth,oxygen\n0,1,2.5\n1,-25,0.5\n2,3,0.0\n"),
    "unused columns of one name": Read("n,depth,n,oxygen\na,1,b,2.5\na,-25,b,0.5\n,3,,0\n"),
    "a name of odd signs beside": Read("µ:[%]\t,depth,oxygen\n?,1,2.5\n\x07,-25,0.5\n,3,0\n"),
    "names that formats begin with": Read(
        PLAIN.replace("depth", "RDA1").replace("oxygen", "PAR1"), {"x": "RDA1", "y": "PAR1"}
    ),
    "a name that a format begins with": Read(PLAIN.replace("depth", "BZh"), {"x": "BZh"}),
    "separators at the ends": Read(PLAIN.replace("\n", ",\n")),
    "blanks after commas": Read(PLAIN.replace(",", ", ")),
    "blanks around quoted names": Read(PLAIN.replace("depth,oxygen", '" depth ","oxygen "')),
    "blank lines at the end": Read(PLAIN + "\n\n \n"),
    "rows of separators at the end": Read(PLAIN + ",\n,\n,,,\n"),
    "a byte order mark": Read(b"\xef\xbb\xbf" + PLAIN.encode()),
    "a byte order mark before quotes": Read(b'\xef\xbb\xbf"depth"' + PLAIN.encode()[5:]),
    "carriage returns": Read(PLAIN.replace("\n", "\r")),
    "a decomposed name": Read(PLAIN.replace("depth", "e\u0301"), {"x": "\u00e9"}),
    "yes and no": Read("depth,oxygen\nyes,2.5\nNo,0.5\nyes,0\n", x=[1, 0, 1]),
    "TRUE and FALSE": Read("depth,oxygen\nTRUE,2.5\nFALSE,0.5\nTRUE,0\n", x=[1, 0, 1]),
    "gzip": Read(gzip.compress(PLAIN.encode()), name="t.csv.gz"),
    "xz": Read(lzma.compress(PLAIN.encode()), name="t.csv.xz"),
    "bzip2": Read(bz2.compress(PLAIN.encode()), name="t.csv.bz2"),
    "Zstandard": Read(pa.compress(PLAIN.encode(), codec="zstd", asbytes=True), name="t.csv.zst"),
    "a compressed TSV": Read(gzip.compress(PLAIN.replace(",", "\t").encode()), name="T.TSV.GZ"),
    "several numbers that are missing": Read(
        "depth,oxygen\n1,2.5\n-999,1\n-25,0.5\n4,-9.99e2\n3,0\n7,?\n", {"na_values": [-999, "?"], "missing": "drop"}
    ),
    "a missing number in Parquet": Read(
        parquet(depth=[1.0, -999, -25, 3], oxygen=[2.5, 1, 0.5, 0]),
        {"na_values": -999, "missing": "drop"},
        name="t.parquet",
    ),
    "comments among rows": Read("# by me\n" + PLAIN.replace("3,0", " # pause\n3,0"), {"comment": "#"}),
    "ISO dates beside dates of a format": Read(
        "depth,when,oxygen\n2024-01-01,01.01.2024,2.5\n2024-02-01,01.02.2024,0.5\n2025-01-01,01.01.2025,0\n",
        dated("%d.%m.%Y", x=["when"]),
        x=DAYS,
    ),
    "numbers beside dates of a format": Read("depth,oxygen\n1,2.5\n-25,0.5\n3,0\n", dated("%Y%m%d")),
    "days with their time": Read(
        dates("1/1/2024 12:00:00 AM", "2/1/2024 12:00:00 AM", "1/1/2025 12:00:00 AM"),
        dated("%m/%d/%Y %I:%M:%S %p"),
        x=DAYS,
    ),
    "days of a year": Read(dates("2024001", "2024032", "2025001"), dated("%Y%j"), x=DAYS),
    "zones": Read(
        dates("2024/01/01 01:00+0100", "2024/01/31 19:00-05:00", "2025/01/01 00:00Z"), dated("%Y/%m/%d %H:%M%z"), x=DAYS
    ),
}
UNNAMED = ",oxygen\n1,2.5\n-25,0.5\n3,0\n"
GERMAN = "depth;oxygen\n1;2,5\n-25;0,5\n3;0\n"
BOTH = "depth;oxygen\n1;2,5\n-25;0,5\n3.000.000;1.234,5\n"
REFUSED = {
    "thousands apart by a blank that does not break": Refused(
        "depth,oxygen\n1\u00a0000,2.5\n-25\u202f000,0.5\n3000,0\n",
        message='separators of thousands (2 such cells, the first is here): set `thousands: " "`',
        fix={"thousands": " "},
        x=[1000, -25_000, 3000],
    ),
    "minus signs of typography": Refused(
        PLAIN.replace("-", "\u2212"), message="a sign that looks like a minus: write -", content_fixed=PLAIN
    ),
    "numbers in other quotes": Refused(
        PLAIN.replace("-25", "'-25'"), message="in quotes that are not those of CSV: remove them", content_fixed=PLAIN
    ),
    "a limit of detection": Refused(
        PLAIN.replace("1,2.5", "<1,2.5"), message="but a limit (less or more than can be measured)", content_fixed=PLAIN
    ),
    "a merge conflict": Refused(
        "<<<<<<< HEAD\n" + PLAIN, message="has marks of a merge conflict: resolve it", content_fixed=PLAIN
    ),
    "a merge conflict among rows": Refused(
        PLAIN + "=======\n3,1\n", message=":5: is a mark of a merge conflict", content_fixed=PLAIN
    ),
    **{
        f"no table: {name}": Refused(content, message=message, content_fixed=PLAIN)
        for name, content, message in (
            ("ARFF", b"@RELATION lake\n@DATA\n1,2\n", "is ARFF: write the names into one line above the rows"),
            ("NumPy", b"\x93NUMPY\x01\x00", "is an array of NumPy: write the table as CSV or Parquet"),
            ("a pickle", b"\x80\x04\x95\x00", "is a pickle: write the table as CSV or Parquet"),
            ("Feather", b"ARROW1\x00\x00", "is an Arrow (Feather) file: write the table as CSV or Parquet"),
            ("R", b"RDX3\nX\n", "is a file of R: write the table there by write.csv"),
            ("a picture", b"\x89PNG\r\n\x1a\n", "is an image: get the table itself"),
            ("7z", b"7z\xbc\xaf\x27\x1c", "is an archive: unpack it"),
            ("tar", b"t.csv".ljust(257, b"\x00") + b"ustar\x00", "is an archive (tar): unpack it"),
            (
                "a .dvc file",
                b"outs:\n- md5: 0\n",
                "is a file of DVC, not the table itself: name the table that it is of",
            ),
        )
    },
    "an unnamed column that is wanted": Refused(
        UNNAMED, message="write a name for column 1, which has none", content_fixed="depth" + UNNAMED
    ),
    "a column of pandas' invention": Refused(
        UNNAMED, {"x": "Unnamed: 0"}, message="write a name for column 1", content_fixed="Unnamed: 0" + UNNAMED
    ),
    "a used name twice": Refused(
        PLAIN.replace("\n", ",1\n").replace("oxygen,1", "oxygen,depth"),
        message="column 'depth' is there 2 times (columns 1, 3): give each its own name",
        content_fixed=PLAIN.replace("\n", ",1\n").replace("oxygen,1", "oxygen,other"),
    ),
    "R's write.table": Refused(
        PLAIN.replace("1,2", "a,1,2").replace("-25", "b,-25").replace("3,", "c,3,"),
        message="begin the header with a separator, if each row begins with its own name",
        content_fixed="," + PLAIN.replace("1,2", "a,1,2").replace("-25", "b,-25").replace("3,", "c,3,"),
    ),
    "a comma too many": Refused(
        PLAIN.replace("0.5", "0.5,"), message="remove the separator at the line's end", content_fixed=PLAIN
    ),
    "a blank line within": Refused(
        PLAIN.replace("-25", "\n-25"), message=":3: the line is blank: remove it", content_fixed=PLAIN
    ),
    "blank lines before the header": Refused("\n\n" + PLAIN, message="set `skip_rows: 2`", fix={"skip_rows": 2}),
    "a title": Refused(
        "Lake 3, spring\n" + PLAIN, message="names stand on line 2: set `skip_rows: 1`", fix={"skip_rows": 1}
    ),
    "comments above": Refused("# by me\n# in 2024\n" + PLAIN, message='set `comment: "#"`', fix={"comment": "#"}),
    "comments and a title": Refused(
        "# by me\nLake\n" + PLAIN, message="on line 3: set `skip_rows: 2`", fix={"skip_rows": 2}
    ),
    "a comment among rows": Refused(
        PLAIN.replace("3,", "# by me\n3,"),
        message="is a comment (got '# by me'): set `comment: \"#\"`",
        fix={"comment": "#"},
    ),
    "names behind a sign": Refused("# " + PLAIN, message="take '#' away from the line", content_fixed=PLAIN),
    "more skipped than there is": Refused(
        PLAIN, {"skip_rows": 9}, message="no line left after skip_rows", fix={"skip_rows": 0}
    ),
    "the header skipped": Refused(PLAIN, {"skip_rows": 1}, message="the names stand on line 1", fix={"skip_rows": 0}),
    "no header": Refused("1,2.5\n-25,0.5\n3,0\n", message="holds values, not names", content_fixed=PLAIN),
    "a row of units": Refused(
        PLAIN.replace("\n1", "\nm,mg/l\n1"), message="set `units_row: true`", fix={"units_row": True}
    ),
    "no row of units": Refused(PLAIN, {"units_row": True}, message="leave `units_row` out", fix={"units_row": False}),
    "semicolons": Refused(PLAIN.replace(",", ";"), message='set `separator: ";"`', fix={"separator": ";"}),
    "bars": Refused(PLAIN.replace(",", "|"), message='set `separator: "|"`', fix={"separator": "|"}),
    "tabs": Refused(PLAIN.replace(",", "\t"), message='set `separator: "\\t"`', fix={"separator": "\t"}),
    "blanks in columns": Refused(
        "  depth  oxygen\n    1    2.5\n  -25    0.5 \n    3      0\n",
        message='`separator: " "`',
        fix={"separator": " "},
    ),
    "commas in a TSV": Refused(PLAIN, name="t.tsv", message='set `separator: ","`', fix={"separator": ","}),
    "decimal commas": Refused(GERMAN, {"separator": ";"}, message='set `decimal: ","`', fix={"decimal": ","}),
    "quoted decimal commas": Refused(
        'depth,oxygen\n1,"2,5"\n-25,"0,5"\n3,0\n', message='set `decimal: ","`', fix={"decimal": ","}
    ),
    "decimal points where commas are said": Refused(
        PLAIN, {"decimal": ","}, message="leave `decimal` out", fix={"decimal": "."}
    ),
    "points in thousands": Refused(
        BOTH.replace("3.000.000", "3"),
        {"separator": ";", "decimal": ",", "y": "oxygen"},
        message='`thousands: "."`',
        fix={"thousands": "."},
        y=[2.5, 0.5, 1234.5],
    ),
    "German numbers at once": Refused(
        BOTH.replace("2,5", "1.002,5"),
        {"separator": ";"},
        message='set `thousands: "."` and `decimal: ","`',
        fix={"thousands": ".", "decimal": ","},
        x=[1, -25, 3e6],
        y=[1002.5, 0.5, 1234.5],
    ),
    "commas in thousands": Refused(
        'depth,oxygen\n"1,000,000",2.5\n"-25,000",0.5\n3,0\n',
        message='set `thousands: ","`',
        fix={"thousands": ","},
        x=[1e6, -25e3, 3],
    ),
    "a comma that may be either": Refused(
        'depth,oxygen\n1,"2,500"\n-25,"1,250"\n3,0\n',
        message="if '2,500' is 2500, or `decimal: \",\"` if it is 2.500",
        fix={"decimal": ","},
        y=[2.5, 1.25, 0],
    ),
    "apostrophes in thousands": Refused(
        "depth,oxygen\n1'000,2.5\n-25,0.5\n3,0\n",
        message='set `thousands: "\'"`',
        fix={"thousands": "'"},
        x=[1000, -25, 3],
    ),
    "a unit": Refused(
        PLAIN.replace("2.5", "2.5 mg").replace("0.5", "0.5 mg"),
        message="a number with a unit (mg)",
        content_fixed=PLAIN,
    ),
    "percent": Refused(PLAIN.replace("2.5", "2.5%").replace("0.5", "0.5%"), message="(%)", content_fixed=PLAIN),
    "a question mark": Refused(
        PLAIN + "4,?\n",
        message='set `na_values: ["?"]` and `missing: drop`',
        fix={"na_values": ["?"], "missing": "drop"},
    ),
    "a word for missing, often": Refused(
        PLAIN + "4,n.d.\n5,n.d.\n", message='`na_values: ["n.d."]`', fix={"na_values": "n.d.", "missing": "drop"}
    ),
    "missing values": Refused(
        PLAIN + "4,NA\n5,\n", message="(2 such cells, the first is here)", fix={"missing": "drop"}
    ),
    "a column of nothing": Refused(
        "depth,none,oxygen\n1,,2.5\n-25,,0.5\n3,,0\n",
        {"x": ["depth", "none"], "missing": "drop"},
        message="'none' in 3: fill some in, or leave 'none' out",
        fix={"x": ["depth"]},
    ),
    "categories": Refused(
        "depth,oxygen\nAdelie,2.5\nGentoo,0.5\nAdelie,0\n",
        message="categories (2 values: Adelie, Gentoo) (3 such cells, the first is here): write `categorical: [depth]`",
        fix={"categorical": "depth"},
        x=[0, 1, 0],
    ),
    "text": Refused(
        "note,oxygen,depth\na b,2.5,1\nc d,0.5,-25\ne f,0,3\n",
        {"x": ["depth", "note"]},
        message="text (3 different cells)",
        fix={"x": ["depth"]},
    ),
    "the header again": Refused(
        PLAIN.replace("\n3", "\ndepth,oxygen\n3"),
        {"x": "depth"},
        message="the column's own name: remove the lines that repeat the header (the first is 4)",
        content_fixed=PLAIN,
    ),
    "years first": Refused(
        dates("2024/01/01", "2024/02/01", "2025/01/01"),
        message='set `date_format: "%Y/%m/%d"`',
        fix=dated("%Y/%m/%d"),
        x=DAYS,
    ),
    "points in dates": Refused(
        dates("01.01.2024", "01.02.2024", "01.01.2025"),
        message='set `date_format: "%d.%m.%Y"`',
        fix=dated("%d.%m.%Y"),
        x=DAYS,
    ),
    "dates that may be either": Refused(
        dates("01/01/2024", "02/01/2024", "01/01/2025"),
        message='"%m/%d/%Y"` or `date_format: "%d/%m/%Y"`, whichever it is',
        fix=dated("%m/%d/%Y"),
        x=DAYS,
    ),
    "American dates": Refused(
        dates("1/1/2024", "1/31/2024", "1/1/2025"),
        message='set `date_format: "%m/%d/%Y"`',
        fix=dated("%m/%d/%Y"),
        x=[2024, 2024 + 30 / 366, 2025],
    ),
    "months": Refused(dates("2024-01", "2024-02", "2025-01"), message='"%Y-%m"', fix=dated("%Y-%m"), x=DAYS),
    "quarters": Refused(
        dates("1974Q1", "1974Q3", "1975Q1"),
        message='set `date_format: "%YQ%q"`',
        fix=dated("%YQ%q"),
        x=[1974, 1974 + 181 / 365, 1975],
    ),
    "named months": Refused(
        dates("1-Jan-2024", "1-FEB-2024", "1-Jan-2025"), message='"%d-%b-%Y"', fix=dated("%d-%b-%Y"), x=DAYS
    ),
    "a second format": Refused(
        "depth,day,oxygen\n01.01.2024,2024/01/01,2.5\n01.02.2024,2024/02/01,0.5\n01.01.2025,2025/01/01,0\n",
        {"x": ["depth", "day"], "date_format": {"depth": "%d.%m.%Y"}},
        message='set `date_format: {depth: "%d.%m.%Y", day: "%Y/%m/%d"}`',
        fix=dated({"depth": "%d.%m.%Y", "day": "%Y/%m/%d"}),
        x=DAYS,
    ),
    "a day that is none": Refused(
        dates("01.01.2024", "30.02.2024", "01.01.2025"),
        dated("%d.%m.%Y"),
        message=":3: column 'depth': '30.02.2024' is no date",
        content_fixed=dates("01.01.2024", "01.02.2024", "01.01.2025"),
        x=DAYS,
    ),
    "Latin letters of Windows": Refused(
        PLAIN.replace("depth", "Tiefe in °").encode("cp1252"),
        {"x": "Tiefe in °"},
        message="set `encoding: cp1252`",
        fix={"encoding": "cp1252"},
    ),
    "UTF-16": Refused(PLAIN.encode("utf-16"), message="set `encoding: utf-16`", fix={"encoding": "utf-16"}),
    "UTF-16 without a mark": Refused(
        PLAIN.encode("utf-16-le"), message="set `encoding: utf-16-le`", fix={"encoding": "utf-16-le"}
    ),
    "an encoding that is not the file's": Refused(
        PLAIN.replace("depth", "é"),
        {"encoding": "ascii", "x": "é"},
        message="leave `encoding` out",
        fix={"encoding": "utf-8"},
    ),
    "a page of HTML": Refused("<!DOCTYPE html>\n<p>404", message="is a page of HTML", content_fixed=PLAIN),
    "a pointer of Git LFS": Refused(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        message="run `git lfs pull`",
        content_fixed=PLAIN,
    ),
    "gzip under another name": Refused(
        gzip.compress(PLAIN.encode()), message="compressed by gzip: end its name in .gz", name_fixed="t.csv.gz"
    ),
    "a plain table under the name of gzip": Refused(
        PLAIN, name="t.csv.gz", message="is no readable file of the kind .gz", name_fixed="t.csv"
    ),
    "gzip cut short": Refused(
        gzip.compress(PLAIN.encode())[:-9],
        name="t.csv.gz",
        message=": write it again",
        content_fixed=gzip.compress(PLAIN.encode()),
    ),
    "a workbook": Refused(archive(PLAIN), message="save the sheet as CSV", content_fixed=PLAIN),
    "Parquet under another name": Refused(
        parquet(depth=X, oxygen=Y), message="is a Parquet file: end its name in .parquet", name_fixed="t.parquet"
    ),
    "JSON": Refused('{"depth": 1}', message="is JSON: write the table as CSV", content_fixed=PLAIN),
    "text keys for Parquet": Refused(
        parquet(depth=X, oxygen=Y),
        {"decimal": ","},
        name="t.parquet",
        message="decimal is set: leave it out",
        fix={"decimal": "."},
    ),
}


def read(table, keys, folder):
    (folder / "data/raw").mkdir(parents=True, exist_ok=True)
    content = table.content.encode() if isinstance(table.content, str) else table.content
    (folder / "data/raw" / table.name).write_bytes(content)
    spec = {"kind": "table", "path": f"data/raw/{table.name}", "x": "depth", "y": "oxygen"} | keys
    return parse(Data, spec).sample(0)[0]


def check(train, table):
    np.testing.assert_allclose(train.x[:, 0], table.x, rtol=1e-15)
    np.testing.assert_array_equal(train.y, table.y)


@pytest.mark.parametrize("table", READ.values(), ids=READ)
def test_a_table_is_read_value_by_value(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    check(read(table, table.keys, tmp_path), table)


@pytest.mark.parametrize("table", REFUSED.values(), ids=REFUSED)
def test_a_table_is_refused_by_one_sentence_whose_fix_works(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        read(table, table.keys, tmp_path)
    assert all(line.startswith(f"data/raw/{table.name}") for line in refused.value.messages)
    assert table.message in refused.value.messages[0]
    keys = {key: value for key, value in (table.keys | table.fix).items() if key not in _default(table.fix)}
    fixed = Read(
        table.content if table.content_fixed is None else table.content_fixed,
        name=table.name_fixed or table.name,
        x=table.x,
        y=table.y,
    )
    check(read(fixed, keys, tmp_path), fixed)


def _default(fix):
    """Return the keys that a fix sets back to their defaults: it leaves them out."""
    plain = {"skip_rows": 0, "units_row": False, "decimal": "."}
    return {key for key, value in fix.items() if plain.get(key, object()) == value and type(plain[key]) is type(value)}


def test_the_corpus_is_large():
    assert len(READ) + len(REFUSED) >= 60
