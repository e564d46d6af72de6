"""Specs to check: examples of every registered kind from its schema, and specs with other hyperparameters."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter

from ..parameters.hyperparameters import Hyperparameter
from ..spec import Spec, kinds, parse


def as_spec(union: Any, written: Any) -> Any:
    """Return a spec as it is; parse a mapping, as params.yaml would have it, as a member of `union`.

    A spec need not be registered, so that a kernel of another project can be checked.
    """
    return written if isinstance(written, Spec) else parse(union, written)


def examples(union: Any, given: Mapping[str, list[dict[str, Any]]] | None = None) -> dict[str, dict[str, Any]]:
    """Return examples of what a user may write for every kind of `union`: readable name → mapping.

    Each kind appears with its defaults, and once with each other value of its switches (booleans, literals).  `given`
    lists, by kind, mappings with the keys that a spec requires, or that need an example of their own.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind, cls in kinds(union).items():
        for keys in (given or {}).get(kind, [{}]):
            written = [keys, *({**keys, name: value} for name, value in _switches(cls) if name not in keys)]
            for one in written:
                values = [f"{key} {value}" for key, value in one.items() if isinstance(value, str | int | float)]
                name = " ".join([kind, ", ".join(values)]).strip()
                found[name if name not in found else f"{name} ({len(found)})"] = {"kind": kind, **one}
    return found


def _switches(cls: type[Spec]) -> list[tuple[str, Any]]:
    """Return (key, value) for each value, except the default, of the fields that have few values."""
    return [
        (name, value)
        for name, field in cls.model_fields.items()
        if name != "kind"
        for value in _choices(field.annotation)
        if value != field.default
    ]


def _choices(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if annotation is bool:
        return (False, True)
    if origin is Literal:
        return get_args(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(value for part in get_args(annotation) for value in _choices(part))
    return ()


def without_values(spec: Any) -> Any:
    """Return `spec` without values of hyperparameters: all starts come from the data."""
    changed: dict[str, Any] = {}
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, Hyperparameter):
            changed[name] = type(spec).model_fields[name].default
        elif isinstance(value, Spec):
            changed[name] = without_values(value)
        elif isinstance(value, dict) and value and all(isinstance(part, Spec) for part in value.values()):
            changed[name] = {key: without_values(part) for key, part in value.items()}
    return spec.model_copy(update=changed)


def with_values(spec: Any, values: Mapping[str, Any]) -> Any:
    """Return `spec` with the given hyperparameters, by name (`lengthscale`; in a sum `trend.lengthscale`)."""
    changed: dict[str, Any] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        if first in type(spec).model_fields and not (rest and not isinstance(getattr(spec, first), Spec)):
            old = changed.get(first, getattr(spec, first))
            changed[first] = with_values(old, {rest: value}) if rest else _hyperparameter(spec, first, value)
            continue
        field = next(
            name
            for name in type(spec).model_fields
            if isinstance(getattr(spec, name), dict) and first in getattr(spec, name)
        )
        parts = dict(changed.get(field, getattr(spec, field)))
        parts[first] = with_values(parts[first], {rest: value})
        changed[field] = parts
    return spec.model_copy(update=changed)


def _hyperparameter(spec: Spec, name: str, value: Any) -> Any:
    field = type(spec).model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation).validate_python(value)
