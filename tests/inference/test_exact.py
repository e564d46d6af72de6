"""Exact inference, judged by the slow reference, by finite differences, by gpytorch's Cholesky and by scikit-learn."""

import math
import subprocess
import sys
from contextlib import contextmanager

import gpytorch
import numpy as np
import pytest
import torch
from reference import Reference
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from threadpoolctl import threadpool_info, threadpool_limits

import gp
from benchmarks.evaluation import KERNELS, measure
from gp import parallel
from gp.dataset import Dataset
from gp.inference.exact import Exact
from gp.inference.method import positive_part
from gp.inference.profile import profile_of
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.spec import InputError, parse

SLOW = 1e-7  # another algorithm altogether, at n = 1200
SAME = 1e-8  # relative to the largest element of a gradient

COLUMNS = ("a", "b")
NOISE, LEVEL = 0.3, 0.5
RBF_ARD = {"kind": "rbf", "lengthscale": [0.7, 1.3], "ard": True, "outputscale": 1.7}
SUM = {
    "kind": "sum",
    "terms": {
        "trend": RBF_ARD,
        "season": {
            "kind": "product",
            "outputscale": 0.8,
            "factors": {
                "decay": {"kind": "matern", "nu": 2.5, "lengthscale": 2.0},
                "cycle": {"kind": "periodic", "lengthscale": 1.2, "period_length": 0.9, "columns": ["a"]},
            },
        },
        "rough": {"kind": "rational_quadratic", "lengthscale": 0.5, "alpha": 0.7, "outputscale": 0.2},
        "slope": {"kind": "linear", "variance": 0.4, "columns": ["b"]},  # by autograd
    },
}
MODELS = {
    "rbf": RBF_ARD,
    **{f"matern {nu}": {"kind": "matern", "nu": nu, "lengthscale": 0.9, "outputscale": 1.7} for nu in (0.5, 1.5, 2.5)},
    "sum": SUM,
}


def _data(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(-2, 2, size=(n, 2))
    return x, LEVEL + np.sin(3 * x[:, 0]) + x[:, 1] + NOISE * rng.normal(size=n)


def _gp(kernel, x, y, *, noise=NOISE):
    written = {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "constant", "value": LEVEL},
        "kernel": kernel,
        "noise": {"sd": noise},
    }
    return parse(Model, written).build(Dataset(x=x, y=y, columns=COLUMNS))


def _reference(kernel, x, y):
    return Reference(kernel, NOISE, LEVEL, x, y, COLUMNS)


@pytest.mark.parametrize(
    ("n", "name"), [(50, name) for name in MODELS] + [(790, "matern 1.5"), (1200, "rbf")], ids=lambda value: str(value)
)
def test_likelihood_and_posterior_are_the_slow_references(n, name):
    x, y = _data(n)
    model, reference = _gp(MODELS[name], x, y), _reference(MODELS[name], x, y)
    value, _ = Exact().evaluate(model)
    assert value == pytest.approx(reference.log_marginal_likelihood(), rel=SLOW)
    # gpytorch's own inference, above 800 rows, is off by nats.
    assert Exact().evaluate(model, gradient=False)[0] == value
    new = np.array([[0.1, 0.2], [5.0, -3.0], x[0]])
    moments = Exact().condition(model).moments(model.inputs(new))
    mean, sd = reference.posterior(new)
    np.testing.assert_allclose(moments.mean, mean, rtol=SLOW)
    np.testing.assert_allclose(np.sqrt(moments.variance), sd, rtol=SLOW)


def test_each_term_is_the_slow_references():
    x, y = _data(50)
    model, new = _gp(SUM, x, y), np.array([[0.1, 0.2], [3.0, -3.0]])
    terms = Exact().condition(model).moments(model.inputs(new)).terms
    assert list(terms) == list(SUM["terms"])
    for name, (mean, variance) in terms.items():
        expected, sd = _reference(SUM, x, y).posterior(new, SUM["terms"][name])
        np.testing.assert_allclose(mean, expected, rtol=SLOW, atol=SLOW)
        np.testing.assert_allclose(np.sqrt(variance), sd, rtol=SLOW)


