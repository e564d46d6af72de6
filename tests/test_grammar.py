"""The search for the structure of a time series: what follows from a structure, what is found, what is refused."""

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest

import gp
from gp.fitted import structures
from gp.model.grammar import STEP, Grammar, each_hyperparameter, kernel_of, outline, said, window
from gp.model.kernels.changepoint import Changepoint
from gp.model.kernels.composite import Product
from gp.model.kernels.features import Linear
from gp.model.kernels.periodic import Periodic
from gp.model.kernels.stationary import Matern, Rbf
from gp.model.model import Model
from gp.parallel import run_in_line
from gp.parameters.hyperparameters import PositiveHyperparameter
from gp.spec import InputError
from gp.structure import sentences

RNG = np.random.default_rng(4)
X = np.linspace(0, 10, 80)
WAVE = 0.4 * X + np.sin(2 * np.pi * X / 1.7) ** 3 + 0.15 * RNG.standard_normal(80)
SEARCH = {"grammar": "time_series"}


def searched(x, y, **model):
    """Return a model whose structure was searched, without workers, and then climbed once."""
    return run_in_line(partial(gp.fit, x, y, model={"search": SEARCH} | model, train={"restarts": 0}))


@pytest.fixture(scope="module")
def wave():
    return searched(X, WAVE)


def test_a_line_and_a_cycle_are_found_and_go_on_beyond_the_data(wave):
    assert wave.ranking.index[0] == "linear + periodic"
    assert set(wave.model.kernel.terms) == {"trend", "cycle"}
    assert wave.hyperparameters["kernel.cycle.period_length"] == pytest.approx(1.7, abs=0.05)
    ahead = np.linspace(10, 12, 20)
    truth = 0.4 * ahead + np.sin(2 * np.pi * ahead / 1.7) ** 3
    assert np.abs(wave.predict(ahead).mean - truth).max() < 0.5


def test_all_that_was_fitted_is_ranked_by_evidence(wave):
    assert list(wave.ranking["rank"]) == list(range(1, len(wave.ranking) + 1))
    assert wave.ranking["evidence"].is_monotonic_decreasing
    assert {"constant", "rbf", "periodic × rbf", "linear + linear × periodic"} <= set(wave.ranking.index)
    # The final fit begins where the structure's ended.
    assert wave.log_marginal_likelihood == pytest.approx(wave.ranking["log_marginal_likelihood"].iloc[0], abs=0.06)


def test_what_was_found_is_said_in_words(wave):
    said_of = sentences(wave.report(), ["depth"])
    assert len(said_of) == 3  # the last one of what predictions average over
    assert said_of[0].startswith("trend: a straight line; ")
    assert said_of[1].startswith("cycle: a pattern that repeats every 1.71 units of depth; ")


def test_the_same_rows_give_the_same_bytes():
    reports = [json.dumps(searched(X[:30], WAVE[:30]).report()["search"]) for _ in range(2)]
    assert reports[0] == reports[1]


def test_growth_whose_scatter_grows_is_searched_in_its_log_unless_the_model_says_a_transform():
    y, few = np.exp(0.8 * X[:24] + 0.3 * RNG.standard_normal(24)), {"search": SEARCH | {"candidates": 40}}
    assert searched(X[:24], y, **few).model.transform.kind == "log"
    assert searched(X[:24], y, **few, transform=None).model.transform is None


def test_noise_alone_has_no_structure():
    assert searched(X[:40], np.random.default_rng(1).standard_normal(40)).ranking.index[0] == "constant"


def test_no_more_structures_are_fitted_than_the_user_allows():
    assert len(searched(X[:30], WAVE[:30], search=SEARCH | {"candidates": 4}).ranking) == 4


