"""The report's text and tables: a study's certificate, scores and hyperparameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gp.forecast import Forecast
from gp.scores import headings, score, trivial_forecast
from review.page import number
from review.results import Results

LISTED = 4  # hyperparameters in one sentence
STRUCTURES = 10  # that a grammar made, in the table of kernels
FAR = 10  # nats by which an optimum is lower, from where on nobody needs to know where it is


@dataclass(frozen=True)
class Scores:
    """A table of scores: `columns` name forecasts, `rows` have a score's heading and its values (or None)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class Ranked:
    """A kernel of a search: its name, scores (nats per row, nats), number of hyperparameters and weight in predictions.

    The weight is None where predictions are by the best kernel alone.
    """

    kernel: str
    loo_nlpd: float
    likelihood: float
    hyperparameters: int
    weight: float | None


@dataclass(frozen=True)
class Summary:
    """A study in one line: its number of training rows, and its main scores beside the trivial predictor's."""

    study: str
    n: int | None
    d: int | None
    rows: str
    rmse: float | None
    trivial_rmse: float | None
    msll: float | None
    coverage: float | None
    verdict: str
    good: bool


def verdict(results: Results) -> tuple[str, bool]:
    """Return in a word what fit and predictions raise, and whether that is nothing."""
    if not results.fit:
        return "not trained", False
    counts = {"alarm": len(results.alarms), "finding": len(results.check.get("findings", ()))}
    said = [f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n]
    return (", ".join(said), False) if said else ("no alarm", True)


def findings(results: Results) -> list[str]:
    """Return the certificate's findings, one sentence each, without its alarms."""
    return [*_findings(results.fit), *_sampling(results.sampling)] if results.fit else []


def _sampling(said: Any) -> Iterator[str]:
    """Yield how far chains of hyperparameters agree, where predictions were made at their draws."""
    if "r_hat" in said:
        yield (
            f"Hyperparameters were sampled: {number(said['chains'])} chains of {number(said['draws'])} draws, R̂ "
            f"{number(said['r_hat'], 4)}; {number(said['ess_bulk'])} draws effective for means, "
            f"{number(said['ess_tail'])} for tails; {number(said['divergences'])} trajectories diverged."
        )


def checked(results: Results) -> list[str]:
    """Return what the check of predictions looked at, in numbers; [] where there were too few rows to judge."""
    said, made = results.metrics.get("check", {}), []
    if "explained" in said:
        target, start = results.study.target if results.study else "y", "explained_by_"
        others = {key.removeprefix(start): share for key, share in said.items() if key.startswith(start)}
        listed = ", ".join(f"{name} {number(100 * share, 3)} %" for name, share in others.items())
        share = number(100 * said["explained"], 3)
        made.append(f"Predictions explain {share} % of the variance of {target}; by other methods: {listed}.")
    if "inside_50" in said:
        half, most, nearly_all = (number(100 * said[f"inside_{level}"], 3) for level in (50, 80, 95))
        furthest = number(said["furthest"], 2)
        made.append(
            f"{half} % of rows are inside 50 % bands, {most} % inside 80 %, {nearly_all} % inside 95 %; the furthest "
            f"is {furthest} sd away."
        )
    if "shift" in said:
        count = f", and count as {number(said['effective_rows'], 3)} rows" if "effective_rows" in said else ""
        made.append(
            f"Left-out rows in a part of an input's range lie {number(said['shift'], 2)} sd off on average at most; "
            f"residuals of successive rows have correlation {number(said['follows'], 2)}{count}."
        )
    return made


