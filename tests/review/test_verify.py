"""dvc.lock is checked without data, the cache byte by byte; each fix that is printed works."""

import json
import os
import re
import shutil

import pytest
from pipeline import cached_file, call, make_pipeline, replace

from review.lock.verify import main


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return make_pipeline(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def pipeline(done, tmp_path):
    return done.copy(tmp_path / "project")


@pytest.fixture
def clone(done, tmp_path):
    """A fresh clone, as in CI: no outputs and no cache."""
    done.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    return type(done)(tmp_path / "clone")


def verify(project, *options, exit_code=0):
    return call(main, project, list(options), exit_code=exit_code)


def locked(project, path):
    """Return the hash that dvc.lock has of an output where it is made."""
    text = (project.path / "dvc.lock").read_text(encoding="utf-8")
    return re.findall(rf"path: {path}\n\s+hash: md5\n\s+md5: (\S+)", text)[0]


def flip(file):
    """Change one bit of a file, and nothing else of it."""
    mode, content = file.stat().st_mode, bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(mode)


def test_a_fresh_clone_without_data_is_up_to_date(clone):
    assert not (clone.path / "out/take").exists()
    assert "up to date: 2 stages" in verify(clone)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("params.yaml", "kind: rbf", "kind: matern", 'use.kind: "rbf" → "matern"'),
        ("versions.yaml", "2.4.6", "2.5.0", 'numpy: "2.4.6" → "2.5.0"'),
        ("code.py", "pass", "return", "code.py: "),
        ("raw/a.csv", "1", "3", "raw: "),
        ("out/metrics.json", "1", "2", "out/metrics.json: "),
        ("dvc.yaml", "cp raw/*", "cp -p raw/*", "command: "),
        ("dvc.yaml", "outs: [out/use.csv]", "outs: [out/use.csv, out/new.csv]", "out/new.csv: not in dvc.lock"),
    ],
)
def test_what_dvc_lock_does_not_know_is_named_with_the_fix(clone, name, old, new, said):
    replace(clone, name, old, new)
    printed = verify(clone, exit_code=1)
    assert said in printed
    assert "`dvc repro`, then commit" in printed


def test_a_missing_metrics_file_is_named(clone):
    (clone.path / "out/metrics.json").unlink()
    assert "out/metrics.json: missing" in verify(clone, exit_code=1)


def test_a_lock_merged_by_hand_contradicts_itself(clone):
    take = locked(clone, "out/take")
    text = (clone.path / "dvc.lock").read_text(encoding="utf-8")
    assert text.count(take) == 2  # as `take` made it, as `use` read it
    (clone.path / "dvc.lock").write_text(text.replace(take, f"{'0' * 32}.dir", 1), encoding="utf-8")
    assert f"out/take: made by take as 00000000, read as {take[:8]}" in verify(clone, exit_code=1)


def test_repro_and_a_commit_are_the_fix(pipeline):
    replace(pipeline, "params.yaml", "kind: rbf", "kind: matern")
    verify(pipeline, exit_code=1)
    pipeline.repro()
    assert "up to date" in verify(pipeline)


def test_a_whole_cache_has_no_damage(pipeline):
    assert "4 cached objects read, 0 of them damaged; 0 are not in the cache" in verify(pipeline, "--cache")
    assert "5 cached objects read, 0 of them damaged" in verify(pipeline, "--cache", "--all")  # metrics.json of a run


def test_an_empty_cache_says_how_much_is_not_there(clone):
    assert "0 cached objects read, 0 of them damaged; 2 are not in the cache" in verify(clone, "--cache")


