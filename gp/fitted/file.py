"""The model file: training rows, learnt values and specs in one safetensors file, checked when it is read.

A file is not trusted.  No code in it is run.  The name, type and size of every key and tensor are checked, and nothing
made from it is larger than what the file itself contains.  A loaded model predicts at the draws of hyperparameters that
the file keeps; a file without any, of an earlier version, loads too.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import save_file

from ..dataset import Dataset, TableStatistics
from ..inference import Inference
from ..inference.method import Method, Screened, Search
from ..model.model import GaussianProcess, Model
from ..spec import Count, Fault, FiniteFloat, InputError, OneOf, Spec, parse
from ..training import Train
from ..transforms import power_of
from .convergence import Convergence
from .draws import Draws
from .uncertainty import Laplace, Nuts

FORMAT = 1  # to be increased when older files can no longer be read
ROWS = ("noise_sd", "run", "step")  # what else may be known of each row
LARGEST = 1e100  # largest number in a file; sums of squares of larger ones overflow float64


@dataclass(frozen=True, eq=False)
class Saved:
    """The content of a model file; `built` is the model over `data`, at its starts."""

    data: Dataset
    model: Model
    inference: Method
    train: Train
    vector: np.ndarray
    search: Search | None
    built: GaussianProcess
    draws: Mapping[Laplace | Nuts, Draws] = field(default_factory=dict)


class _Range(Spec):
    """The values between which a search looked for a hyperparameter's start."""

    lower: FiniteFloat
    upper: FiniteFloat


class _Screened(Spec):
    """A `Screened` (gp.inference.method)."""

    points: Annotated[int, Field(ge=0)]
    candidates: Annotated[int, Field(ge=0)]
    ranges: dict[str, _Range]


class _Search(Spec):
    """A `Search` without its values, which a file does not keep, and its optima, which are tensors."""

    ends: list[Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]]
    starts: Annotated[int, Field(ge=0)]
    evaluations: Annotated[int, Field(ge=0)]
    rows: Count | None = None
    screened: _Screened | None = None


class _Chains(Spec):
    """A `Convergence` (gp.fitted.convergence)."""

    chains: Count
    draws: Count
    r_hat: FiniteFloat
    ess_bulk: FiniteFloat
    ess_tail: FiniteFloat
    divergences: Annotated[int, Field(ge=0)]
    evaluations: Annotated[int, Field(ge=0)]


class _Draws(Spec):
    """A `Draws` without its vectors and weights, which are tensors, and how these were drawn."""

    by: Annotated[Laplace | Nuts, OneOf()]
    effective: FiniteFloat
    dropped: Annotated[int, Field(ge=0)]
    pareto_k: FiniteFloat | None = None
    chains: _Chains | None = None


class _Header(Spec):
    """The JSON beside the tensors; `whole` is the number of rows of the table, if the file's rows are a sample."""

    format: int
    columns: list[str]
    names: list[str]
    model: Model
    inference: Inference
    train: Train
    whole: Count | None = None
    search: _Search | None = None
    draws: list[_Draws] = Field(default_factory=list)
    levels: dict[str, list[str]] = Field(default_factory=dict)


def write(
    path: str | Path,
    data: Dataset,
    specs: Mapping[str, Spec],
    names: list[str],
    vector: np.ndarray,
    search: Search | None,
    draws: Mapping[Laplace | Nuts, Draws],
) -> None:
    """Write a safetensors file: training rows, learnt `vector`, `draws` about it, and the `specs` as one key of JSON.

    The specs keep their written order, because it is the order of a sum's terms.
    """
    # Defaults are written too, because another version may have other defaults.
    written = {name: spec.model_dump(exclude_none=True) for name, spec in specs.items()}
    header: dict[str, Any] = {"format": FORMAT, "columns": list(data.columns), "names": names, **written}
    if data.levels:
        header["levels"] = {name: list(levels) for name, levels in data.levels.items()}
    if search:
        header["search"] = {name: getattr(search, name) for name in ("ends", "starts", "evaluations")}
        if search.rows is not None:
            header["search"]["rows"] = search.rows
        if search.screened:
            header["search"]["screened"] = search.screened.to_dict()
    tensors = {"x": data.x, "y": data.observed, "vector": vector}
    if search and search.optima:
        values, vectors = zip(*search.optima, strict=True)
        tensors |= {"optima.nats": np.array(values), "optima.vectors": np.array(vectors)}
    tensors |= {name: known for name in ROWS if (known := getattr(data, name)) is not None}
    if table := data.table:  # the header's numbers need not keep every digit
        header["whole"], tensors["whole.x"], tensors["whole.y"] = table.n, table.x, table.y
    for i, (kind, drawn) in enumerate(draws.items()):
        header.setdefault("draws", []).append(_written(kind, drawn))
        tensors |= {f"draws.{i}.vectors": drawn.vectors, f"draws.{i}.log_weights": drawn.log_weights}
        if drawn.sampled is not None:
            tensors[f"draws.{i}.sampled"] = drawn.sampled
        if drawn.units is not None:
            tensors[f"draws.{i}.units"] = drawn.units
    # One metadata key: with several, their order in the file changes from run to run.
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, {"gp": json.dumps(header)})


