"""`python -m review.report [FILE]` writes one HTML page (report.html): all studies' results, and how certain they are.

It reads dvc.lock and what the stages wrote, and runs no stage.  The page says which stages have not been run yet.
"""

import io
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gp.spec import InputError
from review.draw import Figure
from review.lock.records import MALFORMED, said
from review.page import render
from review.report import checks, figures, words
from review.results import Results, read_all
from stages import SECTIONS

REPORT = Path("report.html")


def main() -> int:
    """Write the page; return the exit code, 2 if params.yaml has faults."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else REPORT
    try:
        page = report(read_all())
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        return 2
    out.write_text(page, encoding="utf-8")
    print(out.resolve().as_uri())
    return 0


def report(everything: list[Results]) -> str:
    """Return the page over these studies."""
    charts: dict[str, Any] = {}
    sections = []
    for results in everything:
        try:
            section, drawn = _section(results), _figures(results)
        except MALFORMED as error:  # a file that is not as a stage writes it
            rest = replace(results, unreadable=said(error), study=None, fit={}, metrics={}, check={})
            section, drawn = _section(rest), _figures(rest)
        charts |= {f"{results.name}--{figure.name}": figure.chart for group in drawn.values() for figure in group}
        sections.append(section | drawn | {"pictures": _pictures(results, drawn)})
    return render("report.html", charts, sections=sections)


def _figures(results: Results) -> dict[str, list[Figure]]:
    """Return the figures of the posterior, of its quality, and of the training."""
    groups = {"posterior": figures.FIGURES, "checks": checks.CHECKS, "training": (checks.loss,)}
    study = results.study
    return {
        name: [figure for draw in group for figure in draw(study)] if study else [] for name, group in groups.items()
    }


def _pictures(results: Results, drawn: dict[str, list[Figure]]) -> dict[str, str]:
    """Return title → data URI for the pictures of the stage plot that no interactive figure shows."""
    shown = {name for group in drawn.values() for figure in group for name in figure.shows}
    return {
        name.replace("_", " ").capitalize(): f"data:image/svg+xml;base64,{b64encode(path.read_bytes()).decode()}"
        for name, path in results.pictures.items()
        if name not in shown
    }


def _section(results: Results) -> dict[str, Any]:
    """Return the values that the template needs for a study."""
    return {
        "study": results.name,
        "summary": words.summary(results),
        "missing": results.missing,
        "unreadable": results.unreadable,
        "changed": results.changed,
        "alarms": results.alarms,
        "findings": words.findings(results),
        "checked": words.checked(results),
        "structure": results.check.get("structure", []),
        "doubts": results.check.get("findings", []),
        "likelihood": results.fit.get("fit", {}).get("log_marginal_likelihood"),
        "hyperparameters": words.hyperparameters(results),
        "intervals_by": words.intervals_by(results),
        "ranking": words.ranking(results),
        "scores": words.tables(results),
        "recorded": bool(results.parameters),
        "parameters": _yaml(results.parameters or results.current),
        "versions": results.versions,
    }


def _yaml(parameters: Mapping[str, Any]) -> str:
    """Return a study's sections as YAML in the order of params.yaml, each innermost mapping on one line."""
    writer: Any = YAML(typ="safe")
    writer.default_flow_style = None
    writer.width, writer.sort_base_mapping_type_on_output = 100, False
    text = io.StringIO()
    writer.dump({name: parameters[name] for name in SECTIONS if name in parameters}, text)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
