"""Certificate: silent about a good fit, loud about each bad one, and right about what the data determine."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import gp
from gp.dataset import Dataset
from gp.fitted.curvature import of_hyperparameters
from gp.fitted.intervals import asymptotic
from gp.fitted.relevance import irrelevant_inputs
from gp.model.model import Model
from gp.spec import parse
from gp.training import Problem, lbfgs
from gp.training.newton import measure_curvature

CLOSE = 1e-6  # a search's end
MEASURED = 1e-3  # a curvature from differences of gradients, at an end 1e-3 nats from the top

TIME = np.linspace(0, 10, 60)
WAVE = np.sin(TIME) + 0.1 * np.random.default_rng(1).normal(size=60)
RBF = {"kernel": {"kind": "rbf"}}
PLUG_IN = {"kind": "plug_in"}


@pytest.fixture(scope="module")
def good():
    """Return a good fit."""
    return gp.fit(TIME, WAVE, model=RBF)


def free_of_alarms_but(certificate, *words):
    """Assert that each of `words` is in one alarm, and that there is no other alarm."""
    for word in words:
        assert sum(word in alarm for alarm in certificate.alarms) == 1, (word, certificate.alarms)
    assert len(certificate.alarms) == len(words), certificate.alarms


# A good fit.


@pytest.mark.parametrize("standardize", [False, True])
def test_a_good_fit_raises_no_alarm(standardize):
    model = RBF | {"standardize": {"x": standardize, "y": standardize}}
    certificate = gp.fit(TIME, WAVE, model=model).certificate
    free_of_alarms_but(certificate)
    assert certificate.converged
    assert certificate.shortfall < MEASURED
    assert certificate.starts > 1
    assert certificate.starts_at_best >= 1
    assert certificate.screened.points > 5
    assert certificate.jitter == 0
    assert 1 < certificate.condition_number < 1e6
    assert 0 < certificate.noise_share < 0.1
    assert certificate.undetermined == certificate.at_bound == certificate.irrelevant_inputs == ()
    assert certificate.adam_gap is None
    assert set(certificate.intervals) == {"kernel.lengthscale", "kernel.outputscale", "noise.sd", "mean.value"}


def test_it_says_the_same_as_text_and_as_json(good):
    certificate = good.certificate
    assert "converged" in str(certificate)
    assert "NOT converged" not in str(certificate)
    assert "ALARM" not in str(certificate)
    said = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert said["converged"] == 1
    assert said["alarms"] == 0
    assert said["intervals"]["noise.sd"]["lower"] < 0.1 < said["intervals"]["noise.sd"]["upper"]
    path = json.loads(json.dumps(certificate.diagnostics(), allow_nan=False))
    assert path["evaluations"] == certificate.evaluations
    assert not path.keys() & said.keys()


def test_the_condition_number_is_that_of_the_covariance(good):
    at = good.hyperparameters
    K = at["kernel.outputscale"] * np.exp(-(np.subtract.outer(TIME, TIME) ** 2) / 2 / at["kernel.lengthscale"] ** 2)
    exact = np.linalg.cond(K + at["noise.sd"] ** 2 * np.eye(60))
    # An estimate from below, by power iteration.
    assert 0.9 * exact <= good.certificate.condition_number <= exact * (1 + CLOSE)


def test_a_loaded_model_certifies_its_vector_again(good, tmp_path):
    fitted = good
    fitted.save(tmp_path / "m")
    loaded = gp.load(tmp_path / "m").certificate
    assert loaded.intervals == fitted.certificate.intervals
    assert loaded.converged
    assert (loaded.evaluations, loaded.starts) == (fitted.certificate.evaluations, fitted.certificate.starts)


def test_the_share_of_noise_is_beside_what_the_mean_explains(good):
    noise, explained = good.hyperparameters["noise.sd"] ** 2, np.var(good.predict(TIME, hyperparameters=PLUG_IN).mean)
    assert good.certificate.noise_share == pytest.approx(noise / (noise + explained))


@pytest.mark.parametrize("repeated", [1, 2])
def test_signal_is_the_likelihood_beside_that_of_noise_about_a_level(repeated):
    x, y = np.tile(TIME[:20], repeated), WAVE[: 20 * repeated]
    fitted = gp.fit(x, y, model=RBF, train={"restarts": 0})
    alone = -0.5 * len(y) * (1 + math.log(2 * math.pi * np.var(y)))  # Σ log N(y | mean, variance)
    assert fitted.certificate.signal == pytest.approx(fitted.log_marginal_likelihood - alone, abs=CLOSE)


# Every alarm, provoked.


THRESHOLDS = (
    ({"noise_share": 0.98}, {"noise_share": 0.995}, "found no signal"),
    ({"signal": 3.5}, {"signal": 2.5}, "to tell it from chance"),
    ({"condition_number": 5e11}, {"condition_number": 2e12}, "condition number"),
    ({"copies": 0.04}, {"copies": 0.06}, "repeat both inputs and target"),
    ({"scarce": "few", "noise_may_be": 0.08}, {"scarce": "few", "noise_may_be": 0.12}, "without noise"),
    ({"scarce": "", "noise_may_be": 0.12}, {"scarce": "few", "noise_may_be": 0.12}, "without noise"),
    ({"adam_gap": 0.04}, {"adam_gap": 0.06}, "near where adam stopped"),
    ({"pareto_k": 0.8, "effective": 0.3}, {"pareto_k": 0.8, "effective": 0.2}, "Pareto"),
    ({"pareto_k": 0.6, "effective": 0.2}, {"pareto_k": 0.8, "effective": 0.2}, "Pareto"),
    (
        {"pareto_k": 0.8, "effective": 0.2, "irrelevant_inputs": ("x2",)},
        {"pareto_k": 0.8, "effective": 0.2, "irrelevant_inputs": ()},
        "Pareto",
    ),
)


def altered(certificate, values):
    """Return the certificate with other `values`, of itself or of its draws."""
    of_draws = {name: value for name, value in values.items() if name in ("pareto_k", "effective")}
    others = {name: value for name, value in values.items() if name not in of_draws}
    return replace(certificate, draws=replace(certificate.draws, **of_draws), **others)


@pytest.mark.parametrize(("silent", "loud", "word"), THRESHOLDS, ids=[str(loud) for _, loud, _ in THRESHOLDS])
def test_an_alarm_has_its_threshold(good, silent, loud, word):
    free_of_alarms_but(altered(good.certificate, silent))
    free_of_alarms_but(altered(good.certificate, loud), word)


def test_an_input_is_irrelevant_where_it_moves_the_function_by_less_than_a_hundredth_of_y():
    x, y = np.random.default_rng(0).uniform(size=(30, 2)), WAVE[:30]
    extents, moved = dict(zip(("x1", "x2"), np.ptp(x, axis=0), strict=True)), np.std(y)
    for variance, lengthscale, irrelevant in ((1.0, 90.0, False), (1.0, 110.0, True), (4.0, 110.0, False)):
        at = np.array([1.0, lengthscale * extents["x2"] / moved])
        kernel = {"kind": "rbf", "ard": True, "lengthscale": at.tolist(), "outputscale": variance}
        model = parse(Model, {"kernel": kernel, "standardize": {"x": False, "y": False}})
        made = model.build(Dataset(x=x, y=y, columns=("x1", "x2")))
        found = irrelevant_inputs(made.parameters, made.scope.reads, extents, float(moved))
        assert list(found) == (["x2"] if irrelevant else [])


def test_too_few_steps_of_adam_alarm():
    certificate = gp.fit(TIME, WAVE, model=RBF, train={"kind": "adam", "steps": 5}).certificate
    assert not certificate.converged
    assert "NOT converged" in str(certificate)
    free_of_alarms_but(certificate, "near where adam stopped")
    assert certificate.to_dict()["converged"] == 0


def test_a_search_that_stops_short_alarms(monkeypatch):
    # With few rows it would go on from where the tolerance lets it stop.
    monkeypatch.setattr(lbfgs, "REFINED_ROWS", 0)
    certificate = gp.fit(TIME, WAVE, train={"restarts": 0, "tolerance": 10.0}).certificate
    assert not certificate.converged
    (alarm,) = [alarm for alarm in certificate.alarms if "training stopped" in alarm]
    assert "lbfgs" not in alarm  # that is what stopped


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("function", [lambda x: x, np.square, np.exp], ids=["x", "x²", "eˣ"])
@pytest.mark.parametrize("model", [None, {"kernel": {"kind": "rbf"}}], ids=["default", "rbf"])
def test_a_fit_without_noise_can_be_used(n, function, model):
    x = np.linspace(0, 1, n)
    fitted = gp.fit(x, function(x), model=model, train={"restarts": 1})
    assert np.isfinite(fitted.log_marginal_likelihood)
    assert fitted.predict(x).mean == pytest.approx(function(x), abs=1e-4)
    assert fitted.certificate.condition_number > 1e12  # and it says that few digits are left
    assert any("condition number" in alarm for alarm in fitted.certificate.alarms)


@pytest.mark.slow
def test_an_end_that_has_no_factor_on_more_rows_is_dropped():
    x = np.linspace(0, 1, 1100)
    fitted = gp.fit(x, x**2, train={"restarts": 0})
    assert np.isfinite(fitted.log_marginal_likelihood)
    assert fitted.predict([0.5]).mean == pytest.approx([0.25], abs=1e-4)


def test_few_rows_without_noise_are_not_said_to_be_noise():
    (alarm,) = [alarm for alarm in gp.fit(TIME[:4], WAVE[:4]).certificate.alarms if "noise alone" in alarm]
    assert "no signal" not in alarm
    assert "chance" in alarm


def test_signal_knows_nothing_of_priors():
    nothing = np.random.default_rng(4).normal(size=60)
    for unit in (1.0, 1e-3):
        kernel = {
            "kind": "rbf",
            "lengthscale": {"start": unit, "prior": {"kind": "log_normal", "median": unit, "sigma": 1.0}},
        }
        assert gp.fit(TIME * unit, nothing, model={"kernel": kernel}).certificate.signal < 3


def test_an_input_that_another_term_reads_is_not_irrelevant():
    x = np.random.default_rng(0).uniform(0, 4, (60, 2))
    y = np.sin(2 * x[:, 0]) + 0.8 * x[:, 1] + 0.05 * np.random.default_rng(1).normal(size=60)
    kernel = {
        "kind": "sum",
        "terms": {"wave": {"kind": "rbf", "ard": True}, "line": {"kind": "linear", "columns": ["x2"]}},
    }
    given = (x, y, kernel), (0.01 * x[:, :1], np.sin(6 * x[:, 0]), {"kind": "periodic", "ard": True})
    for inputs, targets, chosen in given:
        fitted = gp.fit(inputs, targets, model={"kernel": chosen}, train={"restarts": 0})
        assert fitted.certificate.irrelevant_inputs == ()


def test_adams_gap_is_what_lbfgs_would_gain():
    stopped = gp.fit(TIME, WAVE, model=RBF, train={"kind": "adam", "steps": 30})
    best = gp.fit(TIME, WAVE, model=RBF, train={"kind": "lbfgs", "restarts": 0})
    gap = best.log_marginal_likelihood - stopped.log_marginal_likelihood
    assert gap > 0.05
    assert stopped.certificate.adam_gap == pytest.approx(gap, abs=1e-6)
    expected = f"an optimum {stopped.certificate.adam_gap:.2g} nats better is near where adam stopped"
    assert any(expected in alarm for alarm in stopped.certificate.alarms)


def test_adam_with_patience_raises_no_alarm():
    certificate = gp.fit(TIME, WAVE, model=RBF, train={"kind": "adam", "steps": 1500}).certificate
    free_of_alarms_but(certificate)
    assert certificate.adam_gap < 0.05


@pytest.mark.parametrize("bound", [{"upper": 0.8, "start": 0.5}, {"lower": 5.0, "start": 6.0}])
def test_a_hyperparameter_at_a_bound_alarms_by_name(bound):
    model = {"kernel": {"kind": "rbf", "lengthscale": bound}}
    certificate = gp.fit(TIME, WAVE, model=model).certificate
    free_of_alarms_but(certificate, "kernel.lengthscale ended at a bound")
    assert certificate.at_bound == ("kernel.lengthscale",)
    assert "kernel.lengthscale" not in certificate.intervals
    assert certificate.converged  # as far as the bound lets it
    assert certificate.gradient_norm < MEASURED


def test_a_start_between_bounds_that_do_not_hold_it_is_no_alarm():
    model = {"kernel": {"kind": "rbf", "lengthscale": {"lower": 0.1, "upper": 50.0}}}
    free_of_alarms_but(gp.fit(TIME, WAVE, model=model).certificate)


def test_all_noise_alarms():
    nothing = np.random.default_rng(4).normal(size=60)
    certificate = gp.fit(TIME, nothing, model=RBF).certificate
    assert certificate.noise_share > 0.99
    assert any("variance is noise" in alarm for alarm in certificate.alarms), str(certificate)


def test_an_ill_conditioned_covariance_alarms():
    # Without noise, repeats of one row make the covariance as good as singular.
    x, y = np.repeat(TIME, 2), np.repeat(np.sin(TIME), 2)
    model = {**RBF, "noise": {"sd": {"fixed": 1e-6}}}
    certificate = gp.fit(x, y, model=model).certificate
    assert certificate.condition_number > 1e12
    assert any("condition number" in alarm for alarm in certificate.alarms), str(certificate)


def test_an_optimum_found_from_the_last_start_alone_alarms_while_candidates_are_left(good):
    fitted = good
    best, n = fitted.search.ends[0][1], fitted.data.n
    for below, left, alarmed in ((5.0, 1, True), (5.0, 0, False), (0.01, 1, False)):
        screened = replace(fitted.search.screened, candidates=3 + left)
        ends = ((n, best - below), (n, best - 9.0), (n, best))
        search = replace(fitted.search, ends=ends, starts=3, screened=screened)
        certificate = replace(fitted, search=search).certificate
        assert any("only the last of 3 starts reached the best" in alarm for alarm in certificate.alarms) == alarmed
        assert certificate.starts_at_best == (2 if below == 0.01 else 1)


def test_an_irrelevant_input_is_named_without_an_alarm():
    rng = np.random.default_rng(6)
    x = np.column_stack([TIME, rng.uniform(size=60)])
    certificate = gp.fit(x, WAVE, model={"kernel": {"kind": "rbf", "ard": True}}).certificate
    assert certificate.irrelevant_inputs == ("x2",)
    assert "irrelevant inputs (lengthscales far beyond their range): x2" in str(certificate)
    free_of_alarms_but(certificate)


def test_what_the_data_do_not_determine_is_named():
    # Of two white terms, and the noise, only the sum of variances is seen.
    model = {
        "mean": {"kind": "zero"},
        "kernel": {"kind": "sum", "terms": {"wave": {"kind": "rbf"}, "more": {"kind": "white"}}},
    }
    certificate = gp.fit(TIME, WAVE, model=model).certificate
    named = {*certificate.undetermined, *certificate.at_bound}
    assert named & {"kernel.more.sd", "noise.sd"}


# Intervals.

NO_SIGNAL = {  # a kernel that adds nothing: y is noise about zero
    "standardize": {"x": False, "y": False},
    "mean": {"kind": "zero"},
    "kernel": {"kind": "constant", "constant": {"fixed": 1e-12}},
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("n", [20, 200])
def test_the_interval_of_a_noise_is_the_textbooks(n, standardize):
    """Of n draws N(0, sd²), Σ y²/sd² is chi-squared of n degrees of freedom."""
    y = 7 * np.random.default_rng(0).normal(size=n)
    y = y - y.mean()  # so that the zero mean is the same with y standardised
    model = NO_SIGNAL | {"standardize": {"x": False, "y": standardize}}
    fitted = gp.fit(np.arange(n), y, model=model)
    sd = math.sqrt(np.mean(y**2))
    assert fitted.hyperparameters["noise.sd"] == pytest.approx(sd, rel=0.01)  # flat to 1e-3 nats
    ends = sd * np.sqrt(n / stats.chi2(n).ppf([0.975, 0.025]))
    assert fitted.certificate.intervals["noise.sd"] == pytest.approx(ends, rel=0.8 / n)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_the_interval_of_a_level_is_the_textbooks(scale, standardize):
    """Of n draws N(m, sd²), sd known, the level's estimate is the mean, its standard error sd/√n."""
    y = scale * (3 + 2 * np.random.default_rng(0).normal(size=50))
    model = NO_SIGNAL | {"mean": {}, "noise": {"sd": {"fixed": 2 * scale}}}
    model["kernel"] = {"kind": "constant", "constant": {"fixed": 1e-12 * scale**2}}
    model["standardize"] = {"x": False, "y": standardize}
    certificate = gp.fit(np.arange(50), y, model=model).certificate
    low, high = certificate.intervals["mean.value"]
    assert 0.5 * (low + high) == pytest.approx(y.mean(), abs=0.01 * scale)
    assert high - low == pytest.approx(2 * 1.96 * 2 * scale / math.sqrt(50), rel=MEASURED)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    lengthscale, outputscale, sd, n, fits = 1.0, 4.0, 0.5, 60, 40
    rng = np.random.default_rng(7)
    truth = {"kernel.lengthscale": lengthscale, "kernel.outputscale": outputscale, "noise.sd": sd}
    inside = dict.fromkeys(truth, 0)
    for _ in range(fits):
        x = rng.uniform(0, 15, n)
        K = outputscale * np.exp(-(np.subtract.outer(x, x) ** 2) / 2 / lengthscale**2) + sd**2 * np.eye(n)
        y = np.linalg.cholesky(K) @ rng.normal(size=n)
        model = RBF | {"mean": {"kind": "zero"}, "standardize": {"x": False, "y": False}}
        intervals = gp.fit(x, y, model=model, train={"kind": "lbfgs", "restarts": 0}).certificate.intervals
        for name, value in truth.items():
            low, high = intervals.get(name, (0.0, math.inf))
            inside[name] += low <= value <= high
    # Binomial(40, 0.95) is 34 or more with 98 %; the intervals are asymptotic, so a little less is asked.
    for name, count in inside.items():
        assert count >= 33, (name, count)
    assert sum(inside.values()) < 3 * fits  # wide enough to miss nothing would be too wide


