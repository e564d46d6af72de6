"""YAML: what is read is what DVC reads; what the two would read differently is refused with its line and what to do."""

import random
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from dvc.exceptions import DvcException
from dvc.utils.serialize import load_yaml
from dvc.utils.serialize._yaml import parse_yaml as dvc_parses

import gp.yaml
from gp.spec import InputError
from gp.yaml import parse_yaml, read_yaml

# DVC's parser refuses some texts by an error of Python's.
DVC_REFUSES = (DvcException, ValueError, KeyError, IndexError, AttributeError, TypeError)

SCALARS = [
    *["1e-3", "1E3", "1.e3", "-1.5e+2", "1.0", ".5", "5.", "+1", "-0", "12e03", "0.", "-.5", ".5e+3", ".5e3", "1e400"],
    *[
        "012",
        "0o14",
        "0x1F",
        "0b11",
        "1_000",
        "1__0",
        "1_0.5",
        "007",
        "08",
        "-012",
        "-0x1f",
        "+0o7",
        "1:30",
        "190:20:30",
    ],
    *["no", "No", "NO", "yes", "Yes", "on", "off", "y", "n", "true", "True", "TRUE", "tRUE", "false", "False", "FALSE"],
    *["null", "Null", "NULL", "~", "", "~a", ".inf", "-.Inf", "+.INF", ".nan", ".NaN", "-.nan", "nan", "inf"],
    *["2001-12-14", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43", "2001-12-14 21:59:43.9999999"],
    *["2001-12-14T21:59:43Z", "2001-12-14 21:59:43 +1", "12:30:45", "1.2.3", "1,000", "1 2", "true false", "1e", "e1"],
    *["!!str 1", "!!int '3'", "!!float 1", "!!null ''", "!!bool true", "! 1", "&a 1", "!!map {a: 1}", "!!seq [1]"],
    *[
        "'1'",
        '"1e-3"',
        "text",
        "a b",
        "'it''s'",
        '"tab\\t"',
        '"\\u263a\\x41"',
        "é",
        "日本",
        "😀",
        "-a",
        "?a",
        "a#b",
        "a #b",
    ],
    *[
        "a:b",
        "http://x:80/y?a=1&b:2",
        "[1, 2.0, no]",
        "[a: 1, b]",
        "[1\n, 2]",
        "{a: 1, b: [x]}",
        '{"a":1}',
        "{a, b: 1}",
    ],
    *["|\n  two\n  lines", "|-\n  x\n", "|+\n  x\n\n", ">\n  x\n  y\n\n  z", "'a\n\n  b'", "9" * 400],
]


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_value_is_read_as_dvc_reads_it(tmp_path, scalar):
    path = tmp_path / "params.yaml"
    path.write_text(f"value: {scalar}\n", encoding="utf-8")
    assert repr(read_yaml(path)) == repr(load_yaml(str(path)))  # repr tells 1 from 1.0 and true, and nan is itself


DOCUMENTS = {
    "nothing": "",
    "a comment": "# nothing\n",
    "a text": "text\n",
    "a list": "- 1\n- a: no\n  b: 2\n-\n  - x\n",
    "a byte order mark": "\ufeffa: 1\n",
    "line ends of Windows": "a: 1\r\nb: no\r\n",
    "marks of a document": "---\na: 1\n...\n",
    "YAML 1.2 by name": "%YAML 1.2\n---\na: 012\n",
    "a tab in a comment": "a: 1 #\tb\n",
    "a tab in quotes": "a: 'b\tc'\n",
    "an alias": "a: &x [1]\nb: *x\n",
    "a merge": "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\n",
    "a merge of two": "a: &x {p: 1}\nb: &y {p: 2, q: 3}\nc: {<<: [*x, *y], r: 1}\n",
    "a merge of a merge": "a: &x {p: 1}\nb: &y {<<: *x, q: 1}\nc: {<<: *y, p: 2}\nd: *y\n",
    "a merge in quotes": "a: {'<<': 1}\n",
    "keys that are no text": "7: a\n2.5: b\ntrue: c\n~: d\n2001-12-14: e\n012: f\n",
    "an explicit key": "? a\n: b\n",
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_read_as_dvc_reads_it(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    assert repr(read_yaml(path) or {}) == repr(load_yaml(str(path)))  # DVC takes an empty file for {}


def test_what_both_read_of_broken_documents_is_the_same():
    rng = random.Random(0)
    texts = [f"value: {scalar}\n" for scalar in SCALARS] + list(DOCUMENTS.values())
    both = 0
    for _ in range(1500):
        text = rng.choice(texts)[:200] + rng.choice(["", rng.choice(texts)[:100]])
        for _ in range(rng.randint(1, 3)):
            k = rng.randint(0, len(text))
            text = text[:k] + rng.choice(" \n\t:-?[]{},&*!|>'\"%@#ab10._e~<=") + text[k + rng.randint(0, 1) :]
        try:
            ours = repr(parse_yaml(text, "params.yaml") or {})
            dvc = repr(dvc_parses(text, "params.yaml"))
        except (InputError, *DVC_REFUSES):
            continue
        both += 1
        assert ours == dvc, repr(text)
    assert both > 500


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "versions.yaml"])
def test_the_projects_own_files_are_read_as_dvc_reads_them(name):
    assert read_yaml(ROOT / name) == load_yaml(str(ROOT / name))


def test_what_a_reader_does_with_its_result_does_not_reach_the_next_reader():
    text = "studies: {sine: {seed: 0}}"
    parse_yaml(text, "params.yaml")["studies"]["sine"]["seed"] = 1
    assert parse_yaml(text, "params.yaml") == {"studies": {"sine": {"seed": 0}}}


def test_without_libyaml_the_same_is_read(tmp_path, monkeypatch):
    resolvers = gp.yaml._Loader.yaml_implicit_resolvers
    slow = type("Slow", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
    texts = [f"value: {scalar}\n" for scalar in SCALARS] + list(DOCUMENTS.values())
    fast = [repr(gp.yaml._parse.__wrapped__(text)) for text in texts]
    monkeypatch.setattr(gp.yaml, "_Loader", slow)
    assert [repr(gp.yaml._parse.__wrapped__(text)) for text in texts] == fast


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("1e-3", 1e-3), ("012", 12), ("0o14", 12), ("no", "no"), ("on", "on"), ("true", True), ("1:30", "1:30")],
)
def test_scalars_follow_yaml_1_2(tmp_path, scalar, value):
    path = tmp_path / "params.yaml"
    path.write_text(f"value: {scalar}\n", encoding="utf-8")
    assert read_yaml(path) == {"value": value}
    assert type(read_yaml(path)["value"]) is type(value)


