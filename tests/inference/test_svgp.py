"""SVGP: judged by the exact GP (all rows as inducing inputs), by dense formulas, and by gpytorch's NGD."""

import math
from dataclasses import replace

import gpytorch
import numpy as np
import pytest
import torch
from reference import matrix as reference_matrix

from gp.dataset import Dataset
from gp.fitted.fit import fit, fit_dataset, log_marginal_likelihood
from gp.fitted.fitted import Fitted
from gp.inference.exact import Exact
from gp.inference.inducing import checkpoint
from gp.inference.inducing.bound import Inducing, Natural, optimum
from gp.inference.inducing.checkpoint import Checkpoint
from gp.inference.inducing.minibatches import DROPS, Training
from gp.inference.inducing.points import cluster_centres
from gp.inference.inducing.rows import ModelRows, blocks, draw, gather, minibatches
from gp.inference.inducing.svgp import SparsePosterior, Svgp
from gp.matrices.cholesky import NotPositiveDefinite
from gp.model.model import Model
from gp.spec import InputError, parse
from gp.training import Lbfgs, Problem, polish

JITTERED = 1e-5  # what the jitter of 1e-8 may change
SAME = 1e-9
NOISE, LEVEL = 0.3, 0.5
COLUMNS = ("a", "b")
RBF = {"kind": "rbf", "lengthscale": [0.7, 1.3], "ard": True, "outputscale": 1.7}
SUM = {
    "kind": "sum",
    "terms": {
        "trend": RBF,
        "season": {"kind": "periodic", "lengthscale": 1.2, "period_length": 0.9, "columns": ["a"], "outputscale": 0.8},
        "rough": {"kind": "matern", "nu": 1.5, "lengthscale": 0.5, "outputscale": 0.2},
        "slope": {"kind": "linear", "variance": 0.4, "columns": ["b"]},
    },
}
QUICK = {"inducing": 15, "batch_size": 50, "epochs": 80, "patience": 2}


