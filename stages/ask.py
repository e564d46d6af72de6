"""`python -m stages.ask STUDY < rows.csv` answers new rows at once, by the study's saved model.

The rows are read by the rules of the study's `data` section; y is not needed.  All columns go to standard output, with
mean, sd and quantiles of a new observation beside them.
"""

import contextlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from gp.data import Data
from gp.data.table import Table
from gp.data.table.lines import ending
from gp.fitted.fitted import Fitted
from gp.spec import Fault, InputError, Spec
from stages import folder, parse_params
from stages.predict import Predict
from stages.wrapper.inputs import PARAMS


class Params(Spec):
    """What this reads of a study."""

    data: Data
    predict: Predict


def main(study: str, text: bytes) -> str:
    """Return the table `text` with predictions, as CSV.  Raises InputError where it, or the study, has faults."""
    params = parse_params(study, Params)
    model = folder(study, "train") / "model.safetensors"
    if not isinstance(params.data, Table):
        raise InputError(Fault(f"studies.{study}.data", "is no table", "in Python: gp.load(…).predict(x)", str(PARAMS)))
    if not model.exists():
        raise InputError(Fault("", "is not there", f"`dvc repro train@{study}` makes it first", source=str(model)))
    kind = ending(Path(params.data.path))[0]
    fitted = Fitted.load(model)
    with tempfile.TemporaryDirectory() as where, contextlib.chdir(where):  # messages then name no folder
        path = Path(f"rows{kind if kind != '.parquet' else '.csv'}")
        path.write_bytes(text)
        try:
            asked = params.data.read_new(path, fitted.data.levels)
        except InputError as error:
            shown = [replace(fault, source=fault.source.replace(str(path), "rows")) for fault in error.faults]
            raise InputError(shown) from None
    found = fitted.predict(asked.rows.x, asked.rows.noise_sd, hyperparameters=params.predict.hyperparameters)
    return str(asked.beside(found).to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.stdin.isatty():
        print("usage: python -m stages.ask STUDY < rows.csv   (a study's name in params.yaml)", file=sys.stderr)
        sys.exit(2)
    try:
        print(main(sys.argv[1], sys.stdin.buffer.read()), end="")
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
