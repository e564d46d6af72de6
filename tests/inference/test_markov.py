"""Inference of kind markov: equal to dense matrices over all kernels that it takes, whatever steps and lanes."""

import numpy as np
import pytest

import gp
from gp.inference.exact import Exact
from gp.inference.markov import lanes
from gp.inference.markov.markov import Markov
from gp.inference.profile import profile_of
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import GaussianProcess, Model
from gp.spec import InputError, parse

SAME = 1e-9  # relative to the largest element
YEAR = {"kind": "periodic", "period_length": 3.0, "lengthscale": 0.8}


def _matern(nu, **given):
    return {"kind": "matern", "nu": nu, **given}


def _sum(**terms):
    return {"kind": "sum", "terms": terms}


def _product(**factors):
    return {"kind": "product", "factors": factors}


DECAYS = {f"matern {nu}": _matern(nu, lengthscale=1.0) for nu in (0.5, 1.5, 2.5)}
DECAYS |= {"sum of materns": _sum(a=_matern(2.5, lengthscale=4.0), b=_matern(0.5, lengthscale=0.2))}
DECAYS |= {"product of materns": _product(a=_matern(1.5, lengthscale=4.0), b=_matern(2.5, lengthscale=0.5))}
KERNELS = DECAYS | {
    "cosine": {"kind": "cosine", "period_length": 3.0},
    "periodic": YEAR,
    "linear": {"kind": "linear"},
    "polynomial": {"kind": "polynomial", "power": 3},
    "constant": {"kind": "constant"},
    "white": {"kind": "white"},
    "quasi-periodic": _product(decay=_matern(1.5, lengthscale=5.0), year=YEAR),
    "periods multiplied": _product(day={"kind": "cosine", "period_length": 1.0}, year=YEAR),
    "slope that drifts": _product(decay=_matern(2.5, lengthscale=5.0), line={"kind": "linear"}),
    "all": _sum(
        trend=_sum(line={"kind": "linear"}, level={"kind": "constant"}),
        drifting=_product(decay=_matern(1.5), of=_sum(year=YEAR, line={"kind": "polynomial", "power": 2})),
        rough=_matern(0.5, lengthscale=0.3),
        specks={"kind": "white"},
    ),
}


def _model(kernel, x, noise="gaussian", mean="linear", **others):
    rng = np.random.default_rng(1)
    data = gp.Dataset(
        x=x[:, None],
        y=np.sin(x) + 0.1 * np.minimum(x, 20) + 0.2 * rng.normal(size=len(x)),
        noise_sd=rng.uniform(0.1, 0.3, len(x)) if noise == "known" else None,
        columns=("t",),
    )
    model = parse(Model, {"kernel": kernel, "noise": {"kind": noise}, "mean": {"kind": mean}, **others}).build(data)
    vector = model.parameters.vector
    model.parameters.set(vector + 0.1 * rng.normal(size=len(vector)))
    return model


def _said(method, model, at):
    """Return all that a method says of the model at its hyperparameters."""
    vector = model.parameters.vector
    value, gradient = method.evaluate(model)
    highest, slope = method.evaluate(model, profile=profile_of(model))
    there = model.parameters.vector
    model.parameters.set(vector)
    conditioned = method.condition(model)
    moments = conditioned.moments(model.inputs(at[:, None]))
    return {
        "value": value,
        "gradient": gradient,
        "profiled": highest,
        "its gradient": slope,
        "where": there,
        "mean": moments.mean,
        "variance": moments.variance,
        "fitted": conditioned.training_mean(),
        **dict(zip(("left out", "its sd"), conditioned.leave_one_out(), strict=True)),
        **{f"{name} {part}": of[part] for name, of in moments.terms.items() for part in (0, 1)},
    }


def _require_equal(found, expected, scale=1.0, rtol=SAME):
    for name, right in expected.items():
        # The gradient at a profiled optimum is what is left of parts that cancel.
        size = np.abs(expected["gradient"] if name == "its gradient" else right).max()
        np.testing.assert_allclose(found[name], right, rtol=0, atol=rtol * scale * max(size, 1e-3), err_msg=name)


def _steps(n):
    x = np.random.default_rng(n).uniform(0, 10, n)
    x[3:6] = x[0]
    return x, np.concatenate([[-3.0, 0.0, 12.0, 40.0], x[:4], np.linspace(0.1, 9.7, 9)])