@pytest.mark.slow
def test_workers_find_the_same():
    data = gp.Dataset(x=X[:20, None], y=WAVE[:20], columns=("x",))
    tasks = [(data, structures.Structure(terms, Model())) for terms in Grammar(5.0).simplest()[1:4]]
    here = [structures.fit_structure(*task).scores for task in tasks]
    assert [found.scores for found in structures.fan_out(structures.fit_structure, tasks)] == here


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"search": {"grammer": "time_series"}}, r"model\.search\.grammer: unknown key .*did you mean grammar\?"),
        ({"search": "time_series"}, r"model\.search: must be a mapping of grammar, score, .*, average \(got"),
        ({"search": {"grammar": "tensor"}}, r"model\.search\.grammar: must be 'time_series'"),
        ({"search": SEARCH | {"score": "loo"}}, r"model\.search\.score: must be 'evidence' or 'bic'"),
        ({"search": SEARCH | {"kernels": {}}}, r"model\.search\.kernels: unknown key \(known: grammar, score"),
        ({"search": SEARCH, "kernel": {}}, r"model: has a kernel and a search over kernels: drop one$"),
        (
            {"search": SEARCH, "noise": {"kind": "student_t"}},
            r"takes noise of kind gaussian or known \(got student_t\)",
        ),
    ],
)
def test_what_is_wrong_with_a_grammar_is_named(model, message):
    with pytest.raises(InputError, match=message):
        gp.fit(X, WAVE, model=model)


@pytest.mark.parametrize(
    ("x", "inference", "message"),
    [
        (np.column_stack([X, X]), {}, r"over one input that is a number \(got 2 inputs\)"),
        (pd.DataFrame({"site": ["north", "south"] * 40}), {}, r"over one input .* \(got site categorical\)"),
        (np.repeat(X[:8], 10), {}, r"rows at 10 different x or more \(got 8\)"),
        (X, {"kind": "sgpr"}, r"takes inference of kind exact or auto \(got sgpr\)"),
    ],
)
def test_what_a_grammar_cannot_be_searched_for_is_refused(x, inference, message):
    with pytest.raises(InputError, match=message):
        gp.fit(x, WAVE, model={"search": SEARCH}, inference=inference)


def test_a_cycle_within_a_window_has_the_evidence_and_its_ends():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 10, 60)
    y = np.where((x > 3) & (x < 6.5), 1.5 * np.sin(2 * np.pi * x), 0) + 0.2 * rng.standard_normal(60)
    data, cycle = gp.Dataset(x=x[:, None], y=y, columns=("x",)), Periodic(period_length=PositiveHyperparameter(upper=5))
    drifting = Product(factors={"a": cycle, "b": Rbf()})
    found = {}
    for term in (window(cycle), cycle, drifting):
        found[said((term,))] = structures.fit_structure(data, structures.Structure((term,), Model()))
    best, *others = (each.scores["evidence"] for each in found.values())
    assert best > max(others) + 10
    fitted = gp.fit(x, y, model=found["[periodic]"].model, train={"restarts": 0})
    assert fitted.hyperparameters["kernel.window.location"] == pytest.approx(3, abs=0.2)
    assert fitted.hyperparameters["kernel.window.after.location"] == pytest.approx(6.5, abs=0.2)
    kernel, values = fitted.model.kernel.model_dump(exclude_none=True), {"hyperparameters": fitted.hyperparameters}
    (said_of,) = sentences({"shares": {"window": 0.5}, "kernel": kernel, "fit": values}, ["x"])
    assert re.search(r"repeats every (1|0\.99\d*|1\.0\d*) units? of x, but only from x \d\S* until x 6\.\d", said_of)
    plug_in = fitted.predict([8.0, 11.0], hyperparameters={"kind": "plug_in"})
    assert plug_in.sd_f.max() < 0.01  # there is nothing beyond


def test_the_ends_of_a_window_may_be_anywhere_between_two_rows_and_no_further_off():
    rng, x = np.random.default_rng(0), np.linspace(0, 10, 100)
    y = 0.3 * x + np.where((x > 3) & (x < 6.5), 1.2 * np.sin(2 * np.pi * x / 0.7), 0) + 0.2 * rng.standard_normal(100)
    cycle = Periodic(period_length=PositiveHyperparameter(upper=5.0))
    structure = structures.Structure((Linear(), window(cycle)), Model())
    found = structures.fit_structure(gp.Dataset(x=x[:, None], y=y, columns=("x",)), structure)
    fitted = gp.fit(x, y, model=found.model, train={"restarts": 0})
    assert not fitted.mixture({"kind": "laplace"}).draws.alarms(plateaus=False)


