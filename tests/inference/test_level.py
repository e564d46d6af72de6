"""Noise that changes, settled by filters (gp.inference.markov.level): equal to what dense matrices settle it to."""

import numpy as np
import pytest
import torch

import gp
from gp.fitted.noise import FoundNoise
from gp.inference.auto import MARKOV_ROWS, Auto
from gp.inference.exact import Exact
from gp.inference.markov import level
from gp.inference.markov.markov import Markov
from gp.inference.profile import profile_of
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.origins import predict_after
from gp.spec import InputError, parse
from gp.training import Problem
from gp.training.rows import Settled

MATERN = {"kind": "matern", "nu": 1.5, "lengthscale": 1.0}
CHANGING = {"kind": "heteroscedastic", "sd": 0.2, "kernel": {"kind": "matern", "nu": 2.5, "lengthscale": 2.0}}
DRIFT = {"kind": "product", "factors": {"decay": MATERN, "turn": {"kind": "cosine", "period_length": 3.0}}}
LEVELS = {"kind": "sum", "terms": {"slow": CHANGING["kernel"], "all": {"kind": "constant"}}}
SAME = 1e-8  # relative to the largest: both ways settle to eight digits


def _rows(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(0, 10, n)
    x[3:6] = x[0]
    return x, np.sin(2 * x) + np.exp(-2 + 1.2 * np.sin(x)) * rng.normal(size=n)


def _model(n, **model):
    x, y = _rows(n)
    written = {"kernel": MATERN, "noise": CHANGING, "mean": {"kind": "linear"}} | model
    return parse(Model, written).build(gp.Dataset(x=x[:, None], y=y, columns=("t",)))


@pytest.mark.parametrize(
    "model", [{}, {"kernel": DRIFT}, {"noise": CHANGING | {"kernel": LEVELS}}], ids=["matern", "drift", "levels"]
)
def test_it_is_what_dense_matrices_settle_to(model):
    dense = _model(90, **model)
    settled, filtered = Settled(Problem(dense, Exact()), dense.parameters.vector), Markov().prepare(dense, 0)
    assert not any(parameter.auxiliary for parameter in filtered.parameters.all)
    vector = filtered.parameters.vector
    expected, found = settled(vector), Markov().evaluate(filtered)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=SAME * np.abs(expected[1]).max())
    x = dense.inputs(np.array([-1.0, 0.5, 3.0, 9.9, 20.0])[:, None])
    (own, moments), (exact, same) = (
        (at, at.moments(x)) for at in (Markov().condition(filtered), Exact().condition(dense))
    )
    for left, right in (
        (moments.mean, same.mean),
        (moments.variance, same.variance),
        (own.gp.noise_variance(x), exact.gp.noise_variance(x)),
        *zip(own.leave_one_out(), exact.leave_one_out(), strict=True),
    ):
        np.testing.assert_allclose(left, right, rtol=0, atol=SAME * np.abs(right).max())
    as_numbers, expected_numbers = (at.gp.noise.numbers() for at in (own, exact))
    for name, values in expected_numbers.items():
        np.testing.assert_allclose(as_numbers[name], values, rtol=0, atol=10 * SAME * np.abs(values).max())


@pytest.mark.parametrize("integrated", [False, True])
def test_the_gradient_is_that_of_differences(integrated):
    model = Markov().prepare(_model(16), 0)
    method = Markov().integrating(model)[0] if integrated else Markov()
    options = {} if integrated else {"profile": profile_of(model)}
    vector = model.parameters.vector

    def at(moved):
        model.parameters.set(moved)
        return method.evaluate(model, gradient=False, **options)[0]

    slope = method.evaluate(model, **options)[1]
    for along in np.random.default_rng(0).normal(size=(2, len(vector))):
        along[profile_of(model).positions] = 0.0  # these are at their optimum, or integrated out
        difference = (at(vector + 1e-4 * along) - at(vector - 1e-4 * along)) / 2e-4
        assert slope @ along == pytest.approx(difference, rel=1e-6)


