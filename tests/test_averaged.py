"""Averages over structures: what predictions, left-out rows, draws, exports and files are of all of them."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import gp
from gp.asked.notebook import plot, study_of
from gp.export import export
from gp.fitted import fit, structures
from gp.fitted.pareto import smoothed
from gp.folds import predict_folds
from gp.forecast import draws_file
from gp.origins import predict_after
from gp.parallel import run_in_line
from gp.plots import Study
from gp.spec import Fault, InputError
from gp.structure import sentences
from stages.evaluate import _weighted

X = np.arange(24.0)
Y = 8 + np.cumsum(np.random.default_rng(3).standard_normal(24))  # a walk: several structures are as good
AHEAD = np.array([24.0, 26.0])


def searched(average, n=24):
    search = {"grammar": "time_series", "candidates": 14, "average": average}
    return run_in_line(
        partial(gp.fit, X[:n], Y[:n], model={"search": search, "transform": None}, train={"restarts": 0})
    )


@pytest.fixture(scope="module")
def walk():
    return searched(3)


def cdf(models, weights, at):
    """Return the distribution function of a mixture of models' own predictions."""
    each = [replace(one, alternatives=()).predict(AHEAD).y.cdf(at) for one in models]
    return np.tensordot(weights, np.array(each), 1)


def test_predictions_are_the_mixture_of_the_structures_by_their_evidence(walk):
    models, log_weights = walk.models(None)
    weights = np.exp(log_weights)
    evidence = walk.ranking["evidence"]
    names = [walk.ranking.index[0], *(each.name for each in walk.alternatives)]
    assert len(names) == 3
    odds = np.exp(evidence[names] - evidence.iloc[0])
    assert weights == pytest.approx(odds / odds.sum())
    assert names == list(walk.ranking.index[:3])
    at = walk.predict(AHEAD).mean + 1.0
    assert walk.predict(AHEAD).y.cdf(at) == pytest.approx(cdf(models, weights, at), rel=1e-12)


def test_one_structure_is_the_best_of_several(walk):
    alone, best = searched(1).predict(AHEAD), replace(walk, alternatives=()).predict(AHEAD)
    assert (alone.mean == best.mean).all()
    assert (alone.sd_y == best.sd_y).all()
    assert np.abs(alone.mean - walk.predict(AHEAD).mean).max() > 1e-3


def test_where_hyperparameters_are_taken_as_learnt_so_is_the_structure(walk):
    plugged = {"hyperparameters": {"kind": "plug_in"}}
    assert len(walk.predict(AHEAD, **plugged).y.means) == 1
    assert "structures" not in str(walk.certify({"kind": "plug_in"}))
    assert "averaged over 3 structures" in str(walk.certificate)


def test_a_left_out_row_has_weighed_no_structure(walk):
    """Without a row, a setting of a structure has the weight that it has with it over the row's density there."""
    models, log_weights = walk.models(None)
    weights = np.exp(log_weights)
    logs, means = [], []
    for one, weight in zip(models, weights, strict=True):
        mixture = one.mixture()
        for s, conditioned in enumerate(mixture.conditioned("test")):
            mean, sd = conditioned.leave_one_out()
            density = -0.5 * ((one.gp.scope.y - mean) / sd) ** 2 - np.log(sd)
            logs.append(math.log(weight) + mixture.draws.log_weights[s] - density)
            means.append(mean * one.gp.scope.y_scale + one.gp.scope.y_offset)
    expected = np.exp(np.array([smoothed(column)[0] for column in np.array(logs).T])).T
    assert walk.left_out.means == pytest.approx(np.array(means))
    assert walk.left_out.weights == pytest.approx(expected, rel=1e-9)


def test_joint_posteriors_slopes_and_draws_are_of_all_structures(walk):
    found, joint = walk.predict(AHEAD), walk.joint(AHEAD)
    assert joint.mean == pytest.approx(found.mean, rel=1e-9)
    assert joint.sd_y == pytest.approx(found.sd_y, rel=1e-9)
    step = 1e-4
    slope = (walk.predict(AHEAD + step).mean - walk.predict(AHEAD - step).mean) / (2 * step)
    assert walk.gradient(AHEAD).mean[:, 0] == pytest.approx(slope, abs=1e-6)
    drawn = walk.sample_paths(64, seed=1)(AHEAD)
    assert drawn.mean(axis=0) == pytest.approx(found.mean, abs=4 * found.sd_f.max() / 8)


