"""Several kernels for one model: which is taken, and what is said of the others."""

import json
from functools import partial

import numpy as np
import pytest

import gp
from gp.model.choice import KernelSearch
from gp.parallel import run_in_line
from gp.spec import InputError

RNG = np.random.default_rng(0)
X = np.sort(RNG.uniform(0, 5, size=30))
Y = np.sin(2 * np.pi * X) + 0.1 * RNG.standard_normal(30)
KERNELS = {"smooth": {"kind": "rbf"}, "wave": {"kind": "periodic"}, "line": {"kind": "linear"}}
TRAIN = {"kind": "lbfgs", "restarts": 1}


@pytest.fixture(scope="module")
def one_by_one():
    """Each kernel fitted on its own."""
    return {name: gp.fit(X, Y, model={"kernel": kernel}, train=TRAIN) for name, kernel in KERNELS.items()}


def loo_nlpd(fitted):
    """Return the mean of −log p(y) over rows left out one at a time, p being the mixture that predicts them."""
    of = fitted.left_out
    z = (fitted.data.y - of.means) / of.sds
    return -float(np.mean(np.log((of.weights * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * of.sds)).sum(axis=0))))


@pytest.mark.parametrize("score", ["loo_nlpd", "log_marginal_likelihood"])
def test_the_best_of_all_kernels_is_kept_with_the_ranking_of_all(one_by_one, score):
    model = {"search": {"kernels": KERNELS, "score": score}}
    fitted = run_in_line(partial(gp.fit, X, Y, model=model, train=TRAIN))  # workers: in the test of a study below
    expected = {
        name: {"log_marginal_likelihood": each.log_marginal_likelihood, "loo_nlpd": loo_nlpd(each)}
        for name, each in one_by_one.items()
    }
    sign = -1 if score == "log_marginal_likelihood" else 1
    order = sorted(KERNELS, key=lambda name: sign * expected[name][score])
    assert list(fitted.ranking.index) == order
    assert list(fitted.ranking["rank"]) == [1, 2, 3]
    for name, scores in expected.items():
        assert fitted.ranking.loc[name, list(scores)].to_dict() == pytest.approx(scores, rel=1e-9)
    at = np.linspace(0, 6, 7)
    np.testing.assert_allclose(fitted.predict(at).mean, one_by_one[order[0]].predict(at).mean, rtol=1e-9)
    assert fitted.hyperparameters == pytest.approx(one_by_one[order[0]].hyperparameters, rel=1e-9)


@pytest.mark.parametrize(
    ("score", "order"), [("loo_nlpd", ["c", "a", "b"]), ("log_marginal_likelihood", ["a", "b", "c"])]
)
def test_ranks_are_by_the_score_and_of_equals_the_first_written_leads(score, order):
    search = KernelSearch(kernels={name: {"kind": "rbf"} for name in "abc"}, score=score)
    values = {"a": (5.0, 1.0), "b": (5.0, 1.0), "c": (4.0, 0.5)}
    names = ("log_marginal_likelihood", "loo_nlpd")
    table = search.rank({name: dict(zip(names, pair, strict=True)) for name, pair in values.items()})
    assert list(table.index) == order
    assert list(table["rank"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"search": {"kernels": {}}}, r"model\.search: has nothing to choose among: give two or more kernels"),
        ({"search": {"kernels": {"a": {"kind": "rbf"}}}}, r"model\.search: has nothing to choose among"),
        ({"search": {"kernels": {"a": {"kind": "rbff"}, "b": {}}}}, r"model\.search\.kernels\.a.*rbff.*rbf"),
        ({"search": {"kernels": {"a": {}, "b": {}}, "by": "loo"}}, r"model\.search\.by"),
        ({"search": {"kernels": {"a": {}, "b": {}}, "score": "loo"}}, r"model\.search\.score: .*loo_nlpd"),
        (
            {"kernel": {"kind": "rbf"}, "search": {"kernels": {"a": {}, "b": {}}}},
            r"has a kernel and a search over kernels: drop one",
        ),
    ],
)
def test_what_is_wrong_with_a_search_is_named(model, message):
    with pytest.raises(InputError, match=message):
        gp.fit(X, Y, model=model)


@pytest.mark.slow
def test_a_study_with_a_search_has_its_ranking_among_its_metrics(project):
    project.edit("sine.model", {"search": {"kernels": KERNELS}})
    project.edit("sine.train", TRAIN)
    for stage in ("synthesize", "train", "predict", "evaluate"):
        project.within(f"stages.{stage}", "sine")
    ranking = json.loads((project.path / "data/sine/evaluate/metrics.json").read_text(encoding="utf-8"))["search"]
    assert sorted(entry["rank"] for entry in ranking.values()) == [1, 2, 3]
    best = min(ranking, key=lambda name: ranking[name]["loo_nlpd"])
    assert ranking[best]["rank"] == 1
