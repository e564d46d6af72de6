"""The certificate of a fit: whether training converged, what the data determine, and alarms for the reader."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..inference.method import Screened
from ..training import SAME, Problem, Search, polish
from ..training.newton import at_active_bound, newton_gain
from .asked import Text
from .curvature import at_best_rows, curvature_at, of_hyperparameters
from .draws import Draws
from .intervals import asymptotic, integrated
from .laplace import Mode
from .limits import limits, quadrature
from .mixture import Mixture
from .noise import FoundNoise
from .optima import Rival, rivals
from .relevance import irrelevant_inputs
from .scarce import few_rows, few_without_noise, noise_in_doubt

CONVERGED = 0.05  # predicted gain of a Newton step (nats) below which a search has converged
ALL_NOISE = 0.99  # share of y's variance
SIGNAL = 3.0  # nats over noise alone; two needless hyperparameters gain as much one time in twenty
ILL_CONDITIONED = 1e12  # condition number above which solutions have fewer than four digits
PLACES = 6  # decimal places of nats, and of nats per log unit, that do not depend on how a machine rounds
COPIES = 0.05  # share of the rows


@dataclass(frozen=True)
class Certificate(Text):
    """Diagnostics of a fit at its hyperparameters θ; nats are of the marginal likelihood (plus prior).

    `gradient_norm` is the largest derivative by a log hyperparameter that is not held at a bound, `shortfall` the
    predicted gain of a Newton step from there.  `intervals` are 95 % intervals: where predictions integrate over
    hyperparameters, by the likelihood ratio (gp.fitted.likelihood_ratio), elsewhere θ exp(±1.96 se), or θ ± 1.96 se for
    what may be negative, from the inverse Hessian.  `undetermined` names what the data do not bound.  `signal`
    is how many nats the model is better than noise about a level.  `predictions` says how these treat hyperparameters.
    """

    converged: bool
    gradient_norm: float
    shortfall: float
    rows: int | None  # that the hyperparameters were learnt on, and all of this is about; None: all
    evaluations: int
    starts: int
    starts_at_best: int
    found_last: bool  # whether the best optimum was found from the last start alone, and there were more candidates
    screened: Screened | None  # where starts were looked for; None: nowhere but at the one start
    rivals: tuple[Rival, ...]
    jitter: float
    condition_number: float | None  # None where no n×n matrix is factorised
    noise_share: float
    noise_of_new: float | None  # sd in units of y, or its transform, that predictions take, where it is not as learnt
    signal: float
    intervals: dict[str, tuple[float, float]]
    undetermined: tuple[str, ...]
    at_bound: tuple[str, ...]
    limits: dict[str, str]  # what ended where the inference method ends, by name
    irrelevant_inputs: tuple[str, ...]
    by_adam: bool  # whether Adam was asked for
    copies: float  # share of the rows whose inputs and target repeat another row's
    scarce: str  # how many rows there are for how many hyperparameters, where rows are few
    noise_may_be: float | None  # sd of y, where noise is learnt as next to none and not determined
    predictions: str
    draws: Draws | None  # that predictions are made at; None where hyperparameters are plugged in
    adam_gap: float | None  # nats from where Adam stopped to the optimum; None where Adam was not asked for
    quadrature: float | None  # nats by which averages along steps are off; None where rows are no such averages
    gaining: float | None  # what the last steps gained, nats, where training ended for want of steps
    beside: tuple[str, ...] = ()  # alarms about the draws of other structures that predictions average over

    @property
    def alarms(self) -> list[str]:
        """Return a line for each reason to doubt this fit, or its draws, with what to do about it."""
        return self.of_fit + self.of_draws

    @property
    def of_draws(self) -> list[str]:
        """Return the alarms about the draws of hyperparameters: other draws, of `nuts` for one, have others."""
        return [*(self.draws.alarms(plateaus=bool(self.irrelevant_inputs)) if self.draws else ()), *self.beside]

    @property
    def of_fit(self) -> list[str]:
        """Return the alarms about the fit itself."""
        alarms = []
        if self.adam_gap is not None and self.adam_gap > CONVERGED:
            alarms.append(
                f"an optimum {self.adam_gap:.2g} nats better is near where adam stopped: more steps, or lbfgs"
            )
        elif self.gaining is not None:
            alarms.append(f"training ended while its last steps gained {self.gaining:.2g} nats: raise inference.steps")
        elif not self.converged:
            nearer = (
                "more steps, or lbfgs" if self.by_adam else "a lower train.tolerance, or more noise, brings it nearer"
            )
            alarms.append(f"training stopped {self.shortfall:.2g} nats short of an optimum: {nearer}")
        if self.found_last:
            alarms.append(
                f"only the last of {self.starts} starts reached the best optimum, and there may be better ones: raise "
                "train.restarts"
            )
        alarms += [rival.alarm for rival in self.rivals if rival.alarm]
        alarms += self.limits.values()
        if names := ", ".join(name for name in self.at_bound if name not in self.limits):
            alarms.append(f"{names} ended at a bound of the search: the data do not say, or the bound is too narrow")
        if self.noise_share > ALL_NOISE or self.signal < SIGNAL:
            found = (
                "it found no signal in these inputs" if self.noise_share > 0.5 else "too little to tell it from chance"
            )
            alarms.append(
                f"{self.noise_share:.1%} of the variance is noise, and the model is {self.signal:.1f} nats better than "
                f"noise alone: {found}{self._where}"
            )
        if self.condition_number is not None and self.condition_number > ILL_CONDITIONED:
            alarms.append(f"the covariance's condition number is {self.condition_number:.1e}: raise the noise")
        if self.quadrature is not None and self.quadrature > CONVERGED:
            alarms.append(
                f"steps are wide for how fast the function changes: its averages along them are {self.quadrature:.2g} "
                "nats off: take shorter steps, or give the lengthscale a `lower` as long as they are"
            )
        if self.copies > COPIES:
            alarms.append(
                f"{self.copies:.0%} of the rows repeat both inputs and target of another row: noise is learnt too "
                "small, and rows that are left out are known by their copies: remove copies"
            )
        return alarms + few_without_noise(self.scarce, self.noise_may_be)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for metrics.json, which data and model determine; what does not apply is absent."""
        return _given(self, ("rows", "jitter", "noise_share", "noise_of_new", "signal", "adam_gap")) | {
            "converged": int(self.converged),  # a number, so that `dvc metrics diff` shows a change
            "alarms": len(self.of_fit),  # the stage evaluate adds those of the draws that predictions are made at
            **{name: len(names) for name, names in self.named().items()},
            "intervals": self._ends(),
        }

    def diagnostics(self) -> dict[str, Any]:
        """Return the numbers for fit.json alone: how the search went, and what rounding errors decide."""
        search = ("gradient_norm", "shortfall", "condition_number", "evaluations", "starts", "starts_at_best")
        return {
            **_given(self, search),
            **(self.draws.numbers() if self.draws else {}),
            "rivals": sum(rival.alarm is not None for rival in self.rivals),
        }

    def sampling(self) -> dict[str, Any]:
        """Return what sampling.json says: how far chains agree, and the intervals of their draws."""
        drawn = {**self.draws.numbers(), "alarms": self.of_draws} if self.draws else {}
        return {**drawn, "intervals": self._ends()}

    def _ends(self) -> dict[str, Any]:
        return {name: {"lower": low, "upper": high} for name, (low, high) in self.intervals.items()}

    def named(self) -> dict[str, list[str]]:
        """Return the names of hyperparameters and inputs that metrics.json counts."""
        return {name: list(getattr(self, name)) for name in ("at_bound", "undetermined", "irrelevant_inputs")}

    @property
    def _where(self) -> str:
        """Return where a signal was looked for."""
        if not self.screened:
            return (
                " near its one start; others, of short lengthscales too, were not tried: train by lbfgs with restarts"
            )
        return f" (looked at {self.screened})"

    @property
    def _conditioning(self) -> str:
        known = "" if self.condition_number is None else f"condition number {self.condition_number:.0e}; "
        return known + ("no jitter" if self.jitter == 0 else f"jitter {self.jitter:.0e} of the largest variance")

    def __str__(self) -> str:
        arrived = "converged" if self.converged else "NOT converged"
        on_some = "" if self.rows is None else f" on {self.rows} of the rows"
        starts = f", {self.starts_at_best} of {self.starts} starts reached the best" if self.starts > 1 else ""
        lines = [
            f"{arrived}{on_some}: {self.evaluations} evaluations{starts}; gradient {self.gradient_norm:.1e}, "
            f"{self.shortfall:.1e} nats short",
            f"{self.noise_share:.1%} of the variance is noise; {self._conditioning}",
            f"predictions are {self.predictions}",
        ]
        if self.noise_of_new is not None:
            lines.append(
                f"new observations have noise of sd {self.noise_of_new:.3g}: what is learnt holds what inducing inputs "
                "leave unexplained, too"
            )
        if self.screened:
            lines.insert(1, f"starts were looked for at {self.screened}")
        if self.irrelevant_inputs:
            names = ", ".join(self.irrelevant_inputs)
            lines.append(f"irrelevant inputs (lengthscales far beyond their range): {names}")
        if self.scarce:
            lines.append(f"few rows: {self.scarce}")
        if self.undetermined:
            lines.append(f"not determined by the data: {', '.join(self.undetermined)}")
        return "\n".join([*lines, *(f"ALARM: {alarm}" for alarm in self.alarms)])