def _findings(fit: Any) -> Iterator[str]:
    said = fit["certificate"] | fit.get("diagnostics", {})
    short = f"a Newton step would gain {number(said['shortfall'], 2)} nats more"
    arrived = "converged" if said["converged"] else "did not converge"
    yield f"Training {arrived}: {short}, after {number(said['evaluations'])} evaluations."
    if said["starts"] > 1:
        yield f"{said['starts_at_best']} of {said['starts']} starts ended at the best optimum."
    yield from _search(fit)
    if "adam_gap" in said:
        yield f"Adam stopped {number(said['adam_gap'], 2)} nats from the optimum nearby."
    yield (
        f"{number(100 * said['noise_share'], 3)} % of the variance is noise; the model is {number(said['signal'])} "
        "nats better than noise alone."
    )
    if "noise_of_new" in said:
        yield (
            f"New observations have noise of sd {number(said['noise_of_new'], 3)}: what is learnt holds what inducing "
            "inputs leave unexplained, too."
        )
    if "condition_number" in said:
        jitter = f"a jitter of {number(said['jitter'], 1)} was added" if said["jitter"] else "no jitter was added"
        yield f"The covariance matrix has condition number {number(said['condition_number'], 1)}; {jitter}."
    sentences = {
        "irrelevant_inputs": "Inputs that change nothing (their lengthscales are far beyond their range)",
        "undetermined": "Not determined by the data",
        "at_bound": "At a bound of the search",
    }
    yield from (f"{text}: {', '.join(fit[key])}." for key, text in sentences.items() if fit.get(key))
    method = fit.get("inference", {})
    yield f"Inference: {method.get('kind', 'exact')}{', as ' + method['why'] if method.get('why') else ''}."
    if gap := fit.get("gap_to_exact"):
        places = f" in {number(gap['parts'])} neighbourhoods" if gap.get("parts", 1) > 1 else ""
        yield (
            f"Against exact inference, both given {number(gap['rows'])} rows{places} and asked for "
            f"{number(gap['scored'])} others: NLPD {number(gap['nlpd'], 2)} nats and RMSE {number(gap['rmse'], 2)} "
            f"worse; means {number(gap['mean'], 2)} sd_f apart, sd_f by {number(100 * gap['sd'], 2)} %."
        )


def _search(fit: Any) -> Iterator[str]:
    """Yield where starts were looked for, and what the other optima say."""
    if screened := fit.get("screened"):
        ranges = screened["ranges"]
        over = "; ".join(f"{name} {number(of['lower'])} to {number(of['upper'])}" for name, of in ranges.items())
        over = over if len(ranges) <= LISTED else f"over {len(ranges)} hyperparameters, whose ranges fit.json has"
        yield f"Starts were looked for at {number(screened['points'])} points{f' ({over})' if over else ''}."
    best, *others = fit.get("optima") or [None]
    for other in others:
        lower, own = best["nats"] - other["nats"], best["hyperparameters"]
        moved = {
            name: value
            for name, value in other["hyperparameters"].items()
            if abs(value - own.get(name, value)) > 0.1 * abs(own.get(name, value))
        }
        at = ", ".join(f"{name} {number(value)}" for name, value in list(moved.items())[:LISTED])
        more = f", and {len(moved) - LISTED} others" if len(moved) > LISTED else ""
        yield f"Another optimum, {number(lower, 2)} nats lower{f': {at}{more}' if lower < FAR and at else ''}."


def intervals_by(results: Results) -> str:
    """Return how the intervals of hyperparameters were found  (gp.fitted.certificate)."""
    treated = results.fit.get("predictions", {}).get("kind")
    noise = dict(results.parameters.get("model", {})).get("noise", {})
    if treated == "nuts":
        return "draws of the chains"
    by_row = isinstance(noise, Mapping) and noise.get("kind") in ("heteroscedastic", "student_t")
    return "the likelihood ratio" if treated == "laplace" and not by_row else "the curvature at the optimum"


def hyperparameters(results: Results) -> list[tuple[str, float, float | None, float | None, str]]:
    """Return name, value, lower and upper end of the 95 % interval, and the reason if there is none."""
    if not results.fit:
        return []
    intervals = results.fit["certificate"].get("intervals", {})
    undetermined, at_bound = (results.fit.get(name, ()) for name in ("undetermined", "at_bound"))
    rows = []
    for name, value in results.fit["fit"]["hyperparameters"].items():
        ends = intervals.get(name, {})
        why = (
            "at a bound" if name in at_bound else "not determined by the data" if name in undetermined else "held fixed"
        )
        rows.append((name, value, ends.get("lower"), ends.get("upper"), "" if ends else why))
    return rows


