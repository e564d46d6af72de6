"""Which of the couplings of a network there are: evidence for each, beside the adaptive LASSO on a Fourier basis."""

import time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.accuracy.options import Options
from benchmarks.machine import describe
from gp.data.oscillators.phases import TURN, velocity_rows
from gp.data.oscillators.systems import System
from gp.dataset import Dataset
from gp.fitted.evidence import evidence
from gp.fitted.fit import fit_dataset
from gp.inference.harmonic import Harmonic
from gp.model.model import Model
from gp.parallel import fan_out
from gp.spec import parse
from gp.training import Train

DRAWS = 5  # networks
TRIALS = (20, 5, 2)
CYCLES = 20
N, EDGES = 6, 10
STRENGTHS = (1.0, 0.1)  # of the neurons' synapses; 1 is that of the thesis
ORDERS = np.arange(1, 6)  # of the LASSO's basis; the couplings of networks have three at most
HARMONICS = 15  # half of the default ones: a sixth of the time
METHODS = {"gp": "GP, evidence", "lasso": "adaptive LASSO"}
AROUND = np.arange(100) * TURN / 100  # where couplings are compared with the theory


def run(options: Options) -> dict[str, Any]:
    """Return what each method says of every edge of every network."""
    machine = describe()
    written = [{"kind": "network", "n": N, "edges": EDGES, "draw": k} for k in range(1 if options.quick else DRAWS)]
    tasks = [(system, trials) for system in written for trials in TRIALS]
    tasks += [({"kind": "neurons", "strength": strength}, TRIALS[0]) for strength in STRENGTHS]
    tasks = [task for task in tasks if not options.only or task[0]["kind"] in options.only]
    return {"machine": machine, "rows": [row for rows in fan_out(_edges, tasks, label="networks") for row in rows]}


def _edges(written: dict[str, Any], trials: int) -> list[dict[str, Any]]:
    system, rows = parse(System, written, "system"), []
    there = set(map(tuple, system.present.T.tolist()))
    for receiver, train in enumerate(_rows(system, trials)):
        senders = [j for j in range(system.n_oscillators) if j != receiver]
        for method, score in SCORES.items():
            began = time.process_time()
            found = score(train)
            seconds = time.process_time() - began
            for sender, (value, is_there, coupling) in zip(senders, found, strict=True):
                truth = system.coupling(receiver, sender, AROUND)
                rows.append(
                    {
                        "system": written,
                        "trials": trials,
                        "n": train.n,
                        "edge": [receiver, sender],
                        "method": method,
                        "there": (receiver, sender) in there,
                        "score": value,
                        "found": is_there,
                        "rms": float(truth.std()),
                        "error": float((coupling - truth).std()),
                        "seconds": seconds,
                    }
                )
    return rows


def _rows(system: Any, trials: int) -> list[Dataset]:
    """Return the rows of each receiver, of one simulation of `trials` times CYCLES of the first oscillator."""
    stride = round(system.every / system.dt)
    steps = int(CYCLES * TURN / system.frequencies[0] / system.every) * stride
    phases = system.phases(np.random.default_rng(trials), trials, steps, stride, system.dt, system.noise_sd)
    return [velocity_rows(list(phases.transpose(2, 0, 1)), i, system.every) for i in range(system.n_oscillators)]


def _by_gp(train: Dataset) -> list[tuple[float, bool, np.ndarray]]:
    """Return of each sender the nats of evidence, whether these are above zero, and Γ around the circle."""
    angle = {"kind": "periodic", "period_length": {"fixed": TURN}}
    model = {"kernel": {"kind": "sum", "terms": {name: {**angle, "columns": [name]} for name in train.columns}}}
    specs = {"model": parse(Model, model, "model"), "inference": Harmonic(harmonics=HARMONICS)}
    fitted = fit_dataset(train, seed=0, train=parse(Train, {"restarts": 0}, "train"), **specs)
    around = fitted.predict(np.tile(AROUND[:, None], train.d), hyperparameters={"kind": "plug_in"}).components
    nats = evidence(fitted.gp, fitted.inference)
    return [(nats[name], nats[name] > 0, around[name].mean) for name in train.columns]


