"""Gaussian process regression: fit, predict, evaluate.

Names are resolved on first use, so `import gp` alone does not load torch.  The first use of a name that needs torch
(`fit`, `load`) makes float64 torch's default dtype for the whole process.
"""

import importlib
from typing import Any

_HOME = {
    "fit": "gp.fitted.fit",
    "fit_parquet": "gp.fitted.parquet",
    "load": "gp.fitted.fitted",
    "Fitted": "gp.fitted.fitted",
    "log_marginal_likelihood": "gp.fitted.fit",
    "evaluate": "gp.scores",
    "Posterior": "gp.posterior",
    "Dataset": "gp.dataset",
    "InputError": "gp.spec",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"gp has no {name!r} (known: {', '.join(__all__)})")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
