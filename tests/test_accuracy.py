"""Accuracy studies of tables: what is run, what is kept, what is said."""

import gzip
import json
import sys

import numpy as np
import pytest

import gp
from benchmarks.accuracy import STUDIES, coverage, large, optimum, uci
from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy.options import Options
from benchmarks.accuracy.uci import CASES, EXACT, ONE_KERNEL, PUBLISHED, Case, Fit
from benchmarks.machine import describe, machines
from benchmarks.peers import sklearn
from benchmarks.peers.protocol import Problem
from benchmarks.report import README
from gp.spec import InputError

N, TEST = 60, 12


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(N, 2))
    values = np.column_stack([x, np.sin(6 * x[:, 0]) + 0.1 * rng.standard_normal(N)])
    mask = np.array([rng.permutation(N) < TEST for _ in range(10)]).T
    (tmp_path / "yacht").mkdir()
    for name, table in (("data", values), ("test_mask", mask.astype(int))):
        with gzip.open(tmp_path / f"yacht/{name}.csv.gz", "wt") as file:
            np.savetxt(file, table, delimiter=",", fmt="%.6g")
    return tmp_path


@pytest.fixture
def one_table(monkeypatch):
    fits = {"exact": Fit(ONE_KERNEL, EXACT), "few": Fit(ONE_KERNEL, EXACT | {"rows": 20}, {"restarts": 0})}
    monkeypatch.setattr(uci, "CASES", {"yacht": Case(fits, 1)})


def test_a_table_is_fitted_by_each_of_its_methods_and_scored(folder, one_table):
    result = uci.run(Options("uci", tables=folder))
    exact, integrated, few, _ = result["rows"]
    assert [row["hyperparameters"] for row in result["rows"]] == 2 * ["plug_in", "laplace"]
    assert integrated["nlpd"] != exact["nlpd"]
    assert (exact["method"], exact["rows"], exact["inputs"], exact["group"]) == ("exact", N - TEST, 2, "yacht/exact")
    assert 0.1 < exact["rmse"] < 0.2
    assert exact["rmse"] != few["rmse"]
    _, y, mask = uci.read(folder, "yacht")
    scale = y[~mask[:, 0]].std()
    assert exact["rmse_standardised"] == pytest.approx(exact["rmse"] / scale)
    assert exact["nlpd_standardised"] == pytest.approx(exact["nlpd"] - np.log(scale))
    said = uci.tables(result)
    assert "| exact | laplace | " in said
    assert "RMSE: the best of 2 methods here" in said
    assert describe()["processor"] in said


def test_a_table_that_is_not_there_is_named_before_anything_runs(tmp_path, folder):
    with pytest.raises(InputError, match=r"--tables: no folder"):
        uci.run(Options("uci", tables=tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"energy/data\.csv\.gz: is not there"):
        uci.run(Options("uci", tables=folder))


def test_bands_of_a_table_are_measured_beside_an_exact_fit_to_the_same_rows(folder, monkeypatch):
    monkeypatch.setattr(coverage, "TABLES", ("yacht",))
    monkeypatch.setattr(coverage, "QUICK", 30)
    monkeypatch.setattr(coverage, "METHODS", {"exact": EXACT, "sgpr": {"kind": "sgpr", "inducing": 20, "steps": 30}})
    result = coverage.run(Options("coverage", quick=True, only=("yacht",), tables=folder))
    exact, sgpr = result["rows"]
    assert (exact["rows"], exact["group"], sgpr["method"]) == (30, "yacht/30", "sgpr")
    assert exact["coverage_50"] < exact["coverage_95"] <= 1
    assert f"| yacht | 30 | sgpr | {sgpr['coverage_50']:.3f} / " in coverage.tables(result)


def test_every_table_has_published_figures():
    assert set(CASES) == set(PUBLISHED)


@pytest.mark.parametrize(
    ("best", "coverage", "said"),
    [
        (
            0.1,
            0.95,
            "RMSE: the best of 1 methods here, exact, laplace, 0.100, is at or ahead of the best published, 0.393.",
        ),
        (0.5, 0.95, "RMSE: the best of 1 methods here, exact, laplace, 0.500, is behind the best published, 0.393."),
        (0.1, 0.90, "Coverage outside 93–97 %: exact, laplace (0.900)."),
    ],
)
def test_the_verdict_is_that_of_the_numbers(best, coverage, said):
    row = {"table": "yacht", "group": "yacht", "machine": describe(), "method": "exact", "split": 0, "rows": 277}
    row["hyperparameters"] = "laplace"
    scores = {"inputs": 6, "rmse": best, "nlpd": 0.0, "coverage_95": coverage, "cpu_seconds": 1.0}
    text = uci.tables({"rows": [row | scores]})
    assert said in text
    assert ("Coverage outside" in text) == (not 0.93 <= coverage <= 0.97)


def test_a_group_that_runs_anew_replaces_its_own_rows_alone(monkeypatch, tmp_path):
    old = [{"group": name, "value": 0} for name in ("a", "b", "b")]
    new = [{"group": "b", "value": 1}]
    written = {}
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "write_section", lambda name, text: written.update({name: text}))
    monkeypatch.setattr(large, "run", lambda options: {"rows": new})
    monkeypatch.setattr(large, "tables", lambda result: json.dumps(result))
    (tmp_path / "large.json").write_text(json.dumps({"rows": old}))
    monkeypatch.setattr(sys, "argv", ["accuracy", "large", "--only", "b"])
    command.main()
    rows = json.loads((tmp_path / "large.json").read_text())["rows"]
    assert rows == [{"group": "a", "value": 0}, {"group": "b", "value": 1}]
    assert json.loads(written["large"])["rows"] == rows


