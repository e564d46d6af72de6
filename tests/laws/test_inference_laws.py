"""Every registered inference method keeps the laws of gp.testing, and a wrong one is caught."""

import dataclasses
from typing import Literal

import numpy as np
import pytest

from gp.fitted import fit
from gp.fitted.fitted import Fitted
from gp.inference import Inference
from gp.inference.exact import Exact
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.nearest.vecchia import Vecchia
from gp.model.model import GaussianProcess
from gp.posterior import Posterior
from gp.testing import check_inference, examples
from gp.testing.inference import ROWS

CYCLE = {"kind": "periodic", "period_length": {"fixed": 7.0}}
CYCLES = {"kind": "sum", "terms": {name: {**CYCLE, "columns": [name]} for name in ("a", "b")}}
ROUGH = {"smooth": {"kind": "matern"}, "rough": {"kind": "matern", "nu": 1.5}}
BOUND, APPROXIMATE = {"is_bound": True}, {"exact": False}
# What makes a method exact on the few rows of the laws, and what makes it an approximation.
GIVEN = {
    "exact": [{}, {"rows": 20}],
    "vecchia": [{"neighbours": ROWS - 1}, {"neighbours": 10, "inducing": 6}],
    "sgpr": [{}, {"inducing": 6}],
    "svgp": [{"epochs": 3}, {"epochs": 3, "inducing": 6}],
}
# How the laws are to take an example that is not exact, no bound, or not for any model; by its name, as far as it goes.
OPTIONS = {
    "harmonic": {"model": {"kernel": CYCLES}},
    "markov": {"model": {"kernel": {"kind": "sum", "terms": ROUGH}}, "columns": ("a",)},
    "vecchia neighbours 10": APPROXIMATE,
    "sgpr inducing": BOUND | APPROXIMATE,
    "sgpr": BOUND,
    "svgp epochs 3, inducing": BOUND | APPROXIMATE | {"refits": False},  # q(u) is learnt, and knows all rows
    "svgp": BOUND,
}
EXAMPLES = examples(Inference, GIVEN)
del EXAMPLES["vecchia neighbours 29, ordering random"]  # all rows are neighbours, in any order


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_inference_method_keeps_the_laws(name):
    options = next((OPTIONS[prefix] for prefix in OPTIONS if name.startswith(prefix)), {})
    check_inference(EXAMPLES[name], **options)


class Own(Exact):
    """Somebody's own method, which no registry knows."""

    kind: Literal["own"] = "own"


def test_somebodys_own_method_is_judged_without_being_registered():
    check_inference(Own())


class OtherJacobian(Exact):
    """Its likelihood is that of y in its own units, which the caller sees to."""

    def evaluate(self, gp, **options):
        value, gradient = super().evaluate(gp, **options)
        return value + gp.log_jacobian, gradient


class WrongGradient(Exact):
    """One element is off by a hundredth."""

    def evaluate(self, gp, **options):
        value, gradient = super().evaluate(gp, **options)
        return value, gradient * (1 + 0.01 * (np.arange(len(gradient)) == 1))


class WrongProfiledGradient(Exact):
    """Where the likelihood is profiled, it returns the gradient at where the model was."""

    def evaluate(self, gp, *, gradient=True, profile=None):
        plain = super().evaluate(gp, gradient=gradient)[1]
        value, _ = super().evaluate(gp, gradient=gradient, profile=profile)
        return value, plain


class NoProfile(Exact):
    """It says that it profiles, and does so by halves: the scale stays."""

    def evaluate(self, gp, *, gradient=True, profile=None):
        half = dataclasses.replace(profile, amplitude=0 * profile.amplitude) if profile else None
        value, slope = super().evaluate(gp, gradient=gradient, profile=half)
        return value + (1e-3 if profile else 0.0), slope


class Conditioned(Exact):
    """Exact inference of which `wrong` changes what the conditioned model says."""

    def condition(self, gp):
        return self.wrong(super().condition(gp), gp)

    def wrong(self, conditioned, gp):
        raise NotImplementedError