def _data(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(-2, 2, size=(n, 2))
    return x, LEVEL + np.sin(3 * x[:, 0]) + x[:, 1] + NOISE * rng.normal(size=n)


def _gp(kernel, n, *, noise_sd=None):
    x, y = _data(n)
    written = {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": "constant", "value": LEVEL},
        "kernel": kernel,
        "noise": {"sd": NOISE} if noise_sd is None else {"kind": "known"},
    }
    return parse(Model, written).build(Dataset(x=x, y=y, columns=COLUMNS, noise_sd=noise_sd))


def _sparse(kernel, n, m):
    return Svgp(inducing=m).prepare(_gp(kernel, n), 0)


def _fit(n=400, seed=0, **settings):
    return fit(
        *_data(n), model={"kernel": {"kind": "rbf", "ard": True}}, inference={"kind": "svgp", **settings}, seed=seed
    )


@pytest.fixture(scope="module")
def quick():
    return _fit(**QUICK)


# q(u)


@pytest.mark.parametrize("known", [False, True])
def test_one_natural_step_over_all_rows_is_the_exact_posterior_where_inducing_inputs_are_the_rows(known):
    n = 60
    gp = _gp(SUM, n, noise_sd=np.linspace(0.1, 0.5, n) if known else None)
    with torch.no_grad():
        inducing = Inducing(gp, gp.x)
        (batch,) = blocks(ModelRows(gp), n)
        q = Natural.prior(n).towards(inducing.project(batch).sites(), 1.0).gaussian()
    x = torch.linspace(-2.5, 2.5, 80).reshape(40, 2)
    sparse, exact = SparsePosterior(gp, inducing, q).moments(x), Exact().condition(gp).moments(x)
    np.testing.assert_allclose(sparse.mean, exact.mean, rtol=0, atol=JITTERED)
    np.testing.assert_allclose(sparse.variance, exact.variance, rtol=0, atol=JITTERED)
    assert set(sparse.terms) == set(exact.terms)
    for name, moments in exact.terms.items():
        np.testing.assert_allclose(sparse.terms[name], moments, rtol=0, atol=JITTERED)


def test_a_natural_step_is_gpytorchs():
    from gpytorch.optim import NGD

    gp, m, step, weight = _gp(RBF, 40), 8, 0.3, 2.5
    (batch,) = blocks(ModelRows(gp), 40)
    theirs = gpytorch.variational.NaturalVariationalDistribution(m)
    with torch.no_grad():
        inducing = Inducing(gp, gp.x[:m])
        rows = inducing.project(batch)
        start = Natural.prior(m).towards(rows.sites(0.4), 0.7)
        theirs.natural_vec.copy_(start.linear)
        theirs.natural_mat.copy_(-0.5 * start.precision)
        ours = start.towards(rows.sites(weight), step)
    q = theirs()
    mean, covariance = q.mean, q.covariance_matrix
    a, variance = rows.projected, rows.noise
    square = (rows.residual - mean @ a) ** 2 + (a * (covariance @ a)).sum(0)
    prior = gpytorch.distributions.MultivariateNormal(torch.zeros(m), torch.eye(m))
    loss = 0.5 * weight * (square / variance.detach()).sum() + torch.distributions.kl_divergence(q, prior)
    loss.backward()
    NGD(theirs.parameters(), num_data=1, lr=step).step()
    torch.testing.assert_close(theirs.natural_vec.detach(), ours.linear, rtol=SAME, atol=1e-7)
    torch.testing.assert_close(-2 * theirs.natural_mat.detach(), ours.precision, rtol=SAME, atol=1e-7)


def test_a_gaussian_has_the_natural_parameters_it_came_from():
    rng = np.random.default_rng(0)
    root = torch.from_numpy(rng.normal(size=(6, 9)))
    natural = Natural(torch.from_numpy(rng.normal(size=6)), root @ root.T)
    q = natural.gaussian()
    torch.testing.assert_close(q.factor, q.factor.tril())
    torch.testing.assert_close(natural.precision @ q.factor @ q.factor.T, torch.eye(6))
    torch.testing.assert_close(natural.precision @ q.mean, natural.linear)


# The bound


def test_the_bound_is_titsias_by_dense_matrices():
    n, m = 50, 12
    gp = _gp(SUM, n)
    x, y = _data(n)
    z = x[:m]
    low = reference_matrix(SUM, z, z, COLUMNS)
    cross = reference_matrix(SUM, x, z, COLUMNS)
    nystrom = cross @ np.linalg.solve(low, cross.T)
    covariance, residual = nystrom + NOISE**2 * np.eye(n), y - LEVEL
    lost = np.trace(reference_matrix(SUM, x, x, COLUMNS) - nystrom)
    log_density = -0.5 * (
        residual @ np.linalg.solve(covariance, residual) + np.linalg.slogdet(covariance)[1] + n * math.log(2 * math.pi)
    )
    _, bound = optimum(gp, torch.from_numpy(z), blocks(ModelRows(gp), 17))
    assert bound == pytest.approx(log_density - 0.5 * lost / NOISE**2, abs=JITTERED * n)


def test_the_bound_rises_to_the_likelihood_with_more_inducing_inputs():
    x, y = _data(120)
    model = {"kernel": {"kind": "matern", "nu": 1.5, "lengthscale": 1.0}, "noise": {"sd": NOISE}}
    exact = log_marginal_likelihood(x, y, model=model)
    bounds = [
        log_marginal_likelihood(x, y, model=model, inference={"kind": "svgp", "inducing": m}) for m in (10, 40, 120)
    ]
    assert bounds[0] < bounds[1] < bounds[2] <= exact
    assert bounds[2] == pytest.approx(exact, abs=1e-3)


def test_evaluate_is_the_bound_of_the_pass_that_found_q():
    gp = _gp(SUM, 70)
    sparse = Svgp(inducing=9).prepare(gp, 0)
    _, bound = optimum(gp, sparse.auxiliary["inducing_inputs"].detach(), blocks(ModelRows(gp), 70))
    assert Svgp().evaluate(sparse, gradient=False)[0] == pytest.approx(bound, rel=SAME)


@pytest.mark.parametrize("kernel", [RBF, SUM], ids=["rbf", "sum"])
def test_gradients_are_finite_differences(kernel):
    gp, method = _sparse(kernel, 30, 5), Svgp()
    vector = gp.parameters.vector + 0.05 * np.random.default_rng(1).normal(size=len(gp.parameters.vector))
    gp.parameters.set(vector)
    _, gradient = method.evaluate(gp)
    step = 1e-5
    for k in range(len(vector)):
        ends = []
        for sign in (1, -1):
            gp.parameters.set(vector + sign * step * (np.arange(len(vector)) == k))
            ends.append(method.evaluate(gp, gradient=False)[0])
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(
            gradient[k], rel=1e-4, abs=1e-4 * np.abs(gradient).max()
        )


def test_inducing_inputs_that_have_no_factor_are_refused():
    gp = _gp(RBF, 30)
    with torch.no_grad(), pytest.raises(NotPositiveDefinite, match=r"lower inference\.inducing"):
        Inducing(gp, torch.full((3, 2), torch.nan))


# Leave-one-out


def test_leave_one_out_is_exacts_where_inducing_inputs_are_the_rows():
    gp = _gp(RBF, 40)
    ours, theirs = (
        Svgp().condition(Svgp(inducing=40).prepare(gp, 0)).leave_one_out(),
        Exact().condition(gp).leave_one_out(),
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=JITTERED)


def test_leave_one_out_is_prediction_by_the_best_q_of_the_other_rows():
    gp = _gp(SUM, 30)
    sparse = Svgp(inducing=6).prepare(gp, 0)
    conditioned = Svgp().condition(sparse)
    (means, sds), new = conditioned.leave_one_out(), conditioned.gp.noise_variance(gp.x[:1])[0]
    z = sparse.auxiliary["inducing_inputs"].detach()
    for i in (0, 7, 29):
        others = gp.subset(np.delete(np.arange(30), i))
        best, _ = optimum(others, z, blocks(ModelRows(others), 30))
        with torch.no_grad():
            posterior = SparsePosterior(others, Inducing(others, z), best.gaussian())
        moments = posterior.moments(gp.x[[i]])
        assert means[i] == pytest.approx(moments.mean[0], rel=1e-7)
        assert sds[i] == pytest.approx(math.sqrt(moments.variance[0] + new), rel=1e-7)


def test_leave_one_out_is_refused_where_q_is_wider_than_a_row_allows():
    sparse = _sparse(RBF, 30, 6)
    with torch.no_grad():
        sparse.auxiliary["variational_factor"].mul_(1e3)
    with pytest.raises(ArithmeticError, match="not the optimum"):
        Svgp().condition(sparse).leave_one_out()


# Rows


@pytest.mark.parametrize("sizes", [(100,), (30, 0, 50, 20)])
def test_minibatches_are_all_rows_but_the_held_out_ones_in_a_seeded_order(sizes, monkeypatch):
    monkeypatch.setattr("gp.inference.inducing.rows.POOL", 40)
    gp = _gp(RBF, 100)
    rows, held = ModelRows(gp, sizes), draw(100, 16, np.random.default_rng(0))
    epochs = [list(minibatches(rows, held, 7, np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert [len(batch.y) for batch in epochs[0]] == [7] * 12
    seen = [torch.cat([batch.y for batch in epoch]).numpy() for epoch in epochs]
    assert np.array_equal(np.sort(seen[0]), np.sort(np.delete(gp.y.numpy(), held)))
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    assert np.array_equal(gather(rows, held).y.numpy(), gp.y.numpy()[held])


def test_minibatches_drop_what_fills_none_but_never_everything():
    gp = _gp(RBF, 30)
    few, many = (list(minibatches(ModelRows(gp), np.arange(2), b, np.random.default_rng(0))) for b in (9, 50))
    assert [len(batch.x) for batch in few] == [9, 9, 9]
    assert [len(batch.x) for batch in many] == [28]


def test_cluster_centres_find_clusters_and_are_all_rows_where_these_are_no_more():
    rng = np.random.default_rng(0)
    x = np.concatenate([centre + 0.01 * rng.normal(size=(50, 2)) for centre in ([0, 0], [5, 0], [0, 500])])
    centres = cluster_centres(x, 12, 0)
    distances = np.linalg.norm((x[:, None] - centres) / [1, 100], axis=-1)
    assert distances.min(axis=1).max() < 0.1
    assert np.array_equal(cluster_centres(x[:5], 5, 0), x[:5])


def test_cluster_centres_are_as_many_as_asked_for_whatever_the_rows():
    rng = np.random.default_rng(0)
    few = rng.integers(0, 3, size=(200, 1)).astype(float)  # three distinct rows: clusters without any, too
    assert cluster_centres(few, 10, 0).shape == (10, 1)
    np.testing.assert_allclose(np.unique(cluster_centres(few, 10, 0).round(12)), [0, 1, 2])
    constant = np.column_stack([rng.normal(size=300), np.full(300, 7.0)])
    assert (cluster_centres(constant, 20, 0)[:, 1] == 7).all()
    assert np.array_equal(cluster_centres(np.ones((50, 2)), 5, 0), np.ones((5, 2)))


# Training


def test_training_ends_near_the_optimum_that_lbfgs_finds_from_there(quick):
    exact = fit(*_data(400), model={"kernel": {"kind": "rbf", "ard": True}}, train={"restarts": 0})
    gp = replace(quick).gp  # apart from the one that predicts: polishing moves its parameters
    value = quick.search.ends[0][1]
    best = polish(Problem(gp, quick.inference), quick.vector, np.zeros((0, 0)))
    assert value <= best < value + 4.0  # of 400 rows, by minibatches of 50
    assert quick.log_marginal_likelihood < exact.log_marginal_likelihood
    assert quick.log_marginal_likelihood == pytest.approx(value + gp.log_jacobian, rel=SAME)


def test_a_fit_is_the_same_bytes_every_time_and_another_with_another_seed(tmp_path):
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        _fit(n=120, **(QUICK | {"epochs": 4}), seed=seed).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_loaded_model_predicts_the_same(quick, tmp_path):
    quick.save(tmp_path / "model.safetensors")
    loaded, x = Fitted.load(tmp_path / "model.safetensors"), _data(30)[0]
    assert np.array_equal(loaded.predict(x).mean, quick.predict(x).mean)
    assert np.array_equal(loaded.predict(x).sd_y, quick.predict(x).sd_y)


def test_training_learns_where_every_hyperparameter_is_fixed():
    fixed = {"kind": "rbf", "lengthscale": {"fixed": 1}, "outputscale": {"fixed": 1}}
    model = {"kernel": fixed, "noise": {"sd": {"fixed": 0.3}}, "mean": {"kind": "zero"}}
    fitted = fit(*_data(100), model=model, inference={"kind": "svgp", **QUICK})
    untrained = log_marginal_likelihood(*_data(100), model=model, inference={"kind": "svgp", "inducing": 15})
    assert fitted.log_marginal_likelihood > untrained


def test_the_certificate_counts_the_jitter_and_asks_adam_for_no_gap():
    fitted = fit(*_data(100), inference={"kind": "svgp", **QUICK}, train={"kind": "adam", "steps": 5})
    assert fitted.certificate.jitter == 1e-8
    assert fitted.certificate.adam_gap is None


LOOK = 10  # steps between looks, so that there are few of them


def _training(monkeypatch, heights, **settings):
    """Return the state at the end of a training whose held-out bound is as given, the last one again and again."""
    gp, looks = _gp(RBF, 100), iter(heights)
    monkeypatch.setattr(Training, "_held_out", lambda *_: next(looks, heights[-1]))
    monkeypatch.setattr("gp.inference.inducing.minibatches.CHECK", LOOK)
    training = Training(gp, gp.scope.x[:4], ModelRows(gp), Svgp(batch_size=20, **settings).minibatches, 0)
    state = training.initial_state(0)
    places = []
    look = Training._check_progress
    monkeypatch.setattr(Training, "_check_progress", lambda self, s: (places.append(s.place), look(self, s)))
    training.run(state, Checkpoint(None, ""))
    return state, places


def test_training_stops_where_the_held_out_bound_no_longer_rises_and_keeps_the_best(monkeypatch):
    state, places = _training(monkeypatch, [-90.0, -80.0, -70.0, -75.0], patience=2, epochs=10000)
    # Two looks without a rise for each fall of the step sizes, and for the end.
    assert state.step == LOOK * (3 + 2 * (DROPS + 1))
    assert np.array_equal(state.best_place, places[2])


def test_training_stops_after_the_epochs_it_may_take(monkeypatch):
    state, _ = _training(monkeypatch, [*np.linspace(-90, 0, 50)], patience=2, epochs=50)
    assert state.step == 50 * 3  # of 75 rows, 25 being held out, three minibatches an epoch


# Checkpoints


class _KilledError(BaseException):
    pass


def test_training_that_was_killed_goes_on_to_the_same_bytes(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)  # at every step
    x, y = _data(400)
    specs = {"model": quick.model, "inference": quick.inference, "train": Lbfgs(), "seed": 0}
    write, runs = Checkpoint.write, 0
    rng = np.random.default_rng(0)
    fitted = None
    while fitted is None:
        left = iter(range(int(rng.integers(1, 150))))

        def count(self, arrays, left=left):
            write(self, arrays)
            if next(left, None) is None:
                raise _KilledError

        monkeypatch.setattr(Checkpoint, "write", count)
        runs += 1
        try:
            fitted = fit_dataset(Dataset(x=x, y=y, columns=("x1", "x2")), **specs, checkpoints=tmp_path / "kept")
        except _KilledError:
            assert len(list((tmp_path / "kept").iterdir())) == 1
    assert runs > 3
    quick.save(tmp_path / "never stopped")
    replace(fitted, train=quick.train).save(tmp_path / "stopped")
    assert (tmp_path / "never stopped").read_bytes() == (tmp_path / "stopped").read_bytes()
    assert fitted.trace.equals(quick.trace)


def test_a_checkpoint_of_another_training_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)
    x, y = _data(60)
    specs = {"inference": Svgp(**(QUICK | {"epochs": 2})), "train": Lbfgs(restarts=0), "checkpoints": tmp_path}
    rbf, matern = (parse(Model, {"kernel": {"kind": kind}}) for kind in ("rbf", "matern"))
    changed = {"rows": (y + 1, rbf, 0), "kernel": (y, matern, 0), "seed": (y, rbf, 1)}
    for k, (target, model, seed) in enumerate([(y, rbf, 0), *changed.values()], start=1):
        fit_dataset(Dataset(x=x, y=target, columns=COLUMNS), model=model, seed=seed, **specs)
        assert len(list(tmp_path.iterdir())) == k


# Refusals


def test_few_rows_are_refused():
    with pytest.raises(InputError, match=r"at least 20 rows \(got 10\)"):
        fit(*_data(10), inference={"kind": "svgp"})


@pytest.mark.parametrize("kind", ["student_t", "heteroscedastic"])
def test_noise_with_parameters_for_each_row_is_refused(kind):
    with pytest.raises(InputError, match=r"noise\.kind: svgp takes noise of kind gaussian or known"):
        fit(*_data(50), model={"noise": {"kind": kind}}, inference={"kind": "svgp"})


def test_the_held_out_bound_and_the_first_step_weigh_rows_as_all_and_add_the_prior():
    prior = {"kind": "log_normal", "median": 0.2, "sigma": 0.3}
    kernel = RBF | {"lengthscale": {"start": [0.7, 1.3], "prior": prior}}
    gp = _gp(kernel, 100)
    training = Training(gp, gp.scope.x[:4], ModelRows(gp), Svgp(batch_size=20).minibatches, 0)
    state = training.initial_state(0)  # q(v) is the prior N(0, I)
    held, n = training._held, 100
    residual = gp.scope.y[held] - LEVEL
    each = -0.5 * (np.log(2 * np.pi * NOISE**2) + (residual**2 + RBF["outputscale"]) / NOISE**2)
    log_prior, _ = gp.parameters.log_prior(gp.parameters.vector)
    assert log_prior != 0
    assert training._held_out(state) == pytest.approx(n * each.mean() + log_prior, rel=JITTERED)
    batch = next(iter(training._rest_of_epoch(state)))
    with torch.no_grad():
        rows = Inducing(gp, gp.x[:4]).project(batch)
        weight = (n - len(held)) / len(batch.y)
        expected = torch.eye(4) + weight * rows.projected @ rows.projected.T / NOISE**2
    training._step(state, batch)
    np.testing.assert_allclose(state.precision, expected, rtol=1e-9)


def test_the_end_of_a_training_is_the_bound_and_the_prior():
    prior = {"kind": "log_normal", "median": 0.2, "sigma": 0.3}
    model = {"kernel": {"kind": "rbf", "lengthscale": {"start": 1.0, "prior": prior}}}
    inference = {"kind": "svgp", **QUICK, "epochs": 2}
    fitted = fit(*_data(100), model=model, inference=inference, train={"restarts": 0})
    process = replace(fitted).gp
    log_prior, _ = process.parameters.log_prior(fitted.vector)
    assert log_prior != 0
    assert fitted.search.ends[0][1] == pytest.approx(fitted.inference.evaluate(process)[0] + log_prior, rel=SAME)
