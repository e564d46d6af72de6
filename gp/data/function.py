"""Function: rows drawn from a formula in x, with noise.

The formula is text from the user.  It is parsed by `ast`, checked against a whitelist, and turned into NumPy calls.  It
is never run as Python.
"""

import ast
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from ..dataset import Dataset, default_columns
from ..spec import Fault, InputError, Spec
from .source import Source

Rows = Annotated[int, Field(ge=1, le=100_000_000)]  # beyond, arrays are larger than most memories
Formula = Callable[[np.ndarray], np.ndarray]  # (n, d) inputs → values that broadcast to (n,)

CONSTANTS = {"pi": np.pi, "e": np.e}
FUNCTIONS = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
SIGNS: dict[type, Callable[..., Any]] = {ast.UAdd: np.positive, ast.USub: np.negative}
# Far above any formula that a person writes, and far below what exhausts the stack of the parser or of Python.
MAX_CHARACTERS, MAX_NODES, MAX_DEPTH = 1000, 500, 100


def _check_range(value: Any) -> Any:
    """Return `value` as written, if it is [lo, hi] or a list of such pairs."""
    pairs = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    for pair in pairs:
        # Half of the largest float, so that hi - lo does not overflow; True is an int to Python.
        if not (
            isinstance(pair, list)
            and len(pair) == 2
            and all(type(end) in (int, float) and abs(end) < sys.float_info.max / 2 for end in pair)
            and pair[0] < pair[1]
        ):
            raise InputError(
                Fault("", f"must be [lo, hi], or a list of such pairs: finite numbers with lo < hi (got {value!r:.60})")
            )
    return value


Range = Annotated[list[Any], PlainValidator(_check_range)]


class TruthInputs(Spec):
    """Inputs at which the true function is given, in addition to the training rows."""

    range: Range
    n: Rows


