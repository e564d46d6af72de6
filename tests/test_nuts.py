"""The No-U-Turn sampler against densities of known form, and what its chains say of their convergence."""

import json

import numpy as np
import pytest
from scipy import stats

import gp
from gp.dataset import Dataset
from gp.fitted.chains import _Density
from gp.fitted.convergence import Convergence, ess_bulk, ess_tail, r_hat
from gp.fitted.jumps import Jumps
from gp.fitted.nuts import sample
from gp.fitted.priors import WeakPrior

NUTS = {"kind": "nuts", "warmup": 50}
FEW = {"kind": "nuts", "draws": 50, "warmup": 20, "chains": 2}


def normal(mean, covariance):
    precision = np.linalg.inv(covariance)

    def density(position):
        pull = precision @ (position - mean)
        return -0.5 * float((position - mean) @ pull), -pull

    return density


def log_gamma(position):
    """The log of a number from the gamma distribution of shape 2."""
    return float(2 * position[0] - np.exp(position[0])), 2 - np.exp(position)


def chains(density, starts, *, draws=2000, warmup=100, seed=0, root=None):
    starts = np.array(starts, dtype=float)
    root = np.eye(starts.shape[1]) if root is None else root
    rngs = [np.random.default_rng([seed, number]) for number in range(len(starts))]
    return sample(density, starts, root, draws=draws, warmup=warmup, rngs=rngs)


def chain(density, start, **settings):
    found = chains(density, [start], **settings)
    return found._replace(draws=found.draws[0])


# --- the sampler -----------------------------------------------------------------------------------------------------


def test_draws_have_the_mean_and_covariance_of_a_normal():
    mean, covariance = np.array([1.0, -2.0]), np.array([[1.0, 0.9], [0.9, 1.0]])
    found = chain(normal(mean, covariance), [0, 0])
    np.testing.assert_allclose(found.draws.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(found.draws.T), covariance, atol=0.1)
    assert found.divergences == 0
    assert np.array_equal(found.draws, chain(normal(mean, covariance), [0, 0]).draws)
    assert not np.array_equal(found.draws, chain(normal(mean, covariance), [0, 0], seed=1).draws)


def test_the_metric_is_learnt():
    """Scales a thousand times apart: after warmup a trajectory is as short as that of a round normal."""
    far = normal(np.zeros(2), np.diag([1e6, 1.0]))
    learnt = chain(far, [0, 0], draws=300, warmup=300)
    assert learnt.draws.std(axis=0) == pytest.approx([1e3, 1], rel=0.25)
    known = chain(far, [0, 0], draws=300, warmup=0, root=np.diag([1e3, 1.0]))
    assert len(learnt.draws) == len(known.draws) == 300
    assert known.evaluations < 300 * 10


def test_draws_of_a_skew_density_have_its_distribution():
    found = np.exp(chain(log_gamma, [0], draws=4000).draws[::5, 0])
    assert stats.kstest(found, stats.gamma(2).cdf).pvalue > 0.01