def _written(kind: Laplace | Nuts, draws: Draws) -> dict[str, Any]:
    """Return the header's part of some draws."""
    known = {"by": kind.model_dump(), "effective": draws.effective, "dropped": draws.dropped}
    if math.isfinite(draws.pareto_k):
        known["pareto_k"] = draws.pareto_k
    return known if draws.chains is None else known | {"chains": asdict(draws.chains)}


def read(path: str | Path) -> Saved:
    """Return what `write` wrote.  Raises InputError, in one line, if the file is not a complete model file."""
    try:
        tensors, header = _parts(Path(path))
        return _checked(tensors, header, Path(path).stat().st_size)
    except InputError as error:
        raise InputError(replace(error.faults[0], source=str(path))) from None
    except RecursionError:
        raise InputError(replace(_fault("its header is nested too deeply"), source=str(path))) from None


def _parts(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["gp"])
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except FileNotFoundError:
        fix = "run the stage train first, or give the path of a saved model"
        raise InputError(Fault("", "no such file", fix)) from None
    except Exception as error:  # safetensors has no common class for its errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(_fault(f"not a saved model ({reason:.80})")) from error


def _checked(tensors: dict[str, np.ndarray], header: Any, size: int) -> Saved:
    if isinstance(header, dict) and header.get("format", FORMAT) != FORMAT:
        raise InputError(Fault("", f"format {header['format']!r:.20} is not {FORMAT}, this version's", "train again"))
    read = parse(_Header, header, "header")
    # Each of a model's counts has as many numbers, or names, in the file.
    if any(count > size for count in _counts(header["model"])):
        raise InputError(_fault("a count in header.model is larger than the file"))
    data = _data(tensors, read)
    with np.errstate(all="ignore"):
        built = read.model.build(data)
    if built.parameters.names != read.names:
        raise InputError(Fault("", "its hyperparameters are not this version's", "train again"))
    method: Method = read.inference
    expected, vector = len(built.parameters.start) + method.n_auxiliary(built), tensors["vector"]
    if len(vector) != expected:
        raise InputError(_fault(f"tensor 'vector' has {len(vector)} values, and its model has {expected}"))
    drawn = _draws(tensors, read.draws, power_of(read.model.transform))
    vectors = [each for draws in drawn.values() for each in draws.vectors]
    for each in (vector, *tensors.get("optima.vectors", ()), *vectors):
        _refuse_overflow(built, each)
    return Saved(data, read.model, method, read.train, vector, _search(tensors, read.search), built, drawn)