@pytest.mark.parametrize("name", KERNELS)
def test_it_is_exact(name):
    x, at = _steps(120)
    model = _model(KERNELS[name], x)
    _require_equal(_said(Markov(), model, at), _said(Exact(), model, at))


@pytest.mark.parametrize("name", DECAYS)
def test_it_is_exact_whatever_the_steps(name):
    """Rows that share inputs, a cluster a billionth wide, and steps a billion times the range of the others."""
    x, at = _steps(150)
    x[50:80] = x[50] + 1e-9 * np.arange(30)
    x[-1], x[-2] = 1e9, -1e4
    # Standardised, all but two would be one input.
    model = _model(DECAYS[name], x, mean="constant", standardize={"x": False})
    _require_equal(_said(Markov(), model, at), _said(Exact(), model, at), scale=10.0)


@pytest.mark.parametrize("noise", ["gaussian", "known"])
def test_rows_that_share_inputs_are_one_row(noise):
    x = np.repeat(np.arange(20.0), 5)
    model, at = _model(_matern(1.5), x, noise), np.linspace(-1, 21, 12)
    assert model.distinct.n == 20
    _require_equal(_said(Markov(), model, at), _said(Exact(), model, at))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 17])
def test_few_rows_are_as_exact_as_many(n):
    x = np.linspace(0, 3, n)
    model = _model(_matern(2.5), x, mean="zero")
    found, expected = (method.evaluate(model) for method in (Markov(), Exact()))
    np.testing.assert_allclose(found[0], expected[0], rtol=SAME)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=SAME * n)


def test_lanes_that_go_a_few_at_a_time_say_the_same(monkeypatch):
    x, at = _steps(300)
    model = _model(KERNELS["all"], x)
    expected = _said(Markov(), model, at)
    monkeypatch.setattr(lanes, "KEPT", 0)
    monkeypatch.setattr(lanes, "SHARE", 2**19)
    parts = []
    passes = lanes.Lanes.backward
    monkeypatch.setattr(lanes.Lanes, "backward", lambda self, *a: parts.append(a[0]) or passes(self, *a))
    _require_equal(_said(Markov(), model, at), expected)
    assert len(set(map(str, parts))) > 3


def test_a_fit_is_that_of_dense_matrices_and_predicts_after_loading(tmp_path):
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 40, 600))
    y = np.sin(x) + 0.2 * rng.normal(size=600)
    fits = [gp.fit(x, y, inference={"kind": kind}, model={"kernel": _matern(1.5)}) for kind in ("markov", "exact")]
    np.testing.assert_allclose(*(fitted.log_marginal_likelihood for fitted in fits), rtol=0, atol=1e-3)
    fits[0].save(tmp_path / "model.safetensors")
    found, loaded = (fitted.predict([1.0, 50.0]) for fitted in (fits[0], gp.load(tmp_path / "model.safetensors")))
    np.testing.assert_array_equal(found.f.mean, loaded.f.mean)
    assert "gap_to_exact" not in fits[0].report()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kernel": {"kind": "rbf"}}, r"\(got rbf\)"),
        ({"kernel": _sum(a=_matern(0.5), b={"kind": "rational_quadratic"})}, r"\(got rq\)"),
        ({"noise": {"kind": "student_t"}}, "takes noise of kind gaussian, known or heteroscedastic"),
    ],
)
def test_what_has_no_state_space_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        gp.fit(np.arange(20.0), np.arange(20.0), model=model, inference={"kind": "markov"})


def _nearly_noiseless(nu: float, sd: float) -> GaussianProcess:
    x = np.concatenate([np.arange(10.0), 5 + 1e-6 * np.arange(1, 6)])
    data = gp.Dataset(x=x[:, None], y=np.sin(x), noise_sd=np.full(15, sd), columns=("t",))
    return parse(Model, {"kernel": _matern(nu), "noise": {"kind": "known"}}).build(data)


@pytest.mark.parametrize("sd", [1e-8, 1e-10, 1e-14, 1e-20])  # whether rounding leaves a variance positive differs
@pytest.mark.parametrize("nu", [1.5, 2.5])
def test_rows_too_near_for_their_noise_have_no_factor(nu, sd):
    said = rf"n=15 rows in order is not positive definite where the data's smallest noise_sd is {sd:g}: give larger"
    with pytest.raises(NotPositiveDefinite, match=said):
        Markov().evaluate(_nearly_noiseless(nu, sd))


