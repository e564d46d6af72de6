"""Gaussian process regression: fit, predict, evaluate.

The package is `gp` in a folder of studies, and `gp_studies` where its wheel is installed (another `gp` is on PyPI):
its modules import one another by relative names.

Names are resolved on first use, so `import gp` alone does not load torch.  The first use of a name that needs torch
(`fit`, `load`) makes float64 torch's default dtype for the whole process.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

_HOME = {
    "fit": ".fitted.fit",
    "fit_parquet": ".parquet",
    "load": ".fitted.fitted",
    "Fitted": ".fitted.fitted",
    "log_marginal_likelihood": ".fitted.fit",
    "evaluate": ".scores",
    "Posterior": ".posterior",
    "Dataset": ".dataset",
    "InputError": ".spec",
}
__all__ = sorted(_HOME)


def on_first_use(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__` (PEP 562): a name is imported from its `.module` when asked."""
    known = sorted(modules)

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"{package} has no {name!r} (known: {', '.join(known)})")
        return getattr(importlib.import_module(modules[name], package), name)

    return get, lambda: known


__getattr__, __dir__ = on_first_use(__name__, _HOME)
