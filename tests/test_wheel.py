"""The library as it is installed anywhere: pip takes the wheel, which works outside the project."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import distribution

import pytest
from conftest import ROOT

CODE = """
import importlib, os, pkgutil, runpy, sys
import numpy as np, gp_studies as gp
assert gp.__file__.startswith(sys.prefix), gp.__file__
for module in pkgutil.walk_packages(gp.__path__, "gp_studies."):
    importlib.import_module(module.name)
x = np.linspace(0, 6, 20)
fitted = gp.fit(x, np.sin(x), train={"restarts": 0})
fitted.save("model.safetensors")
assert np.array_equal(gp.load("model.safetensors").predict([1.0]).mean, fitted.predict([1.0]).mean)
later, paths, slopes = fitted.update([7.0], [0.6]), fitted.sample_paths(2, seed=0), fitted.gradient([1.0])
fitted.report("page.html")
gp.sklearn.GaussianProcessRegressor().fit(x[:, None], np.sin(x)).predict(x[:, None])
assert not {"gp", "dvc", "altair", "stages", "review"} & {name.split(".")[0] for name in sys.modules}
print(float(fitted.predict([1.0]).mean[0]), flush=True)
sys.argv[1:] = ["model.safetensors", "out"]
runpy.run_module("gp_studies.export", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built without a network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as packed:
        files = packed.namelist()
    assert {name.split("/")[0] for name in files} == {"gp_studies", "gp_studies-0.1.0.dist-info"}
    modules = {path.relative_to(ROOT / "gp").as_posix() for path in (ROOT / "gp").rglob("*.py")}
    assert {name.removeprefix("gp_studies/") for name in files if name.endswith(".py")} == modules


def test_pip_installs_it_anywhere(wheel, tmp_path):
    """In an environment of its own, whose other packages are those of the tests, in an empty folder."""
    environment, folder = tmp_path / "environment", tmp_path / "folder"
    venv.create(environment, with_pip=False)
    folder.mkdir()
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, text=True)
    packages = next(environment.glob("lib/*/site-packages"))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    run = [str(python), "-I", "-W", "ignore", "-c", CODE]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = [str(python), "out/predictor.py"]
    told = subprocess.run(asked, cwd=folder, input="x\n1.0\n", check=True, capture_output=True, text=True).stdout
    assert float(told.splitlines()[1].split(",")[1]) == pytest.approx(float(done.stdout.splitlines()[0]), rel=1e-10)


def test_what_is_installed_for_the_pipeline_is_a_part_of_what_development_has():
    pipeline, development = (
        re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert not set(pipeline) & set(development)
    assert {"dvc", "altair", "torch"} <= set(pipeline)
    assert {"moto", "uv", "hatchling", "pre-commit", "pytest", "mypy", "botorch"} <= set(development)
    for name in ("numpy", "torch", "dvc", "pydantic"):
        assert distribution(name).version.partition("+")[0] in (ROOT / "requirements.lock").read_text(encoding="utf-8")