def test_a_file_and_an_export_predict_by_all_structures(walk, tmp_path):
    walk.save(tmp_path / "model.safetensors")
    again, found = gp.load(tmp_path / "model.safetensors").predict(AHEAD), walk.predict(AHEAD)
    assert (again.mean == found.mean).all()
    assert (again.sd_y == found.sd_y).all()
    export(walk, tmp_path / "exported")
    ask = "from predictor import Predictor; found = Predictor().predict([24.0, 26.0]); print(*found.mean, *found.sd_y)"
    command = [sys.executable, "-c", ask]
    told = subprocess.run(command, cwd=tmp_path / "exported", capture_output=True, text=True, check=True).stdout.split()
    assert [float(number) for number in told] == pytest.approx([*found.mean, *found.sd_y], rel=1e-9)


def test_a_posterior_on_disk_is_that_of_all_structures_and_the_terms_of_the_best(walk, tmp_path):
    found = walk.predict(AHEAD)
    assert found.components
    assert len(found.components["level"].means) < len(found.y.means)
    found.save(tmp_path / "test.csv")
    again = gp.Posterior.load(tmp_path / "test.csv")
    assert (again.y.quantile(0.9) == found.y.quantile(0.9)).all()
    assert (again.components["level"].sd == found.components["level"].sd).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transform": {"kind": "sqrt"}}, "different transforms or units"),
        ({"standardize": {"x": False}}, "different transforms or units"),
        ({"kernel": {"kind": "rbf"}}, "not this version's"),
        ({}, "different inference or train"),
    ],
)
def test_a_file_whose_structures_are_of_different_y_is_refused(walk, change, message, tmp_path):
    walk.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        header, tensors = json.loads(file.metadata()["gp"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["alternatives"][0]["model"] |= change
    header["alternatives"][0]["train"] |= {} if change else {"restarts": 3}
    save_file(tensors, tmp_path / "other.safetensors", {"gp": json.dumps(header)})
    with pytest.raises(InputError, match=message):
        gp.load(tmp_path / "other.safetensors")


def test_new_rows_weigh_the_structures_by_how_well_they_were_foreseen(walk):
    later = walk.update([24.0], [Y[-1] + 3.0])
    models, log_weights = walk.models(None)
    density = [
        float(replace(one, alternatives=()).predict([24.0]).y.log_density(np.array([Y[-1] + 3.0]))[0]) for one in models
    ]
    weights = np.exp(log_weights + density)
    assert np.exp(later.models(None)[1]) == pytest.approx(weights / weights.sum(), rel=1e-9)
    assert later.surprise.log_density == pytest.approx(math.log(weights.sum()), rel=1e-9)
    # Rows that a rolling origin knows leave the weights as they are.
    known = gp.Dataset(x=np.array([[24.0]]), y=np.array([Y[-1] + 3.0]), columns=walk.columns)
    kept = predict_after(walk, known, np.array([[26.0]]))
    assert kept.y.weights == pytest.approx(walk.predict(AHEAD).y.weights)
    assert kept.mean == pytest.approx(later.predict([26.0]).mean, abs=1.0)


def test_updates_go_on_where_rows_are_too_many_to_integrate(walk, monkeypatch):
    monkeypatch.setattr("gp.fitted.uncertainty.ROWS", 25)
    later = walk.update([24.0, 25.0], [9.0, 9.0]).update([26.0], [9.0])
    assert len(later.models(None)[0]) == 1
    assert all(each.fitted.data.n == 27 for each in later.alternatives)
    assert later.predict([27.0]).mean == pytest.approx(replace(later, alternatives=()).predict([27.0]).mean)


@pytest.mark.filterwarnings("error")
def test_a_structure_may_lose_all_its_weight(walk):
    later = walk.update([24.0, 25.0, 26.0, 27.0], Y[-1] + np.array([30.0, -40.0, 50.0, -20.0])).update([28.0], [9.0])
    assert np.isfinite(later.left_out.mean).all()


def test_a_posterior_of_an_earlier_version_loads(walk, tmp_path):
    alone = replace(walk, alternatives=()).predict(AHEAD)
    alone.save(tmp_path / "test.csv")
    with np.load(draws_file(tmp_path / "test.csv")) as kept:
        assert "component_weights" not in kept
    assert (gp.Posterior.load(tmp_path / "test.csv").components["level"].sd == alone.components["level"].sd).all()


def test_by_adam_there_is_one_structure():
    search = {"grammar": "time_series", "candidates": 6}
    y = np.sin(X) + np.random.default_rng(0).standard_normal(24)
    fitted = run_in_line(partial(gp.fit, X, y, model={"search": search}, train={"kind": "adam", "steps": 3}))
    assert fitted.alternatives == ()


def test_evaluation_gives_the_weights_that_predictions_were_made_by(tmp_path):
    search = {"a": {"rank": 1, "evidence": -1.0, "weight": 0.9}, "b": {"rank": 2, "evidence": -3.0, "weight": 0.1}}
    path = tmp_path / "structures.json"
    for written, weights in (('{"b": 0.25}', [0.75, 0.25]), ("{}", [None, None])):
        path.write_text(written, encoding="utf-8")
        assert [of.get("weight") for of in _weighted(search, path).values()] == weights
    assert [of.get("weight") for of in _weighted(search, tmp_path / "none.json").values()] == [None, None]


def test_folds_refit_every_structure(walk, monkeypatch):
    folds = np.arange(24) % 2
    found = run_in_line(partial(predict_folds, walk, folds, seed=0))
    best = run_in_line(partial(predict_folds, replace(walk, alternatives=()), folds, seed=0))
    assert len(found.means) == 3 * len(best.means)
    assert found.mean != pytest.approx(best.mean, abs=1e-6)
    shares = found.weights.reshape(3, -1, 24).sum(axis=1)
    for fold in (0, 1):  # by the evidence of the other rows alone
        rows = walk.data.at(folds != fold)
        nats = np.array([structures.evidence_of(rows, one.model) for one in walk.models(None)[0]])
        odds = np.exp(nats - nats.max())
        assert shares[:, fold] == pytest.approx(odds / odds.sum())
        assert shares[:, fold] != pytest.approx(np.exp(walk.models(None)[1]), abs=1e-3)
    monkeypatch.setattr("gp.folds.fit_beside", lambda *_: None)  # others that cannot be fitted take no part
    assert run_in_line(partial(predict_folds, walk, folds, seed=0)).mean == pytest.approx(best.mean)


def test_weights_are_reported_and_said(walk):
    weights = {name: of["weight"] for name, of in walk.report()["search"].items()}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert [weight > 0 for weight in weights.values()] == [True] * 3 + [False] * (len(weights) - 3)
    assert sentences(walk.report(), ["day"])[-1].startswith("Predictions average over 3 structures")


def test_structures_of_some_of_the_rows_are_not_averaged_over(monkeypatch):
    monkeypatch.setattr(structures, "ROWS", 20)
    assert searched(3).alternatives == ()


def test_a_structure_that_cannot_be_fitted_is_left_out(monkeypatch, walk):
    def fails(*_):
        raise InputError(Fault("", "no factor"))

    monkeypatch.setattr(fit, "_fit_one", fails)
    assert fit.fit_beside(walk.data, walk.model, walk.inference, walk.train, 0) is None


def test_draws_of_a_structure_that_counts_raise_alarms_by_its_name(walk):
    treatment, _ = walk.treatment()

    def with_draws(each, weight, **of):
        draws = {treatment: replace(each.fitted.mixture().draws, **of)}
        return each._replace(fitted=replace(each.fitted, draws=draws), log_odds=math.log(weight))

    first, second = walk.alternatives
    rough, good = {"pareto_k": 0.9, "effective": 0.1}, {"pareto_k": 0.1, "effective": 0.9}
    for weight, of, count in ((0.5, rough, 1), (0.02, rough, 0), (0.5, good, 0)):
        others = with_draws(first, weight, **of), with_draws(second, 0.5, **good)
        found = replace(walk, alternatives=others).certificate
        named = [
            alarm for alarm in found.of_draws if alarm.startswith(f"structure {first.name} (weight 0.25): what is")
        ]
        assert len(named) == sum("structure" in alarm for alarm in found.alarms) == count
    plugged = replace(walk, alternatives=(with_draws(first, 0.5, **rough),)).certify({"kind": "plug_in"})
    assert not any("structure" in alarm for alarm in plugged.alarms)


def test_figures_say_over_how_many_structures_bands_average(walk, tmp_path):
    several, best = "averaged over 3 structures", "for the best of 3 structures"
    (axes, *_) = plot(walk).axes
    assert axes.figure.legends[0].get_title().get_text() == f"bands integrate over hyperparameters, {several}"
    plugged = study_of(walk, hyperparameters={"kind": "plug_in"}, whole=False)
    assert plugged.integrated == plugged.integrated_of_terms == "bands take hyperparameters as known"
    for name, written in (("loo.csv", walk.left_out), ("structures.json", {"b": 0.25, "c": 0.1})):
        path = tmp_path / name
        path.write_text(json.dumps(written)) if isinstance(written, dict) else written.save(path, y=Y)
    walk.data.save(tmp_path / "train.csv")
    study = Study.load(lambda name: path if (path := tmp_path / name.rpartition("/")[2]).exists() else None)
    assert study.integrated.endswith(several)
    assert study.integrated_of_terms.endswith(best)
