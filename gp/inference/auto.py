"""Chooses an inference method: exact if time and memory allow, else by the number of rows and inputs."""

from typing import Literal

from gp.inference.exact import Exact
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.inducing.svgp import Svgp
from gp.inference.method import Method
from gp.inference.nearest.vecchia import Vecchia
from gp.model.model import Model
from gp.spec import InputError

# Up to this number of rows the exact method is used: at that size an evaluation takes about 3 s of one core (ARD-RBF, d
# = 8; it grows as n³) and 0.25 GB, and a fit a minute or two.
EXACT_ROWS = 5000
# Up to this number of rows, hyperparameters are fitted to EXACT_ROWS rows, and all rows are factorised: a factor takes
# 40 s of one core and 3.2 GB, the stages train and predict about five times that time; it predicts better than inducing
# inputs do (benchmarks/README.md, UCI tables).
FACTOR_ROWS = 20_000
# Up to this number of inputs, nearest neighbours have nearly all the information (benchmarks/README.md, large tables).
FEW_INPUTS = 4
# Up to this number of inputs, nearest neighbours predicted better than inducing inputs on every table of real data
# measured.  For smooth functions with much noise it is the other way round.
MORE_INPUTS = 20
# Up to this number of rows, every step uses all of them: an evaluation of sgpr then takes about 8 s of one core.  With
# more rows and many inputs, the tree search for neighbours is slow.
SGPR_ROWS = 200_000


class Auto(Method):
    """Chooses a method by the data; the fit reports which one, and why.

    exact for up to EXACT_ROWS rows if memory allows, and for noise with parameters for each row.  Otherwise vecchia for
    up to FEW_INPUTS inputs.  For more inputs: up to FACTOR_ROWS rows exact, with hyperparameters from EXACT_ROWS rows;
    up to SGPR_ROWS rows vecchia for up to MORE_INPUTS inputs, else sgpr; for more rows svgp.  Each with its defaults.
    """

    kind: Literal["auto"] = "auto"

    def resolve(self, n: int, d: int, model: Model) -> tuple[Method, str]:
        """Return the method for n rows of d inputs, and the reason."""
        if model.noise.by_row:
            return Exact(), f"noise of kind {model.noise.kind} learns something for each row, which exact alone takes"
        fits = _fits_in_memory(n)
        if n <= EXACT_ROWS and fits:
            return Exact(), f"n={n} is at most {EXACT_ROWS}"
        too_large = f"n={n} is more than {EXACT_ROWS}"
        if not fits and n <= (EXACT_ROWS if d <= FEW_INPUTS else FACTOR_ROWS):
            too_large = f"exact inference over n={n} rows needs more memory than there is"
        if d <= FEW_INPUTS:
            return Vecchia(), f"{too_large}; nearest neighbours suit {d} inputs, as up to {FEW_INPUTS}"
        if n <= FACTOR_ROWS and fits:
            return Exact(rows=EXACT_ROWS), (
                f"{too_large}, on which hyperparameters are learnt; the posterior is of all, as up to {FACTOR_ROWS}"
            )
        if n <= SGPR_ROWS and d <= MORE_INPUTS:
            return Vecchia(), (
                f"{too_large}; of {d} inputs, as up to {MORE_INPUTS}, nearest neighbours mostly predict better than "
                "inducing inputs (not of smooth functions in much noise: sgpr)"
            )
        if n <= SGPR_ROWS:
            return (
                Sgpr(),
                f"{too_large}; of {d} inputs, more than {MORE_INPUTS}, inducing inputs learn more than neighbours",
            )
        return Svgp(), f"{too_large}, and than {SGPR_ROWS}: minibatches, as {d} inputs are more than {FEW_INPUTS}"


def _fits_in_memory(n: int) -> bool:
    try:
        Exact().check(n)
    except InputError:
        return False
    return True
