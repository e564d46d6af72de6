"""The predictor of NumPy alone answers as the model does: every kernel, mean, noise, method, mixture and scaling."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pandas as pd
import pytest

import gp
from gp import export
from gp.model.kernels import Kernel
from gp.spec import kinds

RNG = np.random.default_rng(5)
X = RNG.uniform(0, 6, (30, 2)) * [1.0, 100.0]
Y = 50 + 10 * np.sin(X[:, 0]) + 0.02 * X[:, 1] + RNG.normal(size=30)
SITES = np.array(["b", "a", "2", "c"])
LEVELS = pd.DataFrame({"site": SITES[np.arange(30) % 4], "x": X[:, 0]})
AT = np.vstack([RNG.uniform(-1, 7, (12, 2)) * [1.0, 100.0], X[:2], X.mean(axis=0) + 1e4])
PLUG_IN = {"kind": "plug_in"}
FACTORS = {"slope": {"kind": "linear", "columns": ["x1"]}, "sum": {"kind": "sum", "terms": {"a": {"kind": "rbf"}}}}
KERNELS = {
    "changepoint": {"before": {"kind": "rbf"}, "after": {"kind": "matern", "nu": 0.5}, "column": "x1"},
    "cosine": {"columns": ["x1"]},
    "spectral_mixture": {"num_mixtures": 2},
    "sum": {"terms": {"rough": {"kind": "matern", "nu": 0.5}, "white": {"kind": "white"}, "line": {"kind": "linear"}}},
    "product": {"factors": FACTORS},
    "polynomial": {"power": 3},
    "periodic": {"ard": True},
    "matern": {"nu": 1.5, "columns": ["x2"]},
}
CYCLES = {"kind": "periodic", "period_length": {"fixed": 6.3}, "columns": ["x1"]}
OF_LEVELS = ("categorical", "low_rank")
CASES = {
    **{kind: {"model": {"kernel": {"kind": kind, **KERNELS.get(kind, {})}}} for kind in kinds(Kernel)},
    "no scaling": {"model": {"standardize": {"x": False, "y": False}}},
    "polynomial mean": {"model": {"mean": {"kind": "polynomial", "degree": 2}}},
    "zero mean": {"model": {"mean": {"kind": "zero"}}},
    "noise that changes": {"model": {"noise": {"kind": "heteroscedastic", "kernel": {"kind": "rbf"}}}},
    "outliers": {"model": {"noise": {"kind": "student_t"}}},
    "known noise": {"model": {"noise": {"kind": "known"}}, "noise_sd": np.linspace(0.5, 2, 30)},
    **{
        name: {"model": {"transform": transform}, "hyperparameters": {"kind": "laplace", "draws": 3}}
        for name, transform in {
            "log": {"kind": "log", "offset": 1.0},
            "sqrt": "sqrt",
            "box_cox": {"kind": "box_cox", "power": 0.3},
            "learnt": "yeo_johnson",
            "logit": {"kind": "logit", "lower": 20, "upper": 80},
        }.items()
    },
    "mixture": {"model": {"mean": {"kind": "linear"}}, "hyperparameters": {"kind": "laplace", "draws": 4}},
    "sgpr": {"inference": {"kind": "sgpr", "inducing": 8}},
    "svgp": {"inference": {"kind": "svgp", "inducing": 8, "epochs": 3}},
    "markov": {"inference": {"kind": "markov"}, "model": {"kernel": {"kind": "matern", "columns": ["x1"]}}},
    "markov, noise that changes": {
        "inference": {"kind": "markov"},
        "model": {
            "kernel": {"kind": "matern", "columns": ["x1"]},
            "noise": {"kind": "heteroscedastic", "kernel": {"kind": "matern", "columns": ["x2"]}},
        },
    },
    "harmonic": {"inference": {"kind": "harmonic"}, "model": {"kernel": CYCLES}},
    "flat mean": {"model": {"mean": {"kind": "linear"}}, "hyperparameters": {"kind": "flat_mean"}},
    "flat mean, sgpr": {
        "model": {"mean": {"kind": "polynomial"}},
        "inference": {"kind": "sgpr", "inducing": 8},
        "hyperparameters": {"kind": "flat_mean"},
    },
}


def written(folder):
    """Return the module that was written into a folder."""
    spec = spec_from_file_location("predictor", folder / "predictor.py")
    module = module_from_spec(spec)
    sys.modules["predictor"] = module  # as dataclasses ask
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CASES)
def test_it_answers_as_the_model_does(name, tmp_path):
    options = dict(CASES[name])
    hyperparameters = options.pop("hyperparameters", PLUG_IN)
    start = {"train": {"kind": "adam", "steps": 3} if hyperparameters is PLUG_IN else {"restarts": 0}}
    x, at = (LEVELS, LEVELS.assign(site=SITES[::-1][np.arange(30) % 4])) if name in OF_LEVELS else (X, AT)
    fitted = gp.fit(x, Y, **start, **options)
    export.export(fitted, tmp_path, hyperparameters=hyperparameters)
    expected = fitted.predict(at, hyperparameters=hyperparameters)
    found = written(tmp_path).Predictor().predict(at)
    close = {"rtol": 1e-10, "atol": 1e-10 * Y.std()}
    for part in ("mean", "sd_f", "sd_y"):
        np.testing.assert_allclose(getattr(found, part), getattr(expected, part), **close, err_msg=part)
    for probability in (0.001, 0.5, 0.9):
        np.testing.assert_allclose(found.quantile(probability), expected.y.quantile(probability), **close)
    np.testing.assert_allclose(found.interval(0.9), expected.y.interval(0.9), **close)


def test_a_folder_needs_numpy_alone_and_answers_a_table(tmp_path):
    fitted = gp.fit(X, Y, train={"restarts": 0})
    fitted.save(tmp_path / "model.safetensors")
    said = export.main([str(tmp_path / "model.safetensors"), str(tmp_path / "out"), "--plug-in"])
    assert said.startswith(f"{tmp_path / 'out'}: predictor.py")
    # Isolated: neither the project nor what is installed, but NumPy.
    code = (
        "import sys, numpy; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; "
        "sys.argv = sys.argv[1:]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'gp', 'pandas', 'scipy'} & {m.split('.')[0] for m in sys.modules}"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "out" / "predictor.py")]
    rows = "site,x2,x1\nA,120,1.5\nB,300.5,2\n"
    answer = subprocess.run(command, input=rows, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    header, first, second = answer.splitlines()
    assert header == "site,x2,x1,mean,sd_f,sd_y,q2.5,q50,q97.5"
    expected = fitted.predict([[1.5, 120], [2, 300.5]], hyperparameters=PLUG_IN)
    assert first.startswith("A,120,1.5,")
    np.testing.assert_allclose(float(second.split(",")[3]), expected.mean[1], rtol=1e-10)
    np.testing.assert_allclose(float(second.split(",")[-1]), expected.y.quantile(0.975)[1], rtol=1e-10)
    for bad, message in (("x1\n1\n", "no column 'x2'"), ("x1,x2\n1,a\n", "no list of numbers"), ("", "no column 'x1'")):
        refused = subprocess.run(command, input=bad, capture_output=True, text=True, cwd=tmp_path)
        assert refused.returncode == 1
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr


def test_arrays_that_repeat_are_stored_once(tmp_path):
    fitted = gp.fit(X, Y, train={"restarts": 0})
    export.export(fitted, tmp_path, hyperparameters={"kind": "laplace", "draws": 3})
    settings = json.loads((tmp_path / "model.json").read_text())["settings"]
    assert len(settings) == 3
    assert len({setting["sites"]["z"]["array"] for setting in settings}) == 1
    assert len({setting["sites"]["factor"]["array"] for setting in settings}) == 3


def test_what_has_no_form_in_numpy_is_refused(tmp_path, monkeypatch):
    vecchia = gp.fit(X, Y, inference={"kind": "vecchia", "neighbours": 5}, train={"kind": "adam", "steps": 1})
    with pytest.raises(gp.InputError, match="rows of its own"):
        export.export(vecchia, tmp_path / "out")
    monkeypatch.setattr("gp.model.kernels.stationary.Matern.formula", None)
    fitted = gp.fit(X, Y, train={"kind": "adam", "steps": 1})
    with pytest.raises(gp.InputError, match="kind matern has no formula in NumPy"):
        export.export(fitted, tmp_path / "out")
    assert not (tmp_path / "out").exists()