# What DVC refuses as well: with the line, and what to do.
NO_YAML = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", r':3: not valid YAML: found duplicate key "a": keep one of the two'),
    "a key twice further in": ("s:\n  a: 1\n  a: 1\n", r':3: not valid YAML: found duplicate key "a"'),
    "two keys that are equal": ("1: a\n1.0: b\n", r':2: not valid YAML: found duplicate key "1.0"'),
    "a merge twice": ("b: &b {a: 1}\nm: {<<: *b, <<: *b}\n", r':2: not valid YAML: found duplicate key "<<": name all'),
    "a merge of a list": ("b: &b [1]\nm: {<<: *b}\n", r":1: not valid YAML: `<<` takes over mappings only"),
    "an open bracket": ("a: [1, 2\nb: 3\n", r":1: not valid YAML: .*: close the bracket that is opened here"),
    "an open brace": ("a: {b: 1\nc: 2\n", r":1: not valid YAML: .*: close the brace that is opened here"),
    "open quotes": ("a: 1\nb: 'x\nc: 1\n", r":2: not valid YAML: .*: close the quotes that are opened here"),
    "a tab": ("a:\n\tb: 1\n", r":2: not valid YAML: found character .*: indent by blanks, not by tabs"),
    "a colon too many": ("a: b: c\n", r":1: not valid YAML: mapping values .*: write a colon .* or put quotes"),
    "a colon too few before a value": ("a: 1\nb\nc: 2\n", r":2: not valid YAML: .*: write `key: value`"),
    "a colon too few before a mapping": (
        "s:\n  a\n    b: 2\n",
        r":2: not valid YAML: .*: write a colon and a blank behind the key",
    ),
    "less indented": ("a:\n  b: 1\n c: 2\n", r":3: not valid YAML: .*: indent it as the lines above"),
    "an unknown alias": ("a: *b\n", r":1: not valid YAML: found undefined alias: define it before, by &"),
    "YAML 1.1's value sign": ("a: =\n", r":1: not valid YAML: a plain `=` has no meaning: put quotes around it"),
    "a tag of Python": ("a: !!python/object:os.system x\n", r":1: not valid YAML: the tag '!!python/.*: take it out"),
    "a tag of one's own": ("a: !foo 1\n", r":1: not valid YAML: the tag '!foo' is not known here: take it out"),
    "a whole number that is none": ("a: !!int 3.5\n", r":1: not valid YAML: '3.5' is no int: correct it"),
    "a day that is none": ("a: 2001-13-45\n", r":1: not valid YAML: '2001-13-45' is no timestamp"),
    "a number of 5000 digits": (f"a: {'9' * 5000}\n", r":1: not valid YAML: '9+ is no int"),
    "two documents": ("a: 1\n---\nb: 2\n", r":2: not valid YAML: .*: keep one document"),
    "a control character": ("a: 1\nb: \x07\n", r":2: not valid YAML: .*: take the character out"),
    "deep nesting": ("a: " + "[" * 300_000, r":1: not valid YAML: is nested more than 200 deep: write it flatter"),
    "deep nesting that ends": ("[" * 3000 + "]" * 3000, r":1: not valid YAML: is nested more than 200 deep"),
    "deep nesting of blocks": ("- " * 300_000 + "1\n", r":1: not valid YAML: is nested more than 200 deep"),
}


