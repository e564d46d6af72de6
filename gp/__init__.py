"""Gaussian process regression: fit, predict, evaluate.

Names are resolved on first use, so `import gp` alone loads no torch.
"""

import importlib
from typing import Any

_HOME = {
    "fit": "gp.fitting",
    "fit_parquet": "gp.streaming",
    "load": "gp.fitted",
    "Fitted": "gp.fitted",
    "log_marginal_likelihood": "gp.fitting",
    "evaluate": "gp.metrics",
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
