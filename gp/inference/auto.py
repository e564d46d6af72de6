"""The inference that suits the data: exact where time and memory allow, else what their number and inputs suggest."""

from typing import Literal

from gp.inference.exact import Exact
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.inducing.svgp import Svgp
from gp.inference.method import Method
from gp.inference.nearest.vecchia import Vecchia
from gp.model.model import Model
from gp.spec import InputError

# Rows up to which the exact method is taken: there an evaluation takes about 3 s of one core (ARD-RBF, d = 8; it grows
# as n³) and 0.25 GB, and a fit a minute or two.
EXACT_ROWS = 5000
# Rows up to which the posterior is that of all rows, by hyperparameters learnt on EXACT_ROWS of them: a factor takes
# 40 s of one core and 3.2 GB, the stages train and predict about five times that time; it predicts better than inducing
# inputs do (benchmarks/README.md, UCI tables).
FACTOR_ROWS = 20_000
# Inputs up to which a row's nearest neighbours know nearly all that the others do (benchmarks/README.md, large tables).
FEW_INPUTS = 4
# Inputs up to which they still predicted better than inducing inputs did, on every table of real data measured; where
# functions are smooth and the noise large it is the other way round.
MORE_INPUTS = 20
# Rows up to which every step goes through all of them: an evaluation of sgpr then takes about 8 s of one core.  Of
# more, a tree finds neighbours slowly where inputs are many.
SGPR_ROWS = 200_000


class Auto(Method):
    """The method that suits: a fit says which it took, and why.

    exact up to EXACT_ROWS rows if memory allows, and for noise that learns something for each row; else vecchia for up
    to FEW_INPUTS inputs.  Of more inputs, exact with hyperparameters from EXACT_ROWS rows up to FACTOR_ROWS; up to
    SGPR_ROWS, vecchia for up to MORE_INPUTS inputs, else sgpr; svgp beyond.  Each at its defaults.
    """

    kind: Literal["auto"] = "auto"

    def resolve(self, n: int, d: int, model: Model) -> tuple[Method, str]:
        """Return the method for n rows of d inputs, and why."""
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