def _data(tensors: dict[str, np.ndarray], header: _Header) -> Dataset:
    """Return the rows, after checking names, types, shapes and sizes of all tensors."""
    d = len(header.columns)
    shapes: dict[str, tuple[int, ...]] = {"x": (-1, d), "y": (-1,), "vector": (-1,)}
    shapes |= {name: (-1, d) if name == "step" else (-1,) for name in ROWS if name in tensors}
    p = tensors["vector"].size if "vector" in tensors else 0
    if "optima.nats" in tensors:
        shapes |= {"optima.nats": (-1,), "optima.vectors": (tensors["optima.nats"].size, p)}
    for i, of in enumerate(header.draws):
        n = tensors[f"draws.{i}.log_weights"].size if f"draws.{i}.log_weights" in tensors else 0
        shapes |= {f"draws.{i}.log_weights": (-1,), f"draws.{i}.vectors": (n, p)}
        if of.chains:
            shapes[f"draws.{i}.sampled"] = (-1, p)
        if f"draws.{i}.units" in tensors:
            shapes[f"draws.{i}.units"] = (n, 3)
    if header.whole is not None:
        shapes |= {"whole.x": (2, d), "whole.y": (2, 1)}
    if odd := sorted(shapes.keys() ^ tensors.keys()):
        raise InputError(_fault(f"tensor {odd[0]!r:.40} is {'missing' if odd[0] in shapes else 'unknown'}"))
    for name, shape in shapes.items():
        found = tensors[name]
        fits = found.ndim == len(shape) and all(a in (-1, b) for a, b in zip(shape, found.shape, strict=True))
        if found.dtype != np.float64 or not fits:
            raise InputError(_fault(f"tensor {name!r} is {found.dtype} of shape {found.shape}"))
        if not (np.abs(found) <= LARGEST).all():
            raise InputError(_fault(f"tensor {name!r} has a value that is not finite, or beyond {LARGEST:g}"))
    table = None
    if header.whole is not None:
        table = TableStatistics(header.whole, tensors["whole.x"], tensors["whole.y"])
        if table.n < len(tensors["y"]) or not (table.x[1] > 0).all() or not (table.y[1] > 0).all():
            raise InputError(_fault("header.whole is fewer rows than there are, or a scale is not positive"))
    rows: dict[str, Any] = {name: tensors[name] for name in ("x", "y", *ROWS) if name in tensors}
    levels = {name: tuple(known) for name, known in header.levels.items()}
    return Dataset(**rows, columns=tuple(header.columns), table=table, levels=levels)


def _refuse_overflow(built: GaussianProcess, vector: np.ndarray) -> None:
    """Raise InputError if a hyperparameter overflows float64 in the data's units."""
    for parameter, part in zip(built.parameters.free, built.parameters.split(vector), strict=False):
        with np.errstate(all="ignore"):
            values = parameter.in_data_units(part)
        if not np.isfinite(values).all() or (parameter.positive and not (values > 0).all()):
            raise InputError(_fault(f"{parameter.name} is {values.tolist()!s:.40}"))


def _search(tensors: dict[str, np.ndarray], header: _Search | None) -> Search | None:
    if header is None:
        return None
    ends = tuple((int(rows), value) for rows, value in header.ends)
    nats, vectors = tensors.get("optima.nats", np.zeros(0)), tensors.get("optima.vectors", np.zeros((0, 0)))
    optima = tuple(zip(nats.tolist(), vectors, strict=True))
    screened = None if header.screened is None else Screened.from_dict(header.screened.to_dict())
    return Search(
        tensors["vector"], (), ends, header.starts, header.evaluations, header.rows, optima=optima, screened=screened
    )


def _draws(tensors: dict[str, np.ndarray], headers: Sequence[_Draws], power: object) -> dict[Laplace | Nuts, Draws]:
    """Return the draws by how they were drawn.  Raises InputError for none, and for weights that do not sum to one."""
    drawn = {}
    for i, header in enumerate(headers):
        log_weights, k = tensors[f"draws.{i}.log_weights"], header.pareto_k
        if not (log_weights <= 1e-9).all() or abs(np.exp(log_weights).sum() - 1) > 1e-6:
            raise InputError(_fault(f"tensor 'draws.{i}.log_weights' has weights that do not sum to one"))
        chains = Convergence(**header.chains.model_dump()) if header.chains else None
        sampled, units = (tensors.get(f"draws.{i}.{name}") for name in ("sampled", "units"))
        possible = units is None or (power and (abs(units[:, 0] - 1) <= 1).all() and (units[:, 2] > 0).all())
        if not possible:
            raise InputError(_fault(f"tensor 'draws.{i}.units' has powers or scales that cannot be"))
        known = (-math.inf if k is None else k, header.effective, header.dropped, chains, sampled, units)
        drawn[header.by] = Draws(tensors[f"draws.{i}.vectors"], log_weights, *known)
    return drawn


def _counts(value: Any) -> Iterator[int]:
    """Yield all integers in a tree of mappings and lists."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _counts(part)


def _fault(why: str) -> Fault:
    return Fault("", why, "give a file that Fitted.save wrote")
