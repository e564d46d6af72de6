"""The library as it is installed anywhere: the wheel holds gp alone, and works outside the project."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution

import pytest
from conftest import ROOT

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, gp
from gp import export
assert gp.__file__.startswith(sys.argv[1]), gp.__file__
x = np.linspace(0, 6, 20)
fitted = gp.fit(x, np.sin(x), train={"restarts": 0})
export.export(fitted, "out", hyperparameters={"kind": "plug_in"})
fitted.save("model.safetensors")
assert np.array_equal(gp.load("model.safetensors").predict([1.0]).mean, fitted.predict([1.0]).mean)
assert not {"dvc", "altair", "stages", "review"} & {name.split(".")[0] for name in sys.modules}
print("works")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built without a network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--offline", "--quiet", "--out-dir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(out.glob("*.whl"))


def test_the_wheel_is_the_library_alone_and_works_elsewhere(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    assert {path.name for path in (tmp_path / "installed").iterdir()} == {"gp", "gp_studies-0.1.0.dist-info"}
    run = [sys.executable, "-I", "-W", "ignore", "-c", CODE, str(tmp_path / "installed")]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "works\n", done.stderr


def test_what_is_installed_for_the_pipeline_is_a_part_of_what_development_has():
    pipeline, development = (
        re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert not set(pipeline) & set(development)
    assert {"dvc", "altair", "torch"} <= set(pipeline)
    assert {"moto", "uv", "pre-commit", "pytest", "mypy", "botorch"} <= set(development)
    for name in ("numpy", "torch", "dvc", "pydantic"):
        assert distribution(name).version.partition("+")[0] in (ROOT / "requirements.lock").read_text(encoding="utf-8")
