"""What the laws of kernels, means and noise models share: rows, models with one given part, common laws."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from gpytorch.kernels import Kernel as GpytorchKernel
from linear_operator import to_dense

from ..dataset import Dataset
from ..fitted.fit import fit_dataset
from ..fitted.fitted import Fitted
from ..inference import Inference
from ..inference.exact import Exact
from ..model.model import GaussianProcess, Model, Standardize
from ..spec import kinds
from ..training import Lbfgs, Problem
from .laws import require, require_equal, require_slope
from .specs import with_values, without_values

SAME = 1e-9  # for the same arithmetic in another order, at condition numbers up to 1e4
SETTINGS = (Standardize(x=True, y=True), Standardize(x=False, y=False))
N = 16


def rows(columns: tuple[str, ...], *, n: int = N, seed: int = 0) -> Dataset:
    """Return n rows of y = 5 + 4 sin(x₁) + noise; every input has mean 0 and sd 3.

    The last row repeats the inputs of the first.  Because all inputs have mean 0 and the same sd, a hyperparameter in
    the data's units is the same model whether or not inputs are standardised internally.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(columns)))
    x[-1] = x[0]
    x = 3 * (x - x.mean(axis=0)) / x.std(axis=0)
    y = 5 + 4 * np.sin(x[:, 0]) + rng.normal(size=n)
    return Dataset(x=x, y=y, columns=columns, noise_sd=rng.uniform(0.5, 1.0, n))


def rows_of_levels(columns: tuple[str, ...], of_levels: Sequence[str]) -> Dataset:
    """Return rows as `rows` does, whose inputs `of_levels` have three levels each, beside one more of numbers."""
    data = rows((*columns, "number"))
    numbers = np.random.default_rng(1).integers(3, size=data.x.shape)
    numbers[:3], numbers[-1] = np.arange(3)[:, None], numbers[0]
    levels = dict.fromkeys(of_levels, ("red", "green", "blue"))
    return replace(data, x=np.where([name in levels for name in data.columns], numbers, data.x), levels=levels)


def scaled(data: Dataset, *, x: float = 1.0, y: float = 1.0) -> Dataset:
    """Return the rows in other units: every input that is a number times `x`, targets and their noise times `y`."""
    sd = None if data.noise_sd is None else data.noise_sd * y
    return replace(data, x=moved_inputs(data, data.x * x), y=data.observed * y, noise_sd=sd)


def moved_inputs(data: Dataset, x: np.ndarray) -> np.ndarray:
    """Return x (m, d) with the levels of the first m rows, which are numbers of no unit."""
    is_level = [name in data.levels for name in data.columns]
    return np.where(is_level, data.x[: len(x)], x)


def model_of(section: str, spec: Any, standardize: Standardize, **others: Any) -> Model:
    """Return the default model with `spec` as its `section`, not validated, as `spec` need not be registered."""
    return Model().model_copy(update={section: spec, "standardize": standardize, **others})


def matrix(kernel: GpytorchKernel, x1: torch.Tensor, x2: torch.Tensor) -> np.ndarray:
    """Return k(x1, x2) as gpytorch evaluates it."""
    with torch.no_grad():
        return np.asarray(to_dense(kernel(x1, x2)).numpy())


def objective_of(gp: GaussianProcess, *, profiled: bool = False) -> Problem:
    """Return raw vector → (log marginal likelihood of the internal targets, gradient) by exact inference."""
    return Problem(gp, Exact(), profiled=profiled)


def moves(gp: GaussianProcess, size: float = 0.3) -> Iterator[np.ndarray]:
    """Yield raw vectors: the start, and some near it, within the bounds of the search."""
    start = gp.parameters.start
    yield start
    yield moved(gp, size)


def moved(gp: GaussianProcess, size: float = 0.3) -> np.ndarray:
    """Return a raw vector near the start, within the bounds of the search."""
    start = gp.parameters.start
    lower, upper = np.array(gp.parameters.bounds).reshape(-1, 2).T
    return np.clip(start + size * np.random.default_rng(1).normal(size=len(start)), lower, upper)


def log_likelihood(model: Model, data: Dataset) -> float:
    """Return the exact log marginal likelihood (nats) of y in its own units at the model's start."""
    gp = model.build(data)
    value, _ = objective_of(gp)(gp.parameters.start)
    return value + gp.log_jacobian


def check_gradient(name: str, gp: GaussianProcess) -> None:
    """Check the gradient with respect to every hyperparameter, also with scale and mean profiled out."""
    names = [f"{parameter.name}[{i}]" for parameter in gp.parameters.free for i in range(parameter.size)]
    for profiled in (False, True):
        objective = objective_of(gp, profiled=profiled)
        law = f"{name}: the {'profiled ' if profiled else ''}likelihood's gradient is that of differences"
        vector = moved(gp)
        require_slope(law, objective, vector, np.eye(len(vector)), names=names)


