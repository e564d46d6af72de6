"""`python -m stages.table` prints the scores that matter most, a row for each study."""

import json
from functools import reduce
from typing import Any

import pandas as pd

from stages import folder, read_studies

# Heading → where it stands in metrics.json.
SCORES = {
    "log marginal likelihood": "fit.log_marginal_likelihood",
    "LOO NLPD": "loo.nlpd",
    "test RMSE": "test.rmse",
    "trivial RMSE": "trivial.rmse",
    "test NLPD": "test.nlpd",
    "test in 95 %": "test.coverage_95",
    "truth RMSE inside": "truth.inside.rmse",
    "truth RMSE outside": "truth.outside.rmse",
    "alarms": "certificate.alarms",
}


def main() -> None:
    """Print the table; a study without metrics yet has no row."""
    paths = {study: folder(study, "evaluate") / "metrics.json" for study in read_studies()}
    metrics = {study: json.loads(path.read_text(encoding="utf-8")) for study, path in paths.items() if path.exists()}
    rows = {study: {name: _find(values, path) for name, path in SCORES.items()} for study, values in metrics.items()}
    print(pd.DataFrame(rows).to_string(float_format="{:.4g}".format, na_rep="–"))


def _find(values: dict[str, Any], path: str) -> Any:
    found = reduce(lambda inner, key: inner.get(key, {}), path.split("."), values)
    return None if found == {} else found


if __name__ == "__main__":
    main()
