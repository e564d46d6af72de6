"""Transforms of y: what is fitted and predicted with one, and what is said where it cannot be."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr
from scipy.stats import boxcox_llf, lognorm, yeojohnson_llf

import gp
from gp.dataset import Dataset
from gp.fitted.laplace import draw, with_spread
from gp.fitted.mixture import Mixture
from gp.forecast import Forecast
from gp.origins import predict_after
from gp.parallel import run_in_line
from gp.posterior import Posterior
from gp.sklearn import GaussianProcessRegressor
from gp.spec import InputError, parse
from gp.transforms import Transform

RNG = np.random.default_rng(0)
X = np.sort(RNG.uniform(0, 4, size=60))
Y = np.exp(1 + np.sin(2 * X) + 0.1 * RNG.standard_normal(60))
NEW = np.linspace(0, 4.5, 7)
RBF = {"kernel": {"kind": "rbf"}}
FAST = {"kind": "lbfgs", "restarts": 0}


@pytest.fixture(scope="module")
def of_log():
    """A model of log y by a transform, and one of log y as the column."""
    through = gp.fit(X, Y, model={**RBF, "transform": "log"}, train=FAST)
    return through, gp.fit(X, np.log(Y), model=RBF, train=FAST)


def test_a_model_of_log_y_is_the_model_of_the_column_log_y(of_log):
    through, column = of_log
    assert through.log_marginal_likelihood == pytest.approx(column.log_marginal_likelihood - np.log(Y).sum(), rel=1e-12)
    assert through.hyperparameters == pytest.approx(column.hyperparameters, rel=1e-12)
    seen, expected = through.predict(NEW), column.predict(NEW)
    np.testing.assert_allclose(seen.y.quantile(0.9), np.exp(expected.y.quantile(0.9)), rtol=1e-12)
    np.testing.assert_allclose(seen.y.log_density(Y[:7]), expected.y.log_density(np.log(Y[:7])) - np.log(Y[:7]))
    parts = [lognorm(s=sd, scale=np.exp(mean)) for mean, sd in zip(expected.y.means, expected.y.sds, strict=True)]
    mean = sum(w * part.mean() for w, part in zip(expected.y.weights[:, 0], parts, strict=True))
    np.testing.assert_allclose(seen.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(through.left_out.log_density(Y), column.left_out.log_density(np.log(Y)) - np.log(Y))
    np.testing.assert_allclose(through.leave_one_out["pit"], column.leave_one_out["pit"], rtol=1e-12)
    at_end = through.trace["nats_per_datum"].to_numpy()
    np.testing.assert_allclose(at_end, column.trace["nats_per_datum"].to_numpy() + np.log(Y).mean(), rtol=1e-12)


def test_draws_are_those_of_the_transform_taken_back(of_log):
    through, column = (fitted.joint(NEW) for fitted in of_log)
    np.testing.assert_allclose(through.sample(3, seed=1), np.exp(column.sample(3, seed=1)), rtol=1e-12)
    np.testing.assert_allclose(through.mean, of_log[0].predict(NEW).f.mean, rtol=1e-6)
    with pytest.raises(InputError, match=r"no closed form where y is transformed: take that of draws"):
        _ = through.covariance


def test_the_model_file_and_the_files_of_a_posterior_keep_the_transform(of_log, tmp_path):
    through, _ = of_log
    through.save(tmp_path / "model.safetensors")
    posterior = gp.load(tmp_path / "model.safetensors").predict(NEW)
    np.testing.assert_array_equal(posterior.mean, through.predict(NEW).mean)
    posterior.save(tmp_path / "test.csv")
    again = Posterior.load(tmp_path / "test.csv")
    assert again.y.transform == through.model.transform
    np.testing.assert_array_equal(again.y.quantile(0.1), posterior.y.quantile(0.1))
    through.left_out.save(tmp_path / "loo.csv", y=Y)
    np.testing.assert_array_equal(Forecast.load(tmp_path / "loo.csv").crps(Y), through.left_out.crps(Y))


def test_the_estimator_predicts_in_the_units_of_y(of_log):
    estimator = GaussianProcessRegressor(model={**RBF, "transform": "log"}, train=FAST).fit(X[:, None], Y)
    mean, sd = estimator.predict(NEW[:, None], return_std=True)
    expected = of_log[0].predict(NEW)
    np.testing.assert_allclose(mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(sd, expected.sd_y, rtol=1e-9)


def test_the_log_normal_distribution_is_right():
    made = Forecast(np.array([[0.3, -1.0]]), np.array([[0.4, 0.9]]), np.ones((1, 1)), parse(Transform, "log"))
    exact = lognorm(s=made.sds[0], scale=np.exp(made.means[0]))
    observed = np.array([1.1, 0.2])
    np.testing.assert_allclose(made.mean, exact.mean(), rtol=1e-14)
    np.testing.assert_allclose(made.sd, exact.std(), rtol=1e-14)
    np.testing.assert_allclose(made.log_density(observed), exact.logpdf(observed), rtol=1e-12)
    np.testing.assert_allclose(made.cdf(observed), exact.cdf(observed), rtol=1e-12)
    # Baran & Lerch 2015, eq. 5
    z = (np.log(observed) - made.means[0]) / made.sds[0]
    sd = made.sds[0]
    crps = observed * (2 * ndtr(z) - 1) - 2 * exact.mean() * (ndtr(z - sd) + ndtr(sd / np.sqrt(2)) - 1)
    np.testing.assert_allclose(made.crps(observed), crps, rtol=1e-7)
    assert not made.is_normal
    assert (~made.outside(observed, 0.95)).all()
    assert made.cdf(np.array([-1.0, 0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("kind", "llf"), [("box_cox", boxcox_llf), ("yeo_johnson", yeojohnson_llf)])
def test_without_a_function_the_power_is_that_of_independent_rows(kind, llf):
    y = RNG.gamma(2.0, size=80)
    noise = {"mean": {"kind": "constant"}, "kernel": {"kind": "constant", "constant": {"fixed": 1e-9}}}
    fitted = gp.fit(np.zeros(80), y, model={**noise, "transform": kind}, train=FAST)
    best = minimize_scalar(lambda power: -llf(power, y), bounds=(0, 2), method="bounded").x
    assert fitted.hyperparameters["transform.power"] == pytest.approx(best, abs=2e-3)


def test_power_and_hyperparameters_are_an_optimum_of_both():
    y = (2 + np.sin(2 * X) + 0.1 * RNG.standard_normal(60)) ** 3
    fitted = gp.fit(X, y, model={**RBF, "transform": "box_cox"}, train=FAST)
    power = fitted.hyperparameters["transform.power"]
    assert 0.1 < power < 0.6
    beside = [
        gp.fit(X, y, model={**RBF, "transform": {"kind": "box_cox", "power": other}}, train=FAST)
        for other in (power - 0.02, power, power + 0.02)
    ]
    values = [each.log_marginal_likelihood for each in beside]
    assert fitted.log_marginal_likelihood == pytest.approx(values[1], abs=1e-6)
    slope, curvature = (values[2] - values[0]) / 0.04, (values[2] - 2 * values[1] + values[0]) / 0.02**2
    assert curvature < 0
    assert abs(slope / curvature) < 2e-3


@pytest.fixture(scope="module")
def of_power():
    """A model whose power, outputscale and noise are unknown, by 256 draws."""
    y = (2 + np.sin(2 * X[::3]) + 0.3 * RNG.standard_normal(20)) ** 2
    kernel = {"kind": "rbf", "lengthscale": {"fixed": 0.7}}
    fitted = gp.fit(X[::3], y, model={"kernel": kernel, "mean": {"kind": "zero"}, "transform": "box_cox"}, train=FAST)
    return y, fitted, {"kind": "laplace", "draws": 256}


def test_a_learnt_power_is_integrated_over_as_on_a_grid(of_power):
    y, fitted, draws = of_power
    at, shares = np.array([0.5, 2.2, 4.2]), (0.025, 0.5, 0.975)
    start = fitted.gp.parameters.start
    sizes, noises = (centre + np.linspace(-4, 4, 41) for centre in fitted.modes[0].vector)
    prior = -0.5 * ((sizes[:, None] - start[0]) ** 2 + (noises - start[1]) ** 2) / 9
    scale, noise = np.exp(sizes)[:, None, None], np.exp(2 * noises)[:, None]
    apart = (X[::3, None] - np.append(X[::3], at)) / 0.7
    R, r = np.split(np.exp(-0.5 * apart**2), [20], axis=1)
    eigen, U = np.linalg.eigh(R)
    spread = scale * eigen + noise  # (41, 41, 20)
    logs, parts = [], []
    for power in np.linspace(0.025, 1.975, 40):
        transform = parse(Transform, {"kind": "box_cox", "power": power})
        z = transform.forward(y)
        target = U.T @ ((z - z.mean()) / z.std())
        values = -0.5 * (np.log(spread) + target**2 / spread).sum(axis=2) - 20 * np.log(z.std())
        logs.append(values + prior + transform.log_slope(y).sum())
        mean = np.einsum("abi,ij->abj", scale * target / spread, U.T @ r) * z.std() + z.mean()
        variance = scale - np.einsum("abi,ij->abj", scale**2 / spread, (U.T @ r) ** 2) + noise
        parts.append((transform, mean, np.sqrt(variance) * z.std()))
    weights = np.exp(logs - np.max(logs))
    weights /= weights.sum()
    found = fitted.predict(at, hyperparameters=draws)
    for share in shares:
        value = found.y.quantile(share)
        below = [ndtr((of.forward(value) - mean) / sd) for of, mean, sd in parts]
        np.testing.assert_allclose(np.einsum("pab,pabj->j", weights, below), share, atol=0.01)
    plug_in = fitted.predict(at, hyperparameters={"kind": "plug_in"})
    assert (np.diff(found.y.interval(0.95), axis=0) > np.diff(plug_in.y.interval(0.95), axis=0)).all()
    powers = weights.sum(axis=(1, 2)) @ np.linspace(0.025, 1.975, 40)
    low, high = fitted.certify(draws).intervals["transform.power"]
    assert low < powers < high
    drawn = fitted.mixture(draws).draws
    assert np.exp(drawn.log_weights) @ drawn.units[:, 0] == pytest.approx(powers, abs=0.02)
    assert drawn.effective > 0.75  # what is drawn is as wide as what is known


def test_a_mixture_over_powers_says_all_of_one_density(of_power, tmp_path):
    y, fitted, _ = of_power
    seen, left_out = fitted.predict(np.array([0.5, 4.2])), fitted.left_out
    seen.save(tmp_path / "test.csv")
    left_out.save(tmp_path / "loo.csv", y)
    again = Posterior.load(tmp_path / "test.csv").y
    np.testing.assert_array_equal(again.quantile(0.9), seen.y.quantile(0.9))
    np.testing.assert_array_equal(Forecast.load(tmp_path / "loo.csv").crps(y), left_out.crps(y))
    for forecast in (*(seen.y.at([i]) for i in range(2)), left_out.at([3])):
        t = np.geomspace(1e-7, 300, 6001)
        rows = np.zeros(6001, dtype=int)
        parts = [part[:, rows % part.shape[1]] for part in (forecast.means, forecast.sds, forecast.weights)]
        copies = Forecast(*parts, forecast.transform)
        density = np.exp(copies.log_density(t))
        mean = np.trapezoid(density * t, t)
        np.testing.assert_allclose(np.trapezoid(density, t), 1 - forecast.cdf(np.zeros(1)), atol=1e-5)
        np.testing.assert_allclose(forecast.mean, mean, rtol=1e-3)
        np.testing.assert_allclose(forecast.sd, np.sqrt(np.trapezoid(density * (t - mean) ** 2, t)), rtol=1e-2)
        for share in (0.03, 0.8):
            value = forecast.quantile(share)
            np.testing.assert_allclose(forecast.cdf(value), share, rtol=1e-9)
            np.testing.assert_allclose(ndtr(forecast.normal_score(value)), share, rtol=1e-9)
            crps = np.trapezoid((copies.cdf(t) - (t >= value)) ** 2, t)
            np.testing.assert_allclose(forecast.crps(value), crps, rtol=2e-2)


def test_a_power_is_drawn_with_a_saved_model_and_a_forecast_after_more_rows(of_power, tmp_path):
    fitted = replace(of_power[1])  # without the many draws
    expected = fitted.predict(NEW)
    fitted.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(gp.load(tmp_path / "model.safetensors").predict(NEW).mean, expected.mean)
    new = Dataset(x=np.array([[4.1]]), y=np.array([3.0]), columns=fitted.columns)
    after, update = predict_after(fitted, new, NEW[:, None]), fitted.update([4.1], [3.0])
    assert after.y.transform.is_mixed
    plain = replace(update.mixture().draws, log_weights=fitted.mixture().draws.log_weights)
    kept = Mixture.of(update.gp, update.mixture().method, plain).forecasts(update.gp.inputs(NEW[:, None]), None)
    np.testing.assert_allclose(after.y.quantile(0.9), kept.y.quantile(0.9), rtol=1e-9)


def test_an_optimum_that_gets_no_draws_changes_none_of_those_with_a_power(of_power):
    fitted = of_power[1]
    known = with_spread(fitted.gp, fitted.gp, fitted.inference, fitted.modes)
    far = replace(known[0], nats=known[0].nats - 30)
    parameters, places = fitted.gp.parameters, np.arange(len(known[0].vector))
    vectors, ratios = draw([known[0], far], parameters, places, 16)
    alone, expected = draw(known[:1], parameters, places, 16)
    np.testing.assert_array_equal(vectors, alone)
    np.testing.assert_array_equal(ratios, expected)
    # With all else held there is still a power to draw.
    held = replace(known[0], drawn=places[:0], curvature=np.zeros((0, 0)))
    (only,) = with_spread(fitted.gp, fitted.gp, fitted.inference, [held])
    vectors, _ = draw([only], parameters, places, 16)
    assert (vectors[:, :-1] == held.centre).all()
    assert len(np.unique(vectors[:, -1])) == 16


@pytest.mark.parametrize("x", [X[:9], X[:1]], ids=["constant", "one row"])
def test_a_power_of_a_y_that_does_not_vary_is_harmless(x):
    fitted = gp.fit(x, np.full(len(x), 3.0), model={**RBF, "transform": "box_cox"}, train=FAST)
    assert fitted.predict([1.0]).mean == pytest.approx(3, rel=1e-4)
    assert fitted.mixture().draws.units[:, 2] == pytest.approx(1)


@pytest.mark.parametrize(("transform", "y", "low"), [("box_cox", 14.0, 0.003), ("sqrt", 0.1, 0.05)])
def test_a_row_is_as_surprising_as_its_density_is_low_among_those_inside_the_domain(of_power, transform, y, low):
    fitted = replace(of_power[1])
    if transform == "sqrt":
        of_sqrt = (0.8 + 0.6 * np.random.default_rng(0).standard_normal(20)) ** 2
        fitted = gp.fit(X[::3], of_sqrt, model={**RBF, "transform": "sqrt"}, train=FAST)
    t = np.append(y, np.geomspace(1e-6, 1e4, 6001))
    forecast = fitted.predict(np.full(len(t), 9.0)).y
    density = forecast.log_density(t)
    of_z = density - fitted.model.transform.log_slope(t)
    share = np.exp(density[1:])
    expected = np.trapezoid(share * (of_z[1:] <= of_z[0]), t[1:]) / np.trapezoid(share, t[1:])
    assert forecast.cdf(np.zeros(1))[0] > low
    assert fitted.update([9.0], [y]).surprise.probability == pytest.approx(expected, abs=0.06)


def test_a_power_of_noise_with_rows_of_its_own_is_learnt_too():
    y = np.exp(np.sin(2 * X) + 0.05 * RNG.standard_normal(60))
    fitted = gp.fit(X, y, model={**RBF, "transform": "box_cox", "noise": {"kind": "student_t"}}, train=FAST)
    assert 0 <= fitted.hyperparameters["transform.power"] < 0.5


def test_a_search_varies_transforms_and_noises_in_the_units_of_y():
    search = {"transforms": {"raw": "none", "log": "log"}, "noises": {"one": {}, "t": {"kind": "student_t"}}}
    fitted = run_in_line(partial(gp.fit, X, Y, model={**RBF, "search": search}, train=FAST))
    assert set(fitted.ranking.index[:2]) == {"log, one", "log, t"}
    assert set(fitted.ranking.index[2:]) == {"raw, one", "raw, t"}
    alone = gp.fit(X, Y, model={**RBF, "transform": "log"}, train=FAST)
    best = fitted.ranking.loc["log, one"]
    assert best["loo_nlpd"] == pytest.approx(-alone.left_out.log_density(Y).mean(), rel=1e-9)
    assert best["log_marginal_likelihood"] == pytest.approx(alone.log_marginal_likelihood, rel=1e-9)


def test_rows_of_equal_inputs_count_each_with_its_own_slope():
    x, y = np.repeat(X[:20], 3), Y
    merged = gp.fit(x, y, model={**RBF, "transform": "log"}, train=FAST)
    column = gp.fit(x, np.log(y), model=RBF, train=FAST)
    assert merged.log_marginal_likelihood == pytest.approx(column.log_marginal_likelihood - np.log(y).sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("transform", "y", "message"),
    [
        ("log", [1.0, 0.0, 2.0], r"transform: y is 0 in row 1 \(1 such rows\), and log needs values above 0: write an"),
        (
            "sqrt",
            [1.0, -3.0, 2.0],
            r"sqrt needs values above 0: write an `offset` above 3 below transform, or `yeo_joh",
        ),
        ({"kind": "box_cox", "offset": 1.0}, [1.0, -3.0, 2.0], r"box_cox needs values above -1"),
        ("logit", [0.5, 1.0, 0.2], r"logit needs values between 0 and 1: write `lower` and `upper` below transform"),
        ({"kind": "logit", "lower": 2.0}, [0.5, 0.6, 0.2], r"lower must be less than upper \(got 2 and 1\)"),
        ({"kind": "box_cox", "power": -1.0}, [1.0, 2.0, 3.0], r"power: must be at least 0 \(got -1.0\)"),
        ("lg", [1.0, 2.0, 3.0], r"'lg' is no kind known here \(known: log, .*: did you mean log\?"),
    ],
)
def test_what_cannot_be_transformed_is_refused(transform, y, message):
    with pytest.raises(InputError, match=message):
        gp.fit(np.arange(3.0), np.array(y), model={**RBF, "transform": transform}, train=FAST)


def test_known_noise_is_of_y_itself():
    with pytest.raises(InputError, match=r"noise_sd is the standard deviation of y, not of its transform"):
        gp.fit(X, Y, noise_sd=np.full(60, 0.1), model={**RBF, "noise": {"kind": "known"}, "transform": "log"})