class Changed:
    """What stands for a conditioned model, but for what was changed."""

    def __init__(self, right, **changes):
        self._right = right
        self.__dict__ |= changes

    def __getattr__(self, name):
        return getattr(self._right, name)


class LeftOutWithoutNoise(Conditioned):
    """Its left-out sd is the function's."""

    def wrong(self, conditioned, gp):
        def leave_one_out():
            mean, sd = conditioned.leave_one_out()
            return mean, np.sqrt(sd**2 - gp.noise_variance(gp.x))

        return Changed(conditioned, leave_one_out=leave_one_out)


class LeftOutIsIn(Conditioned):
    """Its leave-one-out leaves nothing out."""

    def wrong(self, conditioned, gp):
        def leave_one_out():
            moments = conditioned.moments(gp.x)
            return moments.mean, np.sqrt(moments.variance + gp.noise_variance(gp.x))

        return Changed(conditioned, leave_one_out=leave_one_out)


class DoubledTerm(Conditioned):
    """One term's mean is counted twice."""

    def wrong(self, conditioned, gp):
        def moments(x):
            found = conditioned.moments(x)
            name, (mean, variance) = next(iter(found.terms.items()))
            return dataclasses.replace(found, terms={**found.terms, name: (2 * mean, variance)})

        return Changed(conditioned, moments=moments)


class Centred(Conditioned):
    """A prediction depends on what else is predicted."""

    def wrong(self, conditioned, gp):
        def moments(x):
            found = conditioned.moments(x)
            return dataclasses.replace(found, mean=found.mean - 1e-3 * found.mean.mean())

        return Changed(conditioned, moments=moments)


class PriorVariance(Conditioned):
    """It forgets what the rows tell: the variance is the prior's (no Schur complement)."""

    def wrong(self, conditioned, gp):
        def moments(x):
            return dataclasses.replace(conditioned.moments(x), variance=gp.kernel(x, diag=True).detach().numpy())

        return Changed(conditioned, moments=moments)


class Moving(Conditioned):
    """Conditioning moves the hyperparameters."""

    def wrong(self, conditioned, gp):
        gp.parameters.set(gp.parameters.vector + 1e-3)
        return conditioned


class AboveExact(Exact):
    """It is said to be a bound, and is not."""

    def evaluate(self, gp, **options):
        value, gradient = super().evaluate(gp, **options)
        return value + 0.5, gradient

    def condition(self, gp):
        right = super().condition(gp)
        return Changed(right, log_likelihood=right.log_likelihood + 0.5)


WRONG = {
    OtherJacobian: "own units|log likelihood",
    WrongGradient: r"likelihood's gradient is that of differences: by kernel\.",
    WrongProfiledGradient: "profiled likelihood's gradient",
    NoProfile: "profiled likelihood is that where the model is moved to|profiled likelihood's gradient",
    LeftOutWithoutNoise: "left-out target's sd includes its noise",
    LeftOutIsIn: "leave-one-out is what is predicted without the row",
    DoubledTerm: "add up to the posterior mean",
    Centred: "alone as among others",
    PriorVariance: "posterior variance is the exact one",
    Moving: "leaves the hyperparameters where they are",
}


