"""What can be written in each section of a model, read from the specs, so that the help of `gp.fit` stays right."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from ..inference import Inference
from ..model.kernels import Kernel
from ..model.means import Mean
from ..model.model import Model
from ..model.noise import Noise
from ..parameters.hyperparameters import Hyperparameter
from ..parameters.priors import PositivePrior, RealPrior
from ..spec import OneOf, Spec, kinds
from ..training import Train
from ..transforms import Transform

SECTIONS = {
    "model": Model,
    "model.kernel": Kernel,
    "model.mean": Mean,
    "model.noise": Noise,
    "model.transform": Transform,
    "inference": Inference,
    "train": Train,
    "hyperparameter": Hyperparameter,
    "prior": PositivePrior,
    "prior of what may be negative": RealPrior,
}
WIDTH = 110
MANY = 8  # kinds, of which the keys that most have are said once


def what_can_be_written() -> str:
    """Return the kinds and keys of each section, the default kind first, in lines indented as a docstring's."""
    lines = ["What can be written, {key: default}. A hyperparameter is its start, or a mapping:", ""]
    for name, section in SECTIONS.items():
        text = "; ".join(_keys(section))
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {name}: ", subsequent_indent="    ")
    return textwrap.indent("\n".join(lines), "    ")


def _keys(section: Any) -> Iterator[str]:
    """Yield what each kind of a section takes, and at the end the keys that most of them take."""
    if isinstance(section, type):
        yield _braces(section, set())
        return
    known = kinds(section)
    default = next((part.default for part in get_args(section)[1:] if isinstance(part, OneOf)), None)
    times = Counter(key for cls in known.values() for key in cls.model_fields if key != "kind")
    most = {key: times[key] for key in times if len(known) >= MANY and times[key] > len(known) // 2}
    for kind in sorted(known, key=lambda kind: kind != default):
        yield f"{kind} {_braces(known[kind], {'kind', *most})}".rstrip()
    if most:
        yield f"most take {{{', '.join(most)}}} too"


def _braces(cls: type[Spec], without: set[str]) -> str:
    fields = {name: field for name, field in cls.model_fields.items() if name not in without}
    found = []
    for name, field in fields.items():
        told = field.default if isinstance(field.default, bool | int | float | str) else None
        found.append(name if told is None else f"{name}: {str(told).lower() if isinstance(told, bool) else told}")
    return f"{{{', '.join(found)}}}" if found else ""
