"""Figures of a study: each is a function of a Study, and an entry in its file's FIGURES.

The stage plot draws every registered figure, and the report shows it.  The content of figures is computed in
gp.plots.values, which the interactive figures of the report and the review use too.

figures = draw_all(Study(train=…, target="y", …))
for name, figure in figures.items():
    save(figure, folder, name)
"""

from collections.abc import Collection

from matplotlib.figure import Figure

from . import circles, curves, forecasts, inputs, networks, several
from .canvas import Plot, save
from .study import Study

__all__ = ["PLOTS", "Plot", "Study", "draw_all", "save"]

_ROOMS = (inputs, curves, several, circles, forecasts, networks)
PLOTS: dict[str, Plot] = {name: plot for room in _ROOMS for name, plot in room.FIGURES.items()}


def draw_all(study: Study, names: Collection[str] | None = None) -> dict[str, Figure]:
    """Return every figure of PLOTS that applies to `study`, by name; of `names` alone, if given."""
    drawn = {name: plot(study) for name, plot in PLOTS.items() if names is None or name in names}
    return {name: figure for name, figure in drawn.items() if figure is not None}
