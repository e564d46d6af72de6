"""Run an accuracy study, and write what it found and its section of benchmarks/README.md."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy import STUDIES
from benchmarks.accuracy.options import Options
from benchmarks.report import write_section

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the study that the command line names."""
    options = _options()
    study, path = STUDIES[options.study], RESULTS / f"{options.study}.json"
    if options.report:
        result = json.loads(path.read_text())
    else:
        result = study.run(options)
        if not result["rows"]:
            raise SystemExit(f"--only {','.join(options.only)}: nothing of that name to run; see the study's `run`")
        if options.quick or (options.only and any("group" not in row for row in result["rows"])):
            print(study.tables(result))  # a trial: its numbers replace none
            return
        if options.only and path.exists():
            result = _merged(json.loads(path.read_text()), result)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
    write_section(options.study, study.tables(result))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of the groups that were run anew, and the others' as they were."""
    groups = {row["group"] for row in new["rows"]}
    return new | {"rows": [row for row in old["rows"] if row.get("group") not in groups] + new["rows"]}


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--quick", action="store_true", help="fewer repeats and sizes: a trial, written nowhere")
    parser.add_argument(
        "--only", default="", metavar="A,B", help="some of the study's rows: a trial, or whole groups run anew"
    )
    parser.add_argument("--tables", type=Path, metavar="DIR", help="the folder of tables that the study reads")
    parser.add_argument("--report", action="store_true", help="run nothing: write the section again from the results")
    given = parser.parse_args()
    return Options(given.study, given.quick, tuple(filter(None, given.only.split(","))), given.tables, given.report)


if __name__ == "__main__":
    main()
