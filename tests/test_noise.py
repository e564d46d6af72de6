"""Noise models: each bound against what it bounds, by brute force."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import gamma, multivariate_normal, t

import gp
from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.model.model import Model
from gp.model.noise import Noise
from gp.spec import InputError, kinds, parse
from gp.training import Problem
from gp.training.rows import Settled
from gp.training.starts import Screening

PLAIN = {"x": False, "y": False}
KERNEL = {"kind": "rbf", "lengthscale": 0.4, "outputscale": 1.3}
RNG = np.random.default_rng(0)
X = np.sort(np.round(RNG.uniform(0, 2, 30), 1))  # some twice
Y = np.sin(3 * X) + 0.3 * RNG.normal(size=30)


def build(noise, x=X, y=Y, sd=None, mean=None, kernel=None):
    written = {
        "standardize": PLAIN,
        "kernel": kernel or KERNEL,
        "noise": noise,
        "mean": mean or {"kind": "zero"},
    }
    return parse(Model, written, "model").build(Dataset(x=x[:, None], y=y, columns=("x",), noise_sd=sd))


def covariance(x, kernel=None):
    kernel = kernel or KERNEL
    return kernel["outputscale"] * np.exp(-0.5 * ((x[:, None] - x) / kernel["lengthscale"]) ** 2)


@pytest.mark.parametrize("kind", kinds(Noise))
def test_scaling_y_scales_the_fit_and_its_noise(kind):
    model = {"noise": {"kind": kind}, "kernel": {"kind": "rbf"}}
    one, ten = (
        gp.fit(X, c * Y, noise_sd=sd if kind == "known" else None, model=model, train={"restarts": 0}).predict(
            [0.5, 3.0]
        )
        for c, sd in ((1.0, np.full(30, 0.3)), (10.0, np.full(30, 3.0)))
    )
    assert ten.sd_y == pytest.approx(10 * one.sd_y, rel=1e-5)


def test_known_noise_is_the_gaussian_process_of_these_variances():
    sd = RNG.uniform(0.1, 0.6, 30)
    process = build({"kind": "known"}, sd=sd)
    noisy = covariance(X) + np.diag(sd**2)
    value, _ = Exact().evaluate(process)
    assert value == pytest.approx(multivariate_normal(np.zeros(30), noisy).logpdf(Y), rel=1e-9)
    new = np.array([0.33, 1.7])
    cross = KERNEL["outputscale"] * np.exp(-0.5 * ((new[:, None] - X) / KERNEL["lengthscale"]) ** 2)
    moments = Exact().condition(process).moments(torch.from_numpy(new[:, None]))
    assert moments.mean == pytest.approx(cross @ np.linalg.solve(noisy, Y))
    mean, sd_y = Exact().condition(process).leave_one_out()
    rest = np.arange(30) != 7
    weights = np.linalg.solve(noisy[np.ix_(rest, rest)], noisy[rest, 7])
    assert mean[7] == pytest.approx(weights @ Y[rest])
    variance = KERNEL["outputscale"] - weights @ noisy[rest, 7]
    # Row 7 as a new observation: its own sd is not known then, the mean square is.
    assert sd_y[7] == pytest.approx(math.sqrt(variance + (sd**2).mean()))


def test_known_noise_of_new_rows_is_taken_where_given():
    fitted = gp.fit(X, Y, noise_sd=np.full(30, 0.3), model={"noise": {"kind": "known"}})
    posterior = fitted.predict([0.5, 1.0], noise_sd=[0.1, 2.0])
    assert posterior.sd_y**2 - posterior.sd_f**2 == pytest.approx([0.01, 4.0])
    assert fitted.predict([0.5]).sd_y ** 2 - fitted.predict([0.5]).sd_f ** 2 == pytest.approx([0.09])


def test_scores_take_the_known_noise_of_new_rows():
    fitted = gp.fit(X, Y, noise_sd=np.full(30, 0.3), model={"noise": {"kind": "known"}})
    x, y, sd = np.array([0.5, 1.0]), np.array([0.2, 0.4]), np.array([0.1, 2.0])
    known = {"kind": "plug_in"}
    posterior = fitted.predict(x, noise_sd=sd, hyperparameters=known)
    residual = (y - posterior.mean) / posterior.sd_y
    expected = np.mean(0.5 * residual**2 + np.log(posterior.sd_y) + 0.5 * np.log(2 * np.pi))
    assert gp.evaluate(fitted, x, y, noise_sd=sd, hyperparameters=known)["nlpd"] == pytest.approx(expected)
    assert gp.evaluate(fitted, x, y, hyperparameters=known)["nlpd"] != pytest.approx(expected)


@pytest.mark.parametrize("model", [None, {"noise": {"kind": "gaussian"}}, {"noise": {"kind": "student_t"}}])
@pytest.mark.parametrize("call", [gp.fit, gp.log_marginal_likelihood])
def test_noise_sd_that_the_noise_would_not_read_is_refused(call, model):
    with pytest.raises(InputError, match=r"^noise: noise_sd gives each row's .* write `noise: {kind: known}`"):
        call(X, Y, noise_sd=np.full(30, 0.3), model=model)


def test_known_noise_needs_the_column():
    with pytest.raises(InputError, match=r"name its column, `data.noise_sd`"):
        gp.fit(X, Y, model={"noise": {"kind": "known"}})


def test_a_level_that_cannot_change_is_gaussian_noise():
    flat = {"kind": "rbf", "outputscale": {"fixed": 1e-12}}
    value, _ = Exact().evaluate(build({"kind": "heteroscedastic", "sd": 0.4, "kernel": flat}))
    exact, _ = Exact().evaluate(build({"kind": "gaussian", "sd": 0.4}))
    assert value == pytest.approx(exact, abs=1e-6)


def test_heteroscedastic_bound_is_its_definition():
    """log N(y | m, K + R) − ¼ tr Σ − KL by dense inverses, for a Λ that is not the optimum; no x twice."""
    x = np.linspace(0, 2, 7)
    y, rng = np.sin(3 * x), np.random.default_rng(2)
    process = build({"kind": "heteroscedastic", "sd": 0.5, "kernel": {**KERNEL, "outputscale": 0.8}}, x, y)
    logs = rng.normal(size=7)
    vector = process.parameters.vector
    vector[-7:] = logs
    process.parameters.set(vector)
    prior, precision = 0.8 / 1.3 * covariance(x), np.diag(0.5 * np.exp(logs))
    spread = np.linalg.inv(np.linalg.inv(prior) + precision)
    shift = prior @ (precision - 0.5 * np.eye(7)) @ np.ones(7)
    noise = np.exp(2 * math.log(0.5) + shift - 0.5 * np.diag(spread))
    inverse = np.linalg.inv(prior)
    divergence = 0.5 * (
        np.trace(inverse @ spread)
        + shift @ inverse @ shift
        - 7
        + np.linalg.slogdet(prior)[1]
        - np.linalg.slogdet(spread)[1]
    )
    by_hand = multivariate_normal(np.zeros(7), covariance(x) + np.diag(noise)).logpdf(y)
    by_hand -= 0.25 * np.trace(spread) + divergence
    assert Exact().evaluate(process)[0] == pytest.approx(by_hand, rel=1e-7)


def test_heteroscedastic_bound_is_below_the_likelihood():
    """The likelihood by averaging over draws of g."""
    x = np.array([0.0, 0.3, 0.8, 1.0])
    y = np.array([0.2, -1.0, 1.5, 0.3])
    fixed = {"kind": "rbf", "lengthscale": {"fixed": 0.4}, "outputscale": {"fixed": 1.3}}
    level = {"kind": "rbf", "lengthscale": {"fixed": 0.4}, "outputscale": {"fixed": 0.8}}
    model = {"kind": "heteroscedastic", "sd": {"fixed": 0.6}, "kernel": level}
    fitted = gp.fit(x, y, model={"standardize": PLAIN, "mean": {"kind": "zero"}, "kernel": fixed, "noise": model})
    rng = np.random.default_rng(3)
    logs = 2 * math.log(0.6) + rng.multivariate_normal(np.zeros(4), 0.8 / 1.3 * covariance(x), size=20000)
    dense = covariance(x) + np.exp(logs)[:, :, None] * np.eye(4)
    quadratic = np.einsum("i,kij,j->k", y, np.linalg.inv(dense), y)
    densities = np.exp(-0.5 * quadratic - 0.5 * np.linalg.slogdet(dense)[1] - 2 * math.log(2 * math.pi))
    truth = math.log(densities.mean())
    assert fitted.log_marginal_likelihood < truth + 0.01  # tight where g cannot change: the test above


def test_a_changing_noise_is_found():
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0, 1, 250))
    y = np.sin(6 * x) + np.exp(-3 + 2.5 * x) * rng.normal(size=250)
    new = np.linspace(0.1, 0.9, 9)
    fitted = gp.fit(
        x, y, model={"kernel": {"kind": "rbf"}, "noise": {"kind": "heteroscedastic"}}, train={"restarts": 0}
    )
    posterior = fitted.predict(new, hyperparameters={"kind": "plug_in"})
    found = np.sqrt(posterior.sd_y**2 - posterior.sd_f**2)
    assert np.abs(np.log(found / np.exp(-3 + 2.5 * new))).max() < 0.4
    constant = gp.fit(x, y, model={"kernel": {"kind": "rbf"}})
    assert fitted.log_marginal_likelihood > constant.log_marginal_likelihood + 20


def test_noise_that_a_climb_found_constant_begins_anew(monkeypatch):
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0, 1, 80))
    y = np.sin(6 * x) + np.exp(-3 + 2.5 * x) * rng.normal(size=80)

    def lost(screening, count):
        parameters = screening._problem.parameters
        vector = parameters.start
        vector[parameters.names.index("noise.kernel.outputscale")] = math.log(1e-8)
        return [vector]

    monkeypatch.setattr(Screening, "starts", lost)
    fitted = gp.fit(x, y, model={"kernel": {"kind": "rbf"}, "noise": {"kind": "heteroscedastic"}})
    (_, constant), (_, changing) = fitted.search.ends
    assert changing > constant + 5
    assert fitted.search.starts == 2
    assert fitted.hyperparameters["noise.kernel.outputscale"] > 0.1


@pytest.mark.parametrize("kind", ["heteroscedastic", "student_t"])
def test_a_fit_with_parameters_of_each_row_does_not_depend_on_how_it_rounds(kind):
    # Equal but for the order of the rows, and so for every rounding error.
    model = {"noise": {"kind": kind}, "kernel": {"kind": "rbf"}}
    one, other = (
        gp.fit(X[order], Y[order], model=model, train={"restarts": 0}) for order in (slice(None), slice(None, None, -1))
    )
    assert other.hyperparameters == pytest.approx(one.hyperparameters, rel=1e-7)
    assert other.log_marginal_likelihood == pytest.approx(one.log_marginal_likelihood, abs=1e-9)
    assert other.predict([0.3, 1.1]).sd_y == pytest.approx(one.predict([0.3, 1.1]).sd_y, rel=1e-7)


def test_student_t_bound_is_below_the_density_of_one_row():
    k, sd, nu, y = 1.3, 0.4, 4.0, 2.0
    fixed = {"kind": "rbf", "lengthscale": {"fixed": 0.4}, "outputscale": {"fixed": k}}
    noise = {"kind": "student_t", "sd": {"fixed": sd}, "nu": {"fixed": nu}}
    model = {"standardize": PLAIN, "mean": {"kind": "zero"}, "kernel": fixed, "noise": noise}
    bound = gp.fit([0.0], [y], model=model).log_marginal_likelihood
    density, _ = quad(
        lambda f: t.pdf((y - f) / sd, nu) / sd * math.exp(-0.5 * f**2 / k) / math.sqrt(2 * math.pi * k), -12, 12
    )
    assert bound < math.log(density)  # tight for many degrees of freedom: the next test


def test_many_degrees_of_freedom_are_gaussian_noise():
    noise = {"kind": "student_t", "sd": {"fixed": 0.4}, "nu": {"fixed": 1e3}}
    kernel = {"kind": "rbf", "lengthscale": {"fixed": 0.4}, "outputscale": {"fixed": 1.3}}
    model = {"standardize": PLAIN, "mean": {"kind": "zero"}, "kernel": kernel}
    robust = gp.fit(X, Y, model={**model, "noise": noise})
    normal = gp.fit(X, Y, model={**model, "noise": {"kind": "gaussian", "sd": {"fixed": 0.4}}})
    assert robust.log_marginal_likelihood == pytest.approx(normal.log_marginal_likelihood, abs=0.05)
    assert robust.predict([0.5]).sd_y == pytest.approx(normal.predict([0.5]).sd_y, rel=2e-3)


def test_outliers_move_a_robust_fit_less():
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, 80)
    f = np.sin(6 * x)
    y = f + 0.05 * rng.normal(size=80)
    y[rng.choice(80, 8, replace=False)] += 3.0
    errors = {}
    for kind in ("gaussian", "student_t"):
        fitted = gp.fit(x, y, model={"kernel": {"kind": "rbf"}, "noise": {"kind": kind}}, train={"restarts": 1})
        errors[kind] = np.sqrt(np.mean((fitted.predict(x).mean - f) ** 2))
    assert errors["student_t"] < 0.1
    assert errors["student_t"] < 0.5 * errors["gaussian"]


def test_motorcycle_noise_changes_with_time():
    table = pd.read_csv("data/raw/motorcycle.csv")
    x, y = table["time"].to_numpy(), table["acceleration"].to_numpy()
    fitted = gp.fit(
        x, y, model={"kernel": {"kind": "rbf"}, "noise": {"kind": "heteroscedastic"}}, train={"restarts": 0}
    )
    assert fitted.certificate.converged
    before, impact = fitted.predict([5.0, 32.0]).sd_y
    assert before < 5
    assert impact > 20


def test_noise_of_new_rows_is_the_variance_of_students_t():
    process = build({"kind": "student_t", "sd": 0.3, "nu": 5.0})
    assert process.noise_variance(process.x[:2]) == pytest.approx([0.3**2 * t(5.0).var()] * 2)


def test_noise_of_new_rows_is_the_mean_of_its_log_normal():
    """E exp g by dense inverses: q(g) has mean K_g(Λ − ½)1 + log sd² and covariance (K_g⁻¹ + Λ)⁻¹."""
    x, new = np.linspace(0, 2, 7), np.array([0.3, 1.1, 5.0])
    noise = {"kind": "heteroscedastic", "sd": 0.5, "kernel": KERNEL}
    process = build(noise, x, np.sin(3 * x))
    vector = process.parameters.vector
    vector[-7:] = np.random.default_rng(2).normal(size=7)
    process.parameters.set(vector)
    weights = 0.5 * np.exp(vector[-7:])
    joint = covariance(np.r_[x, new])
    prior, cross = joint[:7, :7], joint[:7, 7:]
    variance = np.diag(joint)[7:] - np.einsum("ij,ij->j", cross, np.linalg.solve(prior + np.diag(1 / weights), cross))
    mean = 2 * math.log(0.5) + cross.T @ (weights - 0.5)
    assert process.noise_variance(torch.from_numpy(new[:, None])) == pytest.approx(np.exp(mean + 0.5 * variance))


def test_students_t_excess_is_its_definition():
    """Σ ½ (E log w − log E w) − KL(q(w) ‖ p(w)), by integrals over w, for rates that are not the optimum."""
    sd, nu, rates = 0.3, 4.0, np.array([0.5, 2.0, 9.0])
    process = build({"kind": "student_t", "sd": sd, "nu": nu}, X[:3], Y[:3])
    process.parameters.set(np.r_[process.parameters.vector[:-3], np.log(rates)])
    variance, excess = process.training_noise()
    expected, p = 0.0, gamma(nu / 2, scale=2 / nu)
    for rate, of_row in zip(rates, variance.detach().numpy(), strict=True):
        q = gamma((nu + 1) / 2, scale=1 / rate)
        assert of_row == pytest.approx(sd**2 / q.mean())
        mean_log, divergence = (
            quad(lambda w, q=q, f=f: q.pdf(w) * f(w), 0, q.isf(1e-14), epsabs=1e-11)[0]
            for f in (np.log, lambda w, q=q: q.logpdf(w) - p.logpdf(w))
        )
        expected += 0.5 * (mean_log - math.log(q.mean())) - divergence
    assert excess.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", ["student_t", "heteroscedastic"])
def test_where_parameters_of_rows_are_settled_the_bound_asks_for_the_same(kind):
    process = build({"kind": kind, "sd": 0.3}, X[:12], Y[:12])
    settled = Settled(Problem(process, Exact()), process.parameters.vector)
    settled(process.parameters.vector[: settled.p])
    there = Exact().evaluate_by_noise(process)
    np.testing.assert_allclose(process.noise.stationary(there.variance, there.slope), settled.rows, atol=1e-6)


@pytest.mark.parametrize("kind", ["heteroscedastic", "student_t"])
@pytest.mark.parametrize("outliers", [0, 1])
def test_a_left_out_row_is_predicted_as_by_a_model_that_never_saw_it(kind, outliers):
    """At kept hyperparameters; noise of all other rows is learnt anew without it."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 2, 30))
    y = np.sin(3 * x) + (0.05 + 0.2 * x) * rng.normal(size=30)
    y[12] += 2.0 * outliers
    model = {"standardize": PLAIN, "mean": {"kind": "constant", "value": {"fixed": 0.0}}}
    model["kernel"] = {"kind": "rbf", "lengthscale": {"fixed": 0.4}, "outputscale": {"fixed": 1.3}}
    level = {"kind": "rbf", "lengthscale": {"fixed": 0.6}, "outputscale": {"fixed": 1.5}}
    other = {"kernel": level} if kind == "heteroscedastic" else {"nu": {"fixed": 3.0}}
    model["noise"] = {"kind": kind, "sd": {"fixed": 0.2}, **other}
    found = gp.fit(x, y, model=model).leave_one_out
    for row in (5, 11, 12, 29):
        rest = np.arange(30) != row
        alone = gp.fit(x[rest], y[rest], model=model).predict(x[[row]])
        assert found["mean"][row] == pytest.approx(alone.mean[0], abs=1e-5)
        assert found["sd_y"][row] == pytest.approx(alone.sd_y[0], rel=1e-5)


