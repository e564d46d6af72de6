"""Fitting a model to data: `fit`, `fit_dataset`, and the likelihood without training."""

from __future__ import annotations  # help(gp.fit) then shows types as they are written here

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..dataset import Dataset, as_array, default_columns
from ..forecast import Forecast
from ..inference import Inference
from ..inference.method import Choice
from ..inference.refusals import refuse_inputs
from ..model.choice import GrammarSearch
from ..model.model import GaussianProcess, Model
from ..parallel import fan_out
from ..row_scores import nlpd
from ..spec import Fault, InputError, Spec, kind_of, parse, suggest
from ..training import Adam, Seeded, Train
from .averaged import Alternative
from .columns import columns_of
from .fitted import Fitted
from .gap import WORSE, Gap, gap_to_exact
from .power import with_power
from .structures import search_structure
from .written import what_can_be_written

Written = Spec | Mapping[str, object] | None  # a section: a spec, what a user wrote of one, or its default


def fit(
    x: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    *,
    noise_sd: ArrayLike | None = None,
    step: ArrayLike | None = None,
    model: Model | Mapping[str, object] | None = None,
    inference: Inference | Mapping[str, object] | None = None,
    train: Train | Mapping[str, object] | None = None,
    seed: int = 0,
    **others: object,
) -> Fitted:
    """Return the model fitted to x (n, d) or (n,) and y (n,), arrays or pandas objects.

        fitted = gp.fit(x, y, model={"kernel": {"kind": "matern", "nu": 1.5}, "noise": {"sd": {"fixed": 0.1}}})

    Columns of a DataFrame that hold text, or pandas' categories, are categorical inputs: a kernel of kind `categorical`
    reads them, as the default one does.  `noise_sd` (n,) is each y's standard deviation, for noise of kind known.
    With a `step` of the shape of x (or one number for all rows of one input), each y is the mean of the function from
    x − step/2 to x + step/2 (of a layer, of an hour); predictions are at points.
    `model`, `inference` and `train` are as in params.yaml; each has a default.  The `seed` chooses rows where there are
    many.  Raises InputError if they, or the data, have faults.
    """
    refuse(others, ("model", "inference", "train", "noise_sd", "step", "seed"))
    data = _dataset(x, y, noise_sd, step)
    specs = parse_all(model=(Model, model), inference=(Inference, inference), train=(Train, train))
    check_noise_sd(data, specs["model"])
    return fit_dataset(data, seed=seed, **specs)


fit.__doc__ = f"{fit.__doc__}\n{what_can_be_written()}\n"


def fit_dataset(
    data: Dataset, *, model: Model, inference: Inference, train: Train, seed: int, checkpoints: Path | None = None
) -> Fitted:
    """Return the model fitted to `data`: what `fit` and the stage train share.

    If the model names several kernels, all are fitted, and the best is returned with the ranking; so with a grammar,
    whose best structures are then fitted as any kernel is.  A long training writes checkpoints into the folder
    `checkpoints`, and resumes from them if it was killed.
    """
    if model.search is None:
        return _fit_one(data, model, inference, train, seed, checkpoints)
    if isinstance(model.search, GrammarSearch):
        (first, *others), ranking = search_structure(data, model, inference, seed)
        fitted = _fit_one(data, first.model, inference, train, seed, checkpoints)
        others = [] if isinstance(train, Adam) else others  # whose predictions are made at what was learnt
        beside = [(data, each.model, inference, train, seed) for each in others]
        alternatives = [
            Alternative(other, each.name, each.scores[model.search.score] - first.scores[model.search.score])
            for each, other in zip(others, fan_out(fit_beside, beside, label="structures"), strict=True)
            if other is not None and other.inference == fitted.inference
        ]
        return replace(fitted, ranking=ranking, alternatives=tuple(alternatives))
    candidates = model.search.candidates(model)
    tasks = [(data, candidate, inference, train, seed, checkpoints) for candidate in candidates.values()]
    rows = fan_out(_scored, tasks, label="kernels")
    ranking = model.search.rank(dict(zip(candidates, (scores for _, scores in rows), strict=True)))
    best = list(candidates).index(ranking.index[0])
    return replace(rows[best][0], ranking=ranking)


def _fit_one(
    data: Dataset, model: Model, inference: Inference, train: Train, seed: int, checkpoints: Path | None
) -> Fitted:
    """Return the fit by the inference method; of several choices, by the first whose gap to exact is small.

    If no gap is, by the one that predicts best the rows left out to measure it.  The power of a transform of y is
    learnt before.
    """
    model = with_power(data, model, train, seed)
    gp = model.build(data)
    best, *others = inference.choices(gp, Seeded(train, seed))
    fitted = _fit_by(best, gp, data, train, seed, checkpoints)
    if not others:
        return fitted
    fits: list[tuple[Gap, Fitted]] = []
    for choice in (best, *others):
        fitted = fitted if choice is best else _fit_by(choice, model.build(data), data, train, seed, checkpoints)
        gap = gap_to_exact(fitted, seed)
        if gap is None:
            return fitted
        fits.append((gap, fitted))
        if gap.nlpd <= WORSE:
            break
    gap, fitted = min(fits, key=lambda pair: pair[0].own)
    tried = ", ".join(f"{one.nlpd:.2g}" for one, _ in fits)
    why = (
        f"{fitted.why}; of {len(fits)} tried, the gaps to exact are {tried} nats a row" if len(fits) > 1 else fitted.why
    )
    return replace(fitted, why=why, gap=gap)