def test_windows_follow_from_terms_and_change_points_and_back():
    grammar, cycle = Grammar(5.0, windows=True), Periodic()
    after, part = Changepoint(after=cycle), window(cycle)
    assert {said((part,)), "[rbf] + periodic"} <= {said(each) for each in grammar.following((cycle,))}
    assert {"( | periodic)", "(periodic | )"} <= {
        said(each) for each in grammar.following((Changepoint(before=cycle, after=cycle),))
    }
    assert {"periodic", "[periodic]"} <= {said(each) for each in grammar.following((after,))}
    names = {said(each) for each in grammar.following((part,))}
    assert {"( | periodic)", "(periodic | )", "[periodic × rbf]", "[periodic] + linear"} <= names
    assert not any("[[" in name or "| [" in name or "] |" in name for name in names)
    assert not any("[" in said(each) for each in Grammar(5.0).following((cycle,)))


def test_a_structure_is_the_same_in_any_order():
    cycle = Product(factors={"a": Periodic(), "b": Rbf()})
    turned = Product(factors={"a": Rbf(), "b": Periodic()})
    assert said((Linear(), cycle)) == said((turned, Linear())) == "linear + periodic × rbf"
    assert outline((cycle,)) == outline((Product(factors={"a": Matern(), "b": Periodic()}),)) == "periodic × smooth"


def test_what_follows_from_a_structure_is_each_once_and_builds():
    terms = (Linear(), Product(factors={"a": Periodic(), "b": Rbf()}))
    data = gp.Dataset(x=X[:, None], y=WAVE, columns=("x",))
    names = [said(following) for following in Grammar(5.0, season=1.0).following(terms)]
    assert len(set(names)) == len(names)
    assert said(terms) not in names
    assert {"linear", "linear + periodic", "linear × periodic + periodic × rbf"} <= set(names)
    assert {"linear + periodic × rbf + season", "(periodic × rbf | periodic × rbf) + linear"} <= set(names)
    for following in Grammar(5.0, season=1.0).following(terms):
        Model(kernel=kernel_of(following)).build(data)


def test_terms_of_the_same_kinds_have_names_of_their_own():
    named = {"trend": Linear(), "level": Rbf(), "level-2": Matern(), "cycle": Periodic(), "change": STEP}
    assert list(kernel_of(tuple(named.values())).terms) == list(named)


def test_every_hyperparameter_of_a_kernel_is_reached():
    kernel = kernel_of((Linear(), Product(factors={"a": Periodic(), "b": Rbf()})))
    reached = []
    each_hyperparameter(kernel, lambda name, written: reached.append(name), "kernel")
    assert sorted(reached) == [
        "kernel.cycle.a.lengthscale",
        "kernel.cycle.a.outputscale",
        "kernel.cycle.a.period_length",
        "kernel.cycle.b.lengthscale",
        "kernel.cycle.b.outputscale",
        "kernel.cycle.outputscale",
        "kernel.trend.variance",
    ]


def test_a_step_of_a_month_quarter_week_or_day_suggests_a_year():
    months = np.arange(48) / 12
    assert structures.season_of(months) == 1.0
    assert structures.season_of(np.arange(20) / 4) == 1.0
    assert structures.season_of(np.arange(48) / 10) is None
    assert structures.season_of(months[:20]) is None  # not two years


def test_a_fixed_period_stays_fixed():
    cycle = Periodic(period_length=PositiveHyperparameter(fixed=[1.0]))
    model = Model(kernel=kernel_of((cycle,)))
    started = structures.started(model, {"kernel.season.period_length": 1.0, "kernel.season.lengthscale": 2.0})
    assert started.kernel.terms["season"].period_length.fixed == [1.0]
    assert started.kernel.terms["season"].lengthscale.start == [2.0]
