"""The search for the structure of a time series, by a grammar of kernels (gp.model.grammar).

It goes in rounds.  All structures that follow from the best ones so far are fitted, from their hyperparameters on, and
ranked by their evidence.  It ends when rounds gain next to nothing, or when as many were fitted as the user allows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..dataset import Dataset
from ..inference.auto import Auto
from ..inference.exact import Exact
from ..inference.method import Method
from ..inference.orderings import neighbourhoods_first
from ..matrices.cholesky import NotPositiveDefinite
from ..model.choice import GrammarSearch
from ..model.grammar import Grammar, Terms, each_hyperparameter, extra_choices, kernel_of, outline, said
from ..model.model import GaussianProcess, Model
from ..model.noise import Gaussian, Known
from ..parallel import fan_out, one_thread
from ..parameters.hyperparameters import PositiveHyperparameter, RealHyperparameter
from ..parameters.scope import spread
from ..spec import Fault, InputError, kind_of
from ..training import Problem
from ..training.newton import Optimum, climb, measure_curvature
from ..training.starts import Screening
from ..transforms import Log
from .priors import WIDTH

FEWEST = 10  # rows at different x
ROWS = 500  # that structures are fitted to, at most: an evaluation then takes some milliseconds
STARTS = 3  # of each structure, at most
TOLERANCE = 0.05  # nats, to which a structure is fitted
GAIN = 0.5  # nats that a round gains, or it is the last
BEAM, BEHIND = 2, 4.0  # structures from which others follow in a round, and nats behind the best of those that count
CYCLES = 2.0  # of a period in the range of x, at least: fewer are no pattern that repeats
ODDS = 0.5  # nats that each hyperparameter must gain: of structures of equal evidence the simplest is taken
LOG_ODDS = -3.0  # nats by which the log of y must be better than y: forecasts of the M3 competition were worse without
STEPS_A_YEAR, NEAR = (4.0, 12.0, 365.25 / 7, 365.25), 0.02  # and how far a step may be off; months are of 28 to 31 days
LONG = 10.0  # seconds of fits to come, from which workers pay


@dataclass(frozen=True, eq=False)
class Tried:
    """A structure that was fitted: its model at the learnt hyperparameters, and what it is ranked by."""

    name: str
    terms: Terms
    model: Model
    scores: dict[str, float]


def search_structure(data: Dataset, model: Model, inference: Method, seed: int) -> tuple[list[Tried], pd.DataFrame]:
    """Return the best structures, with starts for their hyperparameters, and all that were fitted, ranked.

    More than one where the data hardly tell them apart: those up to BEHIND nats behind the best, as many as are to be
    averaged over.  Of a part of the rows the evidence is not that of all, and the best alone is returned.  Raises
    InputError where data, noise or inference are not such that a structure is searched.
    """
    search = model.search
    if not isinstance(search, GrammarSearch):
        raise TypeError(f"a search by a grammar, not {search!r}")
    _check(data, model, inference)
    some, longest = _some(data, seed), float(np.ptp(data.x)) / CYCLES
    grammar = Grammar(longest, season_of(data.x[:, 0]), search.windows)
    plain = model.model_copy(update={"search": None})
    # A transform that is written, if only as null, is the user's.
    can_log = "transform" not in model.model_fields_set and data.noise_sd is None and float(data.observed.min()) > 0
    tried, seen, followed = dict[str, Tried](), set[str](), set[str]()
    best, before, to_fit = -math.inf, -math.inf, [Structure(terms, plain) for terms in grammar.simplest()]
    while to_fit := _unseen(to_fit, seen)[: search.candidates - len(seen)]:
        seen |= {each.name for each in to_fit}
        found = _all_fitted([(some, each) for each in to_fit], f"{len(seen)} structures")
        tried |= {each.name: each for each in found if each is not None}
        before, best = best, max((each.scores[search.score] for each in tried.values()), default=-math.inf)
        if best < before + GAIN:
            break
        parents = _parents(tried, followed, search.score)
        followed |= {parent.name for parent in parents}
        to_fit = [Structure(terms, parent.model) for parent in parents for terms in grammar.following(parent.terms)]
        if can_log:
            to_fit += [Structure(parent.terms, _of_log(parent.model)) for parent in parents]
    if not tried:
        raise InputError(Fault("model.search", "no structure could be fitted", "give noise.sd a `lower`"))
    table = pd.DataFrame.from_dict({each.name: each.scores for each in tried.values()}, orient="index")
    table = table.sort_values(search.score, ascending=False, kind="stable")
    ranked = [tried[str(name)] for name in table.index]
    few = search.average if some is data else 1
    near = [each for each in ranked if each.scores[search.score] > ranked[0].scores[search.score] - BEHIND]
    alike = [each for each in near if each.model.transform == ranked[0].model.transform]
    return alike[:few], table.assign(rank=range(1, len(table) + 1))


def _parents(tried: dict[str, Tried], followed: set[str], score: str) -> list[Tried]:
    """Return the best structures from which none followed yet, that differ in more than how smooth their parts are."""
    ranked = sorted(tried.values(), key=lambda each: -each.scores[score])
    parents: dict[str, Tried] = {}
    for each in ranked:
        if each.name not in followed and each.scores[score] > ranked[0].scores[score] - BEHIND:
            parents.setdefault(outline(each.terms), each)
    return list(parents.values())[:BEAM]


class Structure:
    """A structure to fit: its terms, and the `model` whose noise and transform it has, before it has this kernel."""

    def __init__(self, terms: Terms, model: Model) -> None:
        self.terms, self.model = terms, model.model_copy(update={"kernel": kernel_of(terms)})
        transform = "" if model.transform is None else f", of {kind_of(type(model.transform))} y"
        self.name = said(terms) + transform


def _unseen(structures: Sequence[Structure], seen: set[str]) -> list[Structure]:
    """Return the structures that are not among those `seen`, each once."""
    return list({each.name: each for each in structures if each.name not in seen}.values())


def _of_log(model: Model) -> Model:
    """Return the model of log y, or of y where it is that of log y."""
    return model.model_copy(update={"transform": Log() if model.transform is None else None})


def _all_fitted(tasks: Sequence[tuple[Dataset, Structure]], label: str) -> list[Tried | None]:
    """Return each structure fitted, in their order; those that would take long by workers, which changes no result."""
    done, began = list[Tried | None](), perf_counter()
    for task in tqdm(tasks, desc=label, disable=None, leave=False):
        done.append(fit_structure(*task))
        if (perf_counter() - began) / len(done) * (len(tasks) - len(done)) > LONG:
            break
    return done + fan_out(fit_structure, tasks[len(done) :], label=label)


def fit_structure(data: Dataset, structure: Structure) -> Tried | None:
    """Return the structure fitted to all of `data` by exact inference; None where it cannot be."""
    gp = structure.model.build(data)
    problem, best = Problem(gp, Exact(), profiled=True), list[Optimum]()
    with one_thread():
        for start in Screening(problem).of_new(STARTS):
            try:
                best.append(climb(problem, start, None, problem.parameters.bounds, tolerance=TOLERANCE, known=best))
            except NotPositiveDefinite:
                continue
            best = [max(best, key=lambda optimum: optimum.value)]
        if not best:
            return None
        vector = problem.maximise_profiled(best[0].vector)
        nats = best[0].value + gp.log_jacobian
        try:
            share = _log_share(Problem(gp, Exact()), vector, _without_starts(structure.model).build(data))
            gp.parameters.set(vector)
            mean, sd = Exact().condition(gp).leave_one_out()
        except NotPositiveDefinite:
            return None
    odds, density = 0.0 if structure.model.transform is None else LOG_ODDS, 0.5 * ((gp.scope.y - mean) / sd) ** 2
    scores = {
        "evidence": nats + share + odds - ODDS * (len(vector) + extra_choices(structure.terms)),
        "bic": nats - 0.5 * len(vector) * math.log(data.n) + odds,
        "log_marginal_likelihood": nats,
        "loo_nlpd": float(np.mean(density + np.log(sd) + 0.5 * math.log(2 * math.pi))) - gp.log_jacobian_of_a_row,
        "hyperparameters": float(len(vector)),
    }
    model = started(structure.model, gp.parameters.by_name())
    kernel: Any = model.kernel  # a sum
    return Tried(structure.name, tuple(kernel.terms.values()), model, scores)


def evidence_of(data: Dataset, model: Model) -> float | None:
    """Return by how many nats a structure that a search found is likely on other rows; None where it cannot be fitted.

    Of two structures the difference counts.
    """
    kernel: Any = model.kernel  # a sum
    tried = fit_structure(data, Structure(tuple(kernel.terms.values()), model))
    return None if tried is None else tried.scores["evidence"]


def _log_share(problem: Problem, vector: np.ndarray, cold: GaussianProcess) -> float:
    """Return log ∫ exp(−½ (θ − θ̂)ᵀH(θ − θ̂)) p(θ) dθ: what Laplace's evidence adds to the likelihood at θ̂.

    H is the curvature at the raw `vector` θ̂ (p,), and p the weak prior N(s, WIDTH²) about the starts s of the `cold`
    model.  With R = (θ̂ − s)/WIDTH and M = WIDTH² H it is −½ Rᵀ(I + M)⁻¹M R − ½ log |I + M|: a direction in which the
    likelihood is flat costs nothing, wherever the search left it.
    """
    sizes, directions = np.linalg.eigh(measure_curvature(problem, vector, central=False))
    sizes = WIDTH**2 * np.maximum(sizes, 0.0)  # rounding may leave a flat direction negative
    away = directions.T @ (vector - cold.parameters.start) / WIDTH
    return -0.5 * float((away**2 * sizes / (1 + sizes)).sum() + np.log1p(sizes).sum())


def started(model: Model, values: dict[str, Any]) -> Model:
    """Return the model with the learnt `values` by name as starts of kernel and noise."""

    def begin(name: str, written: Any) -> Any:
        if name not in values or (written is not None and written.fixed is not None):
            return written
        kind = RealHyperparameter if name.endswith(".location") else PositiveHyperparameter
        value = values[name]
        start = [float(each) for each in (value if isinstance(value, list) else [value])]
        return (written or kind()).model_copy(update={"start": start})

    return _changed(model, begin)


def _without_starts(model: Model) -> Model:
    """Return the model as it is before anything is learnt."""

    def bare(name: str, written: Any) -> Any:
        return None if written is None or written.fixed is None else written

    return _changed(model, bare)


def _changed(model: Model, change: Any) -> Model:
    kernel, noise = (each_hyperparameter(getattr(model, name), change, name) for name in ("kernel", "noise"))
    return model.model_copy(update={"kernel": kernel, "noise": noise})


def _some(data: Dataset, seed: int) -> Dataset:
    """Return the rows that structures are fitted to: all, or a seeded half of neighbourhoods, half scattered."""
    if data.n <= ROWS:
        return data
    return data.at(np.sort(neighbourhoods_first(data.x / spread(data.x), seed)[:ROWS]))


def season_of(x: np.ndarray) -> float | None:
    """Return 1, the year, where the steps of x are months, quarters, weeks or days if x is in years."""
    step = float(np.median(np.diff(np.unique(x))))
    is_of_year = any(abs(step * rate - 1) < NEAR for rate in STEPS_A_YEAR)
    return 1.0 if is_of_year and float(np.ptp(x)) >= 2.0 else None


def _check(data: Dataset, model: Model, inference: Method) -> None:
    """Raise InputError where a grammar of one input's kernels does not apply."""
    if data.levels or data.d != 1:
        seen = f"{', '.join(data.levels)} categorical" if data.levels else f"{data.d} inputs"
        why = f"the grammar is of kernels over one input that is a number (got {seen})"
        raise InputError(Fault("model.search.grammar", why, "name kernels: `search: {kernels: {…}}`"))
    if not isinstance(model.noise, Gaussian | Known):
        why = f"the grammar takes noise of kind gaussian or known (got {kind_of(type(model.noise))})"
        raise InputError(Fault("model.search.grammar", why, "choose one of the two, or name kernels"))
    if not isinstance(inference, Exact | Auto):
        why = f"the grammar takes inference of kind exact or auto (got {kind_of(type(inference))})"
        raise InputError(Fault("model.search.grammar", why, "choose one of the two, or name kernels"))
    if (n := len(np.unique(data.x))) < FEWEST:
        why = f"the grammar needs rows at {FEWEST} different x or more (got {n})"
        raise InputError(Fault("model.search.grammar", why, "write a kernel"))