def test_chains_on_a_banana_agree_with_one_another_and_with_quadrature():
    """Two standard deviations of which only the sum of squares is known, in logs, with a prior of sd 1 each."""

    def banana(position):
        squares = np.exp(2 * position)
        apart = np.log(squares.sum()) / 0.2
        slope = -2 * apart / 0.2 * squares / squares.sum() - position
        return -0.5 * (apart**2 + position @ position), slope

    draws = chains(banana, np.zeros((4, 2)), draws=1000, seed=1).draws
    assert r_hat(draws[..., 0]) < 1.01
    grid = np.linspace(-6, 2, 400)
    logs = np.log(np.add.outer(*[np.exp(2 * grid)] * 2)) / 0.2
    weights = np.exp(-0.5 * (logs**2 + np.add.outer(grid**2, grid**2))).sum(axis=0)
    expected = np.interp([0.05, 0.25, 0.5, 0.75, 0.95], np.cumsum(weights) / weights.sum(), grid)
    below = (draws[..., 0, None] < expected).mean(axis=(0, 1))
    np.testing.assert_allclose(below, [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.04)


def test_jumps_leave_a_density_as_it_is():
    """Of a picture that is shifted and too wide; proposals have the density that they say."""
    rng = np.random.default_rng(1)
    jumps, here, found = Jumps.of(rng.normal(0.5, 1.3, size=(60, 1))), np.zeros(1), []
    for _ in range(6000):
        to = jumps.draw(rng)
        gained = 0.5 * (here @ here - to @ to) + jumps.log_density(here) - jumps.log_density(to)
        here = to if np.log(rng.uniform()) < gained else here
        found.append(here[0])
    assert stats.kstest(found[::6], "norm").pvalue > 0.01
    assert Jumps.of(rng.normal(size=(5, 3))) is None  # too few
    assert Jumps.of(np.outer(np.arange(40.0), [1.0, 1.0, 0.0])) is None  # on a line


def test_trajectories_that_leave_the_density_are_counted():
    def cut(position):
        value, slope = log_gamma(position)
        return (value, slope) if position[0] < 0 else (-np.inf, np.zeros(1))

    found = chain(cut, [-1], draws=300)
    assert found.divergences > 0
    assert (found.draws < 0).all()
    with pytest.raises(ValueError, match="density of zero"):
        chain(cut, [1])


@pytest.mark.parametrize(("noise", "holds"), [(0.5, True), (0.25, False)])
def test_true_values_have_uniform_ranks_among_draws(noise, holds):
    """Simulation-based calibration (Talts et al. 2018): θ ~ N(0, 1), y ~ N(θ, ½); a noise that is too small fails."""
    rng, ranks = np.random.default_rng(0), []
    for seed in range(80):
        truth = rng.normal()
        y = truth + np.sqrt(0.5) * rng.normal()
        posterior = normal(np.array([y / (1 + noise)]), np.array([[noise / (1 + noise)]]))
        ranks.append((chain(posterior, [0], draws=120, warmup=40, seed=seed).draws[::4] < truth).mean())
    assert (stats.kstest(ranks, "uniform").pvalue > 0.01) == holds


# --- convergence -----------------------------------------------------------------------------------------------------


def test_draws_that_depend_on_those_before_are_worth_fewer():
    """Of a first-order autoregression with coefficient ρ, n draws are worth n (1 − ρ)/(1 + ρ)."""
    rng, chains = np.random.default_rng(0), np.zeros((4, 4000))
    for i in range(1, 4000):
        chains[:, i] = 0.8 * chains[:, i - 1] + rng.normal(size=4)
    assert ess_bulk(chains) == pytest.approx(16_000 * 0.2 / 1.8, rel=0.1)
    assert ess_bulk(rng.normal(size=(4, 1000))) == pytest.approx(4000, rel=0.1)
    assert ess_tail(chains) > 1000
    assert r_hat(chains) < 1.01


@pytest.mark.parametrize(
    "others",
    [lambda x: x + 1, lambda x: 3 * x, lambda x: np.linspace(0, 3, x.shape[-1]) + x],
    ids=["place", "width", "move"],
)
def test_chains_that_differ_in_place_or_width_or_move_are_found(others):
    chains = np.random.default_rng(0).normal(size=(4, 500))
    chains[2:] = others(chains[2:])
    assert r_hat(chains) > 1.05
    assert any("chains of hyperparameters differ" in alarm for alarm in Convergence.of(chains[..., None], 0, 1).alarms)


def test_divergences_raise_an_alarm():
    chains = np.random.default_rng(0).normal(size=(4, 500, 1))
    assert Convergence.of(chains, 0, 1).alarms == []
    (alarm,) = Convergence.of(chains, 3, 1).alarms
    assert alarm.startswith("3 of 2000 trajectories of hyperparameters diverged")


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def level():
    """Independent rows about a level: all is known of their noise."""
    y = np.random.default_rng(3).normal(size=12)
    model = {"kernel": {"kind": "rbf", "outputscale": {"fixed": 1e-8}, "lengthscale": {"fixed": 1.0}}}
    return y, gp.fit(np.arange(12), y, model=model)


def test_hyperparameters_of_chains_have_their_posterior(level, monkeypatch):
    """With a flat log sd, Σ(y − ȳ)²/sd² is chi-squared of n − 1 degrees of freedom; the level is Student's t."""
    monkeypatch.setattr("gp.fitted.mixture.MIXED", 512)  # by 128 draws, bands have an error of 3.5 %
    y, fitted = level
    certificate, mixture = fitted.certify(NUTS), fitted.mixture(NUTS)
    squares = 11 * y.var(ddof=1)
    ends = np.sqrt(squares / stats.chi2(11).ppf([0.975, 0.025]))
    np.testing.assert_allclose(certificate.intervals["noise.sd"], ends, rtol=0.06)
    half = stats.t(11).ppf(0.975) * y.std(ddof=1) / np.sqrt(12)
    np.testing.assert_allclose(certificate.intervals["mean.value"], [y.mean() - half, y.mean() + half], atol=0.1 * half)
    assert certificate.alarms == [alarm for alarm in certificate.alarms if "noise" in alarm]
    assert certificate.draws.numbers()["divergences"] == 0
    assert mixture.weights == pytest.approx(1 / 512)
    low, high = fitted.predict([100.0], hyperparameters=NUTS).y.interval(0.95)
    whole = stats.t(11).ppf(0.975) * y.std(ddof=1) * np.sqrt(1 + 1 / 12)
    assert (high - low)[0] == pytest.approx(2 * whole, rel=0.05)


def test_the_slope_of_the_density_is_its_derivative_priors_included():
    prior = {"prior": {"kind": "log_normal", "median": 2.0, "sigma": 0.3}}
    model = {"kernel": {"kind": "rbf", "lengthscale": prior}}
    y = np.sin(np.arange(12.0)) + 0.3 * np.random.default_rng(1).normal(size=12)
    fitted = gp.fit(np.arange(12.0), y, model=model)
    method, apart = fitted.inference.integrating(fitted.gp)
    places = np.setdiff1d(np.arange(len(fitted.vector)), apart)
    mode = fitted.modes[0]
    density = _Density(fitted.gp, method, mode, WeakPrior.of(fitted.gp.parameters, places))
    at, step = mode.vector[mode.drawn] + 0.1, 1e-5
    along = step * np.eye(len(at))
    expected = [(density(at + h)[0] - density(at - h)[0]) / (2 * step) for h in along]
    assert density(at)[1] == pytest.approx(expected, abs=1e-5)


def test_chains_keep_to_a_prior_of_the_users():
    """Without rows that say anything, draws have the prior's distribution; beyond a bound the model is that at it."""
    scale = {"start": 1.0, "prior": {"kind": "log_normal", "median": 1.0, "sigma": 0.5}}
    model = {
        "kernel": {"kind": "rbf", "outputscale": {"fixed": 1e-8}, "lengthscale": scale},
        "mean": {"kind": "zero"},
        "noise": {"kind": "gaussian", "sd": {"fixed": 1.0}},
    }
    fitted = gp.fit(np.arange(6.0), np.random.default_rng(0).normal(size=6), model=model)
    drawn = fitted.gp.parameters.in_data_units
    sampled = fitted.mixture(NUTS).draws.sampled[:, 0] - fitted.gp.parameters.start[0]
    assert drawn()["kernel.lengthscale"] > 0
    assert stats.kstest(sampled[::4] / 0.5, "norm").pvalue > 0.01


def test_stages_say_whether_chains_agree(level, tmp_path, monkeypatch):
    from review.report.words import _sampling
    from review.results import Results
    from stages import evaluate, predict

    y, fitted = level
    monkeypatch.chdir(tmp_path)
    for stage in ("synthesize", "train", "predict", "evaluate"):
        (tmp_path / "data/made" / stage).mkdir(parents=True)
    made = tmp_path / "data/made"
    Dataset(x=np.arange(12.0)[:, None], y=y, columns=("x",)).save(made / "synthesize/train.csv")
    fitted.save(made / "train/model.safetensors")
    (made / "synthesize/names.json").write_text(json.dumps({"target": "y"}))
    (made / "train/fit.json").write_text(json.dumps(fitted.report()))
    predict.main("made", predict.Params(seed=0, predict={"hyperparameters": FEW}), made / "predict")
    evaluate.main("made", evaluate.Params(), made / "evaluate")
    metrics = json.loads((made / "evaluate/metrics.json").read_text())
    said = metrics["sampling"]
    assert metrics["certificate"]["alarms"] == said["alarms"] + len(fitted.certificate.of_fit)
    sampled = json.loads((made / "predict/sampling.json").read_text())
    fit = {"alarms": ["one"], "alarms_of_draws": ["of the draws that train made"]}
    assert Results("made", fit=fit, sampling=sampled).alarms == ["one", *sampled["alarms"]]
    assert Results("made", fit=fit).alarms == ["one", "of the draws that train made"]
    assert "2 chains of 50 draws" in next(_sampling(sampled))
    assert said["chains"] == 2
    assert said["evaluations"] > 200
    assert said["alarms"] == len(json.loads((made / "predict/sampling.json").read_text())["alarms"])
    low, high = (said["intervals"]["noise.sd"][end] for end in ("lower", "upper"))
    assert low < y.std() < high