def test_a_prediction_does_not_depend_on_the_rows_beside_it():
    x, y = _data(300)
    posterior = Exact().condition(_gp(RBF_ARD, x, y))
    new = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, size=(2500, 2)))
    together, apart = posterior.moments(new), posterior.moments(new[1500:1503])
    np.testing.assert_allclose(together.mean[1500:1503], apart.mean, rtol=1e-12)
    np.testing.assert_allclose(together.variance[1500:1503], apart.variance, rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [60, 400])
def test_the_gradient_is_that_of_finite_differences(n, name):
    x, y = _data(n)
    model = _gp(MODELS[name], x, y)
    start, h = model.parameters.start, 0.003
    _, gradient = Exact().evaluate(model)

    def value(vector):
        model.parameters.set(vector)
        return Exact().evaluate(model, gradient=False)[0]

    # Central differences of eighth order: neither rounding nor truncation reaches 1e-9.
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    for i, step in enumerate(h * np.eye(len(start))):
        pairs = (w * (value(start + k * step) - value(start - k * step)) for k, w in weights.items())
        assert gradient[i] == pytest.approx(sum(pairs) / h, abs=SAME * abs(gradient).max())


# Not Matérn 1/2: with gradients on, gpytorch's distance of a row to itself is 1e-8 and not 0.
@pytest.mark.parametrize("name", ["rbf", "matern 1.5", "matern 2.5", "sum"])
@pytest.mark.parametrize("n", [60, 1200])
def test_likelihood_and_gradient_are_those_of_gpytorch_by_cholesky(n, name):
    x, y = _data(n)
    model = _gp(MODELS[name], x, y)
    value, gradient = Exact().evaluate(model)
    with gpytorch.settings.fast_computations(False, False, False), gpytorch.settings.max_cholesky_size(n + 1):
        covariance = model.kernel(model.x).to_dense() + torch.diag(model.noise(model.x))
        normal = torch.distributions.MultivariateNormal(model.mean(model.x), covariance, validate_args=False)
        expected = normal.log_prob(model.y)
        expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10)
    expected = model.parameters.gradient()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=SAME * abs(expected).max())


def test_likelihood_and_gradient_are_those_of_scikit_learn():
    x, y = _data(200)
    kernel = {"kind": "matern", "nu": 1.5, "lengthscale": [0.7, 1.3], "ard": True, "outputscale": 1.7}
    peers = {"rbf": (RBF_ARD, RBF([0.7, 1.3])), "matern": (kernel, Matern([0.7, 1.3], nu=1.5))}
    for ours, theirs in peers.values():
        value, gradient = Exact().evaluate(_gp(ours, x, y))
        peer = GaussianProcessRegressor(ConstantKernel(1.7) * theirs + WhiteKernel(NOISE**2), alpha=0.0, optimizer=None)
        peer.fit(x, y - LEVEL)
        expected, (outputscale, first, second, noise) = peer.log_marginal_likelihood(peer.kernel_.theta, True)
        assert value == pytest.approx(expected, rel=1e-10)
        # Ours is by log sd where theirs is by log variance, and knows a level.
        np.testing.assert_allclose(gradient[:4], [first, second, outputscale, 2 * noise], rtol=SAME)


def test_an_evaluation_repeats_its_bytes():
    model = _gp(SUM, *_data(700))
    (value, gradient), (again, other) = Exact().evaluate(model), Exact().evaluate(model)
    assert value == again
    assert np.array_equal(gradient, other)


@pytest.mark.parametrize("name", ["rbf", "sum"])
def test_leave_one_out_is_a_refit_without_each_row(name):
    x, y = _data(25)
    mean, sd = Exact().condition(_gp(MODELS[name], x, y)).leave_one_out()
    expected, expected_sd = _reference(MODELS[name], x, y).leave_one_out()
    np.testing.assert_allclose(mean, expected, rtol=SLOW)
    np.testing.assert_allclose(sd, expected_sd, rtol=SLOW)


@pytest.mark.parametrize("method", ["evaluate", "condition"])
def test_a_matrix_without_a_factor_is_refused(method):
    x, y = _data(20)
    x[10:] = x[:10] + 1e-9  # nearly the same inputs: the same would be one row
    with pytest.raises(NotPositiveDefinite):
        getattr(Exact(), method)(_gp(RBF_ARD, x, y, noise=1e-12))


