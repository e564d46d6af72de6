"""Fitted: a model with its training rows and learnt hyperparameters; predict, certify, save, load."""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd

from ..dataset import Dataset
from ..forecast import Forecast
from ..inference.method import Conditioned, Method
from ..model.model import GaussianProcess, Model
from ..posterior import Posterior
from ..spec import parse
from ..training import Adam, Problem, Search, Train
from ..transforms import power_of
from . import averaged, file, report
from .asked import Asked, Chosen
from .averaged import Alternative
from .certificate import Certificate, certify
from .columns import inputs_of
from .draws import Draws
from .laplace import Mode, find_modes
from .mixture import Mixture, forecasts, in_units, mix
from .noise import FoundNoise
from .own_share import OwnShare, own_share
from .settings import as_learnt
from .uncertainty import FlatMean, Hyperparameters, Laplace, Nuts, Treatment, resolve

if TYPE_CHECKING:
    from ..asked.joint import Joint
    from ..asked.update import Surprise
    from .gap import Gap


@dataclass(frozen=True, eq=False)
class Fitted(Asked):
    """A model at fitted hyperparameters, with all that prediction needs, including the training rows.

    It is built once and conditioned on its rows once; likelihood, leave-one-out and predictions share the result.
    """

    data: Dataset
    model: Model
    inference: Method
    train: Train
    vector: np.ndarray  # raw values of the free hyperparameters (gp.parameters.vector)
    search: Search | None  # None if nothing was free; without values in a loaded model
    why: str = ""  # why this method, if the user did not choose it
    ranking: pd.DataFrame | None = None  # of the kernels, if several were tried
    alternatives: tuple[Alternative, ...] = ()  # other models of the rows, which predictions average over too
    gap: "Gap | None" = None  # to exact, where it was measured to choose the method
    draws: Mapping[Laplace | Nuts, Draws] = field(default_factory=dict)  # of the hyperparameters, from a model file
    surprise: "Surprise | None" = None  # how surprising the rows of the last `update` were
    built: InitVar[GaussianProcess | None] = None  # the model over `data`, if already built

    def __post_init__(self, built: GaussianProcess | None) -> None:
        if built is not None:
            self.__dict__["gp"] = self._learnt(built)

    def __getstate__(self) -> dict[str, Any]:
        """Return only the fields; what is computed from them cannot be pickled, and is computed again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def gp(self) -> GaussianProcess:
        """Return the built model, at the learnt hyperparameters."""
        return self._learnt(self.model.build(self.data))

    def _learnt(self, built: GaussianProcess) -> GaussianProcess:
        # The workspace of training is not kept, so that a loaded model is the same.
        gp = self.inference.prepare(replace(built, workspace={}), None)
        gp.parameters.set(self.vector)
        return gp

    @cached_property
    def _conditioned(self) -> Conditioned:
        return self.inference.condition(self.gp)

    @cached_property
    def log_marginal_likelihood(self) -> float:
        """Return log p(y | x) in nats, of y in its own units."""
        return self._conditioned.log_likelihood + self.gp.log_jacobian

    @property
    def hyperparameters(self) -> dict[str, float | list[float]]:
        """Return each hyperparameter by name, in the data's own units; a list under ARD."""
        return {**self.gp.parameters.in_data_units(), **power_of(self.model.transform)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        return self.data.columns

    @property
    def trace(self) -> pd.DataFrame:
        """Return what training minimised, by evaluation: the negative log marginal likelihood per datum, in nats.

        Where hyperparameters have priors, less their log density.
        """
        return report.trace(self)

    @cached_property
    def leave_one_out(self) -> pd.DataFrame:
        """Return each training row's y beside mean and sd_y of its prediction from all other rows, in y's units.

        `pit`, the probability integral transform of y, is uniform where the model is calibrated.
        """
        left_out, y = self.left_out, self.data.observed
        return pd.DataFrame({"y": y, "mean": left_out.mean, "sd_y": left_out.sd, "pit": left_out.cdf(y)})

    @cached_property
    def left_out(self) -> Forecast:
        """Return the forecast of each training row's y from all other rows, in y's units, by the default rule."""
        return self.leave_out()

    def leave_out(self, hyperparameters: Chosen = None) -> Forecast:
        """Return the forecast of each row's y from all others, in y's units; `hyperparameters` as in `predict`."""
        models, log_weights = self.models(hyperparameters)
        mixtures = [one.mixture(hyperparameters) for one in models]
        parts = [each.left_out(one._own_share) for one, each in zip(models, mixtures, strict=True) if each]
        if parts:
            return averaged.left_out(parts, log_weights)
        (one,) = (each.leave_one_out() for each in self.settings("leave out", hyperparameters)[0])
        left_out = self._own_share.removed(Forecast.normal(*one))
        return Forecast(*in_units(self.gp, left_out.means, left_out.sds), left_out.weights, self.model.transform)

    @cached_property
    def _own_share(self) -> OwnShare:
        return own_share(self.gp, self.inference)

    def treatment(self, hyperparameters: Chosen = None) -> tuple[Treatment, str]:
        """Return how predictions treat the hyperparameters, and why where a rule decides."""
        chosen = parse(Hyperparameters, hyperparameters or {}, "hyperparameters")
        return resolve(chosen, self.gp, self.inference, by_adam=isinstance(self.train, Adam))

    def mixture(self, hyperparameters: Chosen = None) -> Mixture | None:
        """Return the model at draws of the hyperparameters; None where predictions are made at those learnt."""
        treatment, _ = self.treatment(hyperparameters)
        if not isinstance(treatment, Laplace | Nuts) or not self.gp.parameters.names:
            return None
        if treatment not in self._mixtures:
            self._mixtures[treatment] = mix(self.gp, self.inference, self._learnt_on, self.modes, treatment)
        return self._mixtures[treatment]

    @cached_property
    def _mixtures(self) -> dict[Laplace | Nuts, Mixture]:
        """Return the mixtures made so far; at first those whose draws a model file had."""
        return {kind: Mixture.of(self.gp, self.inference, draws) for kind, draws in self.draws.items()}

    @cached_property
    def _learnt_on(self) -> GaussianProcess:
        """Return the model over the rows that hyperparameters were learnt on."""
        on_some = self.search is not None and self.search.rows is not None
        return self.inference.learnt_on(self.gp) if on_some else self.gp

    @cached_property
    def modes(self) -> tuple[Mode, ...]:
        """Return the optima of the hyperparameters, with their curvature (gp.fitted.laplace)."""
        try:
            return find_modes(self._learnt_on, self.inference, self.search)
        finally:
            self.gp.parameters.set(self.vector)

    @cached_property
    def certificate(self) -> Certificate:
        """Return the certificate; it costs 2p + 1 evaluations for p free hyperparameters."""
        return self.certify()

    def certify(self, hyperparameters: Chosen = None) -> Certificate:
        """Return the certificate, with intervals and alarms of what `hyperparameters`, as in `predict`, draws."""
        gp, on_some = self._learnt_on, self._learnt_on is not self.gp
        (treatment, why), mixture = self.treatment(hyperparameters), self.mixture(hyperparameters)
        condition_number = self._conditioned.condition_number
        noise = FoundNoise.of(gp, self.inference.condition(gp) if on_some else self._conditioned)
        if condition_number is not None and not on_some:
            # Evaluations need an n × n matrix, so this factor is freed once a report needs nothing more of it.
            _ = self.log_marginal_likelihood
            del self.__dict__["_conditioned"]
            self.__dict__.pop("_with_flat_mean", None)
        try:
            found = certify(
                Problem(gp, self.inference),
                self.search,
                self.data,
                noise=noise,
                condition_number=condition_number,
                by_adam=isinstance(self.train, Adam),
                predictions=f"{treatment}{averaged.said(self.alternatives if mixture else ())}"
                + (f" ({why})" if why else ""),
                # Draws hold the parameters of each row, intervals do not: `certify` finds their curvature.
                modes=self.modes if mixture and not gp.spec.noise.by_row else (),
                mixture=mixture,
            )
        finally:
            gp.parameters.set(self.vector)  # because certify changes them
        models, log_weights = self.models(hyperparameters)
        others = self.alternatives[: len(models) - 1]
        return replace(found, beside=averaged.alarms(others, np.exp(log_weights[1:]), hyperparameters))

    def report(self, path: str | Path | None = None) -> dict[str, Any]:
        """Return what fit.json says: likelihood (nats), hyperparameters by name, each start's end, the certificate.

        With a `path`, also write an HTML page of that, with scores and figures (`page`).
        """
        if path is not None:
            self.page(path)
        return report.of(self)

    @overload
    def predict(self, x: Any, noise_sd: Any = ..., *, hyperparameters: Chosen = ...) -> Posterior: ...
    @overload
    def predict(
        self, x: Any, noise_sd: Any = ..., *, joint: Literal[True], hyperparameters: Chosen = ...
    ) -> "Joint": ...
    def predict(
        self, x: Any, noise_sd: Any = None, *, joint: bool = False, hyperparameters: Chosen = None
    ) -> "Posterior | Joint":
        """Return the marginal posterior at x (m, d) or (m,), an array or a DataFrame, in the data's units.

        A DataFrame's columns are taken by name.  `noise_sd` (m,) is the noise of new observations where it is known;
        otherwise the model says.  With `joint`, return that of all rows together: their covariance, and draws.
        `hyperparameters`, as in params.yaml, says whether they are integrated over (gp.fitted.uncertainty); without it
        a rule decides.  Raises InputError for a wrong number of columns or a row that is not finite.
        """
        inputs = inputs_of(x, self.columns, self.data.levels)
        internal, noise = self.gp.inputs(inputs), None
        if noise_sd is not None:
            self.model.refuse_noise_sd()
            known = Dataset(x=inputs, columns=self.columns, noise_sd=noise_sd)  # checks it as that of training rows
            noise = (np.asarray(known.noise_sd) / self.gp.scope.y_scale) ** 2
        if joint:
            return self.jointly(inputs, noise, hyperparameters)
        models, log_weights = self.models(hyperparameters)
        own = [one._own_settings("predict", hyperparameters) for one in models]
        parts = [forecasts(settings, shares[:, None], internal, noise) for settings, shares in own]
        return Posterior(inputs, self.columns, *averaged.pooled(parts, np.exp(log_weights)))

    def models(self, hyperparameters: Chosen) -> tuple[tuple["Fitted", ...], np.ndarray]:
        """Return the K models that predictions average over, this one first, and their log weights (K,).

        Where hyperparameters are taken as learnt, so is the model.
        """
        others = self.alternatives if self.mixture(hyperparameters) else ()
        logs = np.array([0.0, *(each.log_odds for each in others)])
        return (self, *(each.fitted for each in others)), logs - np.logaddexp.reduce(logs)

    def settings(self, label: str, hyperparameters: Chosen) -> tuple[Iterable[Conditioned], np.ndarray]:
        """Return the model conditioned at each of S settings of the hyperparameters, and their weights (S,).

        Where predictions average over several models, those of all, one model after the other.
        """
        models, log_weights = self.models(hyperparameters)
        return averaged.joined([one._own_settings(label, hyperparameters) for one in models], np.exp(log_weights))

    def _own_settings(self, label: str, hyperparameters: Chosen) -> tuple[Iterable[Conditioned], np.ndarray]:
        mixture = self.mixture(hyperparameters)
        if mixture:
            return mixture.conditioned(label), mixture.weights[:, 0]
        is_flat = isinstance(self.treatment(hyperparameters)[0], FlatMean)
        return self._with_flat_mean if is_flat else [self._conditioned], np.ones(1)

    @cached_property
    def _with_flat_mean(self) -> Iterable[Conditioned]:
        return as_learnt(self.gp, self.inference, self._conditioned, FlatMean())

    def save(self, path: str | Path) -> None:
        """Write the model file (gp.fitted.file): training rows, learnt values, the specs, and all draws made so far.

        Those that the default rule asks for are made now.
        """
        file.write(path, self.data, self._part(), [each.fitted._part(*each[1:]) for each in self.alternatives])

    def _part(self, *beside: Any) -> file.Part:
        self.mixture()
        draws = {kind: mixture.draws for kind, mixture in self._mixtures.items()}
        parts = (self.model, self.inference, self.train, self.vector, self.search, self.gp, draws)
        return file.Part(*parts, *beside)

    @classmethod
    def load(cls, path: str | Path) -> "Fitted":
        """Return the fitted model that `save` wrote; nothing but the file is needed.

        Raises InputError, in one line, for any other file.
        """
        data, (first, *others) = file.read(path)
        alternatives = tuple(Alternative(cls._of(data, part), part.name, part.log_odds) for part in others)
        return cls._of(data, first, alternatives)

    @classmethod
    def _of(cls, data: Dataset, part: file.Part, alternatives: tuple[Alternative, ...] = ()) -> "Fitted":
        parts = (data, part.model, part.inference, part.train, part.vector, part.search)
        return cls(*parts, draws=part.draws, alternatives=alternatives, built=part.built)


load = Fitted.load
