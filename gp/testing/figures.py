"""`check_figure`: the laws of every figure, over studies of every shape."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..dataset import Dataset, default_columns
from ..forecast import Forecast
from ..grid import slices
from ..plots import Plot, Study, save
from ..plots.canvas import DRAWN_AT_MOST
from ..posterior import Posterior
from ..scores import calibration
from .laws import require

TARGET = "oxygen [mg/l]"
NAMES = ("depth [m]", "temperature [°C]", "price $ of $")  # matplotlib reads a pair of $ as a formula


def _columns(d: int) -> tuple[str, ...]:
    return (*NAMES, *default_columns(d))[:d] if d < 4 else (*NAMES, *default_columns(d)[3:])


def posterior_at(x: np.ndarray, terms: tuple[str, ...] = ()) -> Posterior:
    """Return a smooth posterior whose sd grows outside the unit box."""
    f = np.sin(2 * np.pi * x[:, 0])
    sd_f = 0.05 + np.abs(x - np.clip(x, 0, 1)).sum(axis=1)
    parts = {name: (f / len(terms), sd_f / len(terms)) for name in terms}
    return Posterior.normal(x, _columns(x.shape[1]), f, sd_f, np.hypot(sd_f, 0.1), parts)


def observed_study(d: int, n: int = 60, m: int = 25, terms: tuple[str, ...] = ()) -> Study:
    """Return a study of a table with held-out rows and all possible results."""
    rng = np.random.default_rng(d)
    x, x_test = rng.uniform(size=(n, d)), rng.uniform(size=(m, d))
    y, y_test = (np.sin(2 * np.pi * a[:, 0]) + 0.1 * rng.normal(size=len(a)) for a in (x, x_test))
    prediction = posterior_at(x_test, terms)
    axis = np.linspace(-0.1, 1.1, 30)
    points = {1: axis[:, None], 2: np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)}
    return Study(
        train=Dataset(x, _columns(d), y),
        target=TARGET,
        test=Dataset(x_test, _columns(d), y_test),
        prediction=prediction,
        grid=posterior_at(points[d], terms) if d in points else None,
        trace=pd.DataFrame({"evaluation": range(40), "nats_per_datum": np.exp(-np.arange(40) / 10) - 1}),
        calibration=calibration(y_test, prediction.y),
        title="a study",
    )


def sine_study() -> Study:
    """Return the study of a known function: no held-out y, truth inside and outside the data."""
    study = observed_study(1)
    x = np.linspace(-0.5, 1.5, 200)[:, None]
    truth = Dataset(x, _columns(1), f=np.sin(2 * np.pi * x[:, 0]))
    return dataclasses.replace(study, test=truth, prediction=posterior_at(x), title="")


def bare_study() -> Study:
    """Return a study that has only training data."""
    return Study(train=observed_study(1).train, target=TARGET)


def many_study(d: int = 10) -> Study:
    """Return a study of many inputs with ARD, where the data do not bound some lengthscales."""
    study = observed_study(d)
    names = [f"kernel.lengthscale.{name}" for name in study.train.columns]
    scales = dict(zip(names, np.geomspace(0.1, 1e5, d), strict=True))
    bounded = {name: {"lower": value / 3, "upper": 3 * value} for name, value in list(scales.items())[: d // 2]}
    lines = posterior_at(slices(study.train))
    sizes = np.geomspace(3, 0.01, d)
    moved = pd.DataFrame({"input": study.train.columns, "sensitivity": sizes, "lower": sizes / 2, "upper": 2 * sizes})
    return dataclasses.replace(study, slices=lines, hyperparameters=scales, intervals=bounded, sensitivity=moved)


def series_study() -> Study:
    """Return a study over dates, with scores of forecasts from rolling origins."""
    study, years = observed_study(1), 1990.0
    parts = {name: getattr(study, name) for name in ("train", "test", "prediction", "grid")}
    moved = {name: dataclasses.replace(part, x=part.x + years) for name, part in parts.items()}
    ahead = np.arange(1, 7)
    scores = {"mase": 0.1 * ahead, "coverage_95": np.full(6, 0.9)}
    methods = [pd.DataFrame({"method": name, "ahead": ahead, **scores}) for name in ("model", "naive")]
    return dataclasses.replace(study, **moved, dates=_columns(1), horizons=pd.concat(methods, ignore_index=True))


def circle_study(d: int) -> Study:
    """Return a study over d angles, with truth and baseline on a product grid, and a component for each angle."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[(np.arange(24) + 0.5) * np.pi / 12] * d, indexing="ij")
    grid = np.column_stack([axis.ravel() for axis in axes])
    x, names = rng.uniform(0, 2 * np.pi, (500, d)), tuple(f"angle {j}" for j in range(d))
    truth, waves = np.sin(grid).sum(axis=1) + 1, np.sin(grid)
    parts = {f"part {j}": (waves[:, j], np.full(len(grid), 0.1)) for j in range(d)}
    sd = np.full(len(grid), 0.2)
    known = np.sin(x).sum(axis=1)
    terms = pd.DataFrame({"term": names, "input": names, "share": 0.3, "nats": 2.0, "probability": 0.88})
    senders = dict(zip(names, ("left", "5"), strict=False))
    return Study(
        train=Dataset(x, names, y=known + rng.normal(size=500), run=np.repeat(np.arange(5.0), 100)),
        loo=Forecast.normal(known, np.ones(500)),
        target="velocity",
        test=Dataset(grid, names, f=truth),
        prediction=Posterior.normal(grid, names, truth + 0.05, sd, 2 * sd, parts if d > 1 else {}),
        baseline=Posterior.normal(grid, names, truth - 0.05, sd, 2 * sd),
        baseline_name="a Fourier series",
        periods=dict.fromkeys(names, 2 * np.pi),
        terms=terms if d > 1 else None,
        network={"nodes": ["the middle", *senders.values()], "receiver": "the middle", "senders": senders},
    )


