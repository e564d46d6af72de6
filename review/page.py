"""What every page shares: templates, one style, and charts drawn by Vega, all in one HTML file.

`render("report.html", {"sine-posterior": chart}, …)` fills the template of that name. The template extends base.html,
and places a chart by `{{ figure("sine-posterior") }}`. The page makes no network request: Vega's scripts come from the
installed vl-convert-python, and a Content-Security-Policy forbids all other sources.

`python -m review.page` writes the same scripts to dvc_plots/vega.js, beside DVC's own page of plots. The template
.dvc/plots/page.html loads them from there instead of a content delivery network.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair
import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup

from gp.spec import visible

TEMPLATES = Path(__file__).parent / "templates"
DVC_SCRIPTS = Path("dvc_plots", "vega.js")

# Colours are variables of style.css, so that a chart follows the page to dark mode and paper without being drawn again.
# In light mode they are those of Okabe & Ito 2008 in gp.plots.canvas; in dark mode, lighter ones of the same hues.
# Bands are a transparent blue.
INK, QUIET = "currentColor", "var(--quiet)"
BLUE, GREEN, VERMILLION = "var(--blue)", "var(--green)", "var(--vermillion)"
BAND_OF_F, BAND_OF_Y, BAND_OF_CHANCE = "var(--band-f)", "var(--band-y)", "var(--band-chance)"

DRAWN_AT_MOST = 2000  # points in one chart; each is an element of the page, and a phone must be able to draw it
LINE_POINTS = 1000  # of a curve; more than the pixels of a page's width

THEME = {
    "background": "transparent",
    "aria": False,  # a chart's element has a description; of each point, they are megabytes of a printed page
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{f"{part}Color": INK for part in ("label", "title", "domain", "tick", "grid")},
        **{"gridOpacity": 0.1, "domainOpacity": 0.5, "tickOpacity": 0.5, "labelFontSize": 12, "titleFontSize": 13},
        **{"titleFontWeight": "normal", "labelLimit": 160, "titleLimit": 420},
        "labelFlush": False,
    },
    "legend": {
        **{"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelLimit": 320, "titleFontWeight": "normal"},
        **{"orient": "bottom", "direction": "vertical", "title": None, "symbolOpacity": 1},
    },
    "title": {"color": INK, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "text": {"color": INK},
}


def render(template: str, charts: Mapping[str, Any], **values: Any) -> str:
    """Return the page made from a template with `values` and `charts` (Altair charts by name).

    Raises KeyError if the template places a chart that was not given.
    """
    specs = {name: specification(chart) for name, chart in charts.items()}

    def figure(name: str) -> Markup:
        described = str(specs[name].get("description", ""))
        return Markup('<div class="chart" data-chart="{}" role="img" aria-label="{}"></div>').format(name, described)

    page = environment().get_template(template)
    return page.render(**values, charts=specs, figure=figure, scripts=Markup(scripts()))


def specification(chart: Any) -> dict[str, Any]:
    """Return the Vega-Lite specification of an Altair chart, with the common theme."""
    # Not validated, because that visits every row of data; the browser tests find a wrong specification.
    return {name: _shown(part) for name, part in chart.configure(**THEME).to_dict(validate=False).items()}


def _shown(part: Any) -> Any:
    """Return a part of a specification with all its text visible, except for rows of data, which are numbers."""
    if isinstance(part, dict):
        return {name: value if name == "values" else _shown(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_shown(value) for value in part]
    return visible(part) if type(part) is str else part


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates: all values are escaped, and an undefined name is an error."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    made = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # no Markup, which is made here
    )
    made.filters["number"] = number
    return made


@functools.cache
def scripts() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that can be put into <script> of an HTML page."""
    bundle = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=schema_version()))
    # Escape, inside the bundle's strings (where \/ is /), what would end the element or open a comment.
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def schema_version() -> str:
    """Return the version of Vega-Lite that Altair targets, as vl-convert names it: 6.4 for v6.4.1."""
    return ".".join(re.findall(r"\d+", altair.SCHEMA_VERSION)[:2])


def records(**columns: Any) -> altair.InlineData:
    """Return rows of data for a chart from columns (m,), with floats to 6 digits, more than a page shows.

    Field names must be fixed ones, never those of a user's table, since Vega reads a.b and a[0] as paths.  The rows are
    stored in the chart as CSV: this is short, and Altair need not copy them with each change of a chart.
    """
    table = pd.DataFrame(columns)
    kinds = {name: "number" if values.dtype.kind in "fiu" else "string" for name, values in table.items()}
    rows = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return altair.InlineData(values=rows, format=altair.CsvDataFormat(type="csv", parse=kinds))


def number(value: Any, digits: int = 4) -> str:
    """Return a number as text: at most `digits` significant digits, integers in full, – for None."""
    if value is None:
        return "–"
    if not isinstance(value, int):
        value = float(f"{value:.{digits}g}")
        if not 10**digits <= abs(value) < 1e7:
            return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")
    return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")  # a narrow space without a line break


def zoom() -> Any:
    """Return the interaction: drag to pan, Ctrl and wheel (or pinch) to zoom, double click to reset.

    The wheel alone, and one finger moved up or down, scroll the page.
    """
    return altair.selection_interval(bind="scales", zoom="wheel![event.ctrlKey || event.metaKey || event.altKey]")


def main() -> None:
    """Write the scripts that DVC's page of plots loads, dvc_plots/vega.js."""
    DVC_SCRIPTS.parent.mkdir(exist_ok=True)
    DVC_SCRIPTS.write_text(scripts(), encoding="utf-8")


if __name__ == "__main__":
    main()