def test_an_input_with_a_long_lengthscale_and_a_large_effect_is_not_irrelevant():
    # Nearly straight functions are learnt as a large amplitude over long lengthscales.
    x = np.random.default_rng(0).uniform(size=(80, 3))
    y = 3 * x[:, 0] + 2 * x[:, 1] + 0.05 * np.random.default_rng(10).normal(size=80)
    certificate = gp.fit(x, y, model={"kernel": {"kind": "rbf", "ard": True}}).certificate
    assert certificate.irrelevant_inputs == ("x3",)


def test_intervals_of_a_bound_are_those_of_its_largest_value_over_auxiliary_parameters():
    rng = np.random.default_rng(2)
    x = np.linspace(0, 1, 15)
    y = np.sin(6 * x) + 0.2 * rng.standard_t(4, size=15)
    noise = {"kind": "student_t", "nu": {"fixed": 4.0}}
    model = {"kernel": {"kind": "rbf"}, "mean": {"kind": "zero"}, "noise": noise}
    fitted = gp.fit(x, y, model=model, train={"restarts": 0})
    problem, names = Problem(fitted.gp, fitted.inference), fitted.gp.parameters.names
    p, vector = len(names), np.array(fitted.vector)

    def slope(hyperparameters):
        """Return the gradient of the profile: the hyperparameters' own, where the auxiliary ones are best."""

        def loss(auxiliary):
            value, gradient = problem(np.concatenate([hyperparameters, auxiliary]))
            return -value, -gradient[p:]

        best = minimize(loss, vector[p:], jac=True, method="BFGS", options={"gtol": 1e-8})
        return problem(np.concatenate([hyperparameters, best.x]))[1][:p]

    step = 1e-3
    hessian = np.array([(slope(vector[:p] - s) - slope(vector[:p] + s)) / (2 * step) for s in step * np.eye(p)])
    half = 1.96 * np.sqrt(np.diagonal(np.linalg.inv(hessian)))
    seen = fitted.certificate.intervals
    assert set(seen) == set(names)
    for name, expected in zip(names, half, strict=True):
        low, high = seen[name]
        assert np.log(high / low) / 2 == pytest.approx(expected, rel=0.01), name
    # With auxiliary parameters held, the noise would seem known much better.
    held = measure_curvature(problem, vector)[:p, :p]
    assert 1.96 / np.sqrt(held[-1, -1]) < 0.9 * half[-1]
    # Parameters of rows that are not at their best count as short of it.
    moved = vector + np.r_[np.zeros(p), np.full(len(vector) - p, 0.5)]
    lost = problem(vector)[0] - problem(moved)[0]
    assert lost > 0.1
    worse = replace(fitted, vector=moved, search=replace(fitted.search, vector=moved)).certificate
    assert worse.shortfall == pytest.approx(lost, abs=MEASURED)


