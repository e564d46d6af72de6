"""Who is measured: a short module here for each library, run as `benchmarks.peers.<module>` in its own environment.

To add one: a module with the tasks of `benchmarks.peers.protocol`, its pinned requirements in <requirements>.txt, and
its line in `PEERS`.  This file imports nothing of theirs: every environment loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EVALUATION, FIT, PREDICTION, SERIES = "evaluation", "fit", "prediction", "series"
ALL = (EVALUATION, FIT, PREDICTION)  # but for what takes a kernel of one input


@dataclass(frozen=True)
class Peer:
    """A library as it is measured: its module, the tasks it takes part in, and the settings it runs at."""

    label: str
    module: str
    settings: str
    requirements: str | None = None  # None: the project's own environment
    tasks: tuple[str, ...] = ALL
    kernels: tuple[str, ...] = ("rbf",)
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = True  # whether it claims the exact log marginal likelihood
    starts: str = "1"  # of a fit


OURS = "gp"
UNIT = "lapack"  # seconds are counted in its

PEERS: dict[str, Peer] = {
    UNIT: Peer("LAPACK alone", "lapack", "SciPy's OpenBLAS: the calls that nobody can avoid"),
    OURS: Peer(
        "this library",
        "ours",
        "`gp.fit` and `gp`'s defaults: candidates are screened by value, up to ten climbed, then some around the best",
        tasks=(*ALL, SERIES),
        kernels=("rbf", "matern52", "rbf+periodic"),
        starts="screened, up to 10",
    ),
    "gp-one-start": Peer(
        "this library, one start",
        "ours",
        "one climb from the default start, nothing screened",
        tasks=(FIT,),
        options={"train": {"kind": "lbfgs", "restarts": 0}},
    ),
    "gpflash": Peer(
        "gpflash",
        "gpflash",
        "its C++ likelihood with the least nugget, and its own fit (sequential quadratic programming), one start",
        requirements="gpflash",
        kernels=("rbf", "matern52"),
    ),
    "gpflash-starts": Peer(
        "gpflash, ten starts",
        "gpflash",
        "the same with its `use_multistart`, `n_ind_optz` 10, one at a time",
        requirements="gpflash",
        tasks=(FIT,),
        options={"starts": 10},
        starts="10",
    ),
    "gpytorch": Peer(
        "GPyTorch, Cholesky",
        "gpytorch",
        "Cholesky forced at every size, fast computations off; fitted by SciPy's L-BFGS-B, having none of its own, "
        "from one start",
        requirements="gpytorch",
    ),
    "gpytorch-defaults": Peer(
        "GPyTorch, defaults",
        "gpytorch",
        "as it comes: above 800 rows conjugate gradients and a stochastic log-determinant; fitted as in its tutorial, "
        "by 100 steps of Adam at 0.1 from one start",
        requirements="gpytorch",
        options={"defaults": True},
        exact=False,
    ),
    "botorch": Peer(
        "BoTorch",
        "botorch",
        "`fit_gpytorch_mll` (L-BFGS-B) over the same model without priors, Cholesky forced; one start",
        requirements="botorch",
        tasks=(FIT,),
    ),
    "scikit-learn": Peer(
        "scikit-learn",
        "sklearn",
        "analytic gradient, no copy of the kernel; its L-BFGS-B, one start; its mean is y's average, as it learns none",
        requirements="scikit-learn",
    ),
    "gpy": Peer("GPy", "gpy", "its own L-BFGS-B, one start", requirements="gpy"),
    "gpflow": Peer(
        "GPflow", "gpflow", "compiled by tf.function; its SciPy optimiser (L-BFGS-B), one start", requirements="gpflow"
    ),
    "gpjax": Peer("GPJax", "gpjax", "jit, float64, jitter 0; `fit_scipy` (BFGS), one start", requirements="gpjax"),
    "tinygp": Peer(
        "tinygp",
        "tinygp",
        "jit, float64; SciPy's L-BFGS-B from one start, having no optimiser of its own",
        requirements="tinygp",
        tasks=(*ALL, SERIES),
    ),
    "celerite2": Peer(
        "celerite2",
        "celerite2",
        "the value alone, as its NumPy interface has no gradient; its Matern32Term approximates, eps 0.001",
        requirements="celerite2",
        tasks=(SERIES,),
        exact=False,
    ),
}