def check_profile(name: str, gp: GaussianProcess) -> None:
    """Check that profiling finds the optimal scale and mean coefficients: no likelihood is above the profiled one."""
    plain, profiled = objective_of(gp), objective_of(gp, profiled=True)
    for vector in moves(gp):
        best, value = profiled(vector)[0], plain(vector)[0]
        slack = SAME * max(1.0, abs(best))
        require(
            value <= best + slack,
            f"{name}: the profiled likelihood {best:.9g} is below {value:.9g}, one of those it is the largest of",
        )
        settled = profiled.maximise_profiled(vector)
        require_equal(
            f"{name}: the profiled likelihood is the one where the model is moved to",
            plain(settled)[0],
            best,
            atol=slack,
        )


def check_units(name: str, section: str, spec: Any, data: Dataset) -> None:
    """Check that a part whose starts come from the data is the same model in other units of y and of x."""
    bare = without_values(spec)
    for standardize in SETTINGS:
        model = model_of(section, bare, standardize)
        here = log_likelihood(model, data)
        for factor in (1024.0, 1 / 1024):
            expected = here - data.n * np.log(factor)
            law = f"{name}: y times {factor:g} changes the log likelihood by −n log {factor:g} alone ({standardize!r})"
            require_equal(law, log_likelihood(model, scaled(data, y=factor)), expected, atol=1e-7)
            law = f"{name}: x times {factor:g} does not change the log likelihood ({standardize!r})"
            require_equal(law, log_likelihood(model, scaled(data, x=factor)), here, atol=1e-7)


def check_written_back(name: str, section: str, spec: Any, data: Dataset) -> None:
    """Check that hyperparameters, read in the data's units and written into the spec, give the same model."""
    for standardize in SETTINGS:
        gp = model_of(section, spec, standardize).build(data)
        for vector in moves(gp, size=0.1):
            gp.parameters.set(vector)
            written = write(model_of(section, spec, standardize), gp)
            expected = objective_of(gp)(vector)[0] + gp.log_jacobian
            law = f"{name}: hyperparameters read and written back in the data's units are the same model"
            require_equal(law, log_likelihood(written, data), expected, atol=1e-7)


def write(model: Model, gp: GaussianProcess) -> Model:
    """Return `model` with the current hyperparameters of `gp`, in the data's units."""
    sections: dict[str, dict[str, Any]] = {}
    values = gp.parameters.in_data_units()
    for name, value in ((p.name, values[p.name]) for p in gp.parameters.free if p.name in values):
        section, _, rest = name.partition(".")
        sections.setdefault(section, {})[rest] = value
    return model.model_copy(update={key: with_values(getattr(model, key), named) for key, named in sections.items()})


def check_saved(name: str, section: str, union: Any, spec: Any, data: Dataset) -> None:
    """Check that a fitted model is the same, bit for bit, after saving and loading; only registered parts load."""
    if kinds(union).get(spec.kind) is not type(spec):
        return
    model = model_of(section, spec, SETTINGS[0])
    fitted = fit_dataset(data, model=model, inference=Exact(), train=Lbfgs(restarts=0), seed=0)
    check_file(name, fitted)


def check_file(name: str, fitted: Fitted) -> None:
    """Check that a fitted model saves to the same bytes twice, and is the same when loaded.

    A method that is not registered is not loaded, because the file names it by its kind.
    """
    hidden = {parameter.name for parameter in fitted.gp.parameters.all if parameter.auxiliary}
    shown = hidden & set(fitted.hyperparameters)
    require(not shown, f"{name}: what is learnt beside hyperparameters is none of them (got {sorted(shown)})")
    new = moved_inputs(fitted.data, fitted.data.x[:5] + 0.1)
    with TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        fitted.save(first)
        fitted.save(second)
        require(first.read_bytes() == second.read_bytes(), f"{name}: a model saved twice gives two files")
        if type(fitted.inference) not in kinds(Inference).values():
            return
        loaded = Fitted.load(first)
    require(
        loaded.hyperparameters == fitted.hyperparameters,
        f"{name}: a loaded model has hyperparameters {loaded.hyperparameters}, and had {fitted.hyperparameters}",
    )
    one, two = fitted.predict(new), loaded.predict(new)
    for part in ("mean", "sd_f", "sd_y"):
        require_equal(f"{name}: a loaded model predicts the same {part}", getattr(two, part), getattr(one, part))
    law = f"{name}: a loaded model has the same log marginal likelihood"
    require_equal(law, loaded.log_marginal_likelihood, fitted.log_marginal_likelihood)
