"""What inference methods cannot take, each refused with what can."""

from ..model.kernels.features import Equal
from ..model.model import GaussianProcess
from ..spec import Fault, InputError, kind_of
from .method import Method

EXACT = "write `inference: {kind: exact}`, of many rows with `rows: 5000`"


def refuse_inputs(method: Method, gp: GaussianProcess) -> None:
    """Raise InputError where the method, or the kernel, cannot take inputs that are levels, or means along steps."""
    kind = f"inference of kind {kind_of(type(method))}"
    if gp.scope.levels and not method.is_dense:
        # Its points lie between rows, or near them.
        named = ", ".join(gp.scope.levels)
        raise InputError(Fault("inference", f"{named} is categorical, and {kind} knows no levels", EXACT))
    if gp.scope.step is None:
        return
    if not method.averages:
        why = f"each y is a mean along a step, and {kind} takes it for the function at a point"
        raise InputError(Fault("inference", why, f"{EXACT}; harmonic takes them too"))
    if any(isinstance(part, Equal) for part in gp.kernel.modules()):
        why = "each y is a mean along a step, and that of white noise is nothing"
        raise InputError(Fault("kernel", why, "leave the kernel of kind white out: noise has a level of its own"))


def refuse_steps(gp: GaussianProcess, what: str) -> None:
    """Raise InputError where rows are means along steps, which `what` cannot take."""
    if gp.scope.step is not None:
        why = f"each y is a mean along a step, and {what} takes rows at points alone"
        raise InputError(Fault("", why, "predict by this library: fitted.predict(x), with joint=True for draws"))


def refuse_noise_by_row(gp: GaussianProcess, method: str, taken: str = "gaussian or known") -> None:
    """Raise InputError if the noise has parameters for each row, which `method` cannot learn; others are `taken`."""
    if gp.noise.by_row:
        raise InputError(
            Fault(
                "noise.kind",
                f"{method} takes noise of kind {taken}, as others learn something for every row",
                "choose one of these, or inference: {kind: exact}",
            )
        )