# What DVC reads in its own way, and nobody needs.
OURS_ALONE = {
    "a tab in plain text": ("a: b\tc\n", r":1: not valid YAML: a tab beside plain text: write blanks"),
    "YAML 1.1 by name": ("# c\n%YAML 1.1\n---\na: no\n", r":2: not valid YAML: '%YAML 1.1' asks for another version"),
    "a list as a key": ("[1]: 2\n", r":1: not valid YAML: a list or a mapping is a key: write a name"),
    "a tag alone": ("a: !\n", r":1: not valid YAML: a tag with nothing behind it"),
    "an anchor and a colon": ("&a: b\n", r":1: not valid YAML: ':' follows '&a' at once: write a blank"),
    "an anchor and a question mark": ("a: &b?c 1\n", r":1: not valid YAML: '\?' follows '&b' at once: write a blank"),
    "a set": ("a: !!set {b}\n", r":1: not valid YAML: the tag '!!set' is not known here: take it out"),
    "a key twice beside a merge": (
        "b: &b {a: 1}\nm: {x: 1, x: 2, <<: *b}\n",
        r":2: not valid YAML: found duplicate key",
    ),
    "an anchor twice": ("a: &b 1\nc: &b 2\n", r":2: not valid YAML: .*: name each anchor once"),
    "an alias within itself": ("a: &b [*b]\n", r":1: not valid YAML: an alias within what it names"),
    "Unicode's line separator": (
        "a: b\nc: d\u2028e\n",
        r":2: not valid YAML: the character '.u2028' has no one meaning",
    ),
}


@pytest.mark.parametrize(("text", "message"), [*NO_YAML.values(), *OURS_ALONE.values()], ids=[*NO_YAML, *OURS_ALONE])
def test_what_is_no_yaml_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"params.yaml{message}") as refused:
        read_yaml(path)
    assert len(refused.value.messages) == 1
    assert "\n" not in str(refused.value)
    assert refused.value.faults[0].fix


@pytest.mark.parametrize("name", [name for name in NO_YAML if "deep" not in name])
def test_dvc_refuses_it_too(name):
    with pytest.raises(DVC_REFUSES):
        dvc_parses(NO_YAML[name][0], "params.yaml")


def test_a_billion_laughs_are_refused_in_a_moment(tmp_path):
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 10)]
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    start = time.process_time()
    with pytest.raises(InputError, match=r":\d: not valid YAML: aliases repeat more than 100000 values: write fewer"):
        read_yaml(path)
    assert time.process_time() - start < 1


def test_aliases_in_good_measure_are_read(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: &a {b: [1, 2, 3]}\nc: [" + ", ".join(["*a"] * 1000) + "]\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"b": [1, 2, 3]}, "c": [{"b": [1, 2, 3]}] * 1000}


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"nowhere/params.yaml: no such file: run from the project's root"):
        read_yaml(Path("nowhere/params.yaml"))


def test_a_file_that_is_not_utf8_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"params.yaml: byte 3 is not UTF-8: save the file as UTF-8"):
        read_yaml(path)
