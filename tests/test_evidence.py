"""By how much each term of a sum is more probable to be there than not, beside dense matrices and quadrature."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

import gp
import gp.fitted.evidence as module
from gp.dataset import Dataset
from gp.fitted.evidence import evidence
from gp.fitted.priors import WIDTH
from gp.inference.exact import Exact
from gp.inference.harmonic import Harmonic
from gp.inference.markov.markov import Markov
from gp.inference.nearest.vecchia import Vecchia
from gp.model.model import Model
from gp.spec import parse
from gp.structure import sentences, terms

TURN = 2 * math.pi
N = 60
RNG = np.random.default_rng(4)
X = RNG.uniform(0, TURN, (N, 2))
Y = 0.5 + np.sin(X[:, 0]) + 0.1 * np.sin(X[:, 1]) + 0.4 * RNG.normal(size=N)
HARMONIC = {"kind": "harmonic", "harmonics": 12}
NOISE, LENGTHS = 0.4, {"a": 1.1, "b": 0.9}


def term(column, **size):
    known = {"period_length": {"fixed": TURN}, "lengthscale": {"fixed": LENGTHS[column]}}
    return {"kind": "periodic", "columns": [column], **known, **size}


def built(mean="zero", second=None, y=Y, **keys):
    """Return the model over the rows, where nothing is free but the size of the second term, and the mean's level."""
    terms = {"one": term("a", outputscale={"fixed": 0.7}), "two": second or term("b", outputscale=0.02)}
    written = {
        "standardize": {"x": False, "y": False},
        "mean": {"kind": mean},
        "kernel": {"kind": "sum", "terms": terms},
        "noise": {"kind": "gaussian", "sd": {"fixed": NOISE}},
    }
    return parse(Model, written, "model").build(Dataset(x=X, columns=("a", "b"), y=y, **keys))


def matrix(j, length):
    apart = X[:, None, j] - X[None, :, j]
    return np.exp(-2 * (np.sin(apart / 2) / length) ** 2)


def log_density(size, wide):
    covariance = 0.7 * matrix(0, LENGTHS["a"]) + size * matrix(1, LENGTHS["b"]) + NOISE**2 * np.eye(N) + wide
    return multivariate_normal(np.zeros(N), covariance).logpdf(Y)


@pytest.mark.parametrize(("mean", "wide"), [("zero", 0.0), ("constant", 1e5)])
@pytest.mark.parametrize("method", [Exact(), Harmonic()])
def test_the_evidence_of_a_term_is_the_integral_over_its_size(method, mean, wide):
    """A mean whose level is integrated out is one of very large variance."""
    other = matrix(1, LENGTHS["b"])
    spread = 1 - other.mean()  # of a unit of the term, its variance about its mean
    centre = math.log(np.var(Y) / 2)

    def integrand(a):
        return math.exp(log_density(math.exp(a) / spread, wide) - without - 0.5 * ((a - centre) / WIDTH) ** 2)

    without = log_density(0.0, wide)
    total, _ = quad(integrand, centre - 12, centre + 12, limit=200)
    expected = math.log(total / (WIDTH * math.sqrt(TURN)))
    assert evidence(built(mean), method)["two"] == pytest.approx(expected, abs=0.06)  # it is rounded to a tenth


def _of_three(seed):
    """Return monthly rows of a trend and a season, and three terms of which any two can do much of the third's work."""
    rng = np.random.default_rng(seed)
    x = np.arange(60) / 12
    terms = {
        "trend": {"kind": "rbf", "lengthscale": 8.0},
        "season": {"kind": "periodic", "period_length": {"fixed": 1.0}},
        "short": {"kind": "rbf", "lengthscale": 0.2},
    }
    return x, 2 * np.sin(TURN * x) * (1 + 0.1 * x) + 0.3 * x + 0.3 * rng.normal(size=60), terms, "auto"


def _of_a_line():
    """Return rows in which a line is next to nothing, and the model without it has several optima."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 10, 60))
    terms = {"line": {"kind": "linear"}, "cycle": {"kind": "periodic"}, "rest": {"kind": "rbf", "lengthscale": 1.0}}
    return x, np.sin(0.6 * x) + 0.5 * rng.normal(size=60), terms, "auto"


def _of_angles(seed, n, apart):
    """Return n rows of three angles, of which two go together, and a term of each."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, TURN, n)
    x = np.column_stack([a, (a + apart * rng.normal(size=n)) % TURN, rng.uniform(0, TURN, n)])
    terms = {name: {"kind": "periodic", "columns": [name], "period_length": {"fixed": TURN}} for name in "abc"}
    return pd.DataFrame(x, columns=list("abc")), np.sin(a) + 0.3 * rng.normal(size=n), terms, "harmonic"


MADE = [_of_a_line(), _of_three(0), _of_three(3), _of_three(6), _of_angles(0, 400, 0.3), _of_angles(1, 3000, 0.15)]


