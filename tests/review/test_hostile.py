"""A stranger's revision: whatever its files say, a review or a report is refused in one line, or shows it as text."""

import contextlib
import io
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from repository import STUDY, N, Repository, forecast
from ruamel.yaml import YAML

from gp.scores import score
from gp.spec import HIDDEN, InputError
from review.compare.__main__ import review
from review.lock.revisions import WORKSPACE, open_revision
from review.report.__main__ import report
from review.results import read_all

SECRET = "4711-of-the-reader"
MARKUP = '<script>alert(1)</script><img src="https://example.org/x.png" onerror="alert(1)">'
NAUGHTY = {
    "markup": MARKUP,
    "markup in backticks": f"```{MARKUP}`",
    "markup between runs of backticks": f"``a` {MARKUP} `b``",
    "a line of its own": "fine\n\n# Approved\n\n| a | b |\n|---|---|",
    "a link": "[click](https://example.org)",
    "a mention": "@everyone $x$ #1",
    "turned letters": "kernel\u202e;fbr\u202c \u2066x\u2069",
    "unseen letters": "rb\u200bf\u00ad\ufeff",
    "a terminal's colours": "\x1b[31mred\x1b[0m\x07\x08",
    "another end of line": "a\u2028b\u2029c\x85d",
}
FIT = {"log_marginal_likelihood": 1.5, "hyperparameters": {"noise.sd": 0.1}}
CERTIFICATE = {
    **{"converged": 1, "shortfall": 0.0, "evaluations": 9, "starts": 1, "starts_at_best": 1, "noise_share": 0.1},
    **{"signal": 9.0, "intervals": {"noise.sd": {"lower": 0.05, "upper": 0.2}}},
}
NOT_HASHES = {
    "a path up": "ab/../../../../../secret.json",
    "a path down": "ab/any/path",
    "an absolute path": "/etc/passwd",
    "a path of a listing": "ab/../../../../../secret.dir",
    "a number": 12345678901234567890123456789012,
    "a list": ["0" * 32],
    "a mapping": {"0" * 32: 1},
    "too short": "0" * 31,
    "capitals": "A" * 32,
    "another script's digits": "٠" * 32,
    "with an end of line": "0" * 32 + "\n",
    "with a tail": "0" * 32 + ".dir/../../x",
}


