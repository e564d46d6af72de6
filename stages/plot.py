"""Draw a study's figures, each as SVG and PNG."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gp.plots import Study, draw_all, save
from gp.spec import Fault, InputError, Spec
from stages import folder, run


class Plot(Spec):
    """How figures are drawn: every band is an interval of probability `interval`."""

    interval: Annotated[float, Field(gt=0, lt=1)] = 0.95


class Params(Spec):
    """What this stage reads of a study."""

    plot: Plot


def main(study: str, params: Params, out: Path) -> None:
    """Draw the figures that apply to this study."""

    def find(name: str) -> Path | None:
        path = folder(study, name)
        return path if path.exists() else None

    drawn = Study.load(find, title=study, interval=params.plot.interval)
    if drawn is None:
        path, fix = folder(study, "synthesize/train.csv"), f"`dvc repro synthesize@{study}` makes it first"
        raise InputError(Fault("", "is not there", fix, source=str(path)))
    for name, figure in draw_all(drawn).items():
        save(figure, out, name)


if __name__ == "__main__":
    sys.exit(run("plot", Params, main))
