"""`python -m stages.table` prints the most important scores, one line for each study and kind of rows."""

import json
import sys
from functools import reduce
from typing import Any

import pandas as pd

from gp.baselines import BASELINES
from gp.scores import BLOCKS, headings
from gp.spec import InputError
from stages import folder, read_studies

ROWS = BLOCKS | {"trivial": "held-out rows, by the trivial predictor"}


def main() -> None:
    """Print the tables of scores, of fits, and what speaks against predictions, for all studies that have metrics."""
    paths = {study: folder(study, "evaluate") / "metrics.json" for study in read_studies()}
    metrics = {study: json.loads(path.read_text(encoding="utf-8")) for study, path in paths.items() if path.exists()}
    tables = [scores(metrics), forecasts(metrics), fits(metrics)]
    print(*(_text(table) for table in tables if len(table)), sep="\n\n")
    for study in metrics:
        if (path := folder(study, "evaluate") / "check.json").exists():
            for finding in json.loads(path.read_text(encoding="utf-8"))["findings"]:
                print(f"\n{study}: {finding}")
    if any(_find(values, path) for values in metrics.values() for path in ("certificate.alarms", "check.findings")):
        print("\nWhat alarms and findings mean, and what to do: docs/guide.md")


def scores(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return one line for each study and kind of rows, one column for each score; `metrics`: {study: metrics.json}."""
    titles = {"n": "rows", **headings(detail=False)}
    found = {
        (study, title): {heading: block.get(name) for name, heading in titles.items()}
        for study, values in metrics.items()
        for path, title in ROWS.items()
        if (block := _find(values, path))
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=list(titles.values()))


def forecasts(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return one line for each study that forecasts from rolling origins and each method, the model first."""
    titles = {"mase": "MASE ↓", "smape": "sMAPE [%] ↓", "crps": "CRPS ↓", "coverage_95": headings()["coverage_95"]}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for study, values in metrics.items():
        of_model = values.get("forecast", {})
        methods = {"forecasts from rolling origins": of_model} if of_model else {}
        methods |= {name.replace("_", " "): inner for name, inner in of_model.items() if isinstance(inner, dict)}
        found |= {
            (study, method): {title: block.get(name) for name, title in titles.items()}
            for method, block in methods.items()
        }
    return pd.DataFrame.from_dict(found, orient="index", columns=list(titles.values()))


def fits(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return each study's line: likelihood, alarms of the fit, findings about predictions, and what others reach."""
    columns = {
        "log marginal likelihood [nats]": "fit.log_marginal_likelihood",
        "alarms": "certificate.alarms",
        "findings": "check.findings",
        "R²": "check.explained",
        **{f"{name} R²": f"check.explained_by_{name}" for name in BASELINES},
        "linear MSLL": "baselines.linear.msll",
    }
    found = {
        study: {title: _find(values, path) for title, path in columns.items()} for study, values in metrics.items()
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=list(columns))


def _find(values: dict[str, Any], path: str) -> Any:
    found = reduce(lambda inner, key: inner.get(key, {}), path.split("."), values)
    return None if found == {} else found


def _text(table: pd.DataFrame) -> str:
    table = table.astype({name: float for name in table if table[name].isna().all()})  # which pandas prints as None
    return str(table.to_string(float_format="{:.4g}".format, na_rep="–"))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