def ranking(results: Results) -> list[Ranked]:
    """Return the kernels that a search tried, best first: all that were named, or a grammar's best; [] without one."""
    tried = results.fit.get("search", {})
    scored = results.metrics.get("search", {})  # with the weights that predictions were made by
    tried = {name: {**found, "weight": scored.get(name, {}).get("weight")} for name, found in tried.items()}
    shown = {name for name, found in tried.items() if found["rank"] <= STRUCTURES or found["weight"]}
    tried = {name: found for name, found in tried.items() if "evidence" not in found or name in shown}
    return [
        Ranked(
            name,
            found["loo_nlpd"],
            found["log_marginal_likelihood"],
            int(found["hyperparameters"]),
            found["weight"],
        )
        for name, found in sorted(tried.items(), key=lambda item: item[1]["rank"])
    ]


def tables(results: Results) -> list[Scores]:
    """Return a table of scores for each kind of rows, with the trivial predictor and the baseline."""
    metrics, study = results.metrics, results.study
    target = study.target if study else "y"
    others = dict(metrics.get("baselines", {}))
    baseline, rival = metrics.get("baseline", {}), (study.baseline_name if study else "") or "baseline"
    made = []
    if "test" in metrics:
        forecasts = {"model": metrics["test"], "trivial": metrics["trivial"], rival: baseline.get("test"), **others}
        made.append(_table(f"Held-out rows, n = {number(metrics['test']['n'])}", forecasts, target))
    if "folds" in metrics:
        forecasts = {"model": metrics["folds"], "trivial": _trivial_of_train(results)}
        forecasts |= {} if "test" in metrics else others
        made.append(_table(f"Each fold by a fit to the others, n = {number(metrics['folds']['n'])}", forecasts, target))
    if "loo" in metrics:
        forecasts = {"model": metrics["loo"], "trivial": _trivial_of_train(results)}
        forecasts |= {} if {"test", "folds"} & metrics.keys() else others
        made.append(
            _table(f"Training rows, each left out in turn, n = {number(metrics['loo']['n'])}", forecasts, target)
        )
    if truth := metrics.get("truth"):
        known = {"model": truth, rival: baseline.get("truth", {})}
        forecasts = {
            f"{name}, {side} ({number(block['n'])})": block
            for side in truth
            for name, blocks in known.items()
            if (block := blocks.get(side))
        }
        made.append(_table("True function, inside and outside the data’s range (rows)", forecasts, target))
    return made


def _table(title: str, forecasts: dict[str, Any], target: str) -> Scores:
    given = {name: block for name, block in forecasts.items() if block}
    rows = tuple(
        (heading, tuple(block.get(name) for block in given.values()))
        for name, heading in headings(target).items()
        if any(name in block for block in given.values())
    )
    return Scores(title, tuple(given), rows)


def _trivial_of_train(results: Results) -> dict[str, float] | None:
    """Return the scores of the trivial forecast on the training rows, from which it is computed."""
    train = results.study.train if results.study else None
    if train is None or train.y is None:
        return None
    mean, sd = trivial_forecast(train)
    return score(train.y, Forecast.normal(np.full(train.n, mean), np.full(train.n, sd)), (mean, sd))


def summary(results: Results) -> Summary:
    """Return the study's line in the table at the top of the page."""
    train, metrics = results.study.train if results.study else None, results.metrics
    kinds = {"test": "held-out", "folds": "cross-validated", "loo": "left-out"}
    key = next((key for key in kinds if key in metrics), "loo")
    rows, block = kinds[key], metrics.get(key, {})
    trivial = metrics.get("trivial") or (_trivial_of_train(results) if block else None) or {}
    said, good = verdict(results)
    return Summary(
        study=results.name,
        n=train.n if train else None,
        d=train.d if train else None,
        rows=rows if block else "–",
        rmse=block.get("rmse"),
        trivial_rmse=trivial.get("rmse"),
        msll=block.get("msll"),
        coverage=block.get("coverage_95"),
        verdict=said,
        good=good,
    )