@pytest.mark.parametrize("made", MADE)
def test_a_term_has_no_more_evidence_than_the_likelihood_gains_by_it(made):
    """Integrals over hyperparameters take off; and without the term, others do as much of its work as they can."""
    x, y, terms, kind = made

    def fit(these):
        model = {"mean": {"kind": "zero"}, "kernel": {"kind": "sum", "terms": these}}
        return gp.fit(x, y, model=model, inference={"kind": kind})

    fitted = fit(terms)
    for name, nats in evidence(fitted.gp, fitted.inference).items():
        without = fit({other: written for other, written in terms.items() if other != name})
        assert nats < fitted.log_marginal_likelihood - without.log_marginal_likelihood + 0.1


@pytest.mark.parametrize("method", [Markov(), Vecchia(), Harmonic(harmonics=20)])
def test_the_evidence_of_a_term_is_that_of_exact_inference(method, monkeypatch):
    """Whatever has learnt the hyperparameters; a linear mean, whose coefficients are integrated out."""
    monkeypatch.setattr("gp.inference.markov.markov.FEW_ROWS", 0)
    x = np.sort(X[:30, :1], axis=0)
    kinds = [{"kind": "matern", "nu": 0.5}, {"kind": "matern", "nu": 1.5}]
    if not method.grows:
        kinds = [{"kind": "periodic", "period_length": {"fixed": length}} for length in (3.0, TURN)]
    sizes = {"fast": 0.1, "slow": {"fixed": 1.0}}
    terms = {
        name: {**kind, "lengthscale": {"fixed": 1.0}, "outputscale": sizes[name]}
        for name, kind in zip(sizes, kinds, strict=True)
    }
    written = {
        "standardize": {"x": False, "y": False},
        "kernel": {"kind": "sum", "terms": terms},
        "mean": {"kind": "linear"},
        "noise": {"kind": "gaussian", "sd": {"fixed": 0.3}},
    }
    y = 1.0 + 0.3 * x[:, 0] + 2 * np.sin(x[:, 0]) + 0.3 * RNG.normal(size=len(x))
    data = Dataset(x=x, columns=("a",), y=y)
    exact, other = (evidence(parse(Model, written, "model").build(data), each) for each in (Exact(), method))
    assert abs(exact["slow"]) > 1
    assert other == pytest.approx(exact, abs=0.11)  # each is rounded to a tenth


def test_a_prior_of_the_users_is_that_of_the_size():
    prior = {"kind": "log_normal", "median": 0.02, "sigma": 0.5}

    def integrand(log_size):
        z = (log_size - math.log(0.02)) / 0.5
        return math.exp(log_density(math.exp(log_size), 0.0) - without - 0.5 * z * z) / (0.5 * math.sqrt(TURN))

    without = log_density(0.0, 0.0)
    expected = math.log(quad(integrand, -9, 2)[0])
    second = term("b", outputscale={"start": 0.02, "prior": prior})
    assert evidence(built(second=second), Exact())["two"] == pytest.approx(expected, abs=0.06)


def test_a_lengthscale_is_integrated_over_too():
    """Of known size, from the weak prior: N(start, 3²) of its log."""
    start = 0.9

    def integrand(log_length):
        covariance = 0.7 * matrix(0, LENGTHS["a"]) + 0.3 * matrix(1, math.exp(log_length)) + NOISE**2 * np.eye(N)
        z = (log_length - math.log(start)) / WIDTH
        log = multivariate_normal(np.zeros(N), covariance, allow_singular=True).logpdf(Y)
        return math.exp(log - without - 0.5 * z * z) / (WIDTH * math.sqrt(TURN))

    without = log_density(0.0, 0.0)
    expected = math.log(quad(integrand, math.log(start) - 9, math.log(start) + 9, limit=200)[0])
    second = term("b", outputscale={"fixed": 0.3}) | {"lengthscale": start}
    assert evidence(built(second=second), Exact())["two"] == pytest.approx(expected, abs=0.06)


def test_a_term_of_known_size_is_there_or_not():
    found = evidence(built(second=term("b", outputscale={"fixed": 0.02})), Exact())
    assert found["two"] == pytest.approx(log_density(0.02, 0.0) - log_density(0.0, 0.0), abs=0.06)


@pytest.mark.parametrize("amplitude", [1.0, 0.0])
def test_the_only_term_is_there_or_there_is_noise_alone(amplitude):
    """By a method that needs no kernel: a pair of oscillators has one coupling.  Mean integrated out, noise learnt."""
    y = amplitude * np.sin(X[:, 1]) + NOISE * np.random.default_rng(5).normal(size=N)
    terms = {"one": term("b", outputscale={"fixed": 0.5})}
    written = {"standardize": {"x": False, "y": False}, "kernel": {"kind": "sum", "terms": terms}}
    made = parse(Model, written, "model").build(Dataset(x=X, columns=("a", "b"), y=y))

    def best(size):  # over the noise, where the mean is of very large variance
        def log_density(log_sd):
            covariance = size * matrix(1, LENGTHS["b"]) + math.exp(2 * log_sd) * np.eye(N) + 1e5
            return multivariate_normal(np.zeros(N), covariance).logpdf(y)

        return max(log_density(log_sd) for log_sd in np.linspace(math.log(0.1), math.log(2.0), 800))

    found = evidence(made, Harmonic())
    assert found["one"] == pytest.approx(best(0.5) - best(0.0), abs=0.06)
    assert (found["one"] > 3) == bool(amplitude)
    assert evidence(made, Exact()) == {}