def _given(certificate: Certificate, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields `names` that are not None."""
    return {name: value for name in names if (value := getattr(certificate, name)) is not None}


def certify(
    problem: Problem,
    search: Search | None,
    data: Dataset,
    *,
    noise: FoundNoise,
    condition_number: float | None,
    by_adam: bool,
    predictions: str,
    modes: Sequence[Mode],
    mixture: Mixture | None,
) -> Certificate:
    """Return the certificate of the fit that `search` ended with; None where nothing was free.

    `problem` is that of the rows that hyperparameters were learnt on, some or all of `data`; its model is moved.
    `by_adam`: whether Adam was asked for; then the certificate says how far the nearest optimum is, but not where an
    inference method has auxiliary parameters.  `predictions` says how these treat hyperparameters: where they are
    integrated over, by the `mixture`, with `modes`, best first; () where intervals are to be from the curvature.
    """
    gp, parameters = problem.gp, problem.parameters
    vector = search.vector if search else np.zeros(0)
    value, gradient = problem(vector)
    # On a plateau the sign of a gradient is that of a rounding error.
    at_bound = at_active_bound(vector, gradient.round(PLACES), parameters.bounds)
    names = parameters.names
    inside = np.flatnonzero(~at_bound[: len(names)])
    curvature = curvature_at(problem, vector)
    hessian = of_hyperparameters(curvature, len(names))[np.ix_(inside, inside)]
    if modes and mixture:
        intervals, undetermined = integrated(gp, modes, mixture)
    else:
        intervals, undetermined = asymptotic(parameters, vector, inside, hessian)
    parameters.set(vector)  # an interval leaves them at its end
    extents = dict(zip(data.columns, np.ptp(data.x, axis=0).tolist(), strict=True))
    irrelevant = irrelevant_inputs(parameters, gp.scope.reads, extents, float(np.std(gp.spec.transformed(data))))
    excused = {name for names in irrelevant.values() for name in names}
    ends = search.ends if search else ()
    best = max((value for _, value in ends), default=0.0)
    best_rows, gradient_there = at_best_rows(problem, vector, value, gradient)
    shortfall = max(0.0, best_rows - value) + newton_gain(gradient_there[inside], hessian)
    # The largest log likelihood of a constant plus noise.
    noise_alone = -0.5 * gp.total * float(np.log(2 * math.pi * math.e * max(np.var(gp.observed), 1e-300)))
    return Certificate(
        converged=shortfall <= CONVERGED and not (search and search.gaining is not None),
        gaining=search.gaining if search else None,
        gradient_norm=float(np.abs(gradient[~at_bound]).max(initial=0.0)),
        shortfall=shortfall,
        rows=gp.total if search and search.rows is not None else None,
        evaluations=search.evaluations if search else 0,
        starts=search.starts if search else 0,
        starts_at_best=sum(value >= best - SAME for _, value in ends),
        found_last=_was_found_last(search),
        screened=search.screened if search else None,
        rivals=rivals(gp, problem.inference, search),
        jitter=problem.inference.jitter,
        condition_number=condition_number,
        noise_share=noise.share,
        noise_of_new=noise.sd_of_new,
        signal=round(value - parameters.log_prior(vector)[0] - noise_alone, PLACES),
        intervals=intervals,
        undetermined=tuple(undetermined),
        at_bound=tuple(
            name for name, bound in zip(names, at_bound[: len(names)], strict=True) if bound and name not in excused
        ),
        irrelevant_inputs=tuple(irrelevant),
        by_adam=by_adam,
        copies=_copies(data),
        scarce=few_rows(gp.total, len(names)),
        noise_may_be=noise_in_doubt(
            intervals, undetermined, noise.share, gp.scope.y_scale * float(np.std(gp.observed))
        ),
        predictions=predictions,
        draws=mixture.draws if mixture else None,
        adam_gap=round(max(0.0, polish(problem, vector, curvature) - value), PLACES)
        if by_adam and search and not gp.auxiliary
        else None,
        quadrature=None if (nats := quadrature(problem, vector)) is None else round(nats, PLACES),
        limits=limits(problem, search),
    )


def _copies(data: Dataset) -> float:
    """Return the share of the rows whose inputs and target are those of an earlier row."""
    rows = np.column_stack([data.x, data.observed])
    return 1 - len(np.unique(rows, axis=0)) / len(rows)


def _was_found_last(search: Search | None) -> bool:
    """Return whether only the last start found the best optimum, while more candidates were left."""
    if not search or not search.screened or len(search.ends) < 2 or search.screened.candidates <= search.starts:
        return False
    *others, last = (value for _, value in search.ends)
    return last > max(others) + SAME