@pytest.mark.parametrize("step", [0.1, 1.0])
@pytest.mark.parametrize("nu", [1.5, 2.5])
@pytest.mark.parametrize("sd", [1e-5, 1e-7, 1e-9, 1e-10, 1e-14, 1e-20])
def test_lanes_that_rounding_parts_are_refused_or_say_what_dense_matrices_do(nu, step, sd):
    x = step * np.arange(15.0)
    data = gp.Dataset(x=x[:, None], y=np.sin(x), noise_sd=np.full(15, sd), columns=("t",))
    model = parse(Model, {"kernel": _matern(nu), "noise": {"kind": "known"}}).build(data)
    try:
        value = Markov().evaluate(model)[0]
    except NotPositiveDefinite:
        assert sd < 1e-8
    else:
        assert value == pytest.approx(Exact().evaluate(model)[0], abs=0.05)


@pytest.mark.parametrize("n", [4, 5, 6, 8, 11])
def test_a_few_rows_on_a_line_are_fitted(n):
    x = np.arange(float(n))
    fitted = gp.fit(x, 2 * x + 1, model={"kernel": _matern(2.5)}, inference={"kind": "markov"})
    assert fitted.predict([1.5]).f.mean == pytest.approx(4.0, abs=0.1)
    assert not any("no likelihood" in alarm for alarm in fitted.certificate.alarms)


@pytest.mark.parametrize(("nu", "sd", "nats"), [(0.5, 1e-20, 1e-8), (1.5, 1e-6, 1e-3), (2.5, 1e-6, 1e-3)])
def test_rows_that_their_noise_or_a_rough_function_holds_apart_have_one(nu, sd, nats):
    model = _nearly_noiseless(nu, sd)
    np.testing.assert_allclose(Markov().evaluate(model)[0], Exact().evaluate(model)[0], rtol=0, atol=nats)


def test_known_noise_of_any_range_has_a_factor():
    x = np.arange(40.0)
    data = gp.Dataset(x=x[:, None], y=np.sin(x), noise_sd=np.geomspace(1e-6, 1e9, 40), columns=("t",))
    model = parse(Model, {"kernel": _matern(1.5), "noise": {"kind": "known"}}).build(data)
    np.testing.assert_allclose(Markov().evaluate(model)[0], Exact().evaluate(model)[0], rtol=1e-9)


def test_two_inputs_are_refused_but_one_of_two_is_taken():
    x = np.random.default_rng(0).normal(size=(40, 2))
    data = gp.Dataset(x=x, y=x[:, 0], columns=("a", "b"))
    with pytest.raises(InputError, match=r"a kernel of one input \(got 2\)"):
        Markov().check_model(Model().build(data))
    model = parse(Model, {"kernel": _matern(1.5, columns=["b"])}).build(data)
    np.testing.assert_allclose(Markov().evaluate(model)[0], Exact().evaluate(model)[0], rtol=SAME)


def test_a_lengthscale_that_needs_too_many_harmonics_is_refused():
    x, _ = _steps(50)
    model = _model({**YEAR, "lengthscale": {"fixed": 0.02}}, x)
    with pytest.raises(NotPositiveDefinite, match="harmonics leave out"):
        Markov().evaluate(model)


def test_the_likelihood_is_that_of_an_autoregression():
    """Matérn-1/2 at equal steps is a first-order autoregression of variance 1, e^(−step/ℓ) its coefficient."""
    rng = np.random.default_rng(3)
    y, coefficient = rng.normal(size=50), np.exp(-0.5 / 2.0)
    written = {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "zero"},
        "kernel": _matern(0.5, lengthscale=2.0, outputscale=1.0),
        "noise": {"sd": 1e-6},
    }
    found = gp.log_marginal_likelihood(0.5 * np.arange(50.0), y, model=written, inference={"kind": "markov"})
    sd = np.sqrt(1 - coefficient**2)
    steps = (y[1:] - coefficient * y[:-1]) / sd
    expected = -0.5 * (y[0] ** 2 + steps @ steps) - 49 * np.log(sd) - 25 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_no_matrix_over_the_rows_is_made():
    x = np.linspace(0, 1000, 50_000)
    model = _model(_matern(1.5, lengthscale=1.0), x, mean="constant")
    value, gradient = Markov().evaluate(model)  # dense: 20 GB
    assert np.isfinite(value)
    assert gradient.shape == model.parameters.vector.shape
