"""The model file: training rows, learnt values and specs in one safetensors file, checked when it is read.

A file is not trusted.  No code in it is run.  The name, type and size of every key and tensor are checked, and nothing
made from it is larger than what the file itself contains.  A loaded model predicts at the draws of hyperparameters that
the file keeps; a file without any, of an earlier version, loads too.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from ..dataset import Dataset, TableStatistics
from ..inference.method import Method, Screened, Search
from ..model.model import GaussianProcess, Model
from ..spec import Fault, InputError, parse
from ..training import Train
from ..transforms import power_of
from .convergence import Convergence
from .draws import Draws
from .header import AlternativeHeader, DrawsHeader, Header, PartHeader, SearchHeader
from .uncertainty import Laplace, Nuts

FORMAT = 1  # to be increased when older files can no longer be read
ROWS = ("noise_sd", "run", "step")  # what else may be known of each row
LARGEST = 1e100  # largest number in a file; sums of squares of larger ones overflow float64


@dataclass(frozen=True, eq=False)
class Part:
    """A fitted model without its rows, over which it is `built`; one that was read is at its starts.

    An alternative to the first model of a file has a `name`, and `log_odds` beside it.
    """

    model: Model
    inference: Method
    train: Train
    vector: np.ndarray
    search: Search | None
    built: GaussianProcess
    draws: Mapping[Laplace | Nuts, Draws]
    name: str = ""
    log_odds: float = 0.0


def write(path: str | Path, data: Dataset, part: Part, alternatives: Sequence[Part] = ()) -> None:
    """Write a safetensors file: training rows, each model's learnt vector and draws, and the specs as one key of JSON.

    The specs keep their written order, because it is the order of a sum's terms.
    """
    tensors = {"x": data.x, "y": data.observed}
    tensors |= {name: known for name in ROWS if (known := getattr(data, name)) is not None}
    header = {"format": FORMAT, "columns": list(data.columns), **_part(part, "", tensors)}
    if data.levels:
        header["levels"] = {name: list(levels) for name, levels in data.levels.items()}
    if table := data.table:  # the header's numbers need not keep every digit
        header["whole"], tensors["whole.x"], tensors["whole.y"] = table.n, table.x, table.y
    if alternatives:
        header["alternatives"] = [
            {"name": each.name, "log_odds": each.log_odds, **_part(each, _prefix(k), tensors)}
            for k, each in enumerate(alternatives)
        ]
    # One metadata key: with several, their order in the file changes from run to run.
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, {"gp": json.dumps(header)})


def _prefix(k: int) -> str:
    """Return what the names of the k-th alternative's tensors begin with."""
    return f"alternatives.{k}."


