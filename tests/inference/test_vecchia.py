"""Vecchia: judged by the exact GP (all rows as neighbours), and by dense matrices of brute-force neighbours."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gpytorch.kernels import Kernel
from reference import Reference
from reference import matrix as reference_matrix
from scipy.stats import multivariate_normal

from gp.dataset import Dataset
from gp.fitted.fit import fit, log_marginal_likelihood
from gp.fitted.fitted import Fitted
from gp.fitted.gap import gap_to_exact
from gp.inference.exact import Exact
from gp.inference.inducing.bound import JITTER
from gp.inference.nearest import groups
from gp.inference.nearest.conditionals import by_rounding
from gp.inference.nearest.groups import SEED
from gp.inference.nearest.scaling import scales
from gp.inference.nearest.vecchia import WIDER, Vecchia
from gp.inference.orderings import max_min_order, random_order
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.kernels.stationary import Stationary
from gp.model.model import Model
from gp.spec import InputError, parse
from gp.training import Problem

SAME = 1e-8
NOISE, LEVEL = 0.3, 0.5
COLUMNS = ("a", "b")
RBF = {"kind": "rbf", "lengthscale": [0.7, 1.4], "ard": True, "outputscale": 1.7}
MATERN = {"kind": "matern", "nu": 2.5, "lengthscale": [0.4, 1.6], "ard": True, "outputscale": 1.1}
PERIODIC = {"kind": "periodic", "lengthscale": 1.2, "period_length": 0.9, "outputscale": 0.8}
SUM = {
    "kind": "sum",
    "terms": {
        "trend": RBF,
        "season": PERIODIC | {"columns": ["a"]},
        "rough": {"kind": "matern", "nu": 1.5, "lengthscale": 0.5, "columns": ["b"], "outputscale": 0.2},
        "slope": {"kind": "linear", "variance": 0.4, "columns": ["b"]},
    },
}
PRODUCT = {
    "kind": "product",
    "outputscale": 1.3,
    "factors": {
        "fast": {"kind": "matern", "nu": 0.5, "lengthscale": 0.6, "columns": ["a"]},
        "slow": {"kind": "rational_quadratic", "lengthscale": 1.2, "alpha": 0.7, "columns": ["b"]},
    },
}
KERNELS = {"rbf": RBF, "matern": MATERN, "periodic": PERIODIC, "sum": SUM, "product": PRODUCT}
EACH_KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def _data(n, seed=None):
    rng = np.random.default_rng(n if seed is None else seed)
    x = rng.uniform(-2, 2, size=(n, 2))
    return x, LEVEL + np.sin(3 * x[:, 0]) + x[:, 1] + NOISE * rng.normal(size=n)


def _gp(kernel, x, y, *, noise_sd=None, mean=None):
    written = {
        "standardize": {"x": False, "y": False},
        "mean": mean or {"kind": "constant", "value": LEVEL},
        "kernel": kernel,
        "noise": {"sd": NOISE} if noise_sd is None else {"kind": "known"},
    }
    return parse(Model, written).build(Dataset(x=x, y=y, columns=COLUMNS[: x.shape[1]], noise_sd=noise_sd))


def _new_inputs():
    return torch.linspace(-2.5, 2.5, 60).reshape(30, 2)


def _assert_exact(method, gp, x):
    """Assert that likelihood, gradient, prediction and leave-one-out are those of the exact GP."""
    (value, gradient), (exact, exact_gradient) = method.evaluate(gp), Exact().evaluate(gp)
    assert value == pytest.approx(exact, rel=SAME)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=0, atol=SAME * max(1, np.abs(exact_gradient).max()))
    ours, theirs = method.condition(gp).moments(x), Exact().condition(gp).moments(x)
    np.testing.assert_allclose([ours.mean, ours.variance], [theirs.mean, theirs.variance], rtol=0, atol=SAME)
    assert list(ours.terms) == list(theirs.terms)
    for name, moments in theirs.terms.items():
        np.testing.assert_allclose(ours.terms[name], moments, rtol=0, atol=SAME)
    np.testing.assert_allclose(
        method.condition(gp).leave_one_out(), Exact().condition(gp).leave_one_out(), rtol=0, atol=SAME
    )


# With all neighbours


@EACH_KERNEL
@pytest.mark.parametrize(("ordering", "inducing"), [("maxmin", 0), ("random", 200), ("maxmin", 10)])
def test_with_all_neighbours_it_is_the_exact_gp(kernel, ordering, inducing):
    gp = _gp(kernel, *_data(50))
    _assert_exact(Vecchia(neighbours=49, ordering=ordering, inducing=inducing), gp, _new_inputs())


def test_with_all_neighbours_it_is_exact_for_known_noise_and_a_linear_mean():
    mean = {"kind": "linear", "bias": 0.2, "weights": [0.3, 0.9]}
    gp = _gp(MATERN, *_data(50), noise_sd=np.linspace(0.1, 0.6, 50), mean=mean)
    _assert_exact(Vecchia(neighbours=49), gp, _new_inputs())


@pytest.mark.parametrize("n", [2, 20, 21])
def test_where_neighbours_are_no_fewer_than_rows_it_is_exact(n):
    gp = _gp(SUM, *_data(n))
    _assert_exact(Vecchia(neighbours=20), gp, _new_inputs())


# With few


def _nearest(gp, scales, row, others, m):
    """Return the m of `others` nearest to the internal input `row`, by brute force."""
    scaled = (gp.scope.x[others] - row) * scales
    return others[np.argsort((scaled**2).sum(axis=1), kind="stable")[:m]]


# The kernel's lengthscales, but for their ratio's being a power of two.
SCALES = {"rbf": (2.0, 1.0), "matern": (4.0, 1.0), "product": (2.0, 1.0)}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("ordering", ["maxmin", "random"])
def test_the_likelihood_is_the_product_of_textbook_conditionals_of_nearest_rows(name, ordering):
    m, (x, y) = 6, _data(60)
    x /= x.std(axis=0)
    gp, scales = _gp(KERNELS[name], x, y), np.array(SCALES[name])
    order = max_min_order(x * scales, SEED) if ordering == "maxmin" else random_order(60, SEED)
    expected = 0.0
    for position, row in enumerate(order):
        near = _nearest(gp, scales, x[row], order[:position], m)
        rest = Reference(KERNELS[name], NOISE, LEVEL, x[near], y[near], COLUMNS)
        mean, sd_f = rest.posterior(x[[row]]) if position else (np.array([LEVEL]), None)
        prior = reference_matrix(KERNELS[name], x[[row]], x[[row]], COLUMNS)[0, 0]
        variance = NOISE**2 + (sd_f[0] ** 2 if position else prior)
        expected -= 0.5 * (math.log(2 * math.pi * variance) + (y[row] - mean[0]) ** 2 / variance)
    method = Vecchia(neighbours=m, ordering=ordering, inducing=0)
    assert method.evaluate(gp, gradient=False)[0] == pytest.approx(expected, rel=SAME)


def test_predictions_are_textbook_ones_of_nearest_rows():
    m, (x, y) = 3, _data(60)
    x /= x.std(axis=0)
    gp, scales = _gp(MATERN, x, y), np.array(SCALES["matern"])
    conditioned = Vecchia(neighbours=m, inducing=0).condition(gp)
    moments, (means, sds) = conditioned.moments(gp.x + 0.1), conditioned.leave_one_out()
    for i in range(60):
        new, others = x[[i]] + 0.1, np.delete(np.arange(60), i)
        near = _nearest(gp, scales, new[0], np.arange(60), WIDER * m)
        mean, sd_f = Reference(MATERN, NOISE, LEVEL, x[near], y[near], COLUMNS).posterior(new)
        assert [moments.mean[i], math.sqrt(moments.variance[i])] == pytest.approx([mean[0], sd_f[0]], rel=SAME)
        near = _nearest(gp, scales, x[i], others, WIDER * m)
        mean, sd_f = Reference(MATERN, NOISE, LEVEL, x[near], y[near], COLUMNS).posterior(x[[i]])
        assert [means[i], sds[i]] == pytest.approx([mean[0], math.hypot(sd_f[0], NOISE)], rel=SAME)


def test_beside_inducing_inputs_it_is_the_dense_full_scale_approximation():
    m, new, (x, y) = 3, _new_inputs(), _data(60)
    x /= x.std(axis=0)
    gp, scales, residual = _gp(MATERN, x, y), np.array(SCALES["matern"]), y - LEVEL
    method = Vecchia(neighbours=m, inducing=9)
    conditioned, z = method.condition(gp), method._groups(gp).z.numpy()
    assert z.shape == (9, 2)

    def kernel(a, b):
        return reference_matrix(MATERN, a, b, COLUMNS)

    lower = np.linalg.cholesky(kernel(z, z) + JITTER * MATERN["outputscale"] * np.eye(9))
    features = np.linalg.solve(lower, kernel(z, x))
    rest = kernel(x, x) - features.T @ features + NOISE**2 * np.eye(60)
    # (I − W) r is independent from row to row, with these variances; W has the weights of each row's neighbours.
    order, weights, variances = max_min_order(x * scales, SEED), np.eye(60), np.diag(rest).copy()
    for position, row in enumerate(order[1:], start=1):
        near = _nearest(gp, scales, x[row], order[:position], m)
        weights[row, near] = -np.linalg.solve(rest[np.ix_(near, near)], rest[near, row])
        variances[row] += weights[row, near] @ rest[near, row]
    inverse = np.linalg.inv(weights)
    covariance = features.T @ features + inverse @ np.diag(variances) @ inverse.T
    expected = multivariate_normal(np.full(60, LEVEL), covariance).logpdf(y)
    assert method.evaluate(gp, gradient=False)[0] == pytest.approx(expected, rel=SAME)
    assert conditioned.log_likelihood == pytest.approx(expected, rel=SAME)

    # The posterior of v, and with it that of each input given its nearest rows.
    spread = features @ np.linalg.inv(covariance)
    mean_v, cov_v = spread @ residual, np.eye(9) - spread @ features.T
    moments = conditioned.moments(new)
    for i, at in enumerate(new.numpy()):
        near, own = (
            _nearest(gp, scales, at, np.arange(60), WIDER * m),
            np.linalg.solve(lower, kernel(z, at[None]))[:, 0],
        )
        cross = kernel(x[near], at[None])[:, 0] - features[:, near].T @ own
        weight = np.linalg.solve(rest[np.ix_(near, near)], cross)
        b = own - features[:, near] @ weight
        variance = MATERN["outputscale"] - own @ own - weight @ cross + b @ cov_v @ b
        expected = [LEVEL + weight @ residual[near] + b @ mean_v, variance]
        assert [moments.mean[i], moments.variance[i]] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_a_smooth_function_in_noise_needs_more_than_neighbours(noise):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, size=(1500, 1))
    y = np.sin(2 * x[:, 0]) + noise * rng.normal(size=1500)
    kernel = {"kind": "rbf", "lengthscale": 0.7, "outputscale": 1.0}
    written = {"standardize": {"x": False, "y": False}, "kernel": kernel, "noise": {"sd": noise}}
    gp = parse(Model, written).build(Dataset(x=x, y=y, columns=COLUMNS[:1]))
    new = torch.linspace(0, 10, 200)[:, None]
    exact = Exact().condition(gp).moments(new)

    def off(inducing):
        found = Vecchia(inducing=inducing).condition(gp).moments(new)
        return np.sqrt(np.mean((found.mean - exact.mean) ** 2 / exact.variance)), found.variance / exact.variance

    apart, ratio = off(100)
    assert apart < 0.01
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    assert off(0)[0] > 0.5


def test_leave_one_out_is_near_the_exact_one():
    gp = _gp(SUM, *_data(400))
    (mean, sd), (exact_mean, exact_sd) = (method.condition(gp).leave_one_out() for method in (Vecchia(), Exact()))
    assert np.sqrt(np.mean(((mean - exact_mean) / exact_sd) ** 2)) < 0.02
    np.testing.assert_allclose(sd, exact_sd, rtol=0.03)


@EACH_KERNEL
@pytest.mark.parametrize(("known", "inducing"), [(False, 0), (True, 8), (False, 8)])
def test_gradients_are_finite_differences(kernel, known, inducing):
    mean = {"kind": "linear", "bias": 0.2, "weights": [0.3, 0.9]}
    noise_sd = np.linspace(0.1, 0.6, 40) if known else None
    gp = _gp(kernel, *_data(40), mean=mean, noise_sd=noise_sd)
    method = Vecchia(neighbours=4, inducing=inducing)
    vector, step = gp.parameters.vector, 1e-5
    _, gradient = method.evaluate(gp)
    for k in range(len(vector)):
        ends = []
        for sign in (1, -1):
            gp.parameters.set(vector + sign * step * (np.arange(len(vector)) == k))
            ends.append(method.evaluate(gp, gradient=False)[0])
        size = np.abs(gradient).max()
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(gradient[k], rel=1e-6, abs=1e-7 * size)


def test_blocks_of_rows_change_nothing(monkeypatch):
    gp, method = _gp(SUM, *_data(100)), Vecchia(neighbours=5, inducing=20)
    value, gradient = method.evaluate(gp)
    moments = method.condition(gp).moments(_new_inputs())
    monkeypatch.setattr(groups, "ELEMENTS", 7 * 36)
    blocked, blocked_gradient = method.evaluate(gp)
    assert blocked == pytest.approx(value, rel=SAME)
    np.testing.assert_allclose(blocked_gradient, gradient, rtol=SAME, atol=SAME * np.abs(gradient).max())
    np.testing.assert_allclose(method.condition(gp).moments(_new_inputs()).variance, moments.variance, atol=SAME)


@pytest.mark.parametrize("kernel", [MATERN, SUM], ids=["matern", "sum"])
def test_more_neighbours_bring_it_closer_to_the_exact_gp(kernel):
    gp, x = _gp(kernel, *_data(400)), _new_inputs()
    exact, best = Exact().evaluate(gp, gradient=False)[0], Exact().condition(gp).moments(x)
    errors = []
    for m in (3, 12, 48):
        method = Vecchia(neighbours=m, inducing=0)
        moments = method.condition(gp).moments(x)
        value, _ = method.evaluate(gp, gradient=False)
        errors.append([abs(value - exact), np.abs(moments.mean - best.mean).max()])
    errors = np.array(errors)
    assert (errors[1:] < errors[:-1]).all()
    assert (errors[-1] < 0.4 * errors[0]).all()


# Which neighbours


def _scales(kernel, x):
    return scales(_gp(kernel, x, np.zeros(len(x))))


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (RBF, (0, -1)),
        (MATERN, (0, -2)),
        (MATERN | {"lengthscale": [1e6, 1.0]}, (-10, 0)),
        (PERIODIC, (0, 0)),
        (PRODUCT, (0, -1)),
        # the shortest of each column: 0.7 and 0.5
        (SUM, (0, 0)),
        ({"kind": "sum", "terms": {"a": MATERN, "b": RBF | {"lengthscale": [80.0, 0.1]}}}, (-2, 0)),
    ],
)
def test_columns_count_by_the_kernels_shortest_lengthscale(kernel, expected):
    x = _data(200)[0]
    assert _scales(kernel, x / x.std(axis=0)) == expected


class _Cauchy(Kernel):
    """1/(1 + d²): a kernel that no file of the library names."""

    has_lengthscale = True

    def forward(self, x1, x2, diag=False, **_):
        scaled = x1 / self.lengthscale, x2 / self.lengthscale
        return 1 / (1 + self.covar_dist(*scaled, square_dist=True, diag=diag))


class Cauchy(Stationary):
    def base(self, scope, path, active):
        return self.lengthscaled(scope, path, active, _Cauchy)


def test_somebodys_own_kernel_tells_its_lengthscales_by_declaring_them():
    x, y = _data(200)
    model = parse(Model, {"standardize": {"x": False}}).model_copy(
        update={"kernel": parse(Cauchy, {"lengthscale": [0.4, 1.6], "ard": True})}
    )
    gp = model.build(Dataset(x=x / x.std(axis=0), y=y, columns=COLUMNS))
    assert scales(gp) == (0, -2)


def test_neighbours_stay_while_hyperparameters_move_and_a_model_built_anew_has_its_own():
    method, kernels = Vecchia(neighbours=5, inducing=0), (MATERN, MATERN | {"lengthscale": [1.6, 0.4]})
    gp, other = (_gp(kernel, *_data(100)) for kernel in kernels)
    here, there = gp.parameters.vector, other.parameters.vector
    before, _ = method.evaluate(gp)
    gp.parameters.set(there)
    stayed, _ = method.evaluate(gp)
    assert abs(method.evaluate(other)[0] - stayed) > 0.1
    gp.parameters.set(here)
    assert method.evaluate(gp)[0] == before


def test_training_ends_with_the_neighbours_of_its_own_end():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(300, 2))
    y = np.sin(20 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=300)
    fitted = fit(x, y, inference={"kind": "vecchia", "neighbours": 10, "inducing": 0}, train={"restarts": 0})
    start = fitted.model.build(fitted.data)
    assert scales(start) != scales(fitted.gp)
    best = max(fitted.search.values)  # an end is of before its last digits were found
    assert fitted.log_marginal_likelihood == pytest.approx(best + fitted.gp.log_jacobian, rel=SAME)
    assert fitted.certificate.converged
    # Those at its start would have said something else.
    untouched = Problem(start, fitted.inference)
    untouched(start.parameters.start)
    assert abs(untouched(fitted.vector)[0] - best) > 0.1


# Tables of every kind


def test_duplicates_a_constant_column_and_one_column_are_no_obstacle():
    x, y = _data(120)
    x[40:80], x[80:] = x[:40], x[0]
    for inputs in (x, np.column_stack([x[:, 0], np.ones(120)]), x[:, :1]):
        gp = _gp({"kind": "matern", "nu": 1.5, "lengthscale": 0.8, "outputscale": 1.0}, inputs, y)
        assert np.isfinite(Vecchia(neighbours=10).evaluate(gp)[1]).all()
        _assert_exact(Vecchia(neighbours=119), gp, gp.x[:5] + 0.1)


@pytest.mark.parametrize("inputs", [[0.0], [0.0, 1.0], np.linspace(0, 1, 12)], ids=["one", "two", "twelve"])
def test_many_rows_at_few_inputs_are_as_exact_takes_them(inputs):
    x = np.repeat(np.asarray(inputs)[:, None], 30, axis=0)
    y = np.random.default_rng(0).normal(size=len(x))
    gp = _gp({"kind": "matern", "nu": 1.5, "lengthscale": 0.8, "outputscale": 1.0}, x, y)
    _assert_exact(Vecchia(), gp, torch.linspace(-1, 2, 5)[:, None])


def test_rows_that_have_no_factor_are_refused_with_the_fix():
    x, y = _data(60)
    x[30:] = x[:30] + 1e-9  # nearly the same inputs: the same would be one row
    gp = _gp(RBF, x, y, noise_sd=np.full(60, 1e-12))
    message = "not positive definite where the data's smallest noise_sd is 1e-12: give larger noise_sd"
    for ask in (Vecchia(neighbours=5).evaluate, lambda gp: Vecchia(neighbours=5).condition(gp).moments(gp.x)):
        with pytest.raises(NotPositiveDefinite, match=message):
            ask(gp)


def test_an_evaluation_that_failed_halfway_leaves_no_gradient_behind(monkeypatch):
    monkeypatch.setattr(groups, "ELEMENTS", 1)  # a block for each row
    x, y = _data(40)
    model, method = _gp(RBF, np.vstack([x, x[:1]]), np.append(y, y[0])), Vecchia(neighbours=5)
    vector = model.parameters.start
    noiseless = np.where(np.array(model.parameters.names) == "noise.sd", np.log(1e-12), vector)
    value, gradient = method.evaluate(model)
    model.parameters.set(noiseless)
    with pytest.raises(NotPositiveDefinite):
        method.evaluate(model)
    model.parameters.set(vector)
    again, slope = method.evaluate(model)
    assert again == value
    np.testing.assert_array_equal(slope, gradient)


def test_a_factor_is_by_rounding_where_a_pivot_is_lost_in_the_size_of_the_elements():
    for pivot, lost in ((1e-8, True), (1e-6, False)):
        assert by_rounding(torch.diag_embed(torch.tensor([[1.0, 1.0], [1.0, pivot]])), 1.0) == lost


def test_a_search_keeps_away_from_factors_by_rounding():
    x, y = _data(60)
    x[30:] = x[:30] + 3e-8  # 1 − k is some units of rounding
    gp = _gp(RBF, x, y, noise_sd=np.full(60, 1e-12))
    rows = gp.subset(np.array([0, 30]))
    assert np.isfinite(Exact().evaluate(rows)[0])
    with pytest.raises(NotPositiveDefinite, match="not positive definite"):
        Vecchia(neighbours=1).evaluate(gp)


@pytest.mark.parametrize("kind", ["student_t", "heteroscedastic"])
def test_noise_with_parameters_for_each_row_is_refused(kind):
    with pytest.raises(InputError, match=r"noise\.kind: vecchia takes noise of kind gaussian or known"):
        fit(*_data(50), model={"noise": {"kind": kind}}, inference={"kind": "vecchia"})


# Fits


QUICK = {"model": {"kernel": {"kind": "rbf", "ard": True}}, "train": {"restarts": 0}}


@pytest.fixture(scope="module")
def fitted():
    return fit(*_data(1500), inference={"kind": "vecchia", "inducing": 50}, **QUICK)


def test_a_fit_ends_near_the_exact_one(fitted):
    exact = fit(*_data(1500), **QUICK)
    gp = replace(exact, vector=fitted.vector).gp
    value, _ = Exact().evaluate(gp, gradient=False)
    assert exact.log_marginal_likelihood - 2.0 < value + gp.log_jacobian <= exact.log_marginal_likelihood + 1e-3
    x, y = _data(500)
    errors = [np.sqrt(np.mean((model.predict(x).mean - y) ** 2)) for model in (fitted, exact)]
    assert errors[0] < 1.03 * errors[1]  # smooth and noisy: few neighbours' hardest case


def test_the_certificate_of_a_fit_stands(fitted):
    certificate = fitted.certificate
    assert certificate.converged
    assert certificate.jitter == 0
    assert certificate.condition_number is None
    assert set(certificate.intervals) == set(fitted.gp.parameters.names)


def test_the_gap_to_exact_is_small(fitted):
    gap = gap_to_exact(fitted, 0)
    assert gap.rows == 1200
    assert abs(gap.nlpd) < 0.01
    assert 0 < gap.mean < 0.1
    assert abs(gap.rmse) < 0.01 * NOISE
    assert not gap.alarms


def test_a_loaded_model_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded, x = Fitted.load(tmp_path / "model.safetensors"), _data(30)[0]
    assert loaded.log_marginal_likelihood == fitted.log_marginal_likelihood
    assert np.array_equal(loaded.predict(x).mean, fitted.predict(x).mean)
    assert np.array_equal(loaded.predict(x).sd_y, fitted.predict(x).sd_y)
    assert loaded.leave_one_out.equals(fitted.leave_one_out)


@pytest.mark.parametrize("train", [{"restarts": 0}, {"kind": "adam", "steps": 20}], ids=["lbfgs", "adam"])
def test_a_fit_is_the_same_bytes_every_time(train, tmp_path):
    for name in "ab":
        fit(*_data(200), inference={"kind": "vecchia", "neighbours": 5, "inducing": 20}, train=train).save(
            tmp_path / name
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_likelihood_needs_no_training():
    x, y = _data(200)
    specs = {"model": {"kernel": MATERN}, "inference": {"kind": "vecchia", "neighbours": 199}}
    assert log_marginal_likelihood(x, y, **specs) == pytest.approx(log_marginal_likelihood(x, y, model=specs["model"]))