def test_auxiliary_parameters_are_maximised_out_of_a_curvature():
    root = np.random.default_rng(0).normal(size=(5, 5))
    whole = root @ root.T
    inverse = np.linalg.inv(of_hyperparameters(whole, 2))
    np.testing.assert_allclose(inverse, np.linalg.inv(whole)[:2, :2], rtol=CLOSE)


def test_what_lies_along_a_flat_direction_has_no_interval(good):
    parameters, vector = good.gp.parameters, good.vector
    names, inside = parameters.names, np.arange(len(vector))
    intervals, undetermined = asymptotic(parameters, vector, inside, np.diag([0.05, 0.2, 5.0, 400.0]))
    assert undetermined == names[:1]
    for name, curvature in zip(names[1:3], (0.2, 5.0), strict=True):  # positive ones: their logs are raw
        low, high = intervals[name]
        assert math.log(high / low) == pytest.approx(2 * 1.96 / math.sqrt(curvature), rel=MEASURED)
    for part, expected in ((0.1, names[:2]), (0.02, names[:1])):  # of the second, along the flat direction
        c, s = math.sqrt(1 - part), math.sqrt(part)
        turned = np.eye(4)
        turned[:2, :2] = [[c, -s], [s, c]]
        hessian = turned @ np.diag([0.01, 100.0, 5.0, 5.0]) @ turned.T
        assert asymptotic(parameters, vector, inside, hessian)[1] == expected