def test_where_y_hardly_tells_noise_from_function_it_settles_too():
    """Plain steps of the fixed point take more than a thousand here."""
    short = {"lengthscale": 0.012, "outputscale": 0.5}
    model = Markov().prepare(_model(150, kernel=MATERN | short, noise=CHANGING | {"sd": 0.0014}), 0)
    found = Markov().condition(model)
    alpha, diagonal = found.sites
    precision = 0.5 + 0.5 * found.noise.numpy() * (alpha**2 - diagonal)
    np.testing.assert_allclose(found.gp.noise.level.precision, precision, rtol=2 * level.REACHED)


def test_where_rows_say_nothing_of_the_level_it_settles_too():
    """Λ is next to nothing, as the function's share of a constant y: z = μ + D/Λ is huge."""
    data = gp.Dataset(x=np.arange(40.0)[:, None], y=np.ones(40), columns=("t",))
    for outputscale in (1e-4, 1e-8, 1e-10):
        written = {"kernel": MATERN | {"outputscale": outputscale}, "noise": CHANGING | {"sd": 1.0}}
        model = parse(Model, written).build(data)
        expected = Settled(Problem(model, Exact()), model.parameters.vector)(model.parameters.vector[:6])[0]
        assert Markov().evaluate(Markov().prepare(model, 0))[0] == pytest.approx(expected, abs=1e-8)


def test_slopes_of_bands_are_those_of_differences():
    x, y = _rows(30)
    written = {"kernel": CHANGING["kernel"], "noise": CHANGING}
    fitted = gp.fit(x, y, model=written, inference={"kind": "markov"}, train={"kind": "adam", "steps": 1})
    at, step = np.array([1.3, 5.1]), 1e-5
    ahead, behind = fitted.predict(at + step).sd_y, fitted.predict(at - step).sd_y
    np.testing.assert_allclose(fitted.gradient(at).sd_y[:, 0], (ahead - behind) / (2 * step), rtol=1e-5)


def test_with_all_hyperparameters_given_nothing_is_learnt(tmp_path):
    x, y = _rows(12)
    given = {"kind": "matern", "lengthscale": {"fixed": 1.0}, "outputscale": {"fixed": 1.0}}
    noise = {"kind": "heteroscedastic", "sd": {"fixed": 0.3}, "kernel": given}
    fitted = gp.fit(
        x, y, model={"kernel": given, "mean": {"kind": "zero"}, "noise": noise}, inference={"kind": "markov"}
    )
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(gp.load(tmp_path / "model").predict([1.0]).sd_y, fitted.predict([1.0]).sd_y)
    assert fitted.search is None


def test_a_level_that_does_not_settle_is_no_likelihood(monkeypatch):
    monkeypatch.setattr(level, "PASSES", 3)
    with pytest.raises(NotPositiveDefinite, match="level of the noise"):
        Markov().evaluate(Markov().prepare(_model(30), 0))


def test_steps_that_gain_nothing_are_shortened():
    mixing = level._Mixing()
    here, image = np.zeros(2), np.array([1.0, 2.0])
    first = [next(steps) for steps in [mixing.steps(here, image)]]
    np.testing.assert_array_equal(first[0], image)
    # Residuals of a linear map: the second step ends at its fixed point.
    slopes, fixed = np.array([0.5, 0.5]), np.array([2.0, 4.0])
    np.testing.assert_allclose(image, fixed + slopes * (here - fixed))
    steps = mixing.steps(image, fixed + slopes * (image - fixed))
    ahead = [next(steps) for _ in range(3)]
    np.testing.assert_allclose(ahead[0], fixed)
    np.testing.assert_allclose(ahead[1:], [image + (fixed - image) / 2, image + (fixed - image) / 4])


