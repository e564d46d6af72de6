"""What a notebook shows of a fitted model: tables, figures as the stage plot draws them, and all of it as one page."""

from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ..grid import Grid, has_slices, slices
from ..plots import PLOTS, Study, draw_all
from ..plots.canvas import svg
from ..scores import calibration, score, trivial_forecast
from ..spec import kind_of

if TYPE_CHECKING:
    from ..fitted.asked import Chosen
    from ..fitted.fitted import Fitted

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ccc}img{max-width:100%;height:auto}"
    "pre{white-space:pre-wrap}"
)


def study_of(fitted: "Fitted", *, target: str = "y", hyperparameters: "Chosen" = None, whole: bool = True) -> Study:
    """Return what the stages would have written of a model without held-out rows; `whole` with the certificate."""
    data, parts = fitted.data, dict[str, Any]()
    grid = Grid().points(data.x, data.levels)
    if grid is not None:
        parts["grid"] = fitted.predict(grid, hyperparameters=hyperparameters)
    else:
        parts["slices"] = fitted.predict(slices(data), hyperparameters=hyperparameters)
    if whole:
        loo = fitted.leave_out(hyperparameters)
        certificate = fitted.certify(hyperparameters)
        ends = {name: {"lower": low, "upper": high} for name, (low, high) in certificate.intervals.items()}
        parts |= {"loo": loo, "trace": fitted.trace, "intervals": ends}
        parts["calibration"] = calibration(data.observed, loo)
    by_name = fitted.gp.parameters.by_name()
    structures = len(fitted.models(hyperparameters)[0])
    return Study(train=data, target=target, hyperparameters=by_name, structures=structures, **parts)


def plot(fitted: "Fitted", *, target: str = "y", hyperparameters: "Chosen" = None) -> Figure:
    """Return the posterior over one input or two, or slices along each of more, with the training rows."""
    study = study_of(fitted, target=target, hyperparameters=hyperparameters, whole=False)
    name = "slices" if has_slices(fitted.data) else "posterior" if fitted.data.d == 1 else "surface"
    figure = PLOTS[name](study)
    assert figure is not None
    return figure


def table(fitted: "Fitted") -> str:
    """Return a model as HTML: its kinds, rows, likelihood and hyperparameters; intervals where they are known."""
    known = fitted.__dict__.get("certificate")
    intervals = known.intervals if known else {}
    heads = ["hyperparameter", "value", *(["95 % interval"] if known else [])]
    rows = []
    for name, value in fitted.gp.parameters.by_name().items():
        ends = [f"{intervals[name][0]:.4g} to {intervals[name][1]:.4g}" if name in intervals else "–"] if known else []
        rows.append([name, f"{value:.6g}", *ends])
    kinds = f"{fitted.model.kernel.kind} kernel, {kind_of(type(fitted.inference))} inference, {fitted.data.n} rows"
    said = f"{kinds}; log marginal likelihood {fitted.log_marginal_likelihood:.6g} nats"
    return f"<p>{escape(said)}</p>{_table(heads, rows)}" + (known._repr_html_() if known else "")


def page(fitted: "Fitted", path: str | Path, *, title: str = "Gaussian process", target: str = "y") -> None:
    """Write one page that needs nothing else: hyperparameters, certificate, scores and every figure."""
    study = study_of(fitted, target=target)
    _ = fitted.certificate  # so that the table has its intervals
    assert study.loo is not None
    scores = score(fitted.data.observed, study.loo, trivial_forecast(fitted.data))
    numbers = [[name, f"{value:.6g}"] for name, value in scores.items() if isinstance(value, float)]
    drawn = {escape(name): b64encode(svg(figure)).decode() for name, figure in draw_all(study).items()}
    figures = "".join(
        f'<h2>{name}</h2><img alt="{name}" src="data:image/svg+xml;base64,{text}">' for name, text in drawn.items()
    )
    Path(path).write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{table(fitted)}<h2>left-out rows</h2>{_table(['score', 'value'], numbers)}{figures}"
        "</html>\n",
        encoding="utf-8",
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Return an HTML table."""
    first = "".join(f"<th>{escape(head)}</th>" for head in heads)
    rest = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{''.join(rest)}</table>"
