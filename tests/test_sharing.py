"""docs/sharing.md: what one clone computed another takes from a remote, and damage on the way is refused."""

import logging
import re
import shutil

import pytest
from conftest import ROOT, Project

DOCUMENT = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")
FOLDER = "/mnt/shared/gp-studies"  # the document's
MODEL = "data/sine/train/model.safetensors"
BUCKET = "s3://bucket/gp-studies"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester", "AWS_DEFAULT_REGION": "us-east-1"}
pytestmark = pytest.mark.slow


def do(project, command, written=None, exit_code=0):
    """Run a command of the document, of which one word may be `written` otherwise there; return what it printed."""
    old, new = written or ("", "")
    shown = command.replace(new, old) if new else command
    assert shown in DOCUMENT
    done = project.run(*command.split(), exit_code=exit_code, **CREDENTIALS)
    return done.stdout + done.stderr


def clone(project, path):
    project.run("git", "clone", "-q", ".", str(path))
    return Project(path)


def computed(project, *options):
    """Return the stages that `dvc repro` computes, which are not those whose outputs it takes from a cache."""
    printed = project.run("dvc", "repro", *options, **CREDENTIALS).stdout
    return set(re.findall(r"^Running stage '([^']+)'", printed, flags=re.MULTILINE))


def refused(printed):
    """Return the files that `dvc pull` says it could not bring."""
    return re.findall(r"^data/\S+$", printed.partition("Checkout failed for following targets:")[2], flags=re.MULTILINE)


def stored(project):
    """Return the hash of sine's model file in dvc.lock."""
    lock = (project.path / "dvc.lock").read_text(encoding="utf-8")
    return re.search(rf"path: {MODEL}\n\s+hash: md5\n\s+md5: (\w+)", lock)[1]


def flip(content):
    """Return bytes with one bit changed."""
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def damage(file):
    mode, content = file.stat().st_mode, file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(flip(content))
    file.chmod(mode)  # DVC looks at the permissions


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    """A clone whose results are in a folder remote, and the folder: not to be changed but by `store` and `first`."""
    folder = tmp_path_factory.mktemp("shared")
    project, store = finished.copy(folder / "first"), folder / "store"
    do(project, f"dvc remote add -d store {store}", (FOLDER, str(store)))
    do(project, "dvc remote modify store verify true")
    project.commit()
    do(project, "dvc push --run-cache")
    return project, store


@pytest.fixture
def store(shared, tmp_path):
    """The folder remote, which is made good after each test."""
    store = shared[1]
    shutil.copytree(store, tmp_path / "undamaged")
    yield store
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "undamaged", store)


@pytest.fixture
def first(shared, store, tmp_path):
    """A clone whose results are in the folder remote."""
    return shared[0].copy(tmp_path / "first")


def test_a_second_clone_computes_nothing(first, tmp_path):
    second = clone(first, tmp_path / "second")
    do(second, "dvc pull --run-cache")
    assert computed(second) == set()
    assert second.hashes("data") == first.hashes("data")
    assert second.run("git", "status", "--short").stdout == ""


def test_older_results_come_back_without_computing(first, tmp_path):
    first.edit("sine.predict.grid.n", 21)
    assert computed(first) == {"predict@sine", "evaluate@sine", "plot@sine"}
    first.commit()
    do(first, "dvc push --run-cache")
    second = clone(first, tmp_path / "second")
    do(second, "dvc pull --run-cache")

    second.edit("sine.predict.grid.n", 20)  # the older value, but not the older dvc.lock: the run-cache knows
    printed = do(second, "dvc repro --pull")
    assert set(re.findall(r"^Running stage '([^']+)'", printed, flags=re.MULTILINE)) == {"evaluate@sine"}
    assert "Stage 'predict@sine' is cached" in printed

    second.run("git", "checkout", "-q", "HEAD~1", "--", ".")  # the older dvc.lock too
    do(second, "dvc pull --run-cache")
    assert computed(second) == set()


def test_a_damaged_object_is_refused_and_can_be_replaced(first, tmp_path, store):
    md5 = stored(first)
    damaged = store / "files/md5" / md5[:2] / md5[2:]
    damage(damaged)
    second = clone(first, tmp_path / "second")
    assert refused(do(second, "dvc pull --run-cache", exit_code=1)) == [MODEL]
    model = second.path / MODEL
    assert not model.exists()
    assert (second.path / "data/sine/train/fit.json").exists()

    do(first, "dvc push --run-cache")
    assert damaged.exists()
    damaged.unlink()
    do(first, "dvc push --run-cache")
    do(second, "dvc pull --run-cache")
    assert model.read_bytes() == (first.path / MODEL).read_bytes()


def test_without_verify_damage_is_taken_silently_until_the_cache_is_verified(first, tmp_path, store):
    md5 = stored(first)
    damage(store / "files/md5" / md5[:2] / md5[2:])
    second = clone(first, tmp_path / "second")
    second.run("dvc", "remote", "modify", "store", "verify", "false")
    do(second, "dvc pull --run-cache")
    second.run("dvc", "status", "--quiet")  # exits with 0: all is up to date
    printed = second.within("review.lock.verify", "--cache", exit_code=1).stdout
    assert f"{MODEL} (train@sine)" in printed


@pytest.fixture
def server():
    """An S3 server on loopback with an empty bucket: its address and a client."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="tester",
        aws_secret_access_key="tester",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    yield address, client
    client.close()
    server.stop()


def test_a_server_that_speaks_s3_shares_results_and_refuses_damage(finished, tmp_path, server):
    address, client = server
    project = finished.copy(tmp_path / "first")
    do(project, f"dvc remote add -d store {BUCKET}", (FOLDER, BUCKET))
    do(project, "dvc remote modify store verify true")
    do(project, f"dvc remote modify store endpointurl {address}", ("https://s3.example.org", address))
    project.commit()
    do(project, "dvc push --run-cache")
    second = clone(project, tmp_path / "second")
    do(second, "dvc pull --run-cache")
    assert computed(second) == set()

    md5 = stored(project)
    where = {"Bucket": "bucket", "Key": f"gp-studies/files/md5/{md5[:2]}/{md5[2:]}"}
    client.put_object(**where, Body=flip(client.get_object(**where)["Body"].read()))
    third = clone(project, tmp_path / "third")
    assert refused(do(third, "dvc pull --run-cache", exit_code=1)) == [MODEL]
    assert not (third.path / MODEL).exists()