@pytest.mark.parametrize("arguments", [["--quick"], ["--only", "x"]])
def test_a_trial_is_written_nowhere(monkeypatch, tmp_path, arguments, capsys):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "write_section", lambda *_: pytest.fail("a trial was written down"))
    monkeypatch.setattr(large, "run", lambda options: {"rows": [{"value": 1}]})
    monkeypatch.setattr(large, "tables", lambda result: "what came out")
    monkeypatch.setattr(sys, "argv", ["accuracy", "large", *arguments])
    command.main()
    assert list(tmp_path.iterdir()) == []
    assert "what came out" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_the_readme_says_what_the_results_say(name):
    said = README.read_text().partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    result = json.loads((command.RESULTS / f"{name}.json").read_text())
    assert said.strip() == STUDIES[name].tables(result).strip()


def test_machines_are_named_with_the_groups_that_ran_there():
    one, other = describe(), describe() | {"processor": "another"}
    rows = [{"group": "a", "machine": one}, {"group": "b", "machine": one}, {"group": "c", "machine": other}]
    first, second = machines(rows).split("; ")
    assert first.startswith(f"a, b: {one['processor']}")
    assert second.startswith("c: another")


def test_large_tables_are_drawn_with_the_noise_that_the_table_says():
    data = large.draw(2000, 2)
    assert data["x"].shape == (2000, 2)
    assert len(data["y_test"]) == large.N_TEST
    assert np.var(data["y"]) == pytest.approx(1 + large.NOISE_SD**2, rel=0.3)


def test_a_peer_is_counted_over_the_draws_that_it_could_fit():
    def row(draw, method, value, **more):
        return {"draw": draw, "kind": "rbf", "d": 1, "n": 80, "truth": 10.0, "method": method, "cpu": 1.0} | {
            "value": value,
            **more,
        }

    rows = [row(k, method, 10.0, seeds=0.0) for k in range(4) for method in (optimum.OURS, optimum.ONE)]
    rows += [row(0, "GPy", 9.95), row(1, "GPy", 9.0), row(2, "GPy", None, failed="why"), row(3, "GPy", None)]
    said = optimum.tables({"rows": rows, "skipped": {"BoTorch": "it does not install"}})
    # Of three ends, one is as good as the truth's; from another no climb could begin.
    assert "| rbf | 1 | 100% (4) | 100% (4) | 100% (4) | 33% (3) |" in said
    assert "of the 3 draws that all could fit" in said
    assert "BoTorch was left out: it does not install." in said


def test_peers_hyperparameters_are_read_as_this_librarys_own():
    """At the optimum of scikit-learn, without a climb, the likelihood is that of a climb."""
    x = np.random.default_rng(0).uniform(size=(60, 1))
    y = np.sin(2 * np.pi * x[:, 0] / 0.9) + 0.2 * np.random.default_rng(1).normal(size=60)
    of = optimum.Draw("periodic", x, y, {})
    call = sklearn.search(Problem(x, y, x[:1], [], kernel="periodic"))
    at = call(0)["hyperparameters"]
    here = gp.log_marginal_likelihood(x, y, model=of.model(at))
    assert optimum._climbed(of, at) == pytest.approx(here, abs=0.05)
