"""Integration over hyperparameters: draws, their weights, the mixture that predicts, and the intervals that hold."""

import math

import numpy as np
import pytest
from scipy import stats

import gp
from gp.fitted import mixture
from gp.fitted.draws import Draws
from gp.fitted.laplace import Mode, draw
from gp.fitted.pareto import effective, fit, smoothed, tempered
from gp.fitted.priors import WIDTH
from gp.forecast import Forecast
from gp.spec import InputError
from gp.training import Problem

RNG = np.random.default_rng(0)
X = RNG.uniform(size=30)
Y = np.sin(6 * X) + 0.2 * RNG.normal(size=30)
RBF = {"kernel": {"kind": "rbf"}}
PLUG_IN, LAPLACE = {"kind": "plug_in"}, {"kind": "laplace", "draws": 64}
NEW = np.linspace(-0.5, 1.5, 9)


@pytest.fixture(scope="module")
def fitted():
    return gp.fit(X, Y, model=RBF)


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [-0.3, 0.3, 0.9])
def test_shape_and_scale_of_a_pareto_tail_are_found(k):
    values = np.sort(stats.genpareto.rvs(k, scale=2.0, size=20_000, random_state=0))
    assert fit(values) == pytest.approx((k, 2.0), abs=0.08)


def test_smoothed_weights_sum_to_one_and_keep_their_order():
    logs = 3 * RNG.normal(size=400)
    found, k = smoothed(logs)
    assert np.exp(found).sum() == pytest.approx(1)
    assert (np.diff(found[np.argsort(logs)]) >= -1e-12).all()
    assert k > 0.7
    equal, k = smoothed(np.full(50, -7.0))
    assert np.exp(equal) == pytest.approx(np.full(50, 0.02))
    assert k == -math.inf


def test_smoothed_weights_are_quantiles_of_the_tails_distribution():
    """A fifth of few weights; between the edges of m equal parts."""
    logs = np.random.default_rng(1).normal(size=50)
    weights = np.sort(np.exp(logs - logs.max()))
    cut, tail = weights[-11], weights[-10:]
    k, scale = fit(tail - cut)
    expected = np.minimum(cut + stats.genpareto.ppf((np.arange(10) + 0.5) / 10, k, scale=scale), 1.0)
    found, said = smoothed(logs)
    found = np.sort(np.exp(found))
    assert said == k
    np.testing.assert_allclose(found[-10:] / found[0], expected / weights[0])


def test_a_tail_of_one_weight_among_none_is_smoothed():
    found, k = smoothed(-np.exp(np.random.default_rng(2).uniform(4, 25, 256)))
    assert k > 100
    assert np.logaddexp.reduce(found) == pytest.approx(0)


def test_no_smoothed_weight_is_above_the_largest():
    logs = 3 * np.random.default_rng(4).normal(size=100)
    found, _ = smoothed(logs)
    least = np.argmin(logs)  # not in the tail, so as it was but for the sum
    assert (found - found[least]).max() == pytest.approx(np.ptp(logs))


def test_the_shape_of_a_short_tail_is_drawn_towards_a_half_as_by_ten_more_weights():
    """By Zhang & Stephens' own estimate of θ = −k/σ, of which k follows: the mean of log(1 − θ values)."""
    values = np.sort(stats.genpareto.ppf((np.arange(30) + 0.5) / 30, 0.2))
    k, scale = fit(values)
    theta = -(k + 10 / 30 * (k - 0.5)) / scale  # σ is that before k is drawn
    assert np.log1p(-theta * values).mean() == pytest.approx(k + 10 / 30 * (k - 0.5))


def test_tempered_weights_leave_half_of_the_plausible_draws_effective():
    sharp, even = np.linspace(0, -9, 32), 0.1 * RNG.normal(size=32)
    assert effective(sharp) < 8
    assert effective(tempered(sharp)) == pytest.approx(16, rel=1e-6)
    far = np.r_[sharp, np.full(32, -200.0)]
    assert np.exp(tempered(far)[32:]).sum() < 1e-6
    np.testing.assert_allclose(tempered(even), even - np.logaddexp.reduce(even))