def test_more_rows_than_memory_holds_are_refused_with_the_bytes_and_the_fix():
    message = r"n=3000000 rows needs 80466\.3 GiB of memory.*: write inference: {kind: auto}"
    with pytest.raises(InputError, match=message):
        Exact().check(3_000_000)
    Exact().check(1000)


@pytest.mark.parametrize("kind", ["heteroscedastic", "student_t"])
def test_noise_of_each_row_needs_more_memory_and_more_than_there_is_is_refused(kind, monkeypatch):
    x = np.arange(300.0)
    monkeypatch.setattr("gp.inference.exact.available_memory", lambda: 4 * 8 * 300**2)
    assert gp.fit(x, np.sin(x), model={"kernel": {"kind": "rbf"}}, train={"restarts": 0}, inference={"kind": "exact"})
    with pytest.raises(InputError, match=r"n=300 rows needs 0\.0 GiB of memory.*: write noise of kind gaussian; or"):
        gp.fit(x, np.sin(x), model={"noise": {"kind": kind}}, inference={"kind": "exact"})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": "MemTotal: 90 kB\nMemAvailable: 70 kB\n"}, 70 * 1024),
        ({"proc/meminfo": "MemAvailable: 70 kB\n", "sys/fs/cgroup/memory.max": "max\n"}, 70 * 1024),
        ({"proc/meminfo": "MemAvailable: 70 kB\n", "sys/fs/cgroup/memory.max": "5000\n"}, 5000),
        ({"proc/meminfo": "MemAvailable: 70 kB\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "6000\n"}, 6000),
    ],
)
def test_available_memory_is_the_least_that_the_system_names(files, expected, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert parallel.available_memory(tmp_path) == expected


def test_available_memory_is_the_machines_where_the_system_names_none(tmp_path):
    assert parallel.available_memory(tmp_path) > 2**20


PEAK = """
import numpy as np
from benchmarks.evaluation import evaluation
evaluation(300, 8, {kernel})()
run = evaluation(2500, 8, {kernel})
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before = kib("VmRSS")
run()
print((kib("VmHWM") - before) * 1024 / (8 * 2500**2))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kernel", ["matern 5/2"])
def test_an_evaluation_needs_little_more_than_one_matrix(kernel):
    script = PEAK.format(kernel=KERNELS[kernel][1])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.3  # 1.2 at n = 4000: tiles weigh less there


@contextmanager
def two_threads():
    """Let BLAS and torch take two threads, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            yield
    finally:
        torch.set_num_threads(before)


def test_an_evaluation_leaves_the_threads_as_they_were():
    def threads():
        return torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]

    with two_threads():
        before = threads()
        Exact().evaluate(_gp(RBF_ARD, *_data(20)))
        assert threads() == before


def test_many_rows_get_all_cores_and_few_rows_one(monkeypatch):
    def blas():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    monkeypatch.setattr(parallel, "cores", lambda: 2)
    with two_threads(), parallel.one_thread():
        with parallel.lapack_threads(parallel.MANY_ROWS - 1):
            assert blas() == {1}
        with parallel.lapack_threads(parallel.MANY_ROWS):
            assert blas() == {2}
        assert blas() == {1}


def test_the_benchmark_measures_every_kernel():
    rows = measure(20, repeats=1)
    assert [row["kernel"] for row in rows] == list(KERNELS)
    assert all(math.isfinite(row["units"]) and row["units"] > 0 for row in rows)


def test_a_negative_variance_is_cut_off_where_it_is_rounding_and_refused_where_it_is_more():
    prior = np.array([1.0, 4.0])
    assert positive_part(np.array([-1e-9, 2.0]), prior).tolist() == [0.0, 2.0]
    with pytest.raises(ArithmeticError, match="the posterior variance came out negative"):
        positive_part(np.array([0.5, -1e-4]), prior)


def test_a_factor_by_rounding_is_none_for_a_search():
    kernel = {"kind": "rbf", "lengthscale": 1.0, "outputscale": 1.0}
    gp = _gp(kernel, np.array([[0.0, 0.0], [1e-12, 0.0]]), np.zeros(2), noise=3e-8)
    assert np.isfinite(Exact().evaluate(gp)[0])  # some units of rounding are left of the second row's variance
    with pytest.raises(NotPositiveDefinite, match="not positive definite"):
        Exact().evaluate(gp, profile=profile_of(gp))