def test_a_model_on_disk_and_rolling_forecasts_have_it(tmp_path):
    x, y = _rows(60)
    written = {"kernel": MATERN, "noise": CHANGING}
    fitted = gp.fit(x, y, model=written, inference={"kind": "markov"}, train={"kind": "adam", "steps": 1})
    at = np.linspace(-1.0, 11.0, 7)
    fitted.save(tmp_path / "model")
    loaded = gp.load(tmp_path / "model")
    known, again = fitted.predict(at), loaded.predict(at)
    np.testing.assert_array_equal(known.y.sd, again.y.sd)
    assert len(loaded.vector) == len(loaded.hyperparameters)
    noise = known.sd_y**2 - known.sd_f**2
    assert noise.max() > 2 * noise.min()
    conditioned = fitted.inference.condition(fitted.gp)
    share = conditioned.gp.noise_variance(fitted.gp.x).mean()
    expected = share / (share + np.var(conditioned.training_mean()))
    assert FoundNoise.of(fitted.gp, conditioned) == (pytest.approx(expected), None)
    later = gp.Dataset(x=np.linspace(10.0, 11.0, 9)[:, None], y=10.0 * (-1.0) ** np.arange(9), columns=("t",))
    sd = predict_after(fitted, later, np.array([[11.5]])).sd_y
    assert sd > 2 * fitted.predict([11.5]).sd_y  # noise is settled with the rows that came since
    with pytest.raises(InputError, match="the noise is not that"):
        fitted.to_gpytorch()


def test_rows_left_out_say_nothing_of_the_noise_beside_them(monkeypatch):
    """An outlier makes the noise of rows beside it, and its own, large: left out, it did not."""
    x = np.linspace(0.0, 10.0, 40)
    y = np.sin(x) + 0.05 * np.random.default_rng(0).normal(size=40)
    y[20] += 3.0
    noise = CHANGING | {"sd": {"fixed": 0.1}, "kernel": {"kind": "matern", "lengthscale": {"fixed": 1.0}}}
    fitted = gp.fit(
        x,
        y,
        model={"kernel": MATERN, "noise": noise},
        inference={"kind": "markov"},
        train={"kind": "adam", "steps": 1},
    )
    (by_formula,) = fitted.settings("leave out", None)[0]
    sd = by_formula.leave_one_out()[1][20] * fitted.gp.scope.y_scale
    others = fitted.inference.condition(fitted.inference.restrict(fitted.gp, np.delete(np.arange(40), 20)))
    at = fitted.gp.x[20:21]
    exact = np.sqrt(others.moments(at).variance + others.gp.noise_variance(at))[0] * fitted.gp.scope.y_scale
    assert exact < 0.95 * sd
    monkeypatch.setattr("gp.fitted.own_share.FILTERED", 40)  # one row: that which pulls most
    assert fitted.leave_one_out["sd_y"][20] == pytest.approx(exact, rel=1e-6)
    monkeypatch.setattr("gp.fitted.own_share.FILTERED", 0)
    fitted.__dict__.pop("_own_share"), fitted.__dict__.pop("left_out"), fitted.__dict__.pop("leave_one_out")
    assert fitted.leave_one_out["sd_y"][20] == pytest.approx(sd, rel=1e-6)


def test_many_rows_in_order_are_taken_by_default_where_the_noise_has_states_too():
    n = MARKOV_ROWS + 1
    data = gp.Dataset(x=np.arange(n)[:, None], y=np.sin(np.arange(n)), columns=("t",))
    for kernel, kind in ((MATERN, "markov"), ({"kind": "rbf"}, "exact")):
        model = parse(Model, {"noise": {"kind": "heteroscedastic", "kernel": kernel}}).build(data)
        assert Auto().choices(model)[0].method.kind == kind


def test_a_level_without_states_is_refused_by_name():
    with pytest.raises(InputError, match=r"noise\.kernel: .*\(got rbf\): write inference: \{kind: auto\}"):
        gp.fit(
            np.arange(9.0),
            np.arange(9.0),
            model={"kernel": MATERN, "noise": {"kind": "heteroscedastic"}},
            inference={"kind": "markov"},
        )


def test_before_it_settles_noise_has_one_level_and_rows_stay_apart():
    model = Markov().prepare(_model(30), 0)
    np.testing.assert_allclose(model.noise_variance(model.x), np.full(30, torch.exp(2 * model.noise.log_sd).item()))
    assert model.distinct is model
    assert not profile_of(model).amplitude.any()