class Function(Source):
    """n rows of y = f(x) + noise_sd · N(0, 1).

    f is a formula in x, or in x1, x2, … if there are several ranges.
    """

    kind: Literal["function"] = "function"
    range: Range  # before `function`, because the number of inputs decides their names
    function: str
    n: Rows
    noise_sd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    test: TruthInputs | None = None

    @field_validator("function")
    @classmethod
    def _check_function(cls, text: str, info: ValidationInfo) -> str:
        if "range" in info.data:  # otherwise the fault of `range` is reported alone
            parse_formula(text, default_columns(len(_pairs(info.data["range"]))))
        return text

    @model_validator(mode="after")
    def _check_test(self) -> "Function":
        if self.test and len(_pairs(self.test.range)) != len(self.columns):
            raise InputError(
                Fault(
                    "",
                    f"test.range has {len(_pairs(self.test.range))} pairs [lo, hi], range has {len(self.columns)}",
                    "give one for each input",
                )
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the inputs' names."""
        return default_columns(len(_pairs(self.range)))

    @property
    def target(self) -> str:
        """Return the target's name."""
        return "y"

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the noisy training rows, and the true function at the rows of `test`.

        One input lies on linspace(lo, hi, n).  Several are uniform draws; those of `test` come from an independent
        stream, so that neither set changes with the other's n.  Raises InputError if a value is not finite.
        """
        rng = np.random.default_rng(seed)
        (rng_test,) = rng.spawn(1)
        x = _inputs(self.range, self.n, rng)
        y = self._values(x, "range") + self.noise_sd * rng.standard_normal(self.n)
        train = Dataset(x=x, columns=self.columns, y=y)
        if self.test is None:
            return train, None
        x_test = _inputs(self.test.range, self.test.n, rng_test)
        return train, Dataset(x=x_test, columns=self.columns, f=self._values(x_test, "test.range"))

    def _values(self, x: np.ndarray, field: str) -> np.ndarray:
        formula = parse_formula(self.function, self.columns)
        with np.errstate(all="ignore"):  # values that are not finite are refused just below
            f = np.broadcast_to(formula(x), len(x))
        if not np.isfinite(f).all():
            i = int(np.flatnonzero(~np.isfinite(f))[0])
            place = ", ".join(f"{name}={value:.6g}" for name, value in zip(self.columns, x[i], strict=True))
            raise InputError(
                Fault(
                    "function",
                    f"'{self.function}' is not finite at {place} (got {f[i]})",
                    f"choose a {field} where it is, or another function",
                )
            )
        return f


def parse_formula(text: str, inputs: Sequence[str]) -> Formula:
    """Return the function of x (n, d) that `text`, an expression in `inputs`, stands for.

    Raises ValueError if it is not such an expression, or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(Fault("", f"is {len(text)} characters long", f"write it in at most {MAX_CHARACTERS}"))
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = f"{error.msg}, character {error.offset}" if isinstance(error, SyntaxError) else "too deeply nested"
        raise InputError(
            Fault("", f"{text!r:.60} is no arithmetic expression ({reason})", "write one such as sin(2*pi*x)")
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise InputError(Fault("", f"{text!r:.60} has more than {MAX_NODES} parts", "write a shorter one"))
    return _build(tree.body, inputs, depth=1)


def _build(node: ast.AST, inputs: Sequence[str], depth: int) -> Formula:
    """Return the NumPy function of `node`, a whitelisted part of an expression."""
    if depth > MAX_DEPTH:
        raise InputError(Fault("", f"is nested more than {MAX_DEPTH} deep", "write a shorter one"))
    match node:
        case ast.Constant(value=int() | float() as number) if type(number) is not bool:
            return _constant(number)
        case ast.Name(id=name) if name in inputs:
            column = inputs.index(name)
            return lambda x: x[:, column]
        case ast.Name(id=name) if name in CONSTANTS:
            return _constant(CONSTANTS[name])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in SIGNS:
            return _apply(SIGNS[type(op)], _build(operand, inputs, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _apply(OPERATORS[type(op)], _build(left, inputs, depth + 1), _build(right, inputs, depth + 1))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return _apply(FUNCTIONS[name], _build(argument, inputs, depth + 1))
    raise InputError(Fault("", *_refusal(node, inputs)))


def _constant(number: float) -> Formula:
    if abs(number) > sys.float_info.max:
        raise InputError(Fault("", f"the number {str(number)[:12]}… is too large", "write a finite one"))
    # Always a float64: 9**9**9 is then infinite at once, while Python's integers would take forever.
    value = np.array(number, dtype=np.float64)
    return lambda _: value


def _apply(function: Callable[..., np.ndarray], *parts: Formula) -> Formula:
    return lambda x: function(*(part(x) for part in parts))


def _refusal(node: ast.AST, inputs: Sequence[str]) -> tuple[str, str]:
    """Return why `node` is not allowed in a formula, and what to write instead."""
    source = f"'{ast.unparse(node)[:60]}'"
    known = f"inputs {', '.join(inputs)}; constants {', '.join(CONSTANTS)}; functions {', '.join(FUNCTIONS)}"
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            return f"{source}: {name} takes one argument", ""
        case ast.Name(id=name) if name in FUNCTIONS:
            return f"{source} is a function", f"give it an argument, {name}({inputs[0]})"
        case ast.Name():
            return f"{source} is no name known here ({known})", ""
        case ast.Call(func=ast.Name()):
            return f"{source} calls no function known here ({known})", ""
        case ast.BinOp(op=ast.BitXor()):
            return f"{source}: '^' is no operator here", "write a power as **"
        case _:
            return f"{source} is not allowed", f"use numbers, + - * / **, brackets ({known})"


def _pairs(value: list[Any]) -> list[list[float]]:
    return value if isinstance(value[0], list) else [value]


def _inputs(value: list[Any], n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n rows (n, d) in the ranges: evenly spaced if d = 1, else uniform draws."""
    low, high = np.array(_pairs(value), dtype=np.float64).T
    return np.linspace(low, high, n) if len(low) == 1 else rng.uniform(low, high, size=(n, len(low)))
