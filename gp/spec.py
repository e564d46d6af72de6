"""What a user may write: frozen specs, unions chosen by `kind`, readable errors, YAML 1.2.

A spec is a pydantic class that refuses unknown keys and wrong types, and builds its own thing.  A union of specs
(`Annotated[A | B, OneOf()]`) is the registry of what may be chosen: there is no second list.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    TypeAdapter,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class InputError(ValueError):
    """The user's input is at fault: one message a line, each naming the place, the value seen and the mend."""

    def __init__(self, messages: str | Sequence[str]) -> None:
        self.messages = [messages] if isinstance(messages, str) else list(messages)
        super().__init__("\n".join(self.messages))


class Spec(BaseModel):
    """Base of everything a user may choose: frozen, strict, unknown keys refused."""

    # Strict, else `true` is 1 and "7" is 7; an int is still taken for a float.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what the user wrote, as mappings, lists and scalars (what was left to its default stays out)."""
        return self.model_dump(exclude_unset=True)


@dataclass(frozen=True)
class OneOf:
    """Makes `Annotated[A | B, OneOf()]` the type of a section that is an A or a B, chosen by its `kind`.

    Where no kind is written, it is `default`.
    """

    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return the schema of the union `source`, whose member is chosen before it is validated."""
        known = {kind_of(cls): cls for cls in _members(source)}
        members = tuple(Annotated[cls, Tag(_tag(cls))] for cls in known.values())
        # A union of one is no union; a second, unreachable member keeps the choice, and its messages, at work.
        union = Union[members] if len(members) > 1 else Union[(*members, Annotated[None, Tag("")])]  # noqa: UP007

        def choose(value: Any) -> str | None:
            if isinstance(value, Spec):
                return _tag(type(value))
            if not isinstance(value, Mapping):
                return None
            kind = value.get("kind", self.default)
            return _tag(known[kind]) if isinstance(kind, str) and kind in known else repr(kind)

        # pydantic's `Field(discriminator="kind")` refuses `{}`; this one falls back to the default kind.
        return handler.generate_schema(Annotated[union, Discriminator(choose)])


def kinds(union: Any) -> dict[str, type[Spec]]:
    """Return the registry behind an annotated union: kind → class."""
    return {kind_of(cls): cls for cls in _members(get_args(union)[0])}


def _members(union: Any) -> tuple[type[Spec], ...]:
    """Return the classes of a union; of a single class, that class."""
    return get_args(union) or (union,)


def kind_of(cls: type[Spec]) -> str:
    """Return the `kind` that chooses `cls`: the one value its field `kind` may have."""
    (kind,) = get_args(cls.model_fields["kind"].annotation)
    return str(kind)


def parse(kind: Any, value: Any, where: str = "") -> Any:
    """Return `value` (mappings, lists, scalars) as the spec class or union `kind`.

    Raises InputError with a line for every fault, each beginning with its path below `where`.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError([_explain(fault, kind, value, where) for fault in error.errors()]) from None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML 1.2 file, read by the very parser DVC uses, so that both see the same values.

    (PyYAML is YAML 1.1: there `1e-3` is text, `012` is 10 and `no` is false.)  Raises InputError for what is no YAML,
    a duplicate key among it.
    """
    try:
        return _parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: run from the project's root, where {path.name} is") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except YAMLError as error:
        raise InputError(_explain_yaml(path, error)) from None


@cache
def _parse_yaml(text: str) -> Any:
    """Return the content of a YAML text; cached, as a stage reads its files again before it writes."""
    return YAML(typ="safe").load(text)


def _explain_yaml(path: Path, error: YAMLError) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"{path}: not valid YAML: {error}"
    problem = str(error.problem).splitlines()[0]
    mend = ": keep one of the two" if "duplicate key" in problem else ""
    return f"{path}:{error.problem_mark.line + 1}: not valid YAML: {problem}{mend}"


def _tag(cls: type) -> str:
    return f"<{cls.__module__}.{cls.__qualname__}>"


def _explain(fault: Any, kind: Any, value: Any, where: str) -> str:
    """Return one line for a pydantic fault: `where.path.of.key: what was wrong (got value): what to do`."""
    path, seen = [where] if where else [], value
    for step in fault["loc"]:
        if str(step).startswith("<") or step == "[key]":  # a union's tag, or pydantic's: no key of the user's
            continue
        inside = isinstance(seen, Mapping | list) and not isinstance(seen, str)
        if not inside:  # a key that a spec's own shorthand added
            break
        path.append(str(step))
        seen = seen.get(step) if isinstance(seen, Mapping) else seen[step] if isinstance(step, int) else seen
    if fault["type"] == "union_tag_invalid":
        path.append("kind")
    return f"{'.'.join(path)}: {_message(fault, kind)}".removeprefix(": ")


def _message(fault: Any, kind: Any) -> str:
    context, got = fault.get("ctx", {}), _shorten(fault["input"])
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(kind, fault["loc"])
            return f"unknown key{suggest(str(fault['loc'][-1]), known)}"
        case "missing":
            return "is required and was not given"
        case "union_tag_invalid":
            # No kind was named, and there is no default.
            wrong = "is required" if context["tag"] == "None" else f"{context['tag']} is no kind known here"
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(", ")]
            known = [_kind_of_tag(tag) for tag in tags if tag]
            return wrong + suggest(context["tag"].strip("'"), known)
        case "union_tag_not_found":
            return f"must be a mapping such as {{kind: …}} or {{}} (got {got})"
        case "model_type" | "model_attributes_type":
            keys = ", ".join(_known_keys(kind, (*fault["loc"], "")))
            return f"must be a mapping of {keys}, or {{}} (got {got})"
        case "dict_type":
            return f"must be a mapping such as {{name: …}} (got {got})"
        case "greater_than":
            return f"must be greater than {context['gt']:g} (got {got})"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g} (got {got})"
        case "less_than":
            return f"must be less than {context['lt']:g} (got {got})"
        case "less_than_equal":
            return f"must be at most {context['le']:g} (got {got})"
        case "float_type" | "int_type" | "finite_number":
            what = "a whole number" if fault["type"] == "int_type" else "a finite number"
            whole = isinstance(fault["input"], float) and fault["input"].is_integer()
            return f"must be {what} (got {got})" + (f": write {int(fault['input'])}" if whole else "")
        case "bool_type":
            return f"must be true or false (got {got})"
        case "string_type":
            return f"must be text (got {got}): put quotes around it if it is a name"
        case "list_type":
            return f"must be a list (got {got})"
        case "too_short":
            return f"must not be shorter than {context['min_length']} (got {got})"
        case "too_long":
            return f"must not be longer than {context['max_length']} (got {got})"
        case "string_pattern_mismatch":
            return f"does not match {context['pattern']} (got {got}): choose another name"
        case "literal_error":
            return f"must be {context['expected']} (got {got})"
        case "value_error":
            return str(context["error"])
        case _:
            return f"{fault['msg'][0].lower()}{fault['msg'][1:]} (got {got})"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def suggest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (known: {', '.join(known)})" + (f": did you mean {close[0]}?" if close else "") if known else ""


def _subclasses(cls: type[Spec] = Spec) -> list[type[Spec]]:
    return [sub for child in cls.__subclasses__() for sub in [child, *_subclasses(child)]]


def _kind_of_tag(tag: str) -> str:
    return next(kind_of(cls) for cls in _subclasses() if _tag(cls) == tag)


def _known_keys(kind: Any, loc: Sequence[Any]) -> list[str]:
    """Return the keys that the class at `loc` takes, found by walking the fault's location through the specs."""
    classes = {_tag(cls): cls for cls in _subclasses()}
    here = _spec_in(kind)
    for step in loc[:-1]:
        if step in classes:
            here = classes[step]
        elif here and step in here.model_fields:
            here = _spec_in(here.model_fields[step].annotation)
    return list(here.model_fields) if here else []


def _spec_in(annotation: Any) -> type[Spec] | None:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((found for part in get_args(annotation) if (found := _spec_in(part))), None)