def test_of_many_rows_the_formula_removes_a_rows_own_noise(monkeypatch):
    """A single outlier among rows of one level: the noise that it asks for was learnt from itself."""
    monkeypatch.setattr("gp.fitted.own_share.WORK", 0)
    x = np.linspace(0, 2, 40)
    y = np.sin(3 * x) + 0.1 * np.random.default_rng(0).normal(size=40)
    y[20] += 3.0
    model = {"kernel": {"kind": "rbf"}, "noise": {"kind": "heteroscedastic"}}
    fitted = gp.fit(x, y, model=model, train={"restarts": 0})
    new = np.sqrt(fitted.gp.noise_variance(fitted.gp.x[20:21]))[0] * fitted.gp.scope.y_scale
    left_out = fitted.leave_out({"kind": "plug_in"})
    assert left_out.sd[20] < 0.7 * new


def test_a_left_out_rows_noise_is_the_mean_without_its_site():
    """The site of row i is a factor of q(g) in g_i alone: dense algebra without it, row by row."""
    x, y = np.linspace(0, 3, 12), np.sin(np.arange(12.0))
    data = Dataset(x=x[:, None], columns=("x",), y=y)
    made = parse(Model, {"noise": {"kind": "heteroscedastic", "sd": 0.4}}, "model").build(data)
    noise = made.noise
    with torch.no_grad():
        noise.log_precisions.copy_(torch.linspace(-2.0, 1.0, 12))
        told = noise.left_out(made.x).numpy()
        prior, precisions = noise.kernel(made.x).to_dense().numpy(), 0.5 * noise.log_precisions.exp().numpy()
    mean = prior @ (precisions - 0.5)
    site = precisions - 0.5 + precisions * mean  # precision times the place of each site
    for i in range(12):
        others = np.arange(12) != i
        covariance = np.linalg.inv(np.linalg.inv(prior) + np.diag(precisions * others))
        level = 2 * noise.raw_sd.item() + covariance[i] @ (site * others) + covariance[i, i] / 2
        expected = np.exp(level)
        assert told[i] == pytest.approx(expected, rel=1e-6)
