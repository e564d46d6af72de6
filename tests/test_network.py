"""Networks: which couplings there are, from the evidence for each, and the studies of one network joined."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import stages.network
from gp.data import Data
from gp.data.oscillators.networks import Network
from gp.dataset import Dataset
from gp.fitted.evidence import evidence
from gp.fitted.fit import fit_dataset
from gp.inference.harmonic import Harmonic
from gp.model.model import Model
from gp.plots import study as plots_study
from gp.plots.networks import edges_of, network
from gp.spec import InputError, parse
from gp.structure import DOUBT
from gp.testing.figures import circle_study
from gp.training import Train

ANGLE = {"kind": "periodic", "period_length": {"fixed": 2 * math.pi}}


def area_under_curve(there, score):
    """Return the probability that an edge that is there has a higher score than one that is not."""
    apart = score[there][:, None] - score[~there]
    return (apart > 0).mean() + 0.5 * (apart == 0).mean()


def test_area_under_curve():
    there = np.array([True, True, False, False])
    assert area_under_curve(there, np.array([2.0, 1.0, 1.0, 0.0])) == 0.875


def test_evidence_tells_the_edges_of_a_network(monkeypatch):
    """Four oscillators, 5 of 12 edges, three trials of twenty cycles: the weakest edge is a tenth of the noise."""
    simulate, simulated = Network.phases, []

    def once(self, *arguments):  # the rows of all receivers are of one simulation
        simulated[:] = simulated or [simulate(self, *arguments)]
        return simulated[0]

    monkeypatch.setattr(Network, "phases", once)
    there, score = [], []
    for receiver in range(1, 5):
        system = {"kind": "network", "n": 4, "edges": 5, "draw": 1}
        source = parse(Data, {"kind": "oscillators", "system": system, "receiver": receiver, "trials": 3}, "data")
        train, _ = source.sample(0)
        kernel = {"kind": "sum", "terms": {name: {**ANGLE, "columns": [name]} for name in train.columns}}
        model, climb = parse(Model, {"kernel": kernel}, "model"), parse(Train, {"restarts": 0}, "train")
        fitted = fit_dataset(train, model=model, inference=Harmonic(harmonics=12), train=climb, seed=0)
        score += evidence(fitted.gp, fitted.inference).values()
        edges = set(map(tuple, source.system.present.T.tolist()))
        there += [(receiver - 1, j) in edges for j in range(4) if j != receiver - 1]
    assert sum(there) == 5
    assert area_under_curve(np.array(there), np.array(score)) == 1.0
    assert (np.array(score) > DOUBT).tolist() == there


def written(folder, name, nodes, receiver, probability):
    """Write what the stages would have written of a study of one receiver."""
    senders = {f"to_{node}": node for node in nodes if node != receiver}
    for stage in ("synthesize", "evaluate"):
        (folder / "data" / name / stage).mkdir(parents=True)
    x = np.linspace(0, 6, 12).reshape(6, 2)[:, : len(senders)]
    Dataset(x=x, columns=tuple(senders), y=np.array([0.0, 2.0] * 3)).save(
        folder / "data" / name / "synthesize/train.csv"
    )
    names = {"target": "velocity", "network": {"nodes": nodes, "receiver": receiver, "senders": senders}}
    (folder / "data" / name / "synthesize/names.json").write_text(json.dumps(names))
    terms = {"term": list(senders), "input": list(senders), "share": 0.25, "nats": 1.0, "probability": probability}
    pd.DataFrame(terms).to_csv(folder / "data" / name / "evaluate/terms.csv", index=False)


def params(folder, receivers, **others):
    studies = {f"to-{i}": {"data": {"kind": "made-up", "receiver": i}} for i in receivers}
    (folder / "params.yaml").write_text(json.dumps({"studies": studies | others}))


def test_studies_that_differ_in_the_receiver_are_joined(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    params(tmp_path, (1, 2, 3), other={"data": {"kind": "made-up", "trials": 3, "receiver": 2}})
    for i, probability in ((1, [0.9, 0.1]), (2, [0.8, 0.2]), (3, [0.7, 0.3])):
        written(tmp_path, f"to-{i}", ["a", "b", "c"], "abc"[i - 1], probability)
    written(tmp_path, "other", ["a", "b", "c"], "b", [0.5, 0.5])
    stages.network.main(tmp_path / "out")
    edges = pd.read_csv(tmp_path / "out/to-1.csv")
    assert list(zip(edges["receiver"], edges["sender"], strict=True)) == [*zip("aabbcc", "bcacab", strict=True)]
    assert edges["probability"].tolist() == [0.9, 0.1, 0.8, 0.2, 0.7, 0.3]
    assert edges["amplitude"].tolist() == [0.5] * 6  # the root of a quarter, of an sd of 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["to-1.csv", "to-1.png", "to-1.svg"]
    assert capsys.readouterr().out.startswith("to-1, to-2, to-3\n")


def test_one_receiver_is_no_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params(tmp_path, (1, 2))
    written(tmp_path, "to-1", ["a", "b", "c"], "a", [0.5, 0.5])
    with pytest.raises(InputError, match="write one study for each receiver"):
        stages.network.main(tmp_path / "out")


def test_a_term_of_several_inputs_is_no_edge(tmp_path):
    path = tmp_path / "evaluate/terms.csv"
    path.parent.mkdir()
    path.write_text("term,input,share,nats,probability\nboth,,0.5,5,0.9\none,a,0.4,3,0.8\n")
    terms = plots_study._terms(path)
    assert terms["input"].tolist() == ["", "a"]
    study = circle_study(2)
    assert edges_of(type(study)(**{**vars(study), "terms": terms})).empty


def test_without_evidence_there_are_no_edges():
    study = circle_study(2)
    assert edges_of(study)["sender"].tolist() == ["left", "5"]
    unknown = study.terms.assign(nats=np.nan)
    several = study.terms.assign(input=["", "angle 1"])
    for terms in (unknown, several, None):
        changed = type(study)(**{**vars(study), "terms": terms})
        assert edges_of(changed).empty
        assert network(changed) is None


def test_a_likely_edge_is_a_line_and_an_unlikely_one_dotted():
    study = circle_study(2)
    terms = study.terms.assign(probability=[0.999, 0.2], share=[0.3, 0.1])
    figure = network(type(study)(**{**vars(study), "terms": terms}))
    unlikely, likely = [patch for patch in figure.axes[0].patches if hasattr(patch, "get_arrowstyle")]
    assert likely.get_linestyle() == "-"
    assert likely.get_linewidth() > unlikely.get_linewidth()
    texts = {text.get_text() for text in figure.axes[1].texts}
    assert texts == {".999", ".200"}
