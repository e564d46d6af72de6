"""Draw a study's figures, each as SVG and PNG."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from gp.plots import PLOTS, Study, draw_all, save
from gp.spec import Fault, InputError, Spec, suggest
from stages import folder, run


class Plot(Spec):
    """How figures are drawn: every band is an interval of probability `interval`; and which, if not all that apply."""

    interval: Annotated[float, Field(gt=0, lt=1)] = 0.95
    figures: Annotated[list[str], Field(min_length=1)] | None = None

    @field_validator("figures")
    @classmethod
    def _check_figures(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in PLOTS:
                known, fix = suggest(name, list(PLOTS))
                raise InputError(Fault("", f"no figure is called {name!r}{known}", fix or "name some of these"))
        return names


class Params(Spec):
    """What this stage reads of a study."""

    plot: Plot


def main(study: str, params: Params, out: Path) -> None:
    """Draw the figures that apply to this study, or those of them that are asked for."""

    def find(name: str) -> Path | None:
        path = folder(study, name)
        return path if path.exists() else None

    drawn = Study.load(find, title=study, interval=params.plot.interval)
    if drawn is None:
        path, fix = folder(study, "synthesize/train.csv"), f"`dvc repro synthesize@{study}` makes it first"
        raise InputError(Fault("", "is not there", fix, source=str(path)))
    asked = params.plot.figures
    figures = draw_all(drawn, asked)
    if asked and not figures:
        why = f"none of {', '.join(asked)} applies to this study"
        raise InputError(Fault("plot.figures", why, "leave it out, to have all that apply"))
    for name, figure in figures.items():
        save(figure, out, name)


if __name__ == "__main__":
    sys.exit(run("plot", Params, main))