@pytest.mark.parametrize(("method", "law"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_method_is_caught(method, law):
    with pytest.raises(AssertionError, match=f"^inference exact: .*({law})"):
        check_inference(method())


# An approximation has no dense matrices to be compared with: what it says of variances and of rows left out has.

FEW = {"vecchia": Vecchia(neighbours=4), "sgpr": Sgpr(inducing=6)}


def approximate(method, wrong):
    """Return `method` with the fault of `wrong`, a subclass of Conditioned."""

    class Approximate(type(method)):
        def condition(self, gp):
            return wrong.wrong(self, super().condition(gp), gp)

    return Approximate.model_construct(**dict(method))


class TooSure(Conditioned):
    """It forgets a tenth of what is left of the variance."""

    def wrong(self, conditioned, gp):
        def moments(x):
            found = conditioned.moments(x)
            return dataclasses.replace(found, variance=0.9 * found.variance)

        return Changed(conditioned, moments=moments)


class TooUnsure(Conditioned):
    """Its variances are above the prior's."""

    def wrong(self, conditioned, gp):
        def moments(x):
            found = conditioned.moments(x)
            return dataclasses.replace(found, variance=found.variance + 0.1 * gp.kernel(x, diag=True).detach().numpy())

        return Changed(conditioned, moments=moments)


class LeftOutMeanIsIn(Conditioned):
    """Its left-out means are those with the row."""

    def wrong(self, conditioned, gp):
        return Changed(conditioned, leave_one_out=lambda: (conditioned.training_mean(), conditioned.leave_one_out()[1]))


WRONG_APPROXIMATIONS = {
    LeftOutIsIn: "leave-one-out is what it predicts without the row",
    LeftOutMeanIsIn: "leave-one-out is what it predicts without the row",
    TooSure: "leave-one-out is what it predicts without the row",
    PriorVariance: "leave-one-out is what it predicts without the row",
    TooUnsure: "no posterior variance is above the prior's",
}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize(
    ("wrong", "law"), WRONG_APPROXIMATIONS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_wrong_approximation_is_caught(name, wrong, law):
    with pytest.raises(AssertionError, match=f"^inference {name}: {law}"):
        check_inference(approximate(FEW[name], wrong), exact=False, is_bound=name == "sgpr")


def test_a_bound_above_the_exact_likelihood_is_caught():
    with pytest.raises(AssertionError, match="it is a bound"):
        check_inference(AboveExact(), exact=False, is_bound=True)


# What is done with methods, wrong by another's number of rows: every method is judged in the end by what is reported.


def test_a_ranking_with_the_jacobian_of_all_rows_is_caught(monkeypatch):
    scored = fit._scored

    def of_all_rows(*arguments):
        fitted, scores = scored(*arguments)
        on_rows = fitted.inference.learnt_on(fitted.gp)
        change = fitted.gp.log_jacobian - on_rows.log_jacobian
        return fitted, scores | {"log_marginal_likelihood": scores["log_marginal_likelihood"] + change}

    monkeypatch.setattr(fit, "_scored", of_all_rows)
    with pytest.raises(AssertionError, match=r"ranked by, of 20 rows, is less by 20 log c for y times c"):
        check_inference({"kind": "exact", "rows": 20})
    check_inference({"kind": "exact"})


def test_a_subset_with_the_jacobian_of_all_rows_is_caught(monkeypatch):
    subset = GaussianProcess.subset

    def of_all_rows(self, rows):
        part = subset(self, rows)
        part.__class__ = type("Part", (GaussianProcess,), {"log_jacobian": self.log_jacobian})
        return part

    monkeypatch.setattr(GaussianProcess, "subset", of_all_rows)
    with pytest.raises(AssertionError, match=r"is the log likelihood of these rows|20 log c"):
        check_inference({"kind": "exact", "rows": 20})


def test_a_trace_per_datum_of_all_rows_is_caught(monkeypatch):
    trace = Fitted.trace.fget

    def of_all_rows(self):
        table, rows = trace(self), self.search.rows or self.data.n
        offset = np.log(self.gp.scope.y_scale)
        return table.assign(nats_per_datum=offset + (table["nats_per_datum"] - offset) * rows / self.data.n)

    monkeypatch.setattr(Fitted, "trace", property(of_all_rows))
    with pytest.raises(AssertionError, match="lowest loss per datum of the trace"):
        check_inference({"kind": "exact", "rows": 20})


def test_the_sd_of_the_function_for_that_of_an_observation_is_caught(monkeypatch):
    predict = Fitted.predict

    def swapped(self, *arguments, **named):
        right = predict(self, *arguments, **named)
        return Posterior(right.x, right.columns, right.y, right.f, right.components)

    monkeypatch.setattr(Fitted, "predict", swapped)
    with pytest.raises(AssertionError, match="sd_y² is sd_f² of the function and the noise's variance"):
        check_inference({"kind": "exact"})
