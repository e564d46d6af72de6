"""Every registered metric keeps the laws of gp.testing, and a wrong one is caught."""

import dataclasses

import numpy as np
import pytest

from gp.row_scores import nlpd
from gp.scores import METRICS, Metric, coverage
from gp.testing import check_metric


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_the_laws(name):
    check_metric(METRICS[name])


WRONG = {
    "a unit that is none of its own": (dataclasses.replace(METRICS["rmse"], unit=""), "of unit ''"),
    "a sum": (Metric(lambda y, f: np.full(len(y), float(len(y))), "sum"), "rows counted twice"),
    "the wrong direction": (dataclasses.replace(METRICS["crps"], better="higher"), "higher is better"),
    "a level that intervals do not have": (Metric(coverage(0.8), "coverage", better=0.9), r"come near 0\.9"),
    "an order of rows": (Metric(lambda y, f: (y - f.mean) * np.arange(len(y)), "order", unit="y"), "the order of rows"),
    "no residual": (Metric(lambda y, f: np.abs(y), "size", unit="y"), "a constant added"),
    "an improper density": (
        Metric(lambda y, f: nlpd(y, f) + np.log(f.sd), "improper", unit="", better="lower"),
        "of unit ''",
    ),
    "a score that likes large sds": (
        Metric(lambda y, f: np.abs(y - f.mean) / f.sd, "errors in sds", better="lower"),
        "it is proper",
    ),
}


@pytest.mark.parametrize(("metric", "law"), WRONG.values(), ids=WRONG)
def test_a_wrong_metric_is_caught(metric, law):
    with pytest.raises(AssertionError, match=law):
        check_metric(metric)