def test_a_flipped_bit_that_dvc_restores_is_named_and_fixed_by_removing_the_object(pipeline):
    listing = json.loads(cached_file(pipeline, locked(pipeline, "out/take")).read_text(encoding="utf-8"))
    damaged = cached_file(pipeline, {entry["relpath"]: entry["md5"] for entry in listing}["b.csv"])
    flip(damaged)
    shutil.rmtree(pipeline.path / "out/take")
    pipeline.run("dvc", "checkout", "out/take")
    assert (pipeline.path / "out/take/b.csv").read_text(encoding="utf-8") != "x\n2\n"  # silently
    printed = verify(pipeline, "--cache", exit_code=1)
    assert "out/take/b.csv (take): the cached bytes have the MD5 hash" in printed
    assert str(damaged) in printed
    damaged.unlink()
    pipeline.repro()
    assert (pipeline.path / "out/take/b.csv").read_text(encoding="utf-8") == "x\n2\n"
    assert "0 of them damaged; 0 are not" in verify(pipeline, "--cache")


def test_outputs_edited_in_place_are_named_though_dvc_sees_nothing_and_the_fix_works(pipeline):
    pipeline.run("dvc", "status")  # DVC notes sizes and times
    for path in ("out/use.csv", "out/take/b.csv"):
        times = (pipeline.path / path).stat()
        flip(pipeline.path / path)
        os.utime(pipeline.path / path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "up to date" in pipeline.run("dvc", "status").stdout
    printed = verify(pipeline, "--cache", exit_code=1)
    assert "out/use.csv: the bytes on disk are not those that dvc.lock names" in printed
    for path in printed.partition("rm -f ")[2].partition("then")[0].replace("\\", "").split():
        (pipeline.path / path).unlink()
    pipeline.run("dvc", "checkout")
    assert (pipeline.path / "out/take/b.csv").read_text(encoding="utf-8") == "x\n2\n"
    assert "0 of them damaged" in verify(pipeline, "--cache")


@pytest.mark.parametrize("md5", ["ab/../../../etc/passwd", "12345", "[]"])
def test_a_hash_that_is_none_is_refused_by_every_check(pipeline, md5, capsys):
    replace(pipeline, "dvc.lock", locked(pipeline, "out/use.csv"), md5)
    for options in ([], ["--cache"]):
        verify(pipeline, *options, exit_code=1)
        assert "dvc.lock: stages.use.outs.1.md5: " in capsys.readouterr().err


def test_a_flipped_bit_in_a_folders_listing_is_named(pipeline):
    flip(cached_file(pipeline, locked(pipeline, "out/take")))
    assert "out/take (take): the cached bytes" in verify(pipeline, "--cache", exit_code=1)


def test_an_object_of_another_revision_is_read_with_all(pipeline):
    replace(pipeline, "raw/a.csv", "1", "3")
    old = cached_file(pipeline, locked(pipeline, "out/use.csv"))
    pipeline.repro()
    flip(old)
    assert "0 of them damaged" in verify(pipeline, "--cache")
    assert "not of this dvc.lock" in verify(pipeline, "--cache", "--all", exit_code=1)


@pytest.mark.slow
def test_the_pipeline_of_studies_is_verified_in_a_clone_without_data(finished, tmp_path):
    finished.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = type(finished)(tmp_path / "clone")
    assert "up to date: 10 stages" in verify(clone)
    clone.append("gp/model/means.py", "# edited\n")
    assert {"train@sine", "predict@sine", "train@lake"} <= set(verify(clone, exit_code=1).splitlines())


def test_tables_that_dvc_keeps_need_not_be_here(pipeline, tmp_path):
    pipeline.run("git", "rm", "-q", "--cached", "raw/b.csv")
    (pipeline.path / ".dvcignore").write_text("/raw/.gitignore\n")
    pipeline.run("dvc", "add", "-q", "raw/b.csv")
    pipeline.repro()
    pipeline.commit()
    pipeline.run("git", "clone", "-q", ".", str(tmp_path / "there"))
    there = type(pipeline)(tmp_path / "there")
    assert not (there.path / "raw/b.csv").exists()
    assert "is up to date" in verify(there)
    (there.path / "raw/a.csv").write_text("x\n7\n", encoding="utf-8")
    assert "raw: " in verify(there, exit_code=1)