def _by_lasso(train: Dataset) -> list[tuple[float, bool, np.ndarray]]:
    """Return of each sender the rms of Γ, whether it is above zero, and Γ around the circle.

    Each weight is penalised by the inverse of its least-squares estimate (Zou 2006), as much as BIC chooses.  Waves are
    means along steps, as for the GP.
    """
    from sklearn.linear_model import LassoLarsIC  # noqa: PLC0415 - as slow to import as a fit

    y = train.observed - train.observed.mean()
    waves = _waves(train.x, train.step).reshape(train.n, -1)
    waves -= waves.mean(axis=0)
    size = np.abs(np.linalg.lstsq(waves, y, rcond=None)[0])
    weights = LassoLarsIC(criterion="bic", fit_intercept=False).fit(waves * size, y).coef_ * size
    found = []
    for own in weights.reshape(train.d, -1):
        rms = float(np.sqrt(0.5 * (own**2).sum()))
        found.append((rms, rms > 0, _waves(AROUND[:, None], None)[:, 0] @ own))
    return found


def _waves(x: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    """Return cosines and sines of ORDERS of angles x (n, d), means along their steps, (n, d, 2 · orders)."""
    angle = x[:, :, None] * ORDERS
    share = 1.0 if step is None else np.sinc(step[:, :, None] * ORDERS / TURN)
    return np.concatenate([np.cos(angle) * share, np.sin(angle) * share], axis=2)


SCORES = {"gp": _by_gp, "lasso": _by_lasso}


def area_under_curve(there: np.ndarray, score: np.ndarray) -> float:
    """Return the probability that an edge that is there has a higher score than one that is not; ties count half."""
    apart = score[there][:, None] - score[~there]
    return float((apart > 0).mean() + 0.5 * (apart == 0).mean())


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame = pd.DataFrame(result["rows"])
    frame["kind"] = [system["kind"] for system in frame["system"]]
    frame["system"] = frame["system"].map(str)
    networks, neurons = frame[frame["kind"] == "network"], frame[frame["kind"] == "neurons"]
    lines = [
        f"Networks of {N} phase oscillators with {EDGES} of {N * (N - 1)} couplings, each of one to three harmonics "
        "and an rms of 0.009 to 0.03, where the sd of a row's noise is 0.067; trials of 20 cycles. AUC is the "
        "probability that a coupling that is there scores above one that is not: mean (least) over networks. Not "
        "there: couplings found that are not; missed: those not found; of all networks together. The GP finds those "
        "with more than 0 nats of evidence, the LASSO those with a weight. Error: median over couplings that are there "
        "of the rms of the learnt Γ less the true one, both centred, over the rms of the true one (of neurons the "
        f"theory's). GP: additive periodic kernels, harmonic inference of {HARMONICS} harmonics, from one start. "
        f"LASSO: orders up to {ORDERS[-1]}, weights by least squares, penalty by BIC.",
        "",
        "| system | trials | rows | "
        + " | ".join(f"{name}: AUC | not there | missed | error" for name in METHODS.values())
        + " |",
        "| --- " * (3 + 4 * len(METHODS)) + "|",
    ]
    count = networks["system"].nunique()
    for trials, of in networks.groupby("trials", sort=False):
        lines.append(_line(f"{count} networks", trials, of))
    for strength, (_, of) in zip(STRENGTHS, neurons.groupby("system", sort=False), strict=False):
        lines.append(_line(f"neurons, {strength:g} of the conductances", of["trials"].iloc[0], of))
    seconds = frame.groupby("method")["seconds"].median()
    told = ", ".join(f"{name} {seconds[method]:.2f}" for method, name in METHODS.items())
    return "\n".join([*lines, "", f"Median seconds of CPU of one receiver: {told}."])


def _line(name: str, trials: int, of: pd.DataFrame) -> str:
    cells = []
    for method in METHODS:
        own = of[of["method"] == method]
        areas = [
            area_under_curve(one["there"].to_numpy(bool), one["score"].to_numpy()) for _, one in own.groupby("system")
        ]
        there, found = own["there"].to_numpy(bool), own["found"].to_numpy(bool)
        error = (own["error"] / own["rms"].where(own["there"])).median()
        wrong = f"{(found & ~there).sum()} | {(there & ~found).sum()}"
        cells.append(f"{np.mean(areas):.4f} ({min(areas):.4f}) | {wrong} | {error:.2f}")
    return f"| {name} | {trials} | {of['n'].mean():.0f} | " + " | ".join(cells) + " |"
