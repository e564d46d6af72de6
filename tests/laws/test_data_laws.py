"""Every registered data source and prior keeps the laws of gp.testing, and a wrong one is caught."""

import dataclasses

import numpy as np
import pytest
from conftest import ROOT

from gp.data import Data
from gp.data.function import Function
from gp.parameters.priors import LogNormal, PositivePrior, RealPrior
from gp.testing import check_data, check_prior, examples

BIKE = {"path": "data/raw/diabetes.csv", "x": ["age", "bmi"], "y": "progression"}
BIKE |= {"units_row": False, "decimal": "."}  # how this file is written: no other value suits it
RECORDING = {"path": "data/raw/recording.csv", "time": "time", "trial": "trial", "signals": ["v1", "v2"]}
RECORDING |= {"units_row": False, "decimal": "."}
GIVEN = {
    "function": [
        {"function": "sin(x)", "n": 9, "range": [0, 1], "noise_sd": 0.1, "test": {"range": [-1, 2], "n": 5}},
        {"function": "x1 + x2", "n": 9, "range": [[0, 1], [2, 3]], "noise_sd": 0.1},
    ],
    "table": [{**BIKE, "holdout": {"fraction": 0.2}}, {**BIKE, "holdout": {"fraction": 0.2, "along": "age"}}, BIKE],
    "phases": [{**RECORDING, "holdout": {"fraction": 0.3}}, RECORDING],
    "oscillators": [
        {"system": {"kind": kind}, "trials": 2, "cycles": 3}
        for kind in ("van_der_pol", "fitzhugh_nagumo", "phase", "network")
    ],
}
SOURCES = examples(Data, GIVEN)
PRIORS = {
    **examples(
        PositivePrior,
        {"log_normal": [{"median": 0.7, "sigma": 0.3}], "gamma": [{"shape": 3.0, "rate": 2.0}]},
    ),
    **examples(RealPrior, {"normal": [{"mean": -1.0, "sd": 2.0}]}),
}


@pytest.mark.parametrize("spec", SOURCES.values(), ids=SOURCES)
def test_a_data_source_keeps_the_laws(spec, monkeypatch):
    monkeypatch.chdir(ROOT)
    drawn = {"fraction"} == set(spec.get("holdout", {}))  # of rows in a file only those held out are, if any
    check_data(spec, seeded=drawn or "path" not in spec)


@pytest.mark.parametrize("spec", PRIORS.values(), ids=PRIORS)
def test_a_prior_keeps_the_laws(spec):
    check_prior(spec)


class Unseeded(Function):
    """It draws by itself."""

    def sample(self, seed):
        train, test = super().sample(seed)
        noise = np.random.default_rng().normal(size=train.n)
        return dataclasses.replace(train, y=train.y + noise), test


class Deaf(Function):
    """It takes no notice of the seed."""

    def sample(self, seed):
        return super().sample(0)


class OldGenerator(Function):
    """It draws from NumPy's global generator."""

    def sample(self, seed):
        np.random.seed(seed)  # noqa: NPY002
        return super().sample(seed)


class OtherNames(Function):
    """Its rows have other names than it says."""

    def sample(self, seed):
        train, _ = super().sample(seed)
        return dataclasses.replace(train, columns=("time",)), None


class Leaking(Function):
    """It tests on what was trained on."""

    def sample(self, seed):
        train, _ = super().sample(seed)
        return train, train


WRONG = {
    Unseeded: "the same seed gives other training rows",
    Deaf: "another seed gives the same rows",
    OldGenerator: "global random state",
    OtherNames: "`columns` says",
    Leaking: "are among the training rows",
}


@pytest.mark.parametrize(("source", "law"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_data_source_is_caught(source, law):
    with pytest.raises(AssertionError, match=law):
        check_data(source(**GIVEN["function"][0]))


class NotNormalised(LogNormal):
    """Its density is another's, without the factor 1/θ."""

    def log_density(self, value):
        return super().log_density(value) + np.log(value)

    def slope(self, value):
        return super().slope(value) + 1 / value


class OtherSlope(LogNormal):
    """Its slope is by log θ."""

    def slope(self, value):
        return super().slope(value) * value


@pytest.mark.parametrize(("prior", "law"), [(NotNormalised, "integrates to one"), (OtherSlope, "the derivative")])
def test_a_wrong_prior_is_caught(prior, law):
    with pytest.raises(AssertionError, match=law):
        check_prior(prior(median=0.7, sigma=0.3))
