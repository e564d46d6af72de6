"""`python -m stages.network [FOLDER]` joins studies that differ in the receiver alone: network.csv, and a figure.

A network of N oscillators is N studies, one for each receiver.  For each network the FOLDER (default: network) gets the
table of all edges, and the figure as SVG and PNG, both named after the first of its studies.  No stage runs.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from gp.plots import Study, save
from gp.plots.networks import edges_of, network_figure
from gp.spec import Fault, InputError
from stages import folder, read_studies


def main(out: Path) -> None:
    """Write and print the edges of each network, and draw them."""
    found = networks(read_studies())
    if not found:
        why = "no two studies tell of one network: none differ in data.receiver alone, with evidence for their terms"
        raise InputError(Fault("", why, "write one study for each receiver, and run `dvc repro`", source="params.yaml"))
    out.mkdir(parents=True, exist_ok=True)
    for names, studies in found:
        edges, title = pd.concat([edges_of(study) for study in studies], ignore_index=True), ", ".join(names)
        edges.to_csv(out / f"{names[0]}.csv", index=False, lineterminator="\n")
        save(network_figure(studies[0], edges, studies[0].network["nodes"], "which couplings there are"), out, names[0])
        print(f"{title}\n{edges.to_string(index=False, float_format='{:.4g}'.format)}\n")


def networks(written: dict[str, Any]) -> list[tuple[list[str], list[Study]]]:
    """Return the names and results of the studies of each network, those with two receivers or more."""
    groups: list[tuple[object, list[str], list[Study]]] = []
    for name, sections in written.items():
        data = sections.get("data") or {}
        study = Study.load(lambda path, name=name: _there(name, path), title=name, current=False)  # type: ignore[misc]
        if study is None or edges_of(study).empty:
            continue
        key = {part: value for part, value in data.items() if part != "receiver"}
        group = next((group for group in groups if group[0] == key), None)
        if group is None:
            groups.append((key, [name], [study]))
        elif study.network["receiver"] not in {other.network["receiver"] for other in group[2]}:
            group[1].append(name)
            group[2].append(study)
    return [(names, studies) for _, names, studies in groups if len(names) > 1]


def _there(study: str, name: str) -> Path | None:
    path = folder(study, name)
    return path if path.exists() else None


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "network"))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
