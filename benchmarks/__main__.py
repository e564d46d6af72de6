"""Measure this library beside others, and write what was measured and README.md's tables."""

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from benchmarks.environments import Unavailable
from benchmarks.measures import MEASURES
from benchmarks.measures.plan import QUICK, Plan
from benchmarks.peers import PEERS
from benchmarks.report import RESULTS, tables, write_readme


def main() -> None:
    """Run the measures that the command line asks for."""
    arguments = _arguments()
    if arguments.report:
        write_readme(RESULTS)
        return
    # A quick or narrowed run is a trial: its numbers replace none.
    trial = arguments.quick or arguments.sizes or arguments.peers is not None
    output = arguments.output or (None if trial else RESULTS)
    results = {}
    for name in arguments.only:
        print(f"— {name}", flush=True)
        try:
            results[name] = MEASURES[name](_plan(arguments))
        except Unavailable as reason:
            raise SystemExit(f"{name}: this library or LAPACK cannot be measured: {reason}") from None
        if output:
            output.mkdir(parents=True, exist_ok=True)
            (output / f"{name}.json").write_text(json.dumps(_rounded(results[name]), indent=1) + "\n")
    if output == RESULTS:
        write_readme(RESULTS)
    else:
        print(tables(_rounded(results)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: a trial of some minutes, written nowhere")
    parser.add_argument(
        "--only", type=_among(MEASURES), default=list(MEASURES), metavar="A,B", help=", ".join(MEASURES)
    )
    parser.add_argument("--peers", type=_among(PEERS), metavar="A,B", help=f"none, or some of {', '.join(PEERS)}")
    parser.add_argument("--sizes", type=_numbers, metavar="N,M", help="rows, instead of the measure's own sizes")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the JSON files go (default: benchmarks/results)"
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: write README.md's tables from the results"
    )
    return parser.parse_args()


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = QUICK if arguments.quick else Plan()
    if arguments.peers is not None:
        plan = replace(plan, peers=tuple(arguments.peers))
    if arguments.sizes:
        sizes = {field.name: arguments.sizes for field in fields(Plan) if field.name.endswith("_sizes")}
        plan = replace(plan, **sizes, memory_size=arguments.sizes[-1], prediction_size=arguments.sizes[-1])
    return plan


def _among(known: dict[str, Any]) -> Any:
    def parse(text: str) -> list[str]:
        names = [] if text == "none" else text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r} (known: {', '.join(known)})")
        return names

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(part) for part in text.split(",")))


def _rounded(value: Any) -> Any:
    """Return floats to eight digits: more than was measured, and a file that can be read."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