# --- draws -----------------------------------------------------------------------------------------------------------


def test_draws_have_the_mean_and_covariance_of_the_curvature_and_the_weak_prior(fitted):
    parameters, places = fitted.gp.parameters, np.arange(3)
    curvature = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])  # the last one is not determined
    mode = Mode(fitted.vector, 0.0, places, curvature, fitted.vector)
    vectors, ratios = draw([mode], parameters, places, 4096)
    assert np.array_equal(vectors, draw([mode], parameters, places, 4096)[0])
    covariance = np.linalg.inv(curvature + np.eye(3) / WIDTH**2)
    np.testing.assert_allclose(vectors[:, :3].mean(axis=0), fitted.vector[:3], atol=0.02)
    np.testing.assert_allclose(np.cov(vectors[:, :3].T), covariance, atol=0.02 * covariance.max())
    weak = -0.5 * (((vectors - parameters.start) / WIDTH)[:, :3] ** 2).sum(axis=1)
    expected = weak - stats.multivariate_normal(fitted.vector[:3], covariance).logpdf(vectors[:, :3])
    np.testing.assert_allclose(ratios, expected)


def test_modes_share_draws_by_their_evidence(fitted):
    parameters, places = fitted.gp.parameters, np.arange(3)
    start = parameters.start
    lower = start + np.array([0, 5.0, 0, 0])
    near, far = (Mode(at, 0.0, places, np.eye(3), at) for at in (start, start + np.array([50.0, 0, 0, 0])))
    low = Mode(lower, math.log(0.25) + 0.5 * 25 / WIDTH**2, places, np.eye(3), lower)
    vectors, ratios = draw([near, low, far], parameters, places, 40)
    assert len(vectors) == 40
    assert (np.abs(vectors[:, 1] - low.vector[1]) < 2.5).sum() == pytest.approx(8, abs=2)
    assert np.isfinite(ratios).all()


def test_a_mode_is_the_optimum_of_the_restricted_likelihood(fitted):
    (mode, *_), parameters = fitted.modes, fitted.gp.parameters
    assert [parameters.names[i] for i in mode.drawn] == ["kernel.lengthscale", "kernel.outputscale", "noise.sd"]
    integrating, _ = fitted.inference.integrating(fitted.gp)
    problem = Problem(fitted.gp, integrating)
    value, slope = problem(mode.vector)
    assert value == pytest.approx(mode.nats)
    assert slope == pytest.approx(0, abs=0.1)
    assert np.linalg.eigvalsh(mode.curvature).min() > 0
    parameters.set(fitted.vector)


# --- predictions -----------------------------------------------------------------------------------------------------


def test_a_mixture_is_wider_where_rows_are_few_and_the_model_stays_as_it_was(fitted):
    before = fitted.gp.parameters.vector
    mixed, plain = fitted.predict(NEW), fitted.predict(NEW, hyperparameters=PLUG_IN)
    assert plain.f.is_normal
    assert mixed.f.means.shape == (32, 9)
    assert np.array_equal(fitted.predict(NEW).y.means, mixed.y.means)
    assert (mixed.sd_y[[0, -1]] > 1.1 * plain.sd_y[[0, -1]]).all()
    np.testing.assert_array_equal(fitted.gp.parameters.vector, before)
    np.testing.assert_allclose(mixed.mean[3:6], plain.mean[3:6], atol=0.1)


