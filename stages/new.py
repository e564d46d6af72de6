"""`python -m stages.new TABLE --y COLUMN` looks at a table and writes a study of it below `studies:` in params.yaml.

It prints the block and why it chose so.  All else in params.yaml stays as it is, letter by letter.
"""

import argparse
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gp.data import Data
from gp.spec import Fault, InputError, parse
from gp.yaml import read_yaml
from stages import SECTIONS, is_study_name, read_studies
from stages.chosen import is_skewed
from stages.survey import Survey, survey
from stages.wrapper.inputs import PARAMS
from stages.wrapper.outputs import write_whole

EXACT = 2000  # rows; beyond, the inference method is chosen by `auto`
CYCLES = 3  # years that a season must have been seen in
A_YEAR = 4  # rows that show a season
FEWEST = 20  # different dates of a series whose structure is searched


def main(arguments: list[str]) -> None:
    """Write the study.  Raises InputError where the table, the name or params.yaml have faults."""
    given = _parser().parse_args(arguments)
    name = given.name or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(given.table).name.partition(".")[0]).strip("-")
    _check_name(name, chosen=given.name is not None)
    found = survey(Path(given.table), given.y, _keys(given.data))
    study = study_of(found)
    parse(Data, found.data, "data").sample(0)  # it can be read as the block says
    block = block_of(name, study)
    print(*found.choices, "", block, sep="\n")
    add(name, study, block)
    print(f"written into {PARAMS}. Run it: dvc repro plot@{name} evaluate@{name}")


def study_of(found: Survey) -> dict[str, Any]:
    """Return all sections of a study of the table; what was chosen beside the data is added to `choices`."""
    kernel: dict[str, Any] = {"kind": "matern", "nu": 2.5}
    categorical = found.data.get("categorical", [])
    x, years = [name for name in found.data["x"] if name not in categorical], found.years
    if len(x) > 1:
        kernel["ard"] = True
        found.choices.append(f"kernel: Matérn 5/2, with a lengthscale for each of {len(x)} inputs that are numbers")
    elif not x:
        kernel = {"kind": "categorical"}
        found.choices.append("kernel: categorical, as no input is a number")
    elif years is not None and not categorical and found.n <= EXACT and len(np.unique(years)) >= FEWEST:
        found.choices.append(
            "kernel: a search for lines, smooth changes, cycles and change points, as in a time series"
        )
        return _sections(found, {"search": {"grammar": "time_series"}}, {})
    elif years is not None and (span := float(years.max() - years.min())) >= CYCLES and found.n >= A_YEAR * span:
        cycle = {"decay": {"kind": "rbf"}, "cycle": {"kind": "periodic", "period_length": {"fixed": 1}}}
        kernel = {"kind": "sum", "terms": {"trend": kernel, "season": {"kind": "product", "factors": cycle}}}
        found.choices.append(f"kernel: a trend, and a season that may change, as {span:.3g} years have been seen")
    else:
        found.choices.append("kernel: Matérn 5/2")
    if categorical and x:
        kernel = {"kind": "product", "factors": {"numbers": kernel, "levels": {"kind": "categorical"}}}
        found.choices.append("kernel: times one over levels: a function for each level, of which some is common to all")
    inference = {} if found.n <= EXACT else {"kind": "auto"}
    if inference:
        found.choices.append(f"inference: chosen by {found.n} rows (auto)")
    model: dict[str, Any] = {"kernel": kernel}
    if not inference and is_skewed(found.y):
        model["search"] = {"transforms": {"plain": "none", "log": {"kind": "log"}}}
        found.choices.append(
            f"transform: {found.data['y']} is positive, and its logarithm nearer to normal: both are tried (search)"
        )
    return _sections(found, model, inference)


def _sections(found: Survey, model: dict[str, Any], inference: dict[str, Any]) -> dict[str, Any]:
    """Return all sections of the study."""
    sections: dict[str, Any] = {key: {} for key in SECTIONS}
    return sections | {"seed": 0, "data": found.data, "model": model, "inference": inference}


def block_of(name: str, study: dict[str, Any]) -> str:
    """Return the study as YAML, each section on one line."""
    return "\n".join([f"{_flow(name)}:", *(f"  {key}: {_flow(value)}" for key, value in study.items())])


def add(name: str, study: dict[str, Any], block: str) -> None:
    """Write the block at the end of `studies:`; raises InputError where it would not be read as `study` there."""
    text = PARAMS.read_text(encoding="utf-8") if PARAMS.exists() else "studies:\n"
    before = read_studies() if PARAMS.exists() else {}
    indent = _indent(text)
    lines = [f"{' ' * indent}{line}\n" for line in block.split("\n")]
    whole = text + ("" if text.endswith("\n") else "\n") + "\n" + "".join(lines)
    write_whole(Path(fresh := f".{PARAMS}.checked"), whole)
    try:
        read = read_yaml(Path(fresh))
    except InputError:
        read = None
    finally:
        Path(fresh).unlink()
    if read != {"studies": before | {name: study}}:
        why = "`studies` does not end the file as a block, so that nothing can be added below it"
        raise InputError(Fault("", why, "write the study's block there by hand", source=str(PARAMS)))
    write_whole(PARAMS, whole)


def _indent(text: str) -> int:
    """Return the column at which names of studies stand."""
    try:
        studies = YAML(typ="rt").load(text)["studies"]
        return int(studies.lc.col) if studies else 2
    except (YAMLError, AttributeError):
        return 2


def _check_name(name: str, *, chosen: bool) -> None:
    if not is_study_name(name) or name == "raw":
        why = f"{name!r} is no name of a study" + ("" if chosen else ", which the table's would be")
        raise InputError(Fault("", why, "give one by --name, of letters, digits, - and _"))
    if PARAMS.exists() and name in read_studies():
        fix = f"give the new one another name by --name, or remove that one by `python -m stages.forget {name}`"
        raise InputError(Fault(f"studies.{name}", "is there already, and is not overwritten", fix, str(PARAMS)))


def _keys(text: str) -> dict[str, Any]:
    """Return what --data says, as a mapping."""
    try:
        keys = YAML(typ="safe").load(text) or {}
    except YAMLError as error:
        raise InputError(Fault("--data", f"is no YAML ({str(error).splitlines()[0]})")) from None
    if not isinstance(keys, dict):
        raise InputError(Fault("--data", f"is no mapping (got {text!r})", "write '{missing: drop}'"))
    return keys


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.width, writer.allow_unicode = True, sys.maxsize, True
    writer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    writer.dump(value, text)
    return text.getvalue().removesuffix("...\n").strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.new", description="Write a study of a table.")
    parser.add_argument("table", help="a CSV, TSV or Parquet file below data/raw/")
    parser.add_argument("--y", required=True, help="the column to predict")
    parser.add_argument("--name", help="the study's name (default: the table's)")
    parser.add_argument("--data", default="{}", help="keys of the data section that are known: '{skip_rows: 3}'")
    return parser


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
