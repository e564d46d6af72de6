"""Rows whose y is the function's mean along a step: exact inference by Gauss–Legendre nodes."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import gp as library
from gp.dataset import Dataset
from gp.export import export
from gp.fitted.fit import fit_dataset
from gp.inference.auto import Auto
from gp.inference.exact import Exact
from gp.inference.harmonic import Harmonic
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.inducing.svgp import Svgp
from gp.inference.markov.markov import Markov
from gp.inference.nearest.vecchia import Vecchia
from gp.inference.profile import profile_of
from gp.matrices.algebra import closed_form
from gp.matrices.tiles import diagonal, lower_tiles, matrix
from gp.model.kernels import Kernel
from gp.model.model import Model
from gp.model.nodes import NODES
from gp.spec import InputError, parse
from gp.testing import examples
from gp.testing.laws import differences, require_slope
from gp.testing.models import moved
from gp.training import Lbfgs, Problem

PERIODIC = {"kind": "periodic", "period_length": {"fixed": 2 * math.pi}}
PLACES, WEIGHTS = np.polynomial.legendre.leggauss(NODES)
GIVEN = {
    "cosine": [{"columns": ["a"]}],
    "spectral_mixture": [{"num_mixtures": 2}],
    "low_rank": [{"columns": ["level"], "rank": 2}],
    "sum": [{"terms": {"line": {"kind": "linear"}, "cycle": PERIODIC}}],
    "product": [{"factors": {"line": {"kind": "linear"}, "cycle": PERIODIC}}],
    "changepoint": [{"before": {"kind": "rbf"}, "after": {"kind": "matern", "nu": 1.5}, "column": "a"}],
}
KERNELS = {name: written for name, written in examples(Kernel, GIVEN).items() if written["kind"] != "white"}
PLUG_IN = {"kind": "plug_in"}


def rows(n=24, d=2, size=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x, step = rng.uniform(0, 2 * math.pi, (n, d)), rng.uniform(-size, size, (n, d))
    y = np.sin(x).sum(axis=1) * np.sinc(step / (2 * math.pi)).prod(axis=1) + 0.1 * rng.normal(size=n)
    return Dataset(x=x, y=y, step=step, columns=("a", "b")[:d])


def build(kernel, data, **others):
    return parse(Model, {"kernel": kernel, **others}, "model").build(data)


def reference(gp, kernel=None, points=None):
    """Return the covariance of rows with rows, or with points, from that of all points of their steps."""
    x = gp.scope.x[:, None] + 0.5 * PLACES[:, None] * gp.scope.step[:, None]
    every = torch.from_numpy(x.reshape(-1, x.shape[-1]))
    kernel = kernel or gp.kernel
    with torch.no_grad():
        if points is not None:
            return np.einsum(
                "miq,q->mi", kernel(points, every).to_dense().numpy().reshape(-1, gp.n, NODES), WEIGHTS / 2
            )
        each = kernel(every, every).to_dense().numpy().reshape(gp.n, NODES, gp.n, NODES)
    return np.einsum("iajb,a,b->ij", each, WEIGHTS / 2, WEIGHTS / 2)


def with_levels(data):
    number = np.random.default_rng(1).integers(3, size=data.n)
    x, step = np.column_stack([data.x, number]), np.column_stack([data.step, np.zeros(data.n)])
    return Dataset(x=x, y=data.y, step=step, columns=(*data.columns, "level"), levels={"level": ("r", "g", "b")})


@pytest.mark.parametrize("name", KERNELS)
def test_the_covariance_is_that_of_means_of_the_function(name):
    kernel, data = KERNELS[name], rows(12)
    if kernel["kind"] in ("categorical", "low_rank"):
        data = with_levels(data)
        kernel = {"kind": "product", "factors": {"numbers": {"kind": "rbf"}, "levels": kernel}}
    gp = build(kernel, data)
    gp.parameters.set(moved(gp))
    covariance, points = reference(gp), gp.x[:5] + 0.1
    everything = slice(0, gp.n)
    with torch.no_grad():
        blocks, across = closed_form(gp.kernel, gp.sites, gp.sites), closed_form(gp.kernel, points, gp.sites)
        seen = [blocks.block(everything, everything)[0], matrix(gp.kernel, gp.sites, gp.sites).numpy()]
        crossed = [across.block(slice(0, 5), everything)[0], matrix(gp.kernel, points, gp.sites).numpy()]
        variances = [blocks.diagonal(), diagonal(gp.kernel, gp.sites).numpy()]
        assert across.diagonal() == pytest.approx(diagonal(gp.kernel, points).numpy(), rel=1e-9)
    size = np.abs(covariance).max()
    assert np.linalg.eigvalsh(seen[0]).min() > -1e-10 * size
    for one, other, own in zip(seen, crossed, variances, strict=True):
        # Nodes of a step of zero are equal, and gpytorch takes their distance for 1e-8.
        assert one == pytest.approx(covariance, abs=1e-7 * size)
        assert other == pytest.approx(reference(gp, points=points), abs=1e-7 * size)
        assert own == pytest.approx(np.diagonal(covariance), abs=1e-7 * size)
    vector = gp.parameters.vector
    require_slope(name, Problem(gp, Exact()), vector, np.random.default_rng(2).normal(size=(1, len(vector))))


def test_derivatives_hold_across_tiles():
    gp = build(
        {"kind": "sum", "terms": {"a": {"kind": "rbf", "ard": True}, "b": {"kind": "matern", "nu": 1.5}}}, rows(150)
    )
    vector, v = gp.parameters.vector, np.random.default_rng(0).normal(size=gp.n)
    assert len(list(lower_tiles(gp.n))) == 3
    require_slope("two tiles", Problem(gp, Exact()), vector, np.random.default_rng(1).normal(size=(2, len(vector))))

    def times(raw):
        gp.parameters.set(raw)
        return matrix(gp.kernel, gp.sites, gp.sites).detach().numpy() @ v

    gp.parameters.set(vector)
    blocks = closed_form(gp.kernel, gp.sites, gp.sites)
    for tile in lower_tiles(gp.n):
        value, derivative = blocks.block(*tile)
        derivative.push(np.ones(value.shape), 1.0, v)
    for raw, product in list(blocks.products()):  # at the hyperparameters that the blocks are of
        place = gp.parameters.places[raw]
        for column, direction in zip(product.T, np.eye(len(vector))[place], strict=True):
            assert column == pytest.approx(differences(times, vector, direction), abs=1e-7 * np.abs(product).max())


def test_predictions_and_left_out_rows_are_those_of_the_dense_formulas():
    gp = build({"kind": "rbf", "ard": True}, rows(), mean={"kind": "zero"}, noise={"kind": "gaussian", "sd": 0.1})
    covariance, y, points = reference(gp) + np.diag(gp.noise_variance(gp.x)), gp.scope.y, gp.x[:6] + 0.2
    assert Exact().evaluate(gp)[0] == pytest.approx(multivariate_normal(np.zeros(gp.n), covariance).logpdf(y), rel=1e-9)
    known, cross, inverse = Exact().condition(gp), reference(gp, points=points), np.linalg.inv(covariance)
    moments, (mean, sd) = known.moments(points), known.leave_one_out()
    prior = matrix(gp.kernel, points, points).detach().numpy()
    assert moments.mean == pytest.approx(cross @ inverse @ y, abs=1e-9)
    with torch.no_grad():
        assert known.together().joint(points)[1] == pytest.approx(prior - cross @ inverse @ cross.T, abs=1e-9)
    assert moments.variance == pytest.approx(np.diagonal(prior - cross @ inverse @ cross.T), abs=1e-9)
    assert sd == pytest.approx(1 / np.sqrt(np.diagonal(inverse)))
    assert mean == pytest.approx(y - inverse @ y / np.diagonal(inverse), abs=1e-9)
    assert known.training_mean() == pytest.approx(reference(gp) @ inverse @ y, abs=1e-9)


@pytest.mark.parametrize("kind", ["linear", "polynomial"])
def test_it_is_harmonic_inference_but_for_the_quadrature(kind):
    terms = {name: {**PERIODIC, "columns": [name]} for name in ("a", "b")}
    gp = build({"kind": "sum", "terms": terms}, rows(40), mean={"kind": kind}, noise={"kind": "gaussian", "sd": 0.3})
    vector, told = gp.parameters.vector, []
    for kind in (Exact(), Harmonic()):
        gp.parameters.set(vector)
        method = kind.integrating(gp)[0]
        value, slopes = method.evaluate(gp)
        known = method.condition(gp)
        moments = known.moments(gp.x[:9] + 0.3)
        told.append([value, slopes, gp.parameters.vector, moments.mean, moments.variance, *known.leave_one_out()])
    for exact, own in zip(*told, strict=True):
        assert own == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_steps_of_zero_are_none():
    data = rows(size=0.0)
    plain = Dataset(x=data.x, y=data.y, columns=data.columns)
    kernel = {"kind": "matern", "nu": 2.5, "ard": True}
    (value, slopes), (own, own_slopes) = (Exact().evaluate(build(kernel, each)) for each in (plain, data))
    assert own == pytest.approx(value, rel=1e-9)
    assert own_slopes == pytest.approx(slopes, rel=1e-6, abs=1e-8)


def test_a_line_or_a_parabola_as_the_mean_is_averaged_too():
    x, step = np.linspace(-1, 1, 12)[:, None], np.linspace(0.5, 2.0, 12)[:, None]
    data = Dataset(x=x, y=(1 + 2 * x + 3 * (x**2 + step**2 / 12))[:, 0], step=step, columns=("a",))
    gp = build({"kind": "rbf"}, data, mean={"kind": "polynomial"}, standardize={"x": False, "y": False})
    Problem(gp, Exact()).maximise_profiled(gp.parameters.vector)
    profile = profile_of(gp)
    weights = np.linalg.lstsq(profile.design, gp.scope.y, rcond=None)[0]
    assert weights == pytest.approx([1, 2, 3])
    assert gp.prior_mean() == pytest.approx(gp.mean(gp.sites).detach().numpy())


def test_rows_are_one_only_where_their_steps_are_the_same():
    data = rows(12)
    twice = Dataset(
        x=np.tile(data.x, (3, 1)),
        y=np.concatenate([data.y, data.y + 0.1, data.y - 0.1]),
        step=np.vstack([data.step, data.step, -0.5 * data.step]),
        columns=data.columns,
    )
    gp = build({"kind": "rbf"}, twice, noise={"kind": "gaussian", "sd": 0.2})
    assert gp.distinct.n == 24
    expected = multivariate_normal(gp.prior_mean(), reference(gp) + np.diag(gp.noise_variance(gp.x))).logpdf(gp.scope.y)
    assert Exact().evaluate(gp)[0] == pytest.approx(expected, rel=1e-8)


def fitted(data, inference=None, **model):
    written = {"kernel": {"kind": "rbf"}, **model}
    specs = {"model": parse(Model, written, "model"), "inference": inference or Exact(), "train": Lbfgs(restarts=0)}
    return fit_dataset(data, seed=0, **specs)


def test_a_function_is_learnt_from_its_means(tmp_path):
    """sin 3x along steps of up to 2: at their middles it would be half as large."""
    rng = np.random.default_rng(0)
    x, step = rng.uniform(0, 6, (60, 1)), rng.uniform(0.8, 1.6, (60, 1))
    y = (np.sin(3 * x) * np.sinc(3 * step / (2 * math.pi)))[:, 0] + 0.02 * rng.normal(size=60)
    one = library.fit(x, y, step=step[:, 0], model={"kernel": {"kind": "rbf"}}, train={"restarts": 0})
    at = np.linspace(0.5, 5.5, 50)
    posterior = one.predict(at)
    assert np.abs(posterior.mean - np.sin(3 * at)).max() < 0.15
    assert np.abs(posterior.mean - np.sin(3 * at)).mean() < 2 * posterior.sd_f.mean()
    middles = fitted(Dataset(x=x, y=y, columns=("a",))).predict(at)
    assert np.abs(middles.mean - np.sin(3 * at)).max() > 0.3
    one.save(tmp_path / "model.safetensors")
    again = library.load(tmp_path / "model.safetensors").predict(at)
    assert np.array_equal(again.mean, posterior.mean)
    assert np.array_equal(again.sd_f, posterior.sd_f)


def test_new_rows_are_points_beside_rows_along_steps():
    data = rows(30)
    one, x, y = fitted(data), data.x[:4] + 0.3, data.y[:4]
    later = one.update(x, y)
    gp, points = later.gp, later.gp.inputs(x + 0.1)
    covariance, cross = reference(gp) + np.diag(gp.noise_variance(gp.x)), reference(gp, points=points)
    mean = cross @ np.linalg.solve(covariance, gp.scope.y - gp.prior_mean()) + gp.mean(points).detach().numpy()
    assert np.array_equal(gp.scope.step[-4:], np.zeros((4, 2)))
    seen = later.predict(x + 0.1, hyperparameters=PLUG_IN).mean
    assert seen == pytest.approx(mean * gp.scope.y_scale + gp.scope.y_offset, rel=1e-6)


@pytest.mark.parametrize("method", [Sgpr(), Svgp(), Vecchia(), Markov()])
def test_methods_that_take_rows_at_points_refuse_them(method):
    with pytest.raises(InputError, match=r"^inference: each y is a mean along a step, and inference of kind \w+ takes"):
        fitted(rows(d=1), method)


def test_auto_takes_exact_and_white_noise_has_no_mean():
    choice = Auto().choices(build({"kind": "rbf"}, rows(d=1)))[0]
    assert choice.method == Exact()
    assert "rows that are means along steps" in choice.why
    with pytest.raises(InputError, match="that of white noise is nothing"):
        fitted(rows(), kernel={"kind": "sum", "terms": {"a": {"kind": "rbf"}, "b": {"kind": "white"}}})


def test_what_knows_rows_at_points_alone_is_refused(tmp_path):
    one = fitted(rows())
    for asked in (lambda: export(one, tmp_path), lambda: one.sample_paths(2, seed=0), one.to_gpytorch):
        with pytest.raises(InputError, match=r"each y is a mean along a step, and .* takes rows at points alone"):
            asked()
    assert one.predict(one.data.x[:3], joint=True).sample(2, seed=0).shape == (2, 3)
    periodic = fitted(rows(d=1), Harmonic(), kernel=PERIODIC)
    assert len(periodic.sample_paths(2, seed=0)) == 2  # its weights are of points


def test_rows_left_out_of_steps_under_noise_that_changes_have_a_density_each():
    x = np.linspace(0, 10, 14)
    fit = library.fit(x, np.sin(x), step=0.5, model={"noise": {"kind": "heteroscedastic"}})
    assert np.isfinite(fit.leave_one_out.to_numpy()).all()


def test_one_step_is_that_of_every_row_and_the_likelihood_takes_it_too():
    x = np.linspace(0, 10, 14)
    one, each = (library.log_marginal_likelihood(x, np.sin(x), step=step) for step in (0.5, np.full(14, 0.5)))
    assert one == each != library.log_marginal_likelihood(x, np.sin(x))


@pytest.mark.parametrize(("step", "alarms"), [(0.5, 0), (6.0, 1)])
def test_an_alarm_says_where_nodes_are_too_far_apart_for_the_function(step, alarms):
    x = np.linspace(0, 10, 30)
    y = np.sin(2 * x) * np.sin(step) / step + 0.02 * np.random.default_rng(0).standard_normal(30)
    model = {"kernel": {"kind": "rbf", "lengthscale": {"fixed": 0.6}}, "noise": {"sd": {"fixed": 0.02}}}
    found = library.fit(x, y, step=step, model=model).certificate
    assert sum("steps are wide" in alarm for alarm in found.alarms) == alarms
    assert (found.quadrature > 0.05) == bool(alarms)