def test_a_mixture_is_what_brute_force_integration_says():
    """With everything but the noise known, its posterior is integrated on a grid; so is a prior of the user's."""
    fixed = {"kind": "rbf", "lengthscale": {"fixed": 0.3}, "outputscale": {"fixed": 1.0}}
    prior = {"start": 0.2, "prior": {"kind": "log_normal", "median": 0.2, "sigma": 0.5}}
    for n in (5, 30):
        model = {"kernel": fixed, "mean": {"kind": "zero"}, "noise": {"kind": "gaussian", "sd": prior}}
        model["standardize"] = {"x": False, "y": False}
        fit_ = gp.fit(X[:n], Y[:n], model=model)
        process, logs = fit_.gp, np.linspace(-4, 1, 400)
        values, moments = [], []
        for log_sd in logs:
            process.parameters.set(np.array([log_sd]))
            solved = fit_.inference.condition(process)
            values.append(solved.log_likelihood - 0.5 * ((log_sd - math.log(0.2)) / 0.5) ** 2)
            found = solved.moments(process.inputs(NEW[:, None]))
            moments.append((found.mean, found.variance + math.exp(2 * log_sd)))
        weights = np.exp(np.array(values) - max(values))
        weights /= weights.sum()
        mean = sum(w * m for w, (m, _) in zip(weights, moments, strict=True))
        sd = np.sqrt(sum(w * (v + (m - mean) ** 2) for w, (m, v) in zip(weights, moments, strict=True)))
        process.parameters.set(fit_.vector)
        mixed = fit_.predict(NEW, hyperparameters={"kind": "laplace", "draws": 512})
        np.testing.assert_allclose(mixed.mean, mean, atol=0.005)
        np.testing.assert_allclose(mixed.sd_y, sd, rtol=0.02)


def test_left_out_rows_are_those_of_refits_of_themixture(fitted):
    """Left out by weights, a row's forecast is near that of a mixture which never saw the row."""
    found = fitted.leave_out(LAPLACE)
    assert not found.is_normal
    for row in (0, 7):
        others = np.arange(30) != row
        alone = gp.fit(X[others], Y[others], model=RBF).predict(X[[row]], hyperparameters=LAPLACE)
        assert found.mean[row] == pytest.approx(alone.mean[0], abs=0.05)
        assert found.sd[row] == pytest.approx(alone.sd_y[0], rel=0.1)
    np.testing.assert_allclose(fitted.leave_one_out["pit"], fitted.left_out.cdf(Y))


def test_a_linear_mean_widens_what_lies_beyond_the_rows():
    model = {"mean": {"kind": "linear"}, "kernel": {"kind": "rbf"}}
    fit_ = gp.fit(X, 5 * X + Y, model=model)
    known, mixed = (fit_.predict([5.0], hyperparameters=kind).sd_f[0] for kind in (PLUG_IN, LAPLACE))
    assert mixed > 1.5 * known


def test_a_loaded_model_predicts_the_samemixture(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(NEW).y.means, fitted.predict(NEW).y.means)
    assert loaded.certificate.intervals == fitted.certificate.intervals


def test_draws_keep_to_bounds_of_the_user():
    model = {"kernel": {"kind": "rbf", "lengthscale": {"start": 0.2, "lower": 0.19, "upper": 0.21}}}
    fit_ = gp.fit(X, Y, model=model)
    lower, upper = np.array(fit_.gp.parameters.bounds).T
    seen = fit_.mixture(None).vectors
    assert ((seen >= lower - 1e-9) & (seen <= upper + 1e-9))[:, 0].all()


def test_draws_without_a_factor_are_dropped_and_said(fitted, monkeypatch):
    from gp.inference.exact import _Integrated
    from gp.inference.method import without_factor

    own, calls = _Integrated.condition, []

    def failing(self, process):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise without_factor(process, "a draw")
        return own(self, process)

    monkeypatch.setattr(_Integrated, "condition", failing)
    mixture = gp.fit(X, Y, model=RBF).mixture(None)
    assert (mixture.draws.dropped, len(mixture.vectors)) == (8, 24)
    assert mixture.weights.sum() == pytest.approx(1)


