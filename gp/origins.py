"""Forecasts from rolling origins: hyperparameters are kept, and the model is conditioned on the rows before each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from .calendar import dates_of
from .dataset import Dataset
from .fitted.asked import Chosen
from .fitted.averaged import pooled
from .fitted.fitted import Fitted
from .fitted.mixture import Forecasts, Mixture, forecasts
from .fitted.settings import as_learnt
from .forecast import Forecast
from .model.model import GaussianProcess
from .new_rows import QUANTILES
from .posterior import Posterior
from .series import Rolling, future
from .spec import Fault, InputError


def predict_origins(fitted: Fitted, test: Dataset, rolling: Rolling, hyperparameters: Chosen = None) -> Forecast:
    """Return the forecast of y for each pair of `rolling`, from the training rows and those of `test` before it.

    `test` is in order of time.  `hyperparameters` as in `Fitted.predict`; draws keep their weights.
    """
    parts = []
    for start in tqdm(np.unique(rolling.origin), desc="origins", disable=None, leave=False, delay=1.0):
        rows = rolling.rows[rolling.origin == start]
        known = test.at(np.arange(start)) if start else None
        parts.append(predict_after(fitted, known, test.x[rows], hyperparameters).y)
    means, sds = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("means", "sds"))
    return Forecast(means, sds, parts[0].weights, parts[0].transform)


def predict_after(fitted: Fitted, known: Dataset | None, x: np.ndarray, hyperparameters: Chosen = None) -> Posterior:
    """Return the posterior at x (m, d) given the training rows and those `known` too, at the fit's hyperparameters.

    Raises InputError where the model learnt something for each training row, or inducing inputs.
    """
    if known is None:
        return fitted.predict(x, hyperparameters=hyperparameters)
    models, log_weights = fitted.models(hyperparameters)
    parts = [_forecasts_after(one, known, fitted.gp.inputs(x), hyperparameters) for one in models]
    return Posterior(x, fitted.columns, *pooled(parts, np.exp(log_weights)))


def _forecasts_after(fitted: Fitted, known: Dataset, x: torch.Tensor, hyperparameters: Chosen) -> Forecasts:
    """Return what one model says at internal x (m, d), given the rows `known` too."""
    gp, mixture, method = _joined(fitted, known), fitted.mixture(hyperparameters), fitted.inference
    if mixture:
        return Mixture.of(gp, method, mixture.draws).forecasts(x, None)
    settings = as_learnt(gp, method, method.condition(gp), fitted.treatment(hyperparameters)[0])
    return forecasts(settings, np.ones((1, 1)), x, None)


def forecast_after(
    fitted: Fitted, test: Dataset | None, horizon: int, hyperparameters: Chosen, dates: Sequence[str]
) -> pd.DataFrame:
    """Return a table of the `horizon` steps after the last row: time, mean, sd and quantiles of y, in y's units.

    All rows are known, those held out too.  An input that is named in `dates` is beside its day.  Raises InputError for
    several inputs.
    """
    if fitted.data.d > 1:
        why = f"there are {fitted.data.d} inputs, so that those of the next steps are not known"
        raise InputError(Fault("predict.horizon", why, "name the rows to predict: `data.new`"))
    known = None if test is None or test.y is None else test
    times = fitted.data.x[:, 0] if known is None else np.concatenate([fitted.data.x[:, 0], known.x[:, 0]])
    x, name = future(times, horizon, is_date=fitted.columns[0] in dates), fitted.columns[0]
    y = predict_after(fitted, known, x[:, None], hyperparameters).y
    day = {f"{name} (day)": dates_of(x)} if name in dates else {}
    quantiles = {f"q{100 * share:g}": y.quantile(share) for share in QUANTILES}
    return pd.DataFrame({**day, name: x, "mean": y.mean, "sd": y.sd, **quantiles})


def _joined(fitted: Fitted, known: Dataset) -> GaussianProcess:
    """Return the model over its training rows and those `known`; it shares scales and hyperparameters."""
    gp, scope = fitted.gp, fitted.gp.scope
    if gp.auxiliary or gp.noise.by_row:
        raise InputError(
            Fault(
                "inference",
                "the model learnt something for each training row, or inducing inputs: rows cannot be added to it",
                "write inference of kind exact or markov, with gaussian noise (markov: heteroscedastic too), "
                "or hold out by `last`",
            )
        )
    sd = None if scope.noise_sd is None or known.noise_sd is None else known.noise_sd / scope.y_scale
    x = np.vstack([scope.x, gp.inputs(known.x).numpy()])
    y = np.concatenate([scope.y, (fitted.model.transformed(known) - scope.y_offset) / scope.y_scale])
    noise_sd = None if sd is None or scope.noise_sd is None else np.concatenate([scope.noise_sd, sd])
    extended = replace(scope, x=x, y=y, noise_sd=noise_sd, run=None, step=None, log_slopes=None)
    return replace(gp, scope=extended, workspace={}, table=None, repeats=None)