def _own(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _part(part: Part, prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the header of a model, and add its tensors, whose names begin with `prefix`."""
    specs = {"model": part.model, "inference": part.inference, "train": part.train}
    # Defaults are written too, because another version may have other defaults.
    written = {name: spec.model_dump(exclude_none=True) for name, spec in specs.items()}
    header: dict[str, Any] = {"names": part.built.parameters.names, **written}
    tensors[f"{prefix}vector"] = part.vector
    if search := part.search:
        header["search"] = {name: getattr(search, name) for name in ("ends", "starts", "evaluations")}
        if search.rows is not None:
            header["search"]["rows"] = search.rows
        if search.screened:
            header["search"]["screened"] = search.screened.to_dict()
        if search.optima:
            values, vectors = zip(*search.optima, strict=True)
            tensors[f"{prefix}optima.nats"], tensors[f"{prefix}optima.vectors"] = np.array(values), np.array(vectors)
    for i, (kind, drawn) in enumerate(part.draws.items()):
        header.setdefault("draws", []).append(_written(kind, drawn))
        for name in ("vectors", "log_weights", "sampled", "units"):
            if (array := getattr(drawn, name)) is not None:
                tensors[f"{prefix}draws.{i}.{name}"] = array
    return header


def _written(kind: Laplace | Nuts, draws: Draws) -> dict[str, Any]:
    """Return the header's part of some draws."""
    known = {"by": kind.model_dump(), "effective": draws.effective, "dropped": draws.dropped}
    if math.isfinite(draws.pareto_k):
        known["pareto_k"] = draws.pareto_k
    return known if draws.chains is None else known | {"chains": asdict(draws.chains)}


def read(path: str | Path) -> tuple[Dataset, list[Part]]:
    """Return the rows, and the models of them that `write` wrote, the best first.

    Raises InputError, in one line, if the file is not a complete model file.
    """
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


def _checked(tensors: dict[str, np.ndarray], header: Any, size: int) -> tuple[Dataset, list[Part]]:
    if isinstance(header, dict) and header.get("format", FORMAT) != FORMAT:
        raise InputError(Fault("", f"format {header['format']!r:.20} is not {FORMAT}, this version's", "train again"))
    read = parse(Header, header, "header")
    # Each of a model's counts has as many numbers, or names, in the file.
    written = [header["model"], *(each["model"] for each in header.get("alternatives", ()))]
    if any(count > size for count in _counts({str(k): model for k, model in enumerate(written)})):
        raise InputError(_fault("a count in header.model is larger than the file"))
    data = _data(tensors, read)
    headers = [("", read), *((_prefix(k), each) for k, each in enumerate(read.alternatives))]
    parts = [_built(data, each, _own(tensors, prefix), read) for prefix, each in headers]
    return data, parts


def _built(data: Dataset, header: PartHeader, tensors: dict[str, np.ndarray], first: PartHeader) -> Part:
    """Return a model over its rows, whose header and `tensors` are known to be whole.

    Raises InputError where these do not fit its kind, or it cannot be averaged with the `first` of the file.
    """
    if header.inference != first.inference or header.train != first.train:
        raise InputError(_fault("models of which predictions are averages have different inference or train"))
    if _units(header.model) != _units(first.model):
        raise InputError(_fault("models of which predictions are averages have different transforms or units"))
    with np.errstate(all="ignore"):
        built = header.model.build(data)
    if built.parameters.names != header.names:
        raise InputError(Fault("", "its hyperparameters are not this version's", "train again"))
    method: Method = header.inference
    expected, vector = len(built.parameters.start) + method.n_auxiliary(built), tensors["vector"]
    if len(vector) != expected:
        raise InputError(_fault(f"tensor 'vector' has {len(vector)} values, and its model has {expected}"))
    drawn = _draws(tensors, header.draws, power_of(header.model.transform))
    vectors = [each for draws in drawn.values() for each in draws.vectors]
    for each in (vector, *tensors.get("optima.vectors", ()), *vectors):
        _refuse_overflow(built, each)
    beside = (header.name, header.log_odds) if isinstance(header, AlternativeHeader) else ()
    return Part(header.model, method, header.train, vector, _search(tensors, header.search), built, drawn, *beside)


def _units(model: Model) -> tuple[Any, Any]:
    """Return the scales of a model, and its transform of y but for a power."""
    return model.standardize, model.transform and model.transform.model_dump(exclude={"power", "learnt"})


def _shapes(header: PartHeader, prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's tensors, by their names; −1 is any number."""
    p = tensors[f"{prefix}vector"].size if f"{prefix}vector" in tensors else 0
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}vector": (-1,)}
    if (name := f"{prefix}optima.nats") in tensors:
        shapes |= {name: (-1,), f"{prefix}optima.vectors": (tensors[name].size, p)}
    for i, of in enumerate(header.draws):
        own = f"{prefix}draws.{i}."
        n = tensors[f"{own}log_weights"].size if f"{own}log_weights" in tensors else 0
        shapes |= {f"{own}log_weights": (-1,), f"{own}vectors": (n, p)}
        if of.chains:
            shapes[f"{own}sampled"] = (-1, p)
        if f"{own}units" in tensors:
            shapes[f"{own}units"] = (n, 3)
    return shapes


def _data(tensors: dict[str, np.ndarray], header: Header) -> Dataset:
    """Return the rows, after checking names, types, shapes and sizes of all tensors."""
    d = len(header.columns)
    shapes: dict[str, tuple[int, ...]] = {"x": (-1, d), "y": (-1,), **_shapes(header, "", tensors)}
    for k, alternative in enumerate(header.alternatives):
        shapes |= _shapes(alternative, _prefix(k), tensors)
    shapes |= {name: (-1, d) if name == "step" else (-1,) for name in ROWS if name in tensors}
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


def _search(tensors: dict[str, np.ndarray], header: SearchHeader | None) -> Search | None:
    if header is None:
        return None
    ends = tuple((int(rows), value) for rows, value in header.ends)
    nats, vectors = tensors.get("optima.nats", np.zeros(0)), tensors.get("optima.vectors", np.zeros((0, 0)))
    optima = tuple(zip(nats.tolist(), vectors, strict=True))
    screened = None if header.screened is None else Screened.from_dict(header.screened.to_dict())
    return Search(
        tensors["vector"], (), ends, header.starts, header.evaluations, header.rows, optima=optima, screened=screened
    )


def _draws(
    tensors: dict[str, np.ndarray], headers: Sequence[DrawsHeader], power: object
) -> dict[Laplace | Nuts, Draws]:
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