def test_draws_of_which_many_were_dropped_raise_an_alarm():
    few, many = (Draws(np.zeros((32 - n, 1)), np.full(32 - n, -np.log(32 - n)), -math.inf, 1.0, n) for n in (8, 15))
    assert few.alarms(plateaus=False) == []
    (alarm,) = many.alarms(plateaus=False)
    assert alarm.startswith("15 of 32 draws of the hyperparameters have no likelihood that can be computed")


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "why"),
    [
        ({}, "laplace", "n=30 is at most 1000"),
        ({"train": {"kind": "adam", "steps": 2}}, "plug_in", "adam stops"),
        ({"inference": {"kind": "sgpr", "inducing": 5}}, "flat_mean", "would have to be learnt again"),
        ({"inference": {"kind": "vecchia"}}, "flat_mean", "the method is approximate"),
        (
            {"model": {"noise": {"kind": "heteroscedastic"}}, "train": {"restarts": 0}},
            "laplace",
            "n=30 is at most 1000",
        ),
        ({"model": {"noise": {"kind": "student_t"}}, "train": {"restarts": 0}}, "flat_mean", "of each row"),
    ],
)
def test_the_rule_depends_on_rows_method_and_optimizer_alone(options, kind, why):
    fit_ = gp.fit(X, Y, **options)
    treatment, said = fit_.treatment()
    assert treatment.kind == kind
    assert why in said
    assert fit_.report()["predictions"]["kind"] == kind


@pytest.mark.parametrize(("n", "inputs", "draws"), [(30, 4, 128), (30, 2, 32), (110, 4, 32)])
def test_few_rows_of_many_hyperparameters_get_more_draws(n, inputs, draws):
    x = np.random.default_rng(0).uniform(size=(n, inputs))
    treatment, said = gp.fit(x, x.sum(axis=1), train={"restarts": 0}).treatment()
    assert treatment.draws == draws
    assert ("with 7 hyperparameters" in said) == (draws > 32)


def test_draws_hold_the_noise_of_each_row_and_intervals_do_not():
    y = np.sin(6 * X) + (0.05 + 0.4 * X) * np.random.default_rng(1).normal(size=len(X))
    fit_ = gp.fit(X, y, model=RBF | {"noise": {"kind": "heteroscedastic"}}, train={"restarts": 0})
    p, mixture = len(fit_.gp.parameters.names), fit_.mixture(None)
    rows = fit_.vector[p:]
    np.testing.assert_allclose(mixture.vectors[:, p:], np.tile(rows, (len(mixture.vectors), 1)), atol=1e-6)
    assert np.ptp(mixture.vectors[:, :p], axis=0).max() > 0.1
    held = 1.96 / np.sqrt(np.diag(fit_.modes[0].curvature))
    low, high = fit_.certificate.intervals["noise.sd"]
    at = list(fit_.gp.parameters.names).index("noise.sd")
    assert 0.5 * np.log(high / low) > held[np.flatnonzero(fit_.modes[0].drawn == at)[0]]


def test_an_unknown_treatment_is_refused(fitted):
    with pytest.raises(InputError, match=r"hyperparameters\.draws: must be at least 2"):
        fitted.predict(NEW, hyperparameters={"kind": "laplace", "draws": 1})


# --- the certificate -------------------------------------------------------------------------------------------------


def test_an_interval_of_the_level_is_students_where_all_else_is_noise():
    """Independent rows: the level's interval is ȳ ± t s/√n, the noise's that of n − 1 degrees of freedom."""
    n = 12
    y = np.random.default_rng(3).normal(size=n)
    model = {"kernel": {"kind": "rbf", "outputscale": {"fixed": 1e-8}, "lengthscale": {"fixed": 1.0}}}
    fit_ = gp.fit(np.arange(n), y, model=model)
    low, high = fit_.certificate.intervals["mean.value"]
    half = stats.t(n - 1).ppf(0.975) * y.std(ddof=1) / math.sqrt(n)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    low, high = fit_.certificate.intervals["noise.sd"]
    ends = np.sqrt(11 * y.var(ddof=1) / stats.chi2(11).ppf([0.975, 0.025]))
    np.testing.assert_allclose([low, high], ends, rtol=0.06)


