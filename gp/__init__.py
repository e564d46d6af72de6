"""Gaussian process regression: fit, predict, evaluate.

Names are resolved on first use, so `import gp` alone does not load torch.  The first use of a name that needs torch
(`fit`, `load`) makes float64 torch's default dtype for the whole process.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

_HOME = {
    "fit": "gp.fitted.fit",
    "fit_parquet": "gp.parquet",
    "load": "gp.fitted.fitted",
    "Fitted": "gp.fitted.fitted",
    "log_marginal_likelihood": "gp.fitted.fit",
    "evaluate": "gp.scores",
    "Posterior": "gp.posterior",
    "Dataset": "gp.dataset",
    "InputError": "gp.spec",
}
__all__ = sorted(_HOME)


def on_first_use(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__` (PEP 562), which import each name from its module when asked."""
    known = sorted(modules)

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"{package} has no {name!r} (known: {', '.join(known)})")
        return getattr(importlib.import_module(modules[name]), name)

    return get, lambda: known


__getattr__, __dir__ = on_first_use(__name__, _HOME)