def test_a_model_without_a_term_is_that_of_the_other_terms():
    whole = built(mean="constant")
    kept = {"kind": "sum", "terms": {"one": term("a", outputscale={"fixed": 0.7})}}
    written = whole.spec.model_dump(exclude_none=True) | {"kernel": kept}
    alone = parse(Model, written, "model").build(Dataset(x=X, columns=("a", "b"), y=Y))
    for method in (Exact(), Harmonic()):  # the latter's sums over rows are parts of the known ones
        rest = method.without(whole, "two")
        assert list(rest.terms) == ["one"]
        assert rest.parameters.names == alone.parameters.names
        assert method.evaluate(rest)[0] == pytest.approx(method.evaluate(alone)[0], rel=1e-10)


def test_noise_depends_without_a_term_as_with_it():
    """What the term explains would else be taken for noise that is correlated."""
    x = np.column_stack([np.linspace(0, 70, 400) % TURN, np.linspace(0, 50, 400) % TURN])
    y = np.sin(x).sum(axis=1) + 0.05 * RNG.normal(size=400)
    wave = {"kind": "periodic", "period_length": {"fixed": TURN}}
    kernel = {"kind": "sum", "terms": {name: {**wave, "columns": [name]} for name in ("a", "b")}}
    data, method = Dataset(x=x, columns=("a", "b"), y=y, run=np.zeros(400)), Harmonic()
    whole = parse(Model, {"kernel": kernel}, "model").build(data)
    alone = parse(Model, {"kernel": kernel["terms"]["a"]}, "model").build(data)
    assert method.effective_rows(alone) < 0.5 * method.effective_rows(whole)
    assert method.effective_rows(method.without(whole, "b")) == method.effective_rows(whole)


def test_the_model_stays_where_it_was():
    made = built(mean="constant")
    before = made.parameters.vector.copy()
    evidence(made, Harmonic())
    assert np.array_equal(made.parameters.vector, before)


def test_where_there_is_no_such_evidence_none_is_said(monkeypatch):
    single = parse(Model, {"kernel": {"kind": "sum", "terms": {"it": {"kind": "rbf"}}}}, "model")
    data = Dataset(x=X, columns=("a", "b"), y=Y)
    assert evidence(single.build(data), Exact()) == {}
    assert evidence(Model().build(data), Exact()) == {}
    robust = built().spec.model_dump(exclude_none=True) | {"noise": {"kind": "student_t"}}
    assert evidence(parse(Model, robust, "model").build(data), Exact()) == {}
    monkeypatch.setattr(module, "ROWS", N - 1)
    assert evidence(built(), Exact()) == {}
    assert evidence(built(), Harmonic()) != {}  # whose cost does not grow with the rows


def test_terms_are_told_apart_by_a_fit():
    """Of three terms of a fit one is not in the data; the table names the input that each reads."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, TURN, (300, 3))
    y = np.sin(x[:, 0]) + 0.3 * np.cos(2 * x[:, 1]) + 0.3 * rng.normal(size=300)
    wave = {"kind": "periodic", "period_length": {"fixed": TURN}}
    kernel = {"kind": "sum", "terms": {f"from_{name}": {**wave, "columns": [name]} for name in ("x1", "x2", "x3")}}
    report = gp.fit(x, y, model={"kernel": kernel}, inference=HARMONIC, train={"restarts": 0}).report()
    table = terms(report, ["x1", "x2", "x3"])
    assert list(table["input"]) == ["x1", "x2", "x3"]
    assert (table["nats"] > 20).tolist() == [True, True, False]
    assert (table["probability"] > 0.5).tolist() == [True, True, False]
    assert table["share"].tolist() == [report["shares"][name] for name in kernel["terms"]]


def test_words_say_what_the_data_do_without():
    fit = {"shares": {"it": 0.001}, "kernel": {"kind": "sum", "terms": {"it": {"kind": "linear"}}}}
    fit |= {"fit": {"hyperparameters": {}}}
    for nats, words in ((-5.0, "; the data speak against it (-5.0 nats)."), (40.0, "variance.")):
        (sentence,) = sentences(fit | {"evidence": {"it": nats}}, ["depth"])
        assert sentence.endswith(words)
    assert terms({}, ["depth"]).empty
    assert terms(fit, ["depth", "width"])["input"].tolist() == [""]  # it reads both
    assert terms(fit | {"evidence": {"it": -2000.0}}, ["depth"])["probability"].tolist() == [0.0]


def test_targets_that_are_constant_have_no_evidence():
    terms = {"a": {"kind": "rbf"}, "b": {"kind": "matern", "nu": 0.5}}
    fitted = gp.fit(np.arange(30.0), np.full(30, 2.0), model={"kernel": {"kind": "sum", "terms": terms}})
    assert "evidence" not in fitted.report()