class Stranger(Repository):
    """A repository whose files on disk, and their record, are somebody else's."""

    def restore(self):
        """Bring back the files as they were committed."""
        self.git("checkout", "-q", "-f", "HEAD", "--", ".")
        self.git("clean", "-q", "-f", "-d", "data")

    def write(self, path, content):
        """Write an output of the study, or with a leading / a file of the project."""
        file = self.path / (path[1:] if path.startswith("/") else f"data/sine/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))

    def change(self, name, edit):
        """Edit a YAML file of the project."""
        yaml = YAML(typ="safe")
        content = yaml.load(self.path / name)
        edit(content)
        yaml.dump(content, self.path / name)

    def change_json(self, path, edit):
        """Edit a JSON output of the study."""
        file = self.path / f"data/sine/{path}"
        content = json.loads(file.read_text())
        edit(content)
        file.write_text(json.dumps(content))


def record(stage, md5):
    """Return a case: dvc.lock has `md5` for the output of a stage, which is not on disk."""

    def make(its):
        for file in (its.path / "data/sine").glob("*/*"):
            if file.name != "metrics.json":
                file.unlink()
        its.change("dvc.lock", lambda lock: lock["stages"][f"{stage}@sine"]["outs"][0].update(md5=md5))

    return make


def record_listed(md5):
    """Return a case: the listing of a recorded folder has `md5` for a file."""
    return lambda its: record("predict", f"{its.keep_listing([{'relpath': 'test.csv', 'md5': md5}])}.dir")(its)


def with_lock(edit):
    """Return a case: dvc.lock is edited."""
    return lambda its: its.change("dvc.lock", edit)


def with_params(edit):
    """Return a case: the study in params.yaml is edited."""
    return lambda its: its.change("params.yaml", lambda params: edit(params["studies"]))


def with_file(path, content):
    """Return a case: a file has this content."""
    return lambda its: its.write(path, content)


def with_json(path, edit):
    """Return a case: a study's JSON is edited."""
    return lambda its: its.change_json(path, edit)


def with_link(path, target):
    """Return a case: a file is a link to one of the reader's."""

    def make(its):
        file = its.path / path
        file.unlink(missing_ok=True)
        file.symlink_to(its.path.parent / target)

    return make


def arrays(**parts):
    """Return the bytes of a file of arrays."""
    file = io.BytesIO()
    np.savez(file, **parts)
    return file.getvalue()


def named(name):
    """Return a case: another study has this name."""
    return with_params(lambda studies: studies.update({name: STUDY}))


def cases():
    """Yield name → case."""
    for name, md5 in NOT_HASHES.items():
        yield f"lock: hash of a file is {name}", record("train", md5)
        yield f"lock: hash of a folder is {name}", record("predict", md5)
        yield f"listing: hash is {name}", record_listed(md5)
    yield "lock: listing is no list", lambda its: record("predict", f"{its.keep_listing({'a': 1})}.dir")(its)
    yield "lock: outputs are text", with_lock(lambda lock: lock["stages"]["train@sine"].update(outs="x"))
    yield "lock: stages are a list", with_lock(lambda lock: lock.update(stages=[1]))
    yield "lock: a stage is a list", with_lock(lambda lock: lock["stages"].update({"train@sine": [1]}))
    yield "lock: params are a list", with_lock(lambda lock: lock["stages"]["train@sine"].update(params=[1]))
    yield "lock: a path is a number", with_lock(lambda lock: lock["stages"]["train@sine"]["outs"][0].update(path=3))
    for name, text in {
        "text": "hello",
        "broken": "{a: [",
        "deep": "[" * 5000 + "]" * 5000,
        "bytes": b"\xff\xfe\x00\x01",
        "bomb": "a: &a [x,x]\n"
        + "".join(f"b{i}: &b{i} [*{'a' if not i else f'b{i - 1}'}" + ",*a]\n" for i in range(60)),
    }.items():
        for file in ("dvc.lock", "params.yaml", "versions.yaml"):
            yield f"{file}: {name}", with_file(f"/{file}", text)
    for path in ("evaluate/metrics.json", "train/fit.json", "synthesize/names.json"):
        for name, text in {
            "broken": '{"a": ',
            "empty": "",
            "a list": "[1]",
            "a number": "3",
            "nothing": "null",
            "deep": '{"test":' * 100_000,
            "bytes": b"\xff\xfe",
            "no number": '{"test": {"rmse": NaN}}',
            "infinite": '{"test": {"rmse": 1e999}}',
            "long": '{"test": {"rmse": ' + "9" * 5000 + "}}",
        }.items():
            yield f"{path}: {name}", with_file(path, text)
    metrics = "evaluate/metrics.json"
    for key, value in {
        "test": [1],
        "loo": "x",
        "fit": {"hyperparameters": {"noise.sd": [1]}},
        "certificate": {"alarms": MARKUP},
        "search": {"rbf": {"rank": "first"}},
        "truth": {"inside": {"rmse": "x"}},
    }.items():
        yield f"{metrics}: {key}", with_json(metrics, lambda made, key=key, value=value: made.update({key: value}))
    for name, text in NAUGHTY.items():
        yield f"alarm: {name}", with_json("train/fit.json", lambda fit, text=text: fit.update(alarms=[text]))
        yield (
            f"hyperparameter: {name}",
            with_json(metrics, lambda made, text=text: made["fit"]["hyperparameters"].update({text: 1.0})),
        )
        yield f"target: {name}", with_file("synthesize/names.json", json.dumps({"target": text}))
        yield f"study: {name}", named(text)
        yield f"parameter: {name}", with_params(lambda studies, text=text: studies["sine"].update({text: text}))
    yield "package: markup", with_file("/versions.yaml", json.dumps({MARKUP: MARKUP}))
    for path in ("predict/grid.csv", "synthesize/train.csv"):
        yield f"{path}: markup", with_file(path, f"'{MARKUP}',y,mean,sd_f,sd_y\n1,2,3,4,5\n")
    yield "study: a path", named("../../secret")
    yield "study: a number", named(2024)
    yield "study: nothing", named("")
    yield "study: a list", with_params(lambda studies: studies.update(sine=[1]))
    yield "parameter: a megabyte", with_params(lambda studies: studies["sine"].update(model="x" * 1_000_000))
    for path in ("synthesize/train.csv", "synthesize/test.csv", "predict/test.csv", "predict/loo.csv"):
        for name, text in {
            "empty": "",
            "bytes": b"\xff\xfe\x00\x01\x02",
            "one column": "x\n1\n",
            "words": "x,y,mean,sd_f,sd_y\na,b,c,d,e\n",
            "negative": "x,mean,sd_f,sd_y\n1,2,-3,-4\n",
            "ragged": "x,y\n1,2,3,4,5\n1\n",
            "twice": "x,x,y,y\n1,2,3,4\n",
        }.items():
            yield f"{path}: {name}", with_file(path, text)
    for path in ("predict/test.draws.npz", "predict/loo.draws.npz"):
        yield f"{path}: empty", with_file(path, "")
        yield f"{path}: bytes", with_file(path, b"PK\x03\x04 and no more")
        yield f"{path}: one number", with_file(path, arrays(means=np.ones(1)))
        yield f"{path}: other rows", with_file(path, arrays(means=np.ones((2, 3)), sds=np.ones((2, 3)), weights=[[1]]))
        yield f"{path}: a pickle", with_file(path, arrays(means=np.array([Path()], dtype=object)))
    for path in ("dvc.lock", "params.yaml", "versions.yaml", f"data/sine/{metrics}", "data/sine/train/fit.json"):
        yield f"link: {path}", with_link(path, "secret.json")
    yield "link: a table", with_link("data/sine/predict/test.csv", "secret.csv")


CASES = dict(cases())
# What a report reads too.  It is of one's own project, whose files may be links, as DVC's cache makes them.
IN_REPORT = ("evaluate/metrics.json", "train/fit.json", "synthesize/names.json", "alarm", "target", "predict/test.csv")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Return the repository, which each test leaves as it was."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "secret.json").write_text(json.dumps({"alarms": [SECRET], "test": {"rmse": 4711.0}, SECRET: 1}))
    (folder / "secret.dir").write_text(json.dumps([{"relpath": SECRET, "md5": "0" * 32}]))
    (folder / "secret.csv").write_text(f"{SECRET},mean,sd_f,sd_y\n1,2,3,4\n")
    (folder / "project").mkdir()
    made = Stranger(folder / "project")
    trivial = {"n": N, **score(forecast(1).observed, forecast(1).forecast)}
    made.add("sine", forecast(0.1), left_out=forecast(0.1, 1), trivial=trivial)
    made.write("/versions.yaml", "numpy: 2.4.6\n")
    made.write("/.gitignore", "/.dvc\n")
    made.outs["sine"]["predict"]["loo.csv"] = made.outs["sine"].pop("predict/loo.csv")
    made.outs["sine"]["train/fit.json"] = json.dumps({"fit": FIT, "certificate": CERTIFICATE, "alarms": []})
    made.commit()
    for path, content in made.outs["sine"].items():
        for name, text in (
            {f"{path}/{name}": text for name, text in content.items()} if isinstance(content, dict) else {path: content}
        ).items():
            made.write(name, text)
    made.git("add", ".")
    made.git("commit", "-q", "-m", "Outputs on disk")
    return made


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_line_or_shown_as_text(stranger, case):
    made, refused = [], []
    try:
        CASES[case](stranger)
        for make in (reviewed, reported) if case.partition(":")[0] in IN_REPORT else (reviewed,):
            try:
                made += make(stranger)
            except InputError as error:
                refused += error.messages
    finally:
        stranger.restore()
    assert made or refused
    assert not [line for line in refused if "\n" in line]
    for text in made + refused:
        assert SECRET not in text
        assert not [letter for letter in text if letter not in "\n\t" and unicodedata.category(letter) in HIDDEN]
    for page in made:
        assert "<script>alert" not in page
        assert "<img src=" not in page.replace('<img src="data:image/svg', "")


def reviewed(its):
    found = review(*(open_revision(name, its.path, its.cache) for name in ("main", WORKSPACE)))
    lines = found.markdown.splitlines()
    assert not [line for line in lines if line.startswith("# ")]
    return [found.markdown, without_scripts(found.html)]


def reported(its):
    with contextlib.chdir(its.path):
        return [without_scripts(report(read_all()))]


def without_scripts(page):
    """Return a page without Vega's own code."""
    before, _, rest = page.partition("<script>")
    return before + rest.partition("</script>")[2]


def test_what_is_as_it_should_be_is_not_refused(stranger):
    markdown, page = reviewed(stranger)
    assert "Nothing changed: sine." in markdown
    assert "unreadable" not in page
    (page,) = reported(stranger)
    assert "not as a stage writes" not in page


def test_bytes_that_are_not_those_recorded_are_not_shown(stranger):
    branch = stranger.keep(b"y,mean,sd_y\n1,2,3\n")
    file = stranger.cache / "files/md5" / branch[:2] / branch[2:]
    file.write_text(f"y,mean,sd_y\n{SECRET},2,3\n")
    try:
        record("train", branch)(stranger)
        with pytest.raises(InputError, match="not those recorded: `make verify-cache`"):
            open_revision(WORKSPACE, stranger.path, stranger.cache).output("sine", "train/fit.json")
    finally:
        stranger.restore()


def test_a_review_of_many_letters_stays_short(stranger):
    try:
        with_params(lambda studies: studies["sine"].update(model=["x" * 100] * 1000))(stranger)
        markdown, page = reviewed(stranger)
    finally:
        stranger.restore()
    assert len(markdown) < 20_000
    assert "characters)" in markdown
    assert "characters)" in page
