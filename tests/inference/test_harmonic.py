"""Harmonic inference is exact inference of the same kernels."""

import math

import numpy as np
import pandas as pd
import pytest

import gp
from gp.dataset import Dataset
from gp.inference.harmonic import Harmonic
from gp.model.model import Model
from gp.spec import InputError, parse

TURN = 2 * math.pi
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.uniform(0, TURN, 150), "b": RNG.uniform(0, TURN, 150)})
Y = (1 + np.sin(X["a"]) + np.exp(np.cos(X["b"])) + 0.2 * RNG.normal(size=150)).to_numpy()
PERIOD = {"kind": "periodic", "period_length": {"fixed": TURN}}
ONE = {**PERIOD, "columns": ["a"], "lengthscale": 0.9, "outputscale": 1.7}
OTHER = {**PERIOD, "columns": ["b"], "lengthscale": 1.6, "outputscale": 0.6}
BOTH = {"kind": "sum", "terms": {"first": ONE, "second": OTHER}}
MEANS = [{"kind": "zero"}, {"kind": "constant", "value": 1.2}, {"kind": "linear"}]


def model(kernel=BOTH, mean=MEANS[1], **keys):
    return {"kernel": kernel, "mean": mean, "noise": {"kind": "gaussian", "sd": 0.3}, **keys}


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", [BOTH, ONE])
@pytest.mark.parametrize("standardize", [True, False])
def test_likelihood_and_gradient_are_exact(kernel, mean, standardize):
    written = model(kernel, mean, standardize={"x": standardize, "y": standardize})
    exact, slopes = gp.log_marginal_likelihood(X, Y, model=written, gradient=True)
    value, own = gp.log_marginal_likelihood(X, Y, model=written, inference={"kind": "harmonic"}, gradient=True)
    assert value == pytest.approx(exact, rel=1e-9)
    assert own.keys() == slopes.keys()
    for name, slope in slopes.items():
        assert own[name] == pytest.approx(slope, rel=1e-6, abs=1e-7), name


def test_predictions_and_leave_one_out_are_exact():
    written = model(mean={"kind": "constant", "value": {"fixed": 1.2}})
    exact, own = (gp.fit(X, Y, model=written, inference={"kind": kind}) for kind in ("exact", "harmonic"))
    assert own.log_marginal_likelihood == pytest.approx(exact.log_marginal_likelihood, abs=1e-3)
    # At the same hyperparameters, whichever search ended a thousandth of a nat higher.
    same = {**written, "kernel": _fixed(own)}
    same["noise"] = {"kind": "gaussian", "sd": {"fixed": own.hyperparameters["noise.sd"]}}
    exact, own = (gp.fit(X, Y, model=same, inference={"kind": kind}) for kind in ("exact", "harmonic"))
    new = pd.DataFrame({"a": np.linspace(-1, 8, 9), "b": np.linspace(8, -1, 9)})
    one, two = exact.predict(new), own.predict(new)
    assert two.mean == pytest.approx(one.mean, abs=1e-7)
    assert two.sd_f == pytest.approx(one.sd_f, rel=1e-6)
    assert two.sd_y == pytest.approx(one.sd_y, rel=1e-7)
    assert own.leave_one_out["mean"].to_numpy() == pytest.approx(exact.leave_one_out["mean"].to_numpy(), abs=1e-7)
    assert own.leave_one_out["sd_y"].to_numpy() == pytest.approx(exact.leave_one_out["sd_y"].to_numpy(), rel=1e-7)
    # A term is that of exact inference but for a constant.
    apart = two.components["first"].mean - one.components["first"].mean
    assert np.ptp(apart) < 1e-7


def _fixed(fitted):
    values = fitted.hyperparameters
    return {
        "kind": "sum",
        "terms": {
            name: {
                **PERIOD,
                "columns": [column],
                "lengthscale": {"fixed": values[f"kernel.{name}.lengthscale"]},
                "outputscale": {"fixed": values[f"kernel.{name}.outputscale"]},
            }
            for name, column in (("first", "a"), ("second", "b"))
        },
    }


def test_terms_are_centred():
    fitted = gp.fit(X, Y, model=model(), inference={"kind": "harmonic"})
    circle = np.arange(60) * TURN / 60
    parts = fitted.predict(pd.DataFrame({"a": circle, "b": circle})).components
    for part in parts.values():
        assert part.mean.mean() == pytest.approx(0, abs=1e-9)
    assert np.corrcoef(parts["first"].mean, np.sin(circle))[0, 1] > 0.99


def test_features_that_are_too_few_are_refused_with_the_fix():
    written = model({**ONE, "lengthscale": {"fixed": 0.05}})
    with pytest.raises(InputError, match=r"harmonics leave out .* raise inference.harmonics"):
        gp.fit(X, Y, model=written, inference={"kind": "harmonic"})
    value = gp.log_marginal_likelihood(X, Y, model=written, inference={"kind": "harmonic", "harmonics": 200})
    assert value == pytest.approx(gp.log_marginal_likelihood(X, Y, model=written), rel=1e-8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": {"kind": "rbf"}}, "takes a periodic kernel, or a sum of such"),
        ({"kernel": {"kind": "periodic", "columns": ["a"]}}, "needs a known period"),
        ({"kernel": PERIOD}, "over one column each"),
        ({"noise": {"kind": "student_t"}}, "noise of kind gaussian"),
    ],
)
def test_other_models_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        gp.fit(X, Y, model={**model(), **changes}, inference={"kind": "harmonic"})


def test_rows_are_read_once():
    """An evaluation does not see the rows again."""
    data = Dataset(x=X.to_numpy(), columns=("a", "b"), y=Y)
    process, method = parse(Model, model(), "model").build(data), Harmonic()
    first, _ = method.evaluate(process)
    process.__dict__["x"] = process.x[:1]
    assert method.evaluate(process)[0] == first
