"""What is measured, one file per measure: a function of a `Plan` that returns what its JSON file holds."""

from collections.abc import Callable
from typing import Any

from benchmarks.measures.evaluation import evaluation
from benchmarks.measures.fit import fit
from benchmarks.measures.memory import memory
from benchmarks.measures.plan import Plan
from benchmarks.measures.prediction import prediction
from benchmarks.measures.series import series

MEASURES: dict[str, Callable[[Plan], dict[str, Any]]] = {
    "evaluation": evaluation,
    "memory": memory,
    "fit": fit,
    "prediction": prediction,
    "series": series,
}