def test_rows_that_repeat_others_and_few_rows_are_said():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=12)
    y = np.sin(6 * x) + 0.1 * rng.normal(size=12)
    few = gp.fit(x, y, train={"restarts": 0}).certificate
    assert few.copies == 0
    assert "few rows: 12 for 4 hyperparameters" in str(few)
    twice = gp.fit(np.tile(x, 2), np.tile(y, 2), train={"restarts": 0}).certificate
    assert twice.copies == 0.5
    assert any("50% of the rows repeat both inputs and target of another row" in alarm for alarm in twice.alarms)
    apart = gp.fit(np.tile(x, 2), np.r_[y, y + 0.1], train={"restarts": 0}).certificate  # repeated inputs alone
    assert apart.copies == 0


def test_few_rows_explained_without_noise_alarm_and_with_one_lengthscale_do_not():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(16, 5))
    y = x[:, 0] + 0.5 * rng.normal(size=16)
    for ard in (True, False):
        model = {"kernel": {"kind": "rbf", "ard": ard}}
        certificate = gp.fit(x, y, model=model, train={"restarts": 2}).certificate
        assert (certificate.noise_share < 0.001) == ard
        assert any("few rows (16 for" in alarm and "without noise" in alarm for alarm in certificate.alarms) == ard


def test_an_interval_ends_where_the_others_at_their_best_are_as_much_worse_as_students_quantile_says():
    rng = np.random.default_rng(5)
    x = rng.uniform(size=25)
    y = np.sin(6 * x) + 0.2 * rng.normal(size=25)
    fitted = gp.fit(x, y, model={"kernel": {"kind": "rbf"}, "standardize": {"x": False, "y": False}})
    low, high = fitted.certificate.intervals["kernel.lengthscale"]
    cut = 0.5 * stats.t(24).ppf(0.975) ** 2  # nats; a level is integrated out
    for end in (low, high):
        kernel = {"kind": "rbf", "lengthscale": {"fixed": end}}
        others = gp.fit(x, y, model={"kernel": kernel, "standardize": {"x": False, "y": False}}).modes[0].nats
        assert fitted.modes[0].nats - others == pytest.approx(cut, rel=0.1)
    assert np.log(high / fitted.hyperparameters["kernel.lengthscale"]) > 1.2 * np.log(
        fitted.hyperparameters["kernel.lengthscale"] / low
    )  # long lengthscales are less unlikely than short ones


@pytest.mark.parametrize(("seed", "n"), [(9, 40), (0, 30), (7, 30), (8, 40)])
def test_an_interval_goes_on_where_what_is_unknown_at_the_optimum_takes_another_value(seed, n):
    """The optimum is on the plateau of large α; short lengthscales are likely with a small one."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, n))
    y = np.sin(2 * x) + 0.3 * x + 0.3 * rng.normal(size=n)

    def fit(**lengthscale):
        kernel = {"kind": "rational_quadratic", **lengthscale}
        return gp.fit(x, y, model={"mean": {"kind": "zero"}, "kernel": kernel})

    fitted = fit()
    low, high = fitted.certificate.intervals["kernel.lengthscale"]
    cut = 0.5 * stats.t(n).ppf(0.975) ** 2
    for end in (low, high):
        others = fit(lengthscale={"fixed": end}).log_marginal_likelihood
        assert fitted.log_marginal_likelihood - others == pytest.approx(cut, rel=0.1)