def fit_beside(data: Dataset, model: Model, inference: Inference, train: Train, seed: int) -> Fitted | None:
    """Return a fit that predictions average over beside another; None where it cannot be fitted.

    Nothing built is returned: it would not cross processes.
    """
    try:
        return replace(_fit_one(data, model, inference, train, seed, None))
    except InputError:
        return None


def _fit_by(
    choice: Choice, gp: GaussianProcess, data: Dataset, train: Train, seed: int, checkpoints: Path | None
) -> Fitted:
    (method, why), n = choice, gp.distinct.n
    if why and n < data.n:
        why = f"{why} (of {data.n} rows, those with the same inputs are one)"
    method.check(n if method.groups else data.n)
    refuse_inputs(method, gp)
    method.check_model(gp)
    search = method.learn(gp, Seeded(train, seed), seed, checkpoints)
    vector = search.vector if search else np.zeros(0)
    return Fitted(data, gp.spec, method, train, vector, search, why, built=gp)


def _scored(
    data: Dataset, model: Model, inference: Inference, train: Train, seed: int, checkpoints: Path | None
) -> tuple[Fitted, dict[str, float]]:
    """Return the fitted model, and what a search ranks by, on the rows that hyperparameters are learnt on.

    Nothing built is returned: it would not cross processes.
    """
    fitted = _fit_one(data, model, inference, train, seed, checkpoints)
    gp = fitted.inference.learnt_on(fitted.gp)
    conditioned = fitted.inference.condition(gp)
    if gp is fitted.gp:  # as predictions are made, by the default rule
        left_out = nlpd(data.observed, fitted.left_out).mean()
    else:
        forecast = Forecast.normal(*conditioned.leave_one_out())
        left_out = nlpd(gp.scope.y, forecast).mean() - gp.log_jacobian_of_a_row
    scores = {
        "log_marginal_likelihood": conditioned.log_likelihood + gp.log_jacobian,
        "loo_nlpd": float(left_out),
        "hyperparameters": float(len(fitted.gp.parameters.names)),
    }
    return replace(fitted), scores


def log_marginal_likelihood(
    x: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    *,
    noise_sd: ArrayLike | None = None,
    step: ArrayLike | None = None,
    model: Written = None,
    inference: Written = None,
    gradient: bool = False,
    **others: object,
) -> float | tuple[float, dict[str, float | list[float]]]:
    """Return log p(y | x) in nats at the specs' own hyperparameters, without training; the data are as in `fit`.

    With `gradient`, return it beside its derivative by each free hyperparameter in the data's units.
    """
    refuse(others, ("model", "inference", "noise_sd", "step", "gradient"))
    specs = parse_all(model=(Model, model), inference=(Inference, inference))
    data = _dataset(x, y, noise_sd, step)
    check_noise_sd(data, specs["model"])
    gp = specs["model"].build(data)
    method = specs["inference"].choices(gp)[0].method
    method.check(gp.distinct.n if method.groups else data.n)
    refuse_inputs(method, gp)
    method.check_model(gp)
    gp = method.prepare(gp, 0)
    value, slope = method.evaluate(gp, gradient=gradient)
    value += gp.log_jacobian
    return (value, gp.parameters.gradient_in_data_units(slope)) if gradient else value


def check_noise_sd(data: Dataset, model: Model) -> None:
    """Raise InputError where the data give each row's noise_sd, and the model's noise would not read it."""
    if data.noise_sd is not None and not model.build(data).noise.reads_noise_sd:
        kind = kind_of(type(model.noise))
        why = f"noise_sd gives each row's standard deviation, which noise of kind {kind} does not read"
        raise InputError(Fault("noise", why, "write `noise: {kind: known}` below model, or leave noise_sd out"))


def refuse(others: Mapping[str, object], known: Sequence[str]) -> None:
    """Raise InputError where an argument is none of those `known`, but perhaps a key of the model."""
    faults = []
    for name, value in others.items():
        listed, fix = suggest(name, known)
        if name in Model.model_fields:
            fix = f"write model={ {name: {'kind': value} if isinstance(value, str) else value}!r:.80}"
        faults.append(Fault(name, f"is no argument{listed}", fix))
    if faults:
        raise InputError(faults)


def parse_all(**sections: tuple[object, Written]) -> dict[str, Any]:
    """Return each section parsed, all their faults in one InputError."""
    parsed, faults = {}, []
    for name, (kind, value) in sections.items():
        try:
            parsed[name] = parse(kind, {} if value is None else value, name)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return parsed


def _dataset(
    x: ArrayLike | pd.DataFrame, y: ArrayLike, noise_sd: ArrayLike | None, step: ArrayLike | None = None
) -> Dataset:
    columns = tuple(map(str, x.columns)) if isinstance(x, pd.DataFrame) else None
    inputs, levels = columns_of(x, None)
    names = columns or default_columns(inputs.shape[-1] if np.ndim(inputs) else 1)
    sd = None if noise_sd is None else as_array("noise_sd", noise_sd)
    along = None if step is None else as_array("step", step)
    if along is not None and len(names) == 1 and along.ndim < 2:
        along = np.full((len(inputs), 1), along) if along.ndim == 0 else along[:, None]
    return Dataset(x=inputs, y=as_array("y", y), noise_sd=sd, columns=names, levels=levels, step=along)
