"""Structures recovered: draws from known kernels over one input, searched by the grammar of time series.

In the manner of Duvenaud et al. 2013, table 1, whose kernels have up to four inputs.  Here all have one.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

import gp
from benchmarks.accuracy.options import Options
from benchmarks.machine import describe
from gp.dataset import Dataset
from gp.matrices.tiles import matrix
from gp.model.grammar import outline
from gp.model.model import Model
from gp.parallel import fan_out
from gp.spec import parse

N, RANGE = 200, 10.0
RATIOS, QUICK = (10.0, 1.0), (10.0,)  # variance of the function over that of the noise
SEED = 0


def _rbf(lengthscale: float) -> dict[str, Any]:
    return {"kind": "rbf", "lengthscale": lengthscale}


def _periodic(period: float) -> dict[str, Any]:
    return {"kind": "periodic", "period_length": period, "lengthscale": 1.0}


def _product(**factors: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "product", "factors": factors}


LINE = {"kind": "linear", "variance": 0.1}  # x runs from −RANGE/2 to RANGE/2
DRAWN: dict[str, dict[str, dict[str, Any]]] = {
    "rbf": {"a": _rbf(0.8)},
    "linear": {"a": LINE},
    "periodic": {"a": _periodic(1.3)},
    "periodic + rbf": {"a": _periodic(0.9), "b": _rbf(2.0)},
    "linear + periodic": {"a": LINE, "b": _periodic(1.1)},
    "periodic × rbf": {"a": _product(cycle=_periodic(1.0), drift=_rbf(4.0))},
    "linear × periodic + rbf": {"a": _product(cycle=_periodic(1.2), slope={"kind": "linear"}), "b": _rbf(1.0)},
}


def run(options: Options) -> dict[str, Any]:
    """Return what was found for each kernel and ratio of signal to noise."""
    machine = describe()
    tasks = [(name, ratio, k) for ratio in (QUICK if options.quick else RATIOS) for k, name in enumerate(DRAWN)]
    return {"machine": machine, "rows": fan_out(_searched, tasks, label="structures")}


def draw(name: str, ratio: float, seed: int) -> Dataset:
    """Return N rows of a draw from the kernel of that name, and noise."""
    rng, x = np.random.default_rng([SEED, seed, int(ratio)]), np.linspace(-RANGE / 2, RANGE / 2, N)
    written = {"kernel": {"kind": "sum", "terms": DRAWN[name]}, "standardize": {"x": False, "y": False}}
    built = parse(Model, written).build(Dataset(x=x[:, None], y=np.zeros(N), columns=("x",)))
    with torch.no_grad():
        covariance = matrix(built.kernel, built.x, built.x).numpy()
    f = np.linalg.cholesky(covariance + 1e-9 * np.eye(N)) @ rng.standard_normal(N)
    return Dataset(x=x[:, None], y=f + f.std() / np.sqrt(ratio) * rng.standard_normal(N), columns=("x",))


def _searched(name: str, ratio: float, seed: int) -> dict[str, Any]:
    data = draw(name, ratio, seed)
    model = {"search": {"grammar": "time_series"}, "transform": None}
    fitted = gp.fit(data.x, data.observed, model=model, train={"restarts": 0})
    kernel: Any = fitted.model.kernel
    found, true = str(fitted.ranking.index[0]), name
    same = outline(tuple(kernel.terms.values())) == true.replace("rbf", "smooth")
    evidence = fitted.ranking["evidence"]
    behind = float(evidence.iloc[0] - evidence[true]) if true in evidence.index else None
    return {"ratio": ratio, "true": true, "found": found, "same_but_for_smoothness": same, "behind": behind}


def tables(result: dict[str, Any]) -> str:
    """Return what is said of the result, in Markdown."""
    frame = pd.DataFrame(result["rows"])
    lines = [
        "| signal to noise | drawn from | found | nats by which it is ahead of the true one |",
        "| --- | --- | --- | --- |",
    ]
    for row in frame.itertuples():
        behind = "not tried" if pd.isna(row.behind) else f"{row.behind:.1f}"
        found = f"**{row.found}**" if row.found == row.true else row.found
        lines.append(f"| {row.ratio:g} | {row.true} | {found} | {'' if row.found == row.true else behind} |")
    lines.append("")
    for ratio, part in frame.groupby("ratio", sort=False):
        exact, same = int((part["found"] == part["true"]).sum()), int(part["same_but_for_smoothness"].sum())
        lines.append(f"At {ratio:g}: {exact} of {len(part)} exactly, {same} but for the kind of a smooth kernel.")
    return "\n".join(lines)