def angles_study() -> Study:
    """Return a study over four angles, with a term for each, and the slices of a posterior instead of test rows."""
    study, columns = circle_study(1), tuple(f"angle {j}" for j in range(4))
    rng = np.random.default_rng(0)
    train = Dataset(rng.uniform(0, 2 * np.pi, (200, 4)), columns, y=rng.normal(size=200))
    at = slices(train)
    parts = {f"part {j}": (np.sin(at[:, j]), np.full(len(at), 0.1)) for j in range(4)}
    sd = np.full(len(at), 0.2)
    names = {"term": list(parts), "input": columns, "share": 0.1, "nats": [9.0, -3.0, 1.0, 0.0]}
    senders = dict(zip(columns, "BCDE", strict=True))
    return dataclasses.replace(
        study,
        train=train,
        loo=None,
        test=None,
        prediction=None,
        baseline=None,
        slices=Posterior.normal(at, columns, np.sin(at).sum(axis=1), sd, 2 * sd, parts),
        terms=pd.DataFrame(names | {"probability": [0.999, 0.05, 0.7, 0.5]}),
        periods=dict.fromkeys(columns, 2 * np.pi),
        network={"nodes": list("ABCDE"), "receiver": "A", "senders": senders},
    )


def level_study() -> Study:
    """Return a study of numbers and of levels, where held-out rows have a level that no training row has."""
    study = many_study(3)
    names, species = study.train.columns, ("Adélie", "Chinstrap, of the islands", "5")
    assert study.test is not None
    sets = []
    for rows, levels in ((study.train, species), (study.test, (*species, "Gentoo"))):
        numbers = np.arange(rows.n) % len(levels)
        x = np.column_stack([rows.x[:, :2], numbers])
        sets.append(dataclasses.replace(rows, x=x, levels={names[2]: levels}))
    train, test = sets
    assert study.prediction is not None
    return dataclasses.replace(
        study,
        train=train,
        test=test,
        prediction=dataclasses.replace(study.prediction, x=test.x),
        slices=posterior_at(slices(train)),
    )


STUDIES: dict[str, Callable[[], Study]] = {
    "sine": sine_study,
    "terms": lambda: observed_study(1, terms=("trend", "season", "medium", "short")),
    "d2": lambda: observed_study(2),
    "d10": lambda: observed_study(10),
    "large": lambda: observed_study(2, n=DRAWN_AT_MOST + 1, m=DRAWN_AT_MOST + 1),
    "bare": bare_study,
    "many": many_study,
    "levels": level_study,
    "series": series_study,
    "circle": lambda: circle_study(1),
    "circles": lambda: circle_study(2),
    "angles": angles_study,
}


def check_figure(plot: Plot) -> None:
    """Check a figure on a study of every shape (STUDIES).

    The laws: it is drawn for at least one shape, and is None if it does not apply; it names its axes and the study;
    drawing and saving it twice gives the same bytes (for the first shape, and for many rows); it does not change the
    study.  Raises AssertionError with the law that failed, and the shape.
    """
    name, drawn = f"figure {plot.__name__}", 0
    for shape, make in STUDIES.items():
        study, twin = dataclasses.replace(make(), title="the study"), dataclasses.replace(make(), title="the study")
        figure = plot(study)
        law = f"{name} of the study {shape!r}: it is a matplotlib Figure, or None where it does not apply"
        require(figure is None or isinstance(figure, Figure), f"{law} (got {type(figure).__name__})")
        again = plot(study)
        require((figure is None) == (again is None), f"{name} of the study {shape!r}: it applies the second time too")
        require(_same(study, twin), f"{name} of the study {shape!r}: drawing leaves the study as it was")
        if figure is None or again is None:
            continue
        drawn += 1
        shown = texts(figure)
        labelled = bool(figure.axes) and any(axes.get_xlabel() or figure.get_supxlabel() for axes in figure.axes)
        require(labelled, f"{name} of the study {shape!r}: a horizontal axis has a label (texts: {sorted(shown)})")
        labelled = bool(figure.get_supylabel()) or any(
            axes.get_ylabel() or axes.get_yticklabels() for axes in figure.axes
        )
        require(labelled, f"{name} of the study {shape!r}: a vertical axis has a label")
        titled = any("the study" in text for text in shown)
        require(titled, f"{name} of the study {shape!r}: it shows the study's title (texts: {sorted(shown)})")
        if drawn == 1 or shape == "large":  # saving is slow, and points of a large study are saved as an image
            require(_bytes(figure) == _bytes(again), f"{name} of the study {shape!r}: drawn twice, it has other bytes")
    require(drawn > 0, f"{name}: it is drawn for none of the studies ({', '.join(STUDIES)})")


def texts(figure: Figure) -> set[str]:
    """Return every text that `figure` shows in labels, titles and legends."""
    axes = [
        text for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), ax.get_title("left"))
    ]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return {*axes, *legends, figure.get_supylabel(), figure.get_supxlabel(), figure.get_suptitle()} - {""}


def _bytes(figure: Figure) -> bytes:
    with TemporaryDirectory() as folder:
        save(figure, Path(folder), "figure")
        return b"".join(file.read_bytes() for file in sorted(Path(folder).iterdir()))


def _same(one: Study, two: Study) -> bool:
    """Return whether two studies hold the same numbers."""
    return _parts(one) == _parts(two)


def _parts(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if dataclasses.is_dataclass(value):
        return tuple(_parts(getattr(value, field.name)) for field in dataclasses.fields(value))
    return {key: _parts(part) for key, part in value.items()} if isinstance(value, dict) else value
