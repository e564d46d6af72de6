"""What fit.json and trace.csv say of a fitted model."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..spec import kind_of
from ..transforms import power_of
from .adaptive import over_plateaus
from .evidence import evidence
from .mixture import Mixture
from .optima import describe
from .shares import shares

if TYPE_CHECKING:
    from .fitted import Fitted


def of(fitted: "Fitted") -> dict[str, Any]:
    """Return likelihood (nats), hyperparameters by name, each start's end, the certificate, and what was searched."""
    log_prior = fitted.gp.parameters.log_prior(fitted.vector)[0]
    found = shares(fitted.gp, fitted._conditioned, _of_terms(fitted)) if fitted.gp.terms else {}
    (treatment, why), rows = fitted.treatment(), fitted.inference.effective_rows(fitted.gp)
    return {
        **({**found, "kernel": fitted.model.kernel.model_dump(exclude_none=True)} if found else {}),
        **({"evidence": gained} if (gained := evidence(fitted._learnt_on, fitted.inference)) else {}),
        "fit": {
            "log_marginal_likelihood": fitted.log_marginal_likelihood,
            **({"log_prior": log_prior} if fitted.gp.parameters.has_prior else {}),
            **({"effective_rows": round(rows)} if rows < fitted.data.n else {}),
            "hyperparameters": {**fitted.gp.parameters.by_name(), **power_of(fitted.model.transform)},
        },
        "ends": ends(fitted),
        "optima": describe(fitted.gp, fitted.search),
        **({"screened": fitted.search.screened.to_dict()} if fitted.search and fitted.search.screened else {}),
        "certificate": fitted.certificate.to_dict(),
        "diagnostics": fitted.certificate.diagnostics(),
        **({} if fitted.ranking is None else {"search": _ranking(fitted, fitted.ranking).to_dict(orient="index")}),
        "inference": fitted.inference.model_dump(exclude_defaults=True, exclude_none=True)
        | {"kind": kind_of(type(fitted.inference)), **({"why": fitted.why} if fitted.why else {})},
        "predictions": {**treatment.model_dump(), "why": why},
        "alarms": fitted.certificate.of_fit,
        "alarms_of_draws": fitted.certificate.of_draws,
        **fitted.certificate.named(),
    }


def ends(fitted: "Fitted") -> list[dict[str, Any]]:
    """Return what each start of the search ended at: on how many rows, and nats of y in its own units."""
    found = fitted.search.ends if fitted.search else ()
    return [{"rows": n, "nats": end + n * fitted.gp.log_jacobian_of_a_row} for n, end in found]


def _of_terms(fitted: "Fitted") -> Mixture | None:
    """Return the model at draws that show how far terms can stand for one another; None where there are no draws."""
    mixture = fitted.mixture()
    return mixture and over_plateaus(mixture, fitted._learnt_on, fitted.inference, fitted.modes)


def _ranking(fitted: "Fitted", ranking: pd.DataFrame) -> pd.DataFrame:
    """Return the ranking of kernels, with their weights where predictions by the default rule average over some."""
    models, log_weights = fitted.models(None)
    if len(models) == 1:
        return ranking
    names = [str(ranking.index[0]), *(each.name for each in fitted.alternatives)]
    weights = dict(zip(names, np.exp(log_weights).tolist(), strict=True))
    return ranking.assign(weight=[weights.get(str(name), 0.0) for name in ranking.index])


def trace(fitted: "Fitted") -> pd.DataFrame:
    """Return what training minimised, by evaluation (see `Fitted.trace`)."""
    if fitted.search and fitted.search.values:
        values, n = fitted.search.values, fitted.search.rows or fitted.gp.total
    else:  # nothing learnt, or long ago
        values, n = (fitted.log_marginal_likelihood - fitted.gp.log_jacobian,), fitted.gp.total
    loss = -fitted.gp.log_jacobian_of_a_row - np.array(values) / n
    return pd.DataFrame({"evaluation": np.arange(1, len(loss) + 1), "nats_per_datum": loss})