def test_the_interval_of_a_mean_is_what_integration_over_a_grid_says():
    """Nine rows, and one scale of the function unknown: its long tail is what the level's interval is wide by."""
    x, rng = np.linspace(0, 1, 9), np.random.default_rng(2)
    y = np.linalg.cholesky(np.exp(-((x[:, None] - x) ** 2) / 0.18) + 0.01 * np.eye(9)) @ rng.normal(size=9)
    model = {"kernel": {"kind": "rbf", "lengthscale": {"fixed": 0.3}}, "standardize": {"x": False, "y": False}}
    fit_ = gp.fit(x, y, model=model | {"noise": {"kind": "gaussian", "sd": {"fixed": 0.1}}})
    low, high = fit_.certificate.intervals["mean.value"]
    process, (method, places) = fit_.gp, fit_.inference.integrating(fit_.gp)
    at = process.parameters.names.index("kernel.outputscale")
    start, means, sds, logs = process.parameters.start[at], [], [], []
    for value in np.linspace(-6, 12, 400):
        vector = fit_.vector.copy()
        vector[at] = value
        process.parameters.set(vector)
        conditioned = method.condition(process)
        logs.append(conditioned.log_likelihood - 0.5 * ((value - start) / WIDTH) ** 2)
        means.append(process.parameters.vector[places[0]] * process.parameters.reference[places[0]])
        sds.append(conditioned.flat.root[0, 0])
    weights = np.exp(np.array(logs) - max(logs))[:, None]
    expected = Forecast(np.array(means)[:, None], np.array(sds)[:, None], weights / weights.sum()).interval(0.95)
    np.testing.assert_allclose([low, high], np.ravel(expected), atol=0.02 * (high - low))
    process.parameters.set(fit_.vector)
    few = np.ravel(fit_.mixture(None).coefficients.interval(0.95)) * process.parameters.reference[0]
    assert abs(np.ptp(few) / np.ptp(expected) - 1) > 0.1  # draws that predictions are made at do not see that tail


def test_a_posterior_like_a_banana_raises_an_alarm():
    """Noise and four white terms: only the sum of their variances is known, which is a curved surface in their logs."""
    white = {"kind": "sum", "terms": {f"w{i}": {"kind": "white"} for i in range(4)}}
    y = np.random.default_rng(5).normal(size=60)
    certificate = gp.fit(np.arange(60.0), y, model={"kernel": white}).certificate
    assert certificate.draws.pareto_k > 0.7
    assert any("is not near normal in their logs (Pareto k̂" in alarm for alarm in certificate.alarms)
    assert "integrated over the hyperparameters, 32 draws" in str(certificate)


def test_draws_are_no_wider_than_a_period_that_many_cycles_tell():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 20, 240)
    y = np.sin(2 * np.pi * x / 0.93) + 0.1 * rng.normal(size=240)
    fitted = gp.fit(x, y, model={"kernel": {"kind": "periodic"}})
    ahead = np.linspace(20, 22, 40)
    truth = np.sin(2 * np.pi * ahead / 0.93)
    assert np.sqrt(np.mean((fitted.predict(ahead).mean - truth) ** 2)) < 0.05
    assert np.sqrt(np.mean((fitted.left_out.mean - y) ** 2)) < 0.12


@pytest.mark.parametrize("kind", ["square", "sine"])
def test_targets_without_noise_are_predicted_as_they_are(kind):
    x = np.arange(60) / 12
    y = {"square": (np.arange(60) % 10 < 5).astype(float), "sine": np.sin(2 * np.pi * x)}[kind]
    fitted = gp.fit(x, y, model={"kernel": {"kind": "periodic"}})
    np.testing.assert_allclose(fitted.predict(x).mean, y, atol=1e-3)


@pytest.mark.parametrize("limits", [{"LOST": 1.0}, {"LOST": 1e9, "MANY": -1.0}])
def test_where_no_draw_comes_near_the_optimum_it_is_the_draw(monkeypatch, limits):
    fitted = gp.fit(np.arange(20.0), np.sin(np.arange(20.0)), train={"restarts": 0})
    drawn = mixture.draw
    for name, value in limits.items():
        monkeypatch.setattr(mixture, name, value)
    monkeypatch.setattr(mixture, "draw", lambda *given: (drawn(*given)[0] + 30, drawn(*given)[1]))
    treated = {"kind": "laplace", "draws": 8}
    found = fitted.mixture(treated)
    np.testing.assert_array_equal(found.vectors, [fitted.modes[0].vector])
    assert np.isfinite(fitted.predict([0.5], hyperparameters=treated).sd_y).all()
